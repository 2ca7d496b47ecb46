// Launches of all iterations of small problems at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "../assign/mended_labels.cuh"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../update/centroid.cuh"
#include "kernel_small.cuh"
#include "layout.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class small_fit {
 public:
  using acc = centroid_t<T>;

  // overlaps: kernels may be launched so, and in clusters of blocks.
  small_fit(matrix_view<T const> const& x, matrix_view<acc> const& c, bool overlaps)
      : x_(x), overlaps_(overlaps) {
    // Scores of a block and an iteration, and products for them; with more, kernels that fill the
    // GPU are faster (measured on an H200).
    constexpr std::int64_t kMostScores = 1 << 17;
    constexpr std::int64_t kMostProducts = is_half_v<T> ? 1 << 24 : 1 << 20;
    small_layout const l = small_layout_for(x.rows, c.rows, x.cols, sizeof(T), sizeof(acc),
                                            is_half_v<T>, overlaps_ ? kSmallBlocks : 1);
    std::int64_t const scores = std::int64_t{l.span} * c.rows;
    if (l.blocks > 0 && l.bytes <= most_shared_bytes() && scores <= kMostScores &&
        scores * x.cols <= kMostProducts) {
      layout_ = l;
    }
  }

  // Whether problems are small. Depends on n, k and d alone, so that a batch changes no result.
  bool possible() const { return layout_.blocks > 0; }

  assign_kernel kernel() const { return is_half_v<T> ? assign_kernel::sm80 : assign_kernel::simt; }

  // Iterations until convergence, or as many as this. labels: [b][n], of the last one. mended: the
  // labels, or nothing.
  void queue(std::int32_t* labels, mended_labels const& mended, centroid_params<T> const& centroid,
             std::int32_t iterations, cudaStream_t stream) const {
    small_params<T> p{};
    p.x = device_matrix<T const>(x_);
    p.aligned = rows_aligned(x_, 16);
    p.labels = labels;
    p.mended = mended;
    p.centroid = centroid;
    p.layout = layout_;
    p.n = static_cast<std::uint32_t>(x_.rows);
    p.iterations = iterations;
    // FMA units need more registers than the kernel of few threads has.
    constexpr std::uint32_t kFew = is_half_v<T> ? kSmallFewestThreads : kSmallThreads;
    std::int64_t const b = x_.batch_count(), at_once = kMostBlocks / layout_.blocks;
    for (p.first = 0; p.first < b; p.first += at_once) {
      launch(layout_.threads > kFew ? small_kernel<T, kSmallThreads> : small_kernel<T, kFew>,
             "small_kernel", std::min(at_once, b - p.first) * layout_.blocks,
             static_cast<int>(layout_.threads), stream, p,
             {layout_.bytes, static_cast<int>(layout_.blocks), overlaps_});
    }
  }

 private:
  matrix_view<T const> x_;
  bool overlaps_;
  small_layout layout_{};
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
