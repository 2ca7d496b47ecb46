// Looks at the points before a fit (fit_options::check_input).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "../../types.hpp"
#include "../checks.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../nvtx.hpp"
#include "../workspace.cuh"
#include "kernel_first_bad.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class input_check {
 public:
  // first_problem: the number of the first problem in what is thrown.
  input_check(matrix_view<T const> const& x, bool wanted, std::int64_t first_problem, arena& memory)
      : x_(x), wanted_(wanted), first_problem_(first_problem) {
    if (wanted_) first_ = memory.take<unsigned long long>(1);
  }

  // Reads the points and waits for the stream. Throws where one is not finite.
  void run(cudaStream_t stream) const {
    if (!wanted_) return;
    profiler_range const range("flash_kmeans.check_input");
    check_cuda(cudaMemsetAsync(first_, 0xFF, sizeof(*first_), stream), "cudaMemsetAsync");
    first_bad_params<T> p{};
    p.x = device_matrix<T const>(x_);
    p.first = first_;
    p.n = x_.rows;
    p.rows = x_.batch_count() * x_.rows;
    p.d = static_cast<std::int32_t>(x_.cols);
    p.lanes = power_of_two_for(ceil_div<std::int64_t>(x_.cols, 16 / sizeof(T)), 32);
    p.aligned = rows_aligned(x_, 16);
    launch(first_bad_kernel<T>, "first_bad_kernel",
           grid_for(ceil_div<std::int64_t>(p.rows, kFirstBadThreads / p.lanes)), kFirstBadThreads,
           stream, p);
    unsigned long long first = 0;
    fetch(&first, first_, 1, stream, "check of the points");
    if (first == std::numeric_limits<unsigned long long>::max()) return;
    std::int64_t const b = static_cast<std::int64_t>(first) / p.n,
                       r = static_cast<std::int64_t>(first) % p.n;
    std::vector<T> row(static_cast<std::size_t>(p.d));
    fetch(row.data(), x_.data + x_.problem_offset(b) + r * x_.ld, row.size(), stream,
          "check of the points");
    throw_not_finite(
        first_problem_ + b, r, static_cast<std::int64_t>(row.size()), [&](std::int64_t f) {
          return static_cast<double>(static_cast<centroid_t<T>>(row[static_cast<std::size_t>(f)]));
        });
  }

 private:
  matrix_view<T const> x_;
  bool wanted_;
  std::int64_t first_problem_;
  unsigned long long* first_ = nullptr;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
