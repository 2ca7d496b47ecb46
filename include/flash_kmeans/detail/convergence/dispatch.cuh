// Launches that start, follow and end the iterations of a fit, without the host looking.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../graph.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_look.cuh"
#include "kernel_start.cuh"
#include "kernel_threshold.cuh"
#include "kernel_variance.cuh"
#include "state.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class convergence {
 public:
  // status: [b], the caller's, or null for one in the workspace.
  convergence(matrix_view<T const> const& x, double tolerance, fit_status* status, arena& memory)
      : x_(x), b_(x.batch_count()), tolerance_(tolerance) {
    // Sized whether the caller brings one or not, so that the workspace does not depend on it.
    fit_status* const own = memory.take<fit_status>(b_);
    status_ = status != nullptr ? status : own;
    running_ = memory.take<std::int32_t>(1);
    rounds_ = memory.take<std::int32_t>(1);
    thresholds_ = memory.take<double>(b_);
    constexpr std::int64_t kShortestChunk = 256, kChunksPerProblem = 1024;
    chunk_ = std::max(kShortestChunk, ceil_div(x.rows, kChunksPerProblem));
    chunks_per_problem_ = ceil_div(x.rows, chunk_);
    if (tolerance > 0) {
      moments_ = memory.take<column_moments>(b_ * chunks_per_problem_ * x.cols);
      counts_ = memory.take<double>(b_ * chunks_per_problem_);
    }
  }

  // counters: of the update, to be set to zero. same_points: as at the last start over this
  // workspace, so thresholds are known; otherwise a tolerance costs one pass over the points.
  // scales: [b][n] factors of the rows whose variance is asked for, or null.
  void queue_start(std::uint32_t* counters, std::int64_t counter_count, bool same_points,
                   centroid_t<T> const* scales, cudaStream_t stream) const {
    std::int64_t const longest = std::max(b_, counter_count);
    launch(start_kernel<kStartThreads>, "start_kernel",
           grid_for(ceil_div<std::int64_t>(longest, kStartThreads)), kStartThreads, stream,
           start_params{status_, same_points ? nullptr : thresholds_, running_, rounds_, counters,
                        b_, counter_count});
    if (same_points || tolerance_ == 0) return;
    std::int32_t const cols = power_of_two_for(x_.cols, kVarianceThreads);
    std::int32_t const d = static_cast<std::int32_t>(x_.cols);
    std::int64_t const chunks = b_ * chunks_per_problem_;
    auto const variance = scales == nullptr ? variance_kernel<T, false> : variance_kernel<T, true>;
    launch(variance, "variance_kernel", grid_for(chunks), kVarianceThreads, stream,
           variance_params<T>{device_matrix<T const>(x_), scales, moments_, counts_, x_.rows, d,
                              cols, chunk_, chunks_per_problem_, chunks});
    launch(threshold_kernel<kThresholdThreads>, "threshold_kernel", grid_for(b_), kThresholdThreads,
           stream,
           threshold_params{moments_, counts_, thresholds_, tolerance_, d, cols,
                            chunks_per_problem_, b_});
  }

  // Ends a round of a loop that goes on while problems have not converged, for so many rounds at
  // most since the start.
  void queue_look(loop_handle loop, int most_rounds, cudaStream_t stream) const {
    launch(look_kernel<1>, "look_kernel", 1, 1, stream,
           look_params{running_, rounds_, most_rounds, loop});
  }

  convergence_state state() const { return {thresholds_, status_, running_}; }

  fit_status* status() const { return status_; }

  // device: problems that have not converged.
  std::int32_t const* running() const { return running_; }

 private:
  matrix_view<T const> x_;
  std::int64_t b_;
  double tolerance_;
  fit_status* status_;
  std::int32_t* running_;
  std::int32_t* rounds_;
  double* thresholds_;
  column_moments* moments_ = nullptr;
  double* counts_ = nullptr;
  std::int64_t chunk_, chunks_per_problem_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
