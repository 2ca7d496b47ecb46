// THE loop: assign -> update, queued without the host looking at the device.
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
        convergence_(x, options.tolerance, out.status, memory) {}

  // What the host does once, before anything is queued.
  void prepare() {
    assignment_.prepare();
    update_.prepare();
  }

  // Queues the whole fit. unchanged: what the last fit over this workspace left still holds. After
  // every iteration stop(iterations queued) is asked whether the rest may be left out, which changes
  // no result once all problems have converged.
  template <class Stop>
  void queue(cudaStream_t stream, fit_unchanged unchanged, Stop&& stop) const {
    fit_status* const status = convergence_.status();
    if (!unchanged.centroids) queue_init(x_, c_, options_, stream);
    convergence_.queue_start(update_.counters(), update_.counter_count(), unchanged.points, stream);
    if (!unchanged.points) assignment_.queue_points(stream);
    if (!unchanged.centroids) assignment_.queue_centroids(stream);
    bool const closing = options_.closing_assignment;
    bool index_due = wanted(out_.index);
    for (int i = 1; i <= options_.max_iterations; ++i) {
      bool const last = i == options_.max_iterations;
      assignment_.queue_labels(out_.labels, status, stream);
      // Without a closing assignment the last update's sort is the one that the caller wants to
      // see.
      bool const index_now = index_due && last && !closing;
      assignment_.with_form([&](auto form) {
        update_.template queue<decltype(form)>(out_.labels,
                                               index_now ? out_.index : cluster_index{},
                                               assignment_.operand(), convergence_.state(), stream);
      });
      if (index_now) index_due = false;
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

  fit_options const& options() const { return options_; }
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
