// One assignment, labels only, through predict_async with the caller's workspace; short ones also
// as the replay of a CUDA graph. Rows marked baseline also by a matrix product into memory and a
// search in it.
#include "bench_baselines.cuh"
#include "bench_support.cuh"

namespace {

using namespace bench;

struct assign_bench {
  static constexpr char const* kVerb = "assign";
  // Calls that are longer than this hide their launches; no graph is timed.
  static constexpr double kShortMs = 1;

  static double assignments(measurement const&) { return 1; }
  static double passes(measurement const&) { return 1; }

  template <class P>
  static measurement run(shape const& s, fk::assign_kernel kernel, session const& env) {
    using centroid = fk::centroid_t<P>;
    stream const queue;
    device_buffer<P> points(s.points() * s.d);
    device_buffer<centroid> centroids(s.problems() * s.k * s.d);
    device_buffer<std::int32_t> labels(s.points()), checked(s.points());
    fill_normal(points, 1, queue);
    fill_normal(centroids, 2, queue);
    labels.poison(queue);

    fk::matrix_view<P const> const x = s.points_view<P>(points.data());
    fk::matrix_view<centroid> const c = s.centroids_view(centroids.data());
    fk::execution where{queue, nullptr, 0, kernel, s.multiply()};
    where.workspace_bytes = fk::predict_workspace_bytes(x, c, {}, where);
    device_buffer<unsigned char> workspace(where.workspace_bytes);
    where.workspace = workspace.data();
    fk::predict_outputs<centroid> const out(labels.data());
    auto const assign = [&] { return fk::predict_async(x, c, out, {}, where); };

    measurement m;
    m.kernel = assign();
    check_labels(x, c, labels, s.multiply(), queue);
    checked.copy_from(labels, queue);

    stopwatch watch(queue, env.seconds, env.l2_bytes);
    m.time = watch.measure(
        static_cast<std::int64_t>(points.bytes()), [] {}, assign);
    check_same_bits(labels, checked, "labels of two runs", queue);
    if (m.time.median_ms <= kShortMs) {
      labels.poison(queue);
      graph const replay(queue, assign);
      timing const t = watch.measure(
          static_cast<std::int64_t>(points.bytes()), [] {}, [&] { replay.launch(queue); });
      check_same_bits(labels, checked, "labels of a call and of its graph", queue);
      m.counters["graph_ms"] = t.median_ms;
      m.counters["graph_ms_min"] = t.min_ms;
      m.counters["graph_ms_max"] = t.max_ms;
    }
    if constexpr (std::is_same_v<centroid, float>) {
      if (s.is_marked("baseline")) {
        product_assignment<P> plain(s, x, queue);
        labels.poison(queue);
        timing const t = watch.measure(
            static_cast<std::int64_t>(points.bytes()), [] {},
            [&] { plain.run(centroids.data(), labels.data()); });
        check_labels(x, c, labels, fk::precision::native, queue);
        m.counters["product_ms"] = t.median_ms;
        m.counters["product_ms_min"] = t.min_ms;
        m.counters["product_ms_max"] = t.max_ms;
        m.counters["product_matrix_bytes"] = static_cast<double>(plain.matrix_bytes());
        m.counters["times_faster_than_product"] = t.median_ms / m.time.median_ms;
      }
    }
    return m;
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::bench_main<assign_bench>(argc, argv); }
