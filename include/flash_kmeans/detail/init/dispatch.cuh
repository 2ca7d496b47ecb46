// Launches of the initialisations.
#pragma once

#include <cstdint>
#include <optional>

#include "../../types.hpp"
#include "../assign/dispatch.cuh"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_random.cuh"
#include "kernel_redraw.cuh"
#include "parallel.cuh"
#include "plus_plus.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Whether an initialisation computes distances.
inline bool measures(init_method init) {
  return init == init_method::kmeans_plus_plus || init == init_method::kmeans_parallel;
}

// Throws std::invalid_argument when a forced kernel cannot run. Whoever only copies points runs
// everywhere.
template <class T>
assign_plan plan_seeding(init_method init, execution const& exec) {
  return measures(init) ? plan_assignment<T>(exec) : assign_plan{};
}

template <class T>
class seeding {
 public:
  using acc = centroid_t<T>;

  // plan counts where distances are computed.
  seeding(matrix_view<T const> const& x, matrix_view<acc> const& c, fit_options const& options,
          assign_plan const& plan, arena& memory)
      : x_(x), c_(c), init_(options.init) {
    seed_plan const how{options.metric == metric::cosine,
                        is_half_v<T> && plan.kernel != assign_kernel::simt};
    acc const* const weights = options.weights.template get<acc>();
    if (init_ == init_method::kmeans_plus_plus) {
      plus_plus_.emplace(x, weights, c, options.candidates, how, memory);
    }
    if (init_ == init_method::kmeans_parallel) {
      parallel_.emplace(x, weights, c, options.candidates, how, plan, memory);
    }
  }

  // What the host does once, before anything is queued.
  void prepare() {
    if (plus_plus_) plus_plus_->prepare();
    if (parallel_) parallel_->prepare();
  }

  void queue(problem_seeds const& seeds, cudaStream_t stream) const {
    if (init_ == init_method::random) queue_random(seeds, stream);
    if (plus_plus_) plus_plus_->queue(seeds, false, nullptr, stream);
    if (parallel_) parallel_->queue(seeds, stream);
  }

 private:
  void queue_random(problem_seeds const& seeds, cudaStream_t stream) const {
    auto const p = random_draws(x_, c_, seeds);
    launch(random_kernel<T>, "random_kernel",
           grid_for(ceil_div<std::int64_t>(p.centroids, kRandomThreads / 32)), kRandomThreads,
           stream, p);
    launch(redraw_kernel<T>, "redraw_kernel", x_.batch_count(), kRandomThreads, stream, p);
  }

  matrix_view<T const> x_;
  matrix_view<acc> c_;
  init_method init_;
  std::optional<plus_plus<T>> plus_plus_;
  std::optional<parallel_seeding<T>> parallel_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
