// One init_centroids_async by k-means++ and one by k-means||, the caller's workspace; short ones
// also as the replay of a CUDA graph.
#include "bench_means.cuh"
#include "bench_support.cuh"

namespace {

using namespace bench;

// One block a centroid: whether it is a point of its problem.
template <class P, class C>
__global__ void check_points_kernel(device_view<P> x, C const* centroids, std::int64_t k,
                                    counter_t* wrong) {
  std::int64_t const problem = blockIdx.x / k, d = x.cols;
  C const* const c = centroids + blockIdx.x * d;
  bool found = false;
  for (std::int64_t i = threadIdx.x; i < x.rows && !found; i += blockDim.x) {
    P const* const row = x.row(problem, i);
    std::int64_t same = 0;
    while (same < d && to_double(row[same]) == static_cast<double>(c[same])) ++same;
    found = same == d;
  }
  if (!__syncthreads_or(found) && threadIdx.x == 0) atomicAdd(wrong, counter_t{1});
}

struct init_bench {
  static constexpr char const* kVerb = "init";
  // Seedings that are longer than this hide their launches; no graph is timed.
  static constexpr double kShortMs = 20;

  static double assignments(measurement const&) { return 0; }
  static double passes(measurement const& m) { return m.counters.at("passes"); }

  template <class P>
  static measurement run(shape const& s, fk::assign_kernel kernel, session const& env) {
    using centroid = fk::centroid_t<P>;
    stream const queue;
    row_data<P> const data(s, queue);
    auto const& x = data.x;
    device_buffer<centroid> centroids(data.first.size()), checked(data.first.size());
    fk::matrix_view<centroid> const c = s.centroids_view(centroids.data());
    stopwatch watch(queue, env.seconds, env.l2_bytes);
    auto const point_bytes = static_cast<std::int64_t>(data.points.bytes());
    measurement m;
    m.kernel = kernel;
    m.counters["passes"] = static_cast<double>(s.k);

    auto const measure_method = [&](fk::init_method method, std::string const& name) {
      fk::fit_options options;
      options.init = method;
      options.seed = 7;
      fk::execution where{queue, nullptr, 0, kernel, s.multiply()};
      where.workspace_bytes = fk::init_workspace_bytes(x, c, options, where);
      device_buffer<unsigned char> workspace(where.workspace_bytes);
      where.workspace = workspace.data();
      auto const seed = [&] { fk::init_centroids_async(x, c, options, where); };
      auto const measure = [&](std::string const& what, auto const& call) {
        centroids.poison(queue);
        call();
        check_points<P>(s, x, centroids, queue);
        checked.copy_from(centroids, queue);
        timing const time = watch.measure(
            point_bytes, [] {}, call);
        check_same_bits(centroids, checked, what.c_str(), queue);
        return time;
      };
      timing const time = measure("two seedings by " + name, seed);
      m.counters[name + "_workspace_bytes_per_point"] =
          static_cast<double>(where.workspace_bytes) / static_cast<double>(s.points());
      if (time.median_ms < kShortMs) {
        graph const replay(queue, seed);
        m.counters[name + "_graph_ms"] =
            measure("two graphs of " + name, [&] { replay.launch(queue); }).median_ms;
      }
      return time;
    };
    m.time = measure_method(fk::init_method::kmeans_plus_plus, "plus_plus");
    m.counters["parallel_ms"] =
        measure_method(fk::init_method::kmeans_parallel, "parallel").median_ms;
    return m;
  }

 private:
  template <class P>
  static void check_points(shape const& s, fk::matrix_view<P const> const& x,
                           device_buffer<fk::centroid_t<P>> const& centroids, cudaStream_t queue) {
    device_buffer<counter_t> wrong(1);
    wrong.zero(queue);
    check_points_kernel<<<static_cast<unsigned>(s.problems() * s.k), kThreads, 0, queue>>>(
        device_view<P>(x), centroids.data(), s.k, wrong.data());
    check(cudaGetLastError(), "check_points_kernel");
    counter_t const count = wrong.download()[0];
    if (count != 0) {
      throw std::runtime_error("wrong result: " + std::to_string(count) +
                               " centroids are no points");
    }
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::bench_main<init_bench>(argc, argv); }
