// One update_centroids_async: means of the points under the labels of an assignment, the caller's
// workspace; short ones also as the replay of a CUDA graph. And once more with 99 % of the points in
// one cluster. Rows marked baseline also by atomic additions.
#include "bench_baselines.cuh"
#include "bench_means.cuh"
#include "bench_support.cuh"

namespace {

using namespace bench;

// Moves 99 of 100 points of every problem to cluster 0.
__global__ void crowd_kernel(std::int32_t* labels, std::int64_t points) {
  for (std::int64_t i = grid_index(); i < points; i += grid_size()) {
    if (i % 100 != 0) labels[i] = 0;
  }
}

struct update_bench {
  static constexpr char const* kVerb = "update";
  // Updates that are longer than this hide their launches; no graph is timed.
  static constexpr double kShortMs = 2;

  static double assignments(measurement const&) { return 0; }
  static double passes(measurement const&) { return 1; }

  template <class P>
  static measurement run(shape const& s, fk::assign_kernel kernel, session const& env) {
    using centroid = fk::centroid_t<P>;
    stream const queue;
    row_data<P> const data(s, queue);
    auto const& x = data.x;
    auto const& first = data.first;
    std::int64_t const elements = first.size();
    device_buffer<centroid> centroids(elements), checked(elements);
    device_buffer<std::int32_t> labels(s.points());
    fk::execution where{queue, nullptr, 0, kernel, s.multiply()};
    measurement m;
    m.kernel = fk::predict_async(x, s.centroids_view<centroid const>(first.data()), labels.data(),
                                 {}, where);

    fk::matrix_view<centroid> const c = s.centroids_view(centroids.data());
    where.workspace_bytes = fk::update_workspace_bytes(x, c);
    device_buffer<unsigned char> workspace(where.workspace_bytes);
    where.workspace = workspace.data();
    stopwatch watch(queue, env.seconds, env.l2_bytes);
    auto const point_bytes = static_cast<std::int64_t>(data.points.bytes());
    auto const restart = [&] { centroids.copy_from(first, queue); };
    auto const update = [&] { fk::update_centroids_async(x, labels.data(), c, {}, {}, where); };
    // Times one way of calling it, after a look at what it computes.
    auto const measure = [&](char const* what, auto const& call) {
      restart();
      call();
      check_means(s, x, labels, centroids, first, queue);
      checked.copy_from(centroids, queue);
      timing const time = watch.measure(point_bytes, restart, call);
      check_same_bits(centroids, checked, what, queue);
      return time;
    };
    auto const graph_of = [&](char const* what) {
      graph const replay(queue, update);
      return measure(what, [&] { replay.launch(queue); });
    };
    // The same by atomic additions, whose bits differ from run to run.
    auto const measure_atomics = [&](std::string const& name, double ours_ms) {
      if constexpr (std::is_same_v<centroid, float>) {
        if (!s.is_marked("baseline")) return;
        atomic_update<P> plain(s, x, queue);
        timing const t = watch.measure(point_bytes, restart,
                                       [&] { plain.run(labels.data(), centroids.data()); });
        check_means(s, x, labels, centroids, first, queue);
        m.counters[name + "_ms"] = t.median_ms;
        m.counters[name + "_ms_min"] = t.min_ms;
        m.counters[name + "_ms_max"] = t.max_ms;
        m.counters["times_faster_than_" + name] = t.median_ms / ours_ms;
      }
    };
    m.time = measure("two updates", update);
    measure_atomics("atomics", m.time.median_ms);
    m.counters["workspace_bytes_per_point"] =
        static_cast<double>(where.workspace_bytes) / static_cast<double>(s.points());
    bool const is_short = m.time.median_ms < kShortMs;
    if (is_short) m.counters["graph_ms"] = graph_of("two graphs of an update").median_ms;

    crowd_kernel<<<blocks_for(s.points()), kThreads, 0, queue>>>(labels.data(), s.points());
    check(cudaGetLastError(), "crowd_kernel");
    double const crowded_ms = measure("two crowded updates", update).median_ms;
    m.counters["crowded_ms"] = crowded_ms;
    measure_atomics("crowded_atomics", crowded_ms);
    if (is_short) {
      m.counters["crowded_graph_ms"] = graph_of("two graphs of a crowded update").median_ms;
    }
    return m;
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::bench_main<update_bench>(argc, argv); }
