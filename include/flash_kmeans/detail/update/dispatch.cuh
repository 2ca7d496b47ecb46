// Launches of an update: sort the points by cluster, add up the segments, finish the centroids.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../outputs.hpp"
#include "../workspace.cuh"
#include "kernel_finish.cuh"
#include "kernel_fold.cuh"
#include "kernel_segments.cuh"
#include "sort.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Where labels come from decides whether they need a bucket for those outside [0, k).
enum class label_source { assignment, caller };

template <class T>
class centroid_update {
 public:
  using acc = centroid_t<T>;

  centroid_update(matrix_view<T const> const& x, matrix_view<acc> const& c, label_source labels,
                  arena& memory)
      : x_(x),
        c_(c),
        b_(x.batch_count()),
        group_(group_size(b_, x.rows, buckets(c.rows, labels))),
        sort_(group_, x.rows, c.rows, buckets(c.rows, labels), memory) {
    constexpr int V = kVector<T>;
    vector_ = x.cols % V == 0 && rows_aligned(x, V * sizeof(T));
    std::int64_t const vectors = ceil_div<std::int64_t>(x.cols, vector_ ? V : 1);
    lanes_ = std::min<std::int64_t>(vectors, 128);
    column_blocks_ = ceil_div(vectors, lanes_);
    // Enough chunks to fill the GPU evenly. Shorter ones would spend more on borders than they
    // gain, but for small problems, where nothing else runs meanwhile.
    constexpr std::int64_t kElements = 1 << 22, kSmallProblem = 1 << 14;
    std::int64_t const shortest = x.rows <= kSmallProblem ? 32 : 64;
    std::int64_t const chunk =
        std::max(shortest, ceil_div(x.rows, std::max<std::int64_t>(1, kElements / x.cols)));
    auto const chunks = static_cast<std::uint32_t>(ceil_div(x.rows, chunk));
    chunks_ = {static_cast<std::uint32_t>(chunk), chunks, chunks > kMostPieces ? kFold : kNoFold};
    sums_ = memory.take<acc>(group_ * c.rows * x.cols);
    slots_ = memory.take<acc>(group_ * chunks_.per_problem * 2 * x.cols);
    within_ = memory.take<std::uint8_t>(group_ * chunks_.per_problem);
    folded_ = memory.take<double>(group_ * chunks_.runs_per_problem() * x.cols);
    shifts_ = memory.take<double>(b_ * c.rows);
  }

  // One update of the masters. status: problems that have converged keep theirs.
  void queue(std::int32_t const* labels, fit_status const* status, cluster_index const& index,
             cudaStream_t stream) {
    // By-products are those of all problems.
    fit_status const* const sorted_unless = wanted(index) ? nullptr : status;
    for_each_group(labels, sorted_unless, index, stream,
                   [&](sorted_points const& sorted, std::int64_t problems) {
                     queue_segments(sorted, problems, status, stream);
                     queue_fold(sorted, problems, status, stream);
                     queue_finish(sorted, problems, status, stream);
                   });
  }

  // Only the by-products of these labels.
  void queue_index(std::int32_t const* labels, cluster_index const& index, cudaStream_t stream) {
    for_each_group(labels, nullptr, index, stream, [](sorted_points const&, std::int64_t) {});
  }

  // [b][k], squared distance that each centroid moved in the last update of a problem that had not
  // converged.
  double const* shifts() const { return shifts_; }

 private:
  // Chunks that finish_kernel adds up without help.
  static constexpr std::uint32_t kMostPieces = 1024, kNoFold = 0x7fffffff;

  static std::int64_t buckets(std::int64_t k, label_source labels) {
    return labels == label_source::caller ? k + 1 : k;
  }

  // Positions and clusters of a group are counted in 31 bits: sort and grids hold them.
  static std::int64_t group_size(std::int64_t b, std::int64_t n, std::int64_t buckets) {
    return std::min({b, std::int64_t{2147483647} / n, std::int64_t{2147483647} / buckets});
  }

  template <class Body>
  void for_each_group(std::int32_t const* labels, fit_status const* status,
                      cluster_index const& index, cudaStream_t stream, Body&& body) {
    for (std::int64_t first = 0; first < b_; first += group_) {
      std::int64_t const problems = std::min(group_, b_ - first);
      body(sort_.queue(labels + first * x_.rows, first, problems, status, index, stream), problems);
    }
  }

  void queue_segments(sorted_points const& sorted, std::int64_t problems, fit_status const* status,
                      cudaStream_t stream) const {
    segments_params<T> p{};
    p.sorted = sorted;
    p.x = device_matrix<T const>(x_);
    p.sums = sums_;
    p.slots = slots_;
    p.within = within_;
    p.status = status;
    p.chunks = chunks_;
    p.count = static_cast<std::uint32_t>(problems * chunks_.per_problem);
    p.d = static_cast<std::int32_t>(x_.cols);
    p.lanes = static_cast<std::int32_t>(lanes_);
    p.column_blocks = static_cast<std::int32_t>(column_blocks_);
    std::int64_t const blocks =
        ceil_div<std::int64_t>(p.count, kSegmentsThreads / lanes_) * column_blocks_;
    launch(vector_ ? segments_kernel<T, kVector<T>> : segments_kernel<T, 1>, "segments_kernel",
           blocks, kSegmentsThreads, stream, p);
  }

  void queue_fold(sorted_points const& sorted, std::int64_t problems, fit_status const* status,
                  cudaStream_t stream) const {
    if (chunks_.runs_per_problem() == 0) return;
    launch(fold_kernel<acc>, "fold_kernel", problems * chunks_.runs_per_problem(), kFoldThreads,
           stream,
           fold_params<acc>{slots_, within_, folded_, status, sorted.first, chunks_,
                            static_cast<std::int32_t>(x_.cols)});
  }

  void queue_finish(sorted_points const& sorted, std::int64_t problems, fit_status const* status,
                    cudaStream_t stream) const {
    finish_params<T> p{};
    p.sorted = sorted;
    p.sums = sums_;
    p.slots = slots_;
    p.folded = folded_;
    p.c = device_matrix<acc>(c_);
    p.aligned = rows_aligned(c_, 16);
    p.shifts = shifts_;
    p.status = status;
    p.chunks = chunks_;
    p.clusters = static_cast<std::uint32_t>(problems * sorted.k);
    p.d = static_cast<std::int32_t>(x_.cols);
    // Few clusters are large ones: a block for each.
    constexpr std::uint32_t kFewClusters = 256;
    p.per_block = p.clusters <= kFewClusters ? 1 : kFinishShares;
    launch(finish_kernel<T>, "finish_kernel", ceil_div(p.clusters, p.per_block), kFinishThreads,
           stream, p);
  }

  matrix_view<T const> x_;
  matrix_view<acc> c_;
  std::int64_t b_;
  std::int64_t group_;  // problems sorted together
  point_sort sort_;
  bool vector_;
  std::int64_t lanes_, column_blocks_;
  chunking chunks_;
  acc* sums_;
  acc* slots_;
  std::uint8_t* within_;
  double* folded_;
  double* shifts_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
