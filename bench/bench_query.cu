// Queries: the nearest 1, 8 and 64 centroids of every point (top_k_async), all distances
// (transform_async) and labels by the cosine (predict_async), each with the caller's workspace.
#include "bench_support.cuh"

namespace {

using namespace bench;

// One block a sampled point: every distance against the sum of squared differences in double. A
// difference and its square err by 3 u of the square, a sum of d of them by (d - 1) u to first order;
// the double sum here errs likewise.
template <class P, class C>
__global__ void __launch_bounds__(kThreads)
    check_distances_kernel(device_view<P> x, device_view<C> c, C const* distances,
                           std::int64_t points, double unit, counter_t* wrong) {
  constexpr int kWarps = kThreads / 32;
  std::int64_t const point = sample_point(blockIdx.x, gridDim.x, points);
  std::int64_t const problem = point / x.rows;
  P const* const x_row = x.row(problem, point % x.rows);
  int const lane = threadIdx.x % 32;
  for (std::int64_t j = threadIdx.x / 32; j < c.rows; j += kWarps) {
    C const* const c_row = c.row(problem, j);
    double expected = 0;
    for (std::int64_t f = lane; f < x.cols; f += 32) {
      double const difference = to_double(x_row[f]) - static_cast<double>(c_row[f]);
      expected += difference * difference;
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      expected += __shfl_xor_sync(0xffffffffu, expected, offset);
    }
    double const error = (static_cast<double>(x.cols) + 4) * (unit + 0x1p-53) * expected;
    if (lane == 0 && !(fabs(distances[point * c.rows + j] - expected) <= error)) {
      atomicAdd(wrong, counter_t{1});
    }
  }
}

template <class P, class C>
void check_distances(fk::matrix_view<P const> const& x, fk::matrix_view<C> const& c,
                     device_buffer<C> const& distances, cudaStream_t stream) {
  constexpr std::int64_t kSamples = 2048;
  std::int64_t const points = distances.size() / c.rows;
  device_buffer<counter_t> wrong(1);
  wrong.zero(stream);
  check_distances_kernel<<<static_cast<int>(std::min(kSamples, points)), kThreads, 0, stream>>>(
      device_view<P>(x), device_view<C>(c), distances.data(), points,
      static_cast<double>(std::numeric_limits<C>::epsilon()) / 2, wrong.data());
  check(cudaGetLastError(), "check_distances_kernel");
  counter_t const found = wrong.download()[0];
  if (found != 0) {
    throw std::runtime_error("wrong result: " + std::to_string(found) +
                             " sampled distances are wrong");
  }
}

// One warp a row.
template <class C>
__global__ void scale_to_unit_kernel(C const* from, C* to, std::int64_t rows, std::int64_t d) {
  int const lane = threadIdx.x % 32;
  for (std::int64_t r = grid_index() / 32; r < rows; r += grid_size() / 32) {
    double squares = 0;
    for (std::int64_t f = lane; f < d; f += 32) {
      squares += static_cast<double>(from[r * d + f]) * from[r * d + f];
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      squares += __shfl_xor_sync(0xffffffffu, squares, offset);
    }
    for (std::int64_t f = lane; f < d; f += 32) {
      to[r * d + f] = static_cast<C>(from[r * d + f] / sqrt(squares));
    }
  }
}

template <class C>
void scale_to_unit(device_buffer<C> const& from, device_buffer<C> const& to, std::int64_t d,
                   cudaStream_t queue) {
  std::int64_t const rows = from.size() / d;
  scale_to_unit_kernel<<<blocks_for(32 * rows), kThreads, 0, queue>>>(from.data(), to.data(), rows,
                                                                      d);
  check(cudaGetLastError(), "scale_to_unit_kernel");
}

struct query_bench {
  static constexpr char const* kVerb = "query";
  static constexpr int kNearest = 8;  // the row's own time is that of so many
  static constexpr std::int64_t kMostDistances = std::int64_t{1} << 32;

  static double assignments(measurement const&) { return 1; }
  static double passes(measurement const&) { return 1; }

  template <class P>
  static measurement run(shape const& s, fk::assign_kernel kernel, session const& env) {
    using centroid = fk::centroid_t<P>;
    stream const queue;
    device_buffer<P> points(s.points() * s.d);
    device_buffer<centroid> centroids(s.problems() * s.k * s.d);
    fill_normal(points, 1, queue);
    fill_normal(centroids, 2, queue);
    fk::matrix_view<P const> const x = s.points_view<P>(points.data());
    fk::matrix_view<centroid> const c = s.centroids_view(centroids.data());
    stopwatch watch(queue, env.seconds, env.l2_bytes);
    measurement m;

    // bytes(execution), call(execution)
    auto const timed = [&](auto const& bytes, auto const& call, auto const& verify) {
      fk::execution where{queue, nullptr, 0, kernel, s.multiply()};
      where.workspace_bytes = bytes(where);
      device_buffer<unsigned char> workspace(where.workspace_bytes);
      where.workspace = workspace.data();
      call(where);
      verify();
      timing const time = watch.measure(
          static_cast<std::int64_t>(points.bytes()), [] {}, [&] { call(where); });
      verify();
      return time;
    };
    for (int const j : {kNearest, 1, 64}) {
      if (j > s.k) continue;
      device_buffer<std::int32_t> labels(s.points() * j);
      labels.poison(queue);
      fk::top_k_outputs<centroid> const out(labels.data());
      timing const time =
          timed([&](auto const& where) { return fk::top_k_workspace_bytes(x, c, j, {}, where); },
                [&](auto const& where) { m.kernel = fk::top_k_async(x, c, j, out, {}, where); },
                [&] { check_labels(x, c, labels, fk::precision::native, queue, j); });
      if (j == kNearest) {
        m.time = time;
      } else {
        m.counters["top_" + std::to_string(j) + "_ms"] = time.median_ms;
      }
    }
    if (s.points() * s.k <= kMostDistances) {
      device_buffer<centroid> distances(s.points() * s.k);
      distances.poison(queue);
      auto const all = fk::matrix_view<centroid>::bhsd(distances.data(), s.b, s.h, s.n, s.k);
      m.counters["transform_ms"] =
          timed([&](auto const&) { return fk::transform_workspace_bytes(x, c); },
                [&](auto const& where) { fk::transform_async(x, c, all, {}, where); },
                [&] { check_distances(x, c, distances, queue); })
              .median_ms;
    }
    device_buffer<std::int32_t> labels(s.points());
    labels.poison(queue);
    fk::query_options const cosine{fk::metric::cosine};
    // Of length 1, so that they are multiplied as they are.
    device_buffer<centroid> directions(centroids.size());
    fk::matrix_view<centroid> const unit = s.centroids_view(directions.data());
    scale_to_unit(centroids, directions, s.d, queue);
    m.counters["cosine_ms"] =
        timed(
            [&](auto const& where) { return fk::predict_workspace_bytes(x, unit, cosine, where); },
            [&](auto const& where) { fk::predict_async(x, unit, labels.data(), cosine, where); },
            [&] { check_labels(x, unit, labels, s.multiply(), queue, 1, false); })
            .median_ms;
    return m;
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::bench_main<query_bench>(argc, argv); }
