// Launches that start, follow and end the iterations of a fit, without the host looking.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_converge.cuh"
#include "kernel_threshold.cuh"
#include "kernel_variance.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class convergence {
 public:
  // status: [b], the caller's, or null for one in the workspace.
  convergence(matrix_view<T const> const& x, std::int64_t k, double tolerance, fit_status* status,
              arena& memory)
      : x_(x), k_(k), b_(x.batch_count()), tolerance_(tolerance) {
    // Sized whether the caller brings one or not, so that the workspace does not depend on it.
    fit_status* const own = memory.take<fit_status>(b_);
    status_ = status != nullptr ? status : own;
    running_ = memory.take<std::int32_t>(1);
    thresholds_ = memory.take<double>(b_);
    constexpr std::int64_t kShortestChunk = 256, kChunksPerProblem = 1024;
    chunk_ = std::max(kShortestChunk, ceil_div(x.rows, kChunksPerProblem));
    chunks_per_problem_ = ceil_div(x.rows, chunk_);
    if (tolerance > 0) moments_ = memory.take<column_moments>(b_ * chunks_per_problem_ * x.cols);
  }

  // A tolerance costs one pass over the points.
  void queue_start(cudaStream_t stream) const {
    launch(converge_start_kernel<kConvergeThreads>, "converge_start_kernel",
           ceil_div<std::int64_t>(b_, kConvergeThreads), kConvergeThreads, stream, params(nullptr));
    if (tolerance_ == 0) {
      check_cuda(
          cudaMemsetAsync(thresholds_, 0, static_cast<std::size_t>(b_) * sizeof(double), stream),
          "cudaMemsetAsync");
      return;
    }
    std::int32_t const cols = power_of_two_for(x_.cols, kVarianceThreads);
    std::int32_t const d = static_cast<std::int32_t>(x_.cols);
    std::int64_t const chunks = b_ * chunks_per_problem_;
    launch(variance_kernel<T>, "variance_kernel", grid_for(chunks), kVarianceThreads, stream,
           variance_params<T>{device_matrix<T const>(x_), moments_, x_.rows, d, cols, chunk_,
                              chunks_per_problem_, chunks});
    launch(threshold_kernel<kThresholdThreads>, "threshold_kernel", grid_for(b_), kThresholdThreads,
           stream,
           threshold_params{moments_, thresholds_, tolerance_, x_.rows, d, cols, chunk_,
                            chunks_per_problem_, b_});
  }

  // After an update: shifts is [b][k].
  void queue_step(double const* shifts, cudaStream_t stream) const {
    launch(converge_kernel<kConvergeThreads>, "converge_kernel", grid_for(b_), kConvergeThreads,
           stream, params(shifts));
  }

  fit_status* status() const { return status_; }

  // device: problems that have not converged.
  std::int32_t const* running() const { return running_; }

 private:
  converge_params params(double const* shifts) const {
    return {shifts, thresholds_, status_, running_, k_, b_};
  }

  matrix_view<T const> x_;
  std::int64_t k_, b_;
  double tolerance_;
  fit_status* status_;
  std::int32_t* running_;
  double* thresholds_;
  column_moments* moments_ = nullptr;
  std::int64_t chunk_, chunks_per_problem_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
