// THE loop: assign -> update, queued without the host looking at the device.
//
// Small problems have all their iterations in one launch (small/). Of others every iteration is
// queued, and those after convergence end at once; or, in a graph of our own, a conditional node
// repeats a few of them until the problems have converged.
#pragma once

#include <cstdint>

#include "../types.hpp"
#include "assign/dispatch.cuh"
#include "assign/queries.cuh"
#include "balance.hpp"
#include "config.cuh"
#include "convergence/dispatch.cuh"
#include "graph.cuh"
#include "init/dispatch.cuh"
#include "nvtx.hpp"
#include "outputs.hpp"
#include "small/dispatch.cuh"
#include "telemetry/dispatch.cuh"
#include "update/dispatch.cuh"
#include "update/scaling.cuh"
#include "workspace.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class lloyd {
 public:
  using acc = centroid_t<T>;

  // memory: an arena over a workspace, or over nothing to find out how large one has to be.
  // copies: the batch holds each problem so often, to be seeded in as many ways.
  lloyd(matrix_view<T const> const& x, matrix_view<acc> const& c, fit_outputs const& out,
        fit_options const& options, assign_plan const& plan, arena& memory, std::int64_t copies = 1)
      : x_(x),
        c_(c),
        out_(out),
        options_(options),
        weights_(options.weights.template get<acc>()),
        assignment_(x, c, plan, memory, options.metric),
        scaling_(x, options.metric, weights_, memory),
        update_(x, c,
                {scaling_.rows(), options.empty_cluster,
                 binding_ratio(options.max_size_ratio, c.rows), options.max_iterations > 1},
                memory),
        convergence_(x, options.tolerance, out.status, memory),
        telemetry_(x.batch_count(), x.rows, c.rows, scaling_.rows().scales, out.records,
                   options.max_iterations, memory),
        small_(x, c, update_.overlaps()),
        seeding_(x, c, options, plan, memory),
        plan_(plan),
        seeds_{options.seed, x.batch_count() / copies, options.first_problem} {}

  // What the host does once, before anything is queued, for what queue will use.
  void prepare() {
    bool const iterates = !one_launch();
    seeding_.prepare();
    if (iterates || options_.closing_assignment) assignment_.prepare();
    if (iterates || wanted(out_.index)) update_.prepare();
  }

  // Queues the whole fit. unchanged: what the last fit over this workspace left still holds. After
  // every iteration stop(iterations queued) is asked whether the rest may be left out, which changes
  // no result once all problems have converged, and which ends the fit where the caller wants no
  // more. loops: the stream captures a graph that may have loops.
  template <class Stop>
  void queue(cudaStream_t stream, fit_unchanged unchanged, Stop&& stop, bool loops = false) const {
    queue(stream, unchanged, stop, loops, seeds_);
  }
  // The same with other seeds.
  template <class Stop>
  void queue(cudaStream_t stream, fit_unchanged unchanged, Stop&& stop, bool loops,
             problem_seeds const& seeds) const {
    if (!unchanged.centroids) {
      profiler_range const range("flash_kmeans.seeding");
      seeding_.queue(seeds, stream);
      if (options_.metric == metric::cosine) queue_unit<acc>(c_, c_, stream);
    }
    bool const closing = options_.closing_assignment;
    bool index_due = wanted(out_.index);
    // Labels of points that are not finite are mended by the closing assignment; by the one kernel,
    // unless an index is sorted by them as they are before; or at the end.
    mended_labels const mended{out_.labels, convergence_.status()};
    bool const small_mends = one_launch() && !closing && !index_due;
    {
      profiler_range const range("flash_kmeans.start");
      if (!unchanged.points) scaling_.queue(stream);
      queue_start(unchanged.points, stream);
      if (telemetry_.wanted()) telemetry_.queue_start(stream);
      if (!unchanged.points && (closing || !one_launch())) assignment_.queue_points(stream);
    }
    if (one_launch()) {
      profiler_range const range("flash_kmeans.small");
      small_.queue(out_.labels, small_mends ? mended : mended_labels{},
                   update_.centroids({}, convergence_.state()), options_.max_iterations, stream);
      if (closing) assignment_.queue_centroids(stream);
    } else {
      if (!unchanged.centroids) assignment_.queue_centroids(stream);
      if (queue_iterations(index_due && !closing, loops, stream, stop)) index_due = false;
    }
    if (closing) {
      queue_outputs(stream);
    } else {
      if (index_due) update_.queue_index(out_.labels, out_.index, stream);
      if (!small_mends) assignment_.queue_mend(mended, update_.overlaps(), stream);
    }
  }

  // Only the outputs of centroids that are there, but for what the status says of iterations:
  // status(to) queues that.
  template <class Status>
  void queue_closing(cudaStream_t stream, Status&& status) const {
    assignment_.queue_points(stream);
    assignment_.queue_centroids(stream);
    queue_start(true, stream);
    status(convergence_.status());
    queue_outputs(stream);
  }

  fit_options const& options() const { return options_; }

  // What the iterations' assignments run on.
  assign_kernel kernel() const { return one_launch() ? small_.kernel() : plan_.kernel; }

  fit_status const* status() const { return convergence_.status(); }
  std::int32_t const* running() const { return convergence_.running(); }

 private:
  // A forced kernel, or products other than those of the type, are what the caller asked for; and
  // the one kernel knows means of points only, and keeps no records.
  bool one_launch() const {
    return small_.possible() && !plan_.forced && plan_.multiply == precision::native &&
           options_.metric == metric::euclidean && weights_ == nullptr &&
           options_.empty_cluster == empty_cluster::keep &&
           binding_ratio(options_.max_size_ratio, c_.rows) == 0 && !telemetry_.wanted();
  }

  void queue_start(bool same_points, cudaStream_t stream) const {
    convergence_.queue_start(update_.counters(), update_.counter_count(), same_points,
                             scaling_.inverses(), stream);
  }

  // The closing assignment, of centroids that are ready, and what follows from it.
  void queue_outputs(cudaStream_t stream) const {
    profiler_range const range("flash_kmeans.closing");
    fit_status* const status = convergence_.status();
    assignment_.queue_labels(out_.labels, nullptr, stream, kNotFinite);
    if (wanted(out_.index)) update_.queue_index(out_.labels, out_.index, stream);
    static_assert(sizeof(fit_status) % sizeof(double) == 0);
    assignment_.queue_distances(out_.labels, nullptr, &status->inertia,
                                sizeof(fit_status) / sizeof(double), stream, weights_,
                                {out_.labels, status});
  }

  // index: the last update's sort writes it. Returns whether it has.
  template <class Stop>
  bool queue_iterations(bool index, bool loops, cudaStream_t stream, Stop&& stop) const {
    // A round of a loop is as long as convergence may go unnoticed.
    constexpr int kRound = 4;
    int const rounds = kGraphLoops && loops ? (options_.max_iterations - index) / kRound : 0;
    int done = 0;
    if (rounds > 1) {
      capture_loop(stream, [&](cudaStream_t inner, loop_handle handle) {
        for (int i = 0; i < kRound; ++i) queue_iteration({}, inner);
        convergence_.queue_look(handle, rounds, inner);
      });
      done = rounds * kRound;
    }
    for (int i = done + 1; i <= options_.max_iterations; ++i) {
      bool const last = i == options_.max_iterations;
      queue_iteration(index && last ? out_.index : cluster_index{}, stream);
      if (last) return index;
      if (stop(i)) break;
    }
    return false;
  }

  void queue_iteration(cluster_index const& index, cudaStream_t stream) const {
    fit_status const* const status = convergence_.status();
    {
      profiler_range const range("flash_kmeans.assign");
      assignment_.queue_labels(out_.labels, status, stream, kNotFinite);
    }
    if (telemetry_.wanted()) {
      profiler_range const range("flash_kmeans.record");
      assignment_.queue_distances(out_.labels, nullptr, telemetry_.inertias(),
                                  telemetry<acc>::kStride, stream, weights_);
      telemetry_.queue_track(out_.labels, status, stream);
    }
    profiler_range const range("flash_kmeans.update");
    assignment_.with_form([&](auto form) {
      update_.template queue<decltype(form)>(
          out_.labels, index, assignment_.operand(), convergence_.state(),
          [&](acc* distances, std::int32_t const* wanted, std::int64_t first, std::int64_t problems,
              cudaStream_t on) {
            assignment_.queue_distances(out_.labels, distances, wanted, first, problems, on);
          },
          stream);
    });
    if (telemetry_.wanted()) telemetry_.queue_record(status, stream);
  }

  matrix_view<T const> x_;
  matrix_view<acc> c_;
  fit_outputs out_;
  fit_options options_;
  acc const* weights_;  // [b][n] or null
  assignment<T> assignment_;
  point_scaling<T> scaling_;
  centroid_update<T> update_;
  convergence<T> convergence_;
  telemetry<acc> telemetry_;
  small_fit<T> small_;
  seeding<T> seeding_;
  assign_plan plan_;
  problem_seeds seeds_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
