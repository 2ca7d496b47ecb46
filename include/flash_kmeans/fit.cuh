// flash_kmeans::fit: points in, centroids, labels and inertia out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "detail/best_of.cuh"
#include "detail/calls.hpp"
#include "detail/checks.hpp"
#include "detail/count_from.cuh"
#include "detail/graph.cuh"
#include "detail/input/dispatch.cuh"
#include "detail/nvtx.hpp"
#include "detail/outputs.hpp"
#include "types.hpp"

namespace flash_kmeans {

namespace detail {
inline namespace FLASH_KMEANS_ABI {

// The workspace of one batch of a fit.
template <class T>
struct fit_memory {
  input_check<T> input;
  best_of<T> fit;

  fit_memory(fit_call<T const, centroid_t<T>> const& call, assign_plan const& plan, arena& memory)
      : input(call.x, call.options.check_input, call.first, memory),
        fit(call.x, call.centroids, call.out, call.options, plan, memory) {}
};

// The fits of one call, which take turns in the same memory.
template <class T>
std::vector<fit_memory<T>> lay_out_fits(std::vector<fit_call<T const, centroid_t<T>>> const& calls,
                                        assign_plan const& plan, arena& memory) {
  std::vector<fit_memory<T>> fits;
  fits.reserve(calls.size());
  for (auto const& call : calls) memory.lend([&] { fits.emplace_back(call, plan, memory); });
  return fits;
}

// Bytes of the workspace of these fits.
template <class T>
std::size_t fits_bytes(std::vector<fit_call<T const, centroid_t<T>>> calls, execution const& exec) {
  for (auto& call : calls) call.x = placed_for_sizing(call.x);
  arena sizing;
  lay_out_fits<T>(calls, plan_assignment<compute_t<T>>(exec), sizing);
  return sizing.used();
}

// What fit, append and their asynchronous twins share, after the checks: stop is lloyd::queue's;
// ended(fit, call) runs after each while the workspace still holds it.
template <class T, class Stop, class Ended>
assign_kernel run_fits(std::vector<fit_call<T const, centroid_t<T>>> const& calls,
                       execution const& exec, Stop&& stop, Ended&& ended) {
  profiler_range const range("flash_kmeans.fit");
  assign_plan const plan = plan_assignment<compute_t<T>>(exec);
  workspace block(exec);
  auto fits = block.lay_out([&](arena& memory) { return lay_out_fits<T>(calls, plan, memory); });
  // All host work that can fail comes before the first launch.
  for (auto& pieces : fits) pieces.fit.prepare();
  for (auto const& pieces : fits) pieces.input.run(exec.stream);
  assign_kernel kernel = assign_kernel::automatic;
  std::int64_t most = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    auto const& call = calls[i];
    auto& fit = fits[i].fit;
    fit.queue(exec.stream, {}, [&](int iterations) { return stop(fit, call, iterations); });
    queue_count_from(call.first_cluster, call.out.labels, call.x.batch_count() * call.x.rows,
                     exec.stream);
    ended(fit, call);
    if (call.x.rows <= most) continue;
    most = call.x.rows;
    kernel = fit.kernel();
  }
  return kernel;
}

template <class T>
assign_kernel queue_fits(std::vector<fit_call<T const, centroid_t<T>>> const& calls,
                         execution const& exec) {
  return run_fits<T>(
      calls, exec, [](auto const&, auto const&, int) { return false; },
      [](auto const&, auto const&) {});
}

// Waits, and looks at the device on the way.
template <class T>
fit_result wait_for_fits(std::vector<fit_call<T const, centroid_t<T>>> const& calls,
                         execution const& exec) {
  constexpr int kLook = 4;
  std::vector<fit_status> all;
  bool goes_on = true;
  auto const tell = [&](auto const& fit, auto const& call, int iterations) {
    std::vector<fit_status> status(static_cast<std::size_t>(fit.problems()));
    fetch(status.data(), fit.fits_status(), status.size(), exec.stream, "fit");
    double shift = 0;
    for (fit_status const& own : status) shift += own.iterations == iterations ? own.shift : 0;
    goes_on = call.options.progress(iterations, shift);
  };
  assign_kernel const kernel = run_fits<T>(
      calls, exec,
      [&](auto const& fit, auto const& call, int iterations) {
        if (iterations == 0 || iterations % kLook != 0) return !goes_on;
        std::int32_t running = 0;
        fetch(&running, fit.running(), 1, exec.stream, "fit");
        if (call.options.progress) tell(fit, call, iterations);
        return running == 0 || !goes_on;
      },
      [&](auto const& fit, auto const& call) {
        std::size_t const before = all.size();
        all.resize(before + static_cast<std::size_t>(call.x.batch_count()));
        fetch(all.data() + before, fit.status(), all.size() - before, exec.stream, "fit");
      });
  return summary(all, kernel);
}

// A call of one batch.
template <class P, class C>
std::vector<fit_call<P const, C>> one_fit(matrix_view<P const> const& x, matrix_view<C> const& c,
                                          fit_outputs const& out, fit_options const& options) {
  check_fit(x, c, out, options);
  return {{x, c, out, options}};
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace detail

inline namespace FLASH_KMEANS_ABI {

/// Bytes of execution::workspace that fit and fit_async need for these shapes and options on the
/// current device.
///
/// @param[in] x,centroids shapes, strides and batch as for fit. The data is not read. Pointers may
///     be null: the size then suffices for points at any address. Half and bfloat16 points whose
///     rows start on multiples of 16 bytes need less, which the size shows when their pointer is
///     given
/// @param[in] options as for fit
/// @param[in] exec kernel, precision and screening count
/// @param[in] outputs only whether records are asked for: these take 4 bytes a point and 4 a
///     cluster
///
/// Where points are not packed (see predict_workspace_bytes) no more than 24 bytes a point, 20
/// bytes a centroid's coordinate and 4 MiB a problem for half and bfloat16, and what
/// init_workspace_bytes says. Of that, a point takes 4 bytes for the sort (16 with more than 2048
/// clusters), up to 16 for partial sums, and up to 8 for the variance that a tolerance asks for; a
/// coordinate takes 4 (8 for double) for sums and 2 for operands. Where points are packed, their
/// copy comes on top. Points of one byte a value take what half points take and 2 bytes a value. A
/// fit_options::max_size_ratio takes 4 bytes a point and 9 a centroid more. Fits whose updates add
/// up changes (see fit_async) take no more than 52 bytes a point, 36 a coordinate and 8 MiB a
/// problem in place of the first three figures.
/// Synchronises nothing. Throws std::invalid_argument for a bad shape or option, cuda_error without
/// a device.
template <class P, class C>
std::size_t fit_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                fit_options const& options = {}, execution const& exec = {},
                                fit_outputs const& outputs = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::check_k_at_most_n(centroids.rows, x.rows);
  detail::check_options(options);
  return detail::fits_bytes<T>({{x, centroids, outputs, options}}, exec);
}

/// Exact Lloyd k-means of every problem of a batch, queued on the stream. Returns the kernel that
/// the iterations' assignments run on.
///
/// @param[in] x device, [b][n][d], any strides of matrix_view; __half, __nv_bfloat16, float,
///     double, std::int8_t, std::uint8_t or __nv_fp8_e4m3, aligned to its element; d >= 1,
///     1 <= k <= n <= 2^31-1, k <= 2^31-256. Rows that start on multiples of 16 bytes are read
///     fastest; others, and float points on Hopper, are packed once per fit (see
///     predict_workspace_bytes). The three types of one byte are converted once per fit to half,
///     which holds each of their values exactly: results are, to the bit, those of half points of
///     the same values. That costs one read of the points, and a write of 2 bytes a value into the
///     workspace, d rounded up to a multiple of 8. A point with a NaN or an infinity gets label 0
///     and counts nowhere, see fit_status::non_finite.
/// @param[in,out] centroids device, [b][k][d], float (double for double points), any strides that
///     keep problems apart. Read under init_method::given, written always. These are the masters:
///     sums and means are never rounded to half. For half and bfloat16 points each assignment
///     multiplies a copy that is rounded to the type of the points, and labels are exact for that
///     copy.
/// @param[out] outputs device: labels [b][n] int32, and optionally a cluster_index, fit_status [b]
///     and iteration_records [b][max_iterations]; a plain label pointer converts. What the fit
///     found out (iterations, converged, shift, inertia) stays on the device in the status. Records
///     cost an iteration four kernels and one more read of the points, and small problems their one
///     kernel; without them nothing of that is there.
/// @param[in] options see fit_options; not check_input and progress, which need a verb that waits
/// @param[in] exec stream, workspace (fit_workspace_bytes), forced kernel, precision of float and
///     screening
///
/// An empty cluster keeps its centroid. Ties go to the lowest index. A problem of a batch that has
/// converged stays as it is while others go on, and every problem ends with the bits that it would
/// end with alone.
///
/// Cost an iteration: 2 b n k d FLOPs; the points are read twice (assignment, update), and 16 b n
/// bytes (52 with more than 2048 clusters) move for the sort. A tolerance above 0 reads the points
/// once more per fit; a closing assignment costs one more assignment and one more read of the
/// points for the inertia.
/// Updates of large problems after the first add up changes: only points that changed their cluster
/// are sorted and read, twice each. Their rows are added to the sum, in double, of the cluster that
/// they came to and taken from that of the one that they left; 8 b n bytes move besides. Centroids
/// are the means of their points to rounding, but not to the bits of update_centroids. Problems are
/// large by n, k, d and type alone: of any type but double, with 2^15 to 2^29 points, at least 32 a
/// cluster, 2048 clusters at most, and rows of 64 bytes or more (as half, for types of one byte).
/// Changes are added up only where a fit has more than one iteration, neither weights nor a
/// max_size_ratio, is not cosine, and keeps empty clusters. A last iteration that writes an index
/// adds up all points.
/// An iteration is at most five kernels, a max_size_ratio adds two, up to two of a second sort, and
/// 8 b n bytes (and those of the sort where centroids move); their number depends on shape and
/// options only. Iterations
/// after convergence are queued too and end early on the device: choose max_iterations accordingly,
/// or call fit, which looks, or use a fit_plan, which loops on the device.
///
/// Small problems have all their iterations in one kernel, which ends at convergence: those whose
/// points, centroids and sums fit into the shared memory of eight blocks (4096 x 128 of half with
/// 64 clusters, say) and whose search is short. They are small by n, k, d and type alone, and only
/// where no kernel is forced, no records are asked for, and the fit is euclidean, without weights
/// and max_size_ratio, and keeps empty clusters; their products run on `sm80` instructions (half,
/// bfloat16) or `simt`, and the closing assignment on the same kernel as that of other problems.
///
/// Deterministic: the same input, options and device give the same bits.
/// Synchronises nothing and, given a workspace, allocates nothing; can be captured into a CUDA
/// graph.
/// Throws std::invalid_argument naming argument and value before anything is queued, and
/// cuda_error (which says what a failure between two launches leaves). Source of the method:
/// S. Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982); the tolerance is
/// scikit-learn's.
///
/// @code{.cpp}
/// fk::matrix_view<__half const> x{d_x, n, d};
/// fk::matrix_view<float> c{d_c, k, d};
/// fk::fit_async(x, c, {d_labels, {}, d_status}, options, {stream, d_workspace, bytes});
/// @endcode
template <class P, class C>
assign_kernel fit_async(matrix_view<P> const& x, matrix_view<C> const& centroids,
                        fit_outputs const& outputs, fit_options const& options = {},
                        execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_does_not_wait(options);
  return detail::queue_fits<T>(detail::one_fit<T>(x, centroids, outputs, options), exec);
}

/// A fit that is run again and again over the same buffers: what depends on shapes, pointers and
/// options is worked out once and kept as a CUDA graph, so that fit_async of a plan costs the host
/// one launch. With the CUDA Toolkit 13.0 or later its iterations are a loop of the graph, which
/// the device ends within four iterations of convergence.
///
/// What the buffers hold may change from fit to fit; outputs and rules are those of the free
/// fit_async. A plan belongs to the device that is current when it is made, and runs on that device
/// whichever is current when it is used; its kernels run on the multiprocessors of the context that
/// is current when their graph is built, whatever stream it is launched into. It can be moved, not
/// copied. It neither copies nor owns the memory of a fit: views, outputs and workspace must
/// outlive it. Fits of one plan share its workspace and must run one after the other, on one stream
/// or ordered by events.
///
/// @code{.cpp}
/// fk::fit_plan<__half> plan(x, c, {d_labels}, options, {stream, d_workspace, bytes});
/// for (...) plan.fit_async(stream);
/// @endcode
template <class T>
class fit_plan {
 public:
  /// As for fit_async, but exec.workspace is required. Queues nothing; exec.stream does not count.
  /// Throws std::invalid_argument and cuda_error as fit_async does.
  fit_plan(matrix_view<T const> const& x, matrix_view<centroid_t<T>> const& centroids,
           fit_outputs const& outputs, fit_options const& options, execution const& exec)
      : fit_(laid_out(x, centroids, outputs, options, exec)), device_(detail::current_device()) {
    fit_.prepare();
  }

  /// Builds the graph that fit_async(stream, unchanged) launches, unless it is there. The host then
  /// spends no more on the first such fit than on later ones. Queues nothing and synchronises
  /// nothing; takes the host up to some milliseconds and memory of the driver. A plan that is only
  /// used while its stream is being captured needs no graph of its own.
  /// Throws std::invalid_argument for unchanged centroids that would be drawn anew, and cuda_error.
  void prepare(fit_unchanged unchanged = {}) {
    check_unchanged(unchanged);
    detail::device_scope const scope(device_);
    detail::graph& graph = graphs_[unchanged.points][unchanged.centroids];
    if (!graph.is_there()) {
      graph.capture([&](cudaStream_t on) { queue(on, unchanged, true); });
    }
  }

  /// Queues one fit. unchanged: saves the work on what is as the last fit of this plan left it;
  /// what has changed nevertheless gives wrong results. Synchronises nothing. The first fit with
  /// each value of `unchanged` builds its graph as prepare() does; later ones allocate nothing.
  /// Where the stream is being captured, the fit is captured kernel by kernel, so that the graph
  /// around it may be a part of others. The stream belongs to the plan's device.
  /// Throws std::invalid_argument for `unchanged` before the first fit, or for unchanged centroids
  /// that would be drawn anew, and cuda_error.
  void fit_async(CUstream_st* stream, fit_unchanged unchanged = {}) {
    if ((unchanged.points || unchanged.centroids) && !ran_) {
      detail::throw_invalid("unchanged", unchanged.points ? "points" : "centroids",
                            "needs an earlier fit of this plan");
    }
    check_unchanged(unchanged);
    detail::profiler_range const range("flash_kmeans.fit_plan");
    detail::device_scope const scope(device_);
    if (detail::is_capturing(stream)) {
      queue(stream, unchanged, false);
    } else {
      prepare(unchanged);
      graphs_[unchanged.points][unchanged.centroids].launch(stream);
    }
    ran_ = true;
  }

  /// What the iterations' assignments run on.
  assign_kernel kernel() const { return fit_.kernel(); }

 private:
  static detail::best_of<T> laid_out(matrix_view<T const> const& x,
                                     matrix_view<centroid_t<T>> const& centroids,
                                     fit_outputs const& outputs, fit_options const& options,
                                     execution const& exec) {
    detail::check_point_type<T>();
    detail::check_fit(x, centroids, outputs, options);
    detail::check_does_not_wait(options);
    detail::check_pointer(static_cast<char const*>(exec.workspace), "execution.workspace");
    detail::assign_plan const plan = detail::plan_assignment<detail::compute_t<T>>(exec);
    return detail::workspace(exec).lay_out([&](detail::arena& memory) {
      return detail::best_of<T>(x, centroids, outputs, options, plan, memory);
    });
  }

  void check_unchanged(fit_unchanged unchanged) const {
    if (unchanged.centroids && fit_.options().init != init_method::given) {
      detail::throw_invalid("unchanged", "centroids", "needs init_method::given");
    }
  }

  void queue(cudaStream_t stream, fit_unchanged unchanged, bool loops) const {
    fit_.queue(
        stream, unchanged, [](int) { return false; }, loops);
  }

  bool ran_ = false;
  detail::best_of<T> fit_;
  int device_;                  // asked for after the arguments were checked
  detail::graph graphs_[2][2];  // by what is unchanged: points, centroids
};

/// fit_async, then waits for the stream and returns how it ended.
///
/// With options.check_input it first reads the points, waits, and throws std::invalid_argument
/// where one is not finite, with nothing written but the workspace.
/// Looks at the device every 4 iterations, tells options.progress, and stops queuing once all
/// problems have converged; results are those of fit_async to the bit. Cannot be captured into a
/// graph.
template <class P, class C>
fit_result fit(matrix_view<P> const& x, matrix_view<C> const& centroids, fit_outputs const& outputs,
               fit_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  return detail::wait_for_fits<T>(detail::one_fit<T>(x, centroids, outputs, options), exec);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans
