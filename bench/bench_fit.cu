// Whole fits of ten iterations through fit_async: given centroids, tolerance 0, no closing
// assignment, the caller's workspace; short ones also as the replay of a CUDA graph.
#include "bench_support.cuh"

namespace {

using namespace bench;

// The first centroids: points of the problem, evenly spaced.
template <class P, class C>
__global__ void spaced_points_kernel(device_view<P> x, std::int64_t problems, std::int64_t k,
                                     C* centroids) {
  std::int64_t const d = x.cols;
  for (std::int64_t e = grid_index(); e < problems * k * d; e += grid_size()) {
    std::int64_t const problem = e / (k * d), j = e / d % k;
    centroids[e] = static_cast<C>(to_double(x.row(problem, j * x.rows / k)[e % d]));
  }
}

// sums[b][k][d] and absolute_sums[b][k][d] of the points of every cluster, and their number
// counts[b][k].
template <class P>
__global__ void sum_by_label_kernel(device_view<P> x, std::int64_t problems,
                                    std::int32_t const* labels, std::int64_t k, double* sums,
                                    double* absolute_sums, counter_t* counts) {
  std::int64_t const d = x.cols;
  for (std::int64_t e = grid_index(); e < problems * x.rows * d; e += grid_size()) {
    std::int64_t const f = e % d, point = e / d;
    std::int64_t const problem = point / x.rows;
    std::int64_t const cluster = problem * k + labels[point];
    double const value = to_double(x.row(problem, point % x.rows)[f]);
    atomicAdd(&sums[cluster * d + f], value);
    atomicAdd(&absolute_sums[cluster * d + f], fabs(value));
    if (f == 0) atomicAdd(&counts[cluster], counter_t{1});
  }
}

// Every centroid must be the mean of its points, or the one before where it has none. A sum of m
// terms in any order is off by at most (m - 1) u sum |x| to first order, u = epsilon / 2, and the
// division and the rounding of the result add less than 2 epsilon of the mean; the double sum here
// adds (m - 1) 2^-53 sum |x|. A whole epsilon an addition covers all of it.
template <class C>
__global__ void check_means_kernel(C const* centroids, C const* previous, double const* sums,
                                   double const* absolute_sums, counter_t const* counts,
                                   std::int64_t elements, std::int64_t d, double epsilon,
                                   counter_t* wrong) {
  for (std::int64_t e = grid_index(); e < elements; e += grid_size()) {
    auto const count = static_cast<double>(counts[e / d]);
    double const expected = count > 0 ? sums[e] / count : previous[e];
    double const error = count > 0 ? (count + 2) * epsilon * absolute_sums[e] / count : 0;
    if (!(fabs(centroids[e] - expected) <= error)) atomicAdd(wrong, counter_t{1});
  }
}

// Throws unless the centroids are what one update makes of previous ones and labels in [0, k).
template <class P, class C>
void check_means(shape const& s, fk::matrix_view<P const> const& x,
                 device_buffer<std::int32_t> const& labels, device_buffer<C> const& centroids,
                 device_buffer<C> const& previous, cudaStream_t queue) {
  device_buffer<double> sums(centroids.size()), absolute_sums(centroids.size());
  device_buffer<counter_t> counts(s.problems() * s.k), wrong(1);
  sums.zero(queue);
  absolute_sums.zero(queue);
  counts.zero(queue);
  wrong.zero(queue);
  sum_by_label_kernel<<<blocks_for(s.points() * s.d), kThreads, 0, queue>>>(
      device_view<P>(x), s.problems(), labels.data(), s.k, sums.data(), absolute_sums.data(),
      counts.data());
  check(cudaGetLastError(), "sum_by_label_kernel");
  check_means_kernel<<<blocks_for(centroids.size()), kThreads, 0, queue>>>(
      centroids.data(), previous.data(), sums.data(), absolute_sums.data(), counts.data(),
      centroids.size(), s.d, static_cast<double>(std::numeric_limits<C>::epsilon()), wrong.data());
  check(cudaGetLastError(), "check_means_kernel");
  counter_t const found = wrong.to_host(queue)[0];
  if (found != 0) {
    throw std::runtime_error("wrong result: " + std::to_string(found) +
                             " coordinates of centroids are not the mean of their points");
  }
}

struct fit_bench {
  static constexpr char const* kVerb = "fit";
  static constexpr int kIterations = 10;
  // Fits that are longer than this hide their launches; no graph is timed.
  static constexpr double kShortMs = 20;

  static double assignments(measurement const& m) { return m.counters.at("iterations"); }

  template <class P>
  static measurement run(shape const& s, fk::assign_kernel kernel, session const& env) {
    using centroid = fk::centroid_t<P>;
    stream const queue;
    std::int64_t const elements = s.problems() * s.k * s.d;
    device_buffer<P> points(s.points() * s.d);
    fill_normal(points, 1, queue);
    fk::matrix_view<P const> const x = s.points_view<P>(points.data());
    device_buffer<centroid> first(elements), centroids(elements);
    spaced_points_kernel<<<blocks_for(elements), kThreads, 0, queue>>>(
        device_view<P>(x), s.problems(), s.k, first.data());
    check(cudaGetLastError(), "spaced_points_kernel");
    device_buffer<std::int32_t> labels(s.points());
    device_buffer<fk::fit_status> status(s.problems());

    fk::matrix_view<centroid> const c = s.centroids_view(centroids.data());
    fk::fit_options options;
    options.max_iterations = kIterations;
    options.tolerance = 0;
    options.init = fk::init_method::given;
    options.closing_assignment = false;
    fk::execution where{queue, nullptr, 0, kernel, s.multiply()};
    where.workspace_bytes = fk::fit_workspace_bytes(x, c, options, where);
    device_buffer<unsigned char> workspace(static_cast<std::int64_t>(where.workspace_bytes));
    where.workspace = workspace.data();
    fk::fit_outputs const out(labels.data(), {}, status.data());

    measurement m;
    auto const restart = [&] { centroids.copy_from(first, queue); };
    auto const fit = [&] { m.kernel = fk::fit_async(x, c, out, options, where); };
    // Returns the fewest updates that a problem of the batch took.
    auto const fit_afresh = [&](int iterations) {
      options.max_iterations = iterations;
      restart();
      labels.poison(queue);
      status.poison(queue);
      fit();
      std::vector<fk::fit_status> const ends = status.to_host(queue);
      int fewest = kIterations;
      for (fk::fit_status const& end : ends) {
        if (end.iterations < 1 || end.iterations > iterations) {
          throw std::runtime_error("wrong result: a fit of at most " + std::to_string(iterations) +
                                   " iterations reports " + std::to_string(end.iterations));
        }
        fewest = std::min(fewest, end.iterations);
      }
      return fewest;
    };

    // A problem that stands still is frozen and costs nothing: time only as many iterations as
    // every problem works through.
    int const iterations = fit_afresh(kIterations);
    fit_afresh(iterations);
    device_buffer<centroid> checked_centroids(elements), previous(elements);
    device_buffer<std::int32_t> checked_labels(s.points());
    checked_centroids.copy_from(centroids, queue);
    checked_labels.copy_from(labels, queue);

    // Without a closing assignment, the labels belong to the centroids one iteration earlier and
    // the centroids are the means under these labels.
    if (iterations > 1) {
      fit_afresh(iterations - 1);
      previous.copy_from(centroids, queue);
    } else {
      previous.copy_from(first, queue);
    }
    check_labels(x, s.centroids_view(previous.data()), checked_labels, s.multiply(), queue);
    check_means(s, x, checked_labels, checked_centroids, previous, queue);

    auto const check_repeated = [&](char const* what) {
      check_same_bits(centroids, checked_centroids, what, queue);
      check_same_bits(labels, checked_labels, what, queue);
    };
    options.max_iterations = iterations;
    labels.poison(queue);
    stopwatch watch(queue, env.seconds, env.l2_bytes);
    auto const point_bytes = static_cast<std::int64_t>(points.bytes());
    m.time = watch.measure(point_bytes, restart, fit);
    check_repeated("two fits");
    m.counters["iterations"] = iterations;
    m.counters["ms_per_iteration"] = m.time.median_ms / iterations;

    if (m.time.median_ms < kShortMs) {
      graph const replay(queue, fit);
      labels.poison(queue);
      timing const t = watch.measure(point_bytes, restart, [&] { replay.launch(queue); });
      check_repeated("a fit and its graph");
      m.counters["graph_ms"] = t.median_ms;
      m.counters["graph_ms_min"] = t.min_ms;
      m.counters["graph_ms_max"] = t.max_ms;
      m.counters["graph_ms_per_iteration"] = t.median_ms / iterations;
    }
    return m;
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::bench_main<fit_bench>(argc, argv); }
