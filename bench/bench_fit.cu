// Whole fits of ten iterations through fit_async: given centroids, tolerance 0, no closing
// assignment, the caller's workspace; short ones also as the replay of a CUDA graph.
#include "bench_means.cuh"
#include "bench_support.cuh"

namespace {

using namespace bench;

struct fit_bench {
  static constexpr char const* kVerb = "fit";
  static constexpr int kIterations = 10;
  // Fits that are longer than this hide their launches; no graph is timed.
  static constexpr double kShortMs = 20;
  // Longer ones leave out what the host is timed by.
  static constexpr double kMiddlingMs = 100;
  static constexpr int kWholeIterations = 25, kWholeRuns = 7;

  static double assignments(measurement const& m) { return m.counters.at("iterations"); }
  static double passes(measurement const& m) { return assignments(m); }

  // Microseconds that the host spends in a call that is queued behind others: median of a few
  // series.
  template <class Call>
  static double host_us(stream const& queue, Call const& call) {
    constexpr int kSeries = 15, kCalls = 10;
    std::vector<double> us;
    for (int i = 0; i < kSeries; ++i) {
      queue.synchronize();
      auto const start = std::chrono::steady_clock::now();
      for (int j = 0; j < kCalls; ++j) call();
      std::chrono::duration<double, std::micro> const took =
          std::chrono::steady_clock::now() - start;
      us.push_back(took.count() / kCalls);
    }
    queue.synchronize();
    return median(us);
  }

  template <class P>
  static measurement run(shape const& s, fk::assign_kernel kernel, session const& env) {
    using centroid = fk::centroid_t<P>;
    stream const queue;
    row_data<P> const data(s, queue);
    auto const& x = data.x;
    auto const& first = data.first;
    std::int64_t const elements = first.size();
    device_buffer<centroid> centroids(elements);
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
    device_buffer<unsigned char> workspace(where.workspace_bytes);
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
      std::vector<fk::fit_status> const ends = status.download();
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
    auto const point_bytes = static_cast<std::int64_t>(data.points.bytes());
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
    if (m.time.median_ms >= kMiddlingMs) return m;
    options.max_iterations = 1;
    m.counters["host_us"] = host_us(queue, fit);
    fk::fit_plan<P> plan(x, c, out, options, where);
    m.counters["plan_host_us"] = host_us(queue, [&] { plan.fit_async(queue); });

    // fit itself, with a tolerance that no problem reaches before and the closing assignment, by the
    // host's clock, against the same work without the host's looks.
    options.max_iterations = kWholeIterations;
    options.tolerance = std::numeric_limits<double>::min();
    options.closing_assignment = true;
    where.workspace_bytes = fk::fit_workspace_bytes(x, c, options, where);
    device_buffer<unsigned char> larger(where.workspace_bytes);
    where.workspace = larger.data();
    m.counters["fit25_kernels_ms"] = watch.measure(point_bytes, restart, fit).median_ms;
    std::vector<double> whole;
    for (int run = 0; run < kWholeRuns; ++run) {
      restart();
      queue.synchronize();
      auto const start = std::chrono::steady_clock::now();
      int const done = fk::fit(x, c, out, options, where).iterations;
      std::chrono::duration<double, std::milli> const ms = std::chrono::steady_clock::now() - start;
      whole.push_back(ms.count());
      m.counters["fit25_iterations"] = done;
    }
    m.counters["fit25_ms"] = median(whole);
    return m;
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::bench_main<fit_bench>(argc, argv); }
