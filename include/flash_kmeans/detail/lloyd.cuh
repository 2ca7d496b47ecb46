// THE loop: assign -> update -> converge, queued without the host looking at the device.
#pragma once

#include <cstdint>

#include "../types.hpp"
#include "assign/dispatch.cuh"
#include "config.cuh"
#include "convergence/dispatch.cuh"
#include "init/dispatch.cuh"
#include "outputs.hpp"
#include "update/dispatch.cuh"
#include "workspace.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class lloyd {
 public:
  using acc = centroid_t<T>;

  // memory: an arena over a workspace, or over nothing to find out how large one has to be.
  lloyd(matrix_view<T const> const& x, matrix_view<acc> const& c, fit_outputs const& out,
        fit_options const& options, assign_plan const& plan, arena& memory)
      : x_(x),
        c_(c),
        out_(out),
        options_(options),
        assignment_(x, c, plan, memory),
        update_(x, c, label_source::assignment, memory),
        convergence_(x, c.rows, options.tolerance, out.status, memory) {}

  // Queues the whole fit. After every iteration stop(iterations queued) is asked whether the rest
  // may be left out, which changes no result once all problems have converged.
  template <class Stop>
  void queue(cudaStream_t stream, Stop&& stop) {
    fit_status* const status = convergence_.status();
    queue_init(x_, c_, options_, stream);
    convergence_.queue_start(stream);
    assignment_.queue_points(stream);
    assignment_.queue_centroids(stream);
    bool const closing = options_.closing_assignment;
    bool index_due = wanted(out_.index);
    for (int i = 1; i <= options_.max_iterations; ++i) {
      bool const last = i == options_.max_iterations;
      assignment_.queue_labels(out_.labels, status, stream);
      // Without a closing assignment the last update's sort is the one that the caller wants to
      // see.
      bool const index_now = index_due && last && !closing;
      update_.queue(out_.labels, status, index_now ? out_.index : cluster_index{}, stream);
      if (index_now) index_due = false;
      convergence_.queue_step(update_.shifts(), stream);
      if (!last || closing) assignment_.queue_centroids(stream);
      if (!last && stop(i)) break;
    }
    if (closing) assignment_.queue_labels(out_.labels, nullptr, stream);
    if (index_due) update_.queue_index(out_.labels, out_.index, stream);
    if (closing) {
      static_assert(sizeof(fit_status) % sizeof(double) == 0);
      assignment_.queue_distances(out_.labels, nullptr, &status->inertia,
                                  sizeof(fit_status) / sizeof(double), stream);
    }
  }

  fit_status const* status() const { return convergence_.status(); }
  std::int32_t const* running() const { return convergence_.running(); }

 private:
  matrix_view<T const> x_;
  matrix_view<acc> c_;
  fit_outputs out_;
  fit_options options_;
  assignment<T> assignment_;
  centroid_update<T> update_;
  convergence<T> convergence_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
