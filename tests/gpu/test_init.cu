// init_centroids: the points that a fit starts from.
#include <cmath>
#include <numeric>
#include <set>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

template <class T>
class init : public gpu_test {};
TYPED_TEST_SUITE(init, element_types, element_names);

fk::fit_options random_start(std::uint64_t seed) {
  fk::fit_options options;
  options.init = fk::init_method::random;
  options.seed = seed;
  return options;
}

// Points that differ from each other in every row: row i holds i, split over two features so that
// every type has it exactly, and noise.
matrix numbered_points(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  matrix x = integer_points(n, d, seed);
  for (std::int64_t i = 0; i < n; ++i) {
    x(i, 0) = static_cast<double>(i % 128);
    x(i, 1) = static_cast<double>(i / 128);
  }
  return x;
}

std::int64_t number_of(matrix const& c, std::int64_t j) {
  return static_cast<std::int64_t>(c(j, 0)) + 128 * static_cast<std::int64_t>(c(j, 1));
}

template <class T>
std::vector<centroid_of<T>> run_init(std::vector<matrix> const& x, std::int64_t k,
                                     std::uint64_t seed, layout const& x_layout = {},
                                     layout const& c_layout = {}) {
  matrix const nowhere(k, x.front().cols, -77);
  device_matrices<T> const points(x, x_layout);
  device_matrices<centroid_of<T>> const centroids(std::vector<matrix>(x.size(), nowhere), c_layout);
  fk::init_centroids(points.const_view(), centroids.view(), random_start(seed));
  EXPECT_TRUE(points.padding_untouched());
  EXPECT_TRUE(centroids.padding_untouched());
  return centroids.download();
}

TYPED_TEST(init, small_random_centroids_are_distinct_points) {
  using T = TypeParam;
  struct row {
    std::int64_t n, k, d;
  };
  for (row const& s : part_of({row{1, 1, 2}, row{2, 1, 3}, row{100, 7, 24}, row{1000, 1000, 2},
                               row{sized(16384, 1000), sized(300, 30), 45}, row{500, 64, 100},
                               row{40, 5, 4096}})) {
    SCOPED_TRACE(text(shape{s.n, s.k, s.d}));
    matrix const x = numbered_points(s.n, s.d, 1);
    matrix const c = from_type<centroid_of<T>>(run_init<T>({x}, s.k, 5), s.k, s.d);
    std::set<std::int64_t> drawn;
    for (std::int64_t j = 0; j < s.k; ++j) {
      std::int64_t const i = number_of(c, j);
      ASSERT_EQ(i, fk::detail::random_centroid(j, s.n, 0, 5)) << "centroid " << j;
      ASSERT_TRUE(drawn.insert(i).second) << "point " << i << " twice";
      for (std::int64_t e = 0; e < s.d; ++e) ASSERT_EQ(c(j, e), x(i, e));
    }
  }
}

TYPED_TEST(init, small_the_seed_decides) {
  using T = TypeParam;
  matrix const x = numbered_points(5000, 24, 2);
  auto const first = run_init<T>({x}, 50, 5);
  EXPECT_TRUE(same_bits(first, run_init<T>({x}, 50, 5)));
  EXPECT_FALSE(same_bits(first, run_init<T>({x}, 50, 6)));
}

// Every problem of a batch draws for itself, wherever it lies.
TYPED_TEST(init, small_batches_in_every_layout) {
  using T = TypeParam;
  std::int64_t const n = 300, k = 20, d = 37;
  std::vector<matrix> x;
  for (std::uint64_t p = 0; p < 6; ++p) x.push_back(numbered_points(n, d, 10 + p));
  std::vector<centroid_of<T>> expected;
  for (std::int64_t p = 0; p < 6; ++p) {
    std::vector<std::int64_t> rows;
    for (std::int64_t j = 0; j < k; ++j) {
      rows.push_back(fk::detail::random_centroid(j, n, p, 9));
    }
    auto const values = to_type<centroid_of<T>>(take_rows(x[static_cast<std::size_t>(p)], rows));
    expected.insert(expected.end(), values.begin(), values.end());
  }
  ASSERT_FALSE(same_bits(slice(expected, 0, k * d), slice(expected, 1, k * d)));
  for (layout const& x_layout : batch_layouts()) {
    for (layout const& c_layout : batch_layouts()) {
      if (x_layout.batch != c_layout.batch) continue;
      SCOPED_TRACE(text("points ", x_layout.name, ", centroids ", c_layout.name));
      EXPECT_TRUE(same_bits(run_init<T>(x, k, 9, x_layout, c_layout), expected));
    }
  }
}

TYPED_TEST(init, small_given_centroids_stay) {
  using T = TypeParam;
  matrix const x = normal_points(100, 24, 3), c = normal_points(7, 24, 4);
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  fk::init_centroids(points.const_view(), centroids.view(), given(1, 0));
  EXPECT_TRUE(same_bits(centroids.download(), to_type<centroid_of<T>>(c)));
}

// --- k-means++ and k-means|| ---------------------------------------------------------------------

fk::fit_options seeded(fk::init_method init, std::uint64_t seed = 5) {
  fk::fit_options options;
  options.init = init;
  options.seed = seed;
  return options;
}

constexpr fk::init_method kMeasuring[] = {fk::init_method::kmeans_plus_plus,
                                          fk::init_method::kmeans_parallel};

char const* name_of(fk::init_method init) {
  return init == fk::init_method::kmeans_plus_plus ? "k-means++" : "k-means||";
}

// With a workspace of the size that it asks for. weights: of all problems, or none.
template <class T>
std::vector<centroid_of<T>> run_seeding(std::vector<matrix> const& x, std::int64_t k,
                                        fk::fit_options options,
                                        std::vector<double> const& weights = {},
                                        layout x_layout = {}, layout c_layout = {},
                                        fk::execution exec = {}) {
  using C = centroid_of<T>;
  auto const b = static_cast<std::int64_t>(x.size());
  if (x_layout.batch[0] * x_layout.batch[1] != b) x_layout.batch = {b, 1};
  if (c_layout.batch[0] * c_layout.batch[1] != b) c_layout.batch = x_layout.batch;
  device_matrices<T> const points(x, x_layout);
  device_matrices<C> const centroids(std::vector<matrix>(x.size(), matrix(k, x.front().cols, -77)),
                                     c_layout);
  device_buffer<C> const device_weights(std::vector<C>(weights.begin(), weights.end()));
  if (!weights.empty()) options.weights = device_weights.data();
  device_buffer<unsigned char> const memory(
      fk::init_workspace_bytes(points.const_view(), centroids.view(), options, exec));
  exec.workspace = memory.data();
  exec.workspace_bytes = memory.size();
  fk::init_centroids(points.const_view(), centroids.view(), options, exec);
  EXPECT_TRUE(points.padding_untouched());
  EXPECT_TRUE(centroids.padding_untouched());
  return centroids.download();
}

// Points that the oracle chooses, with the library's random numbers.
std::vector<std::int64_t> expected_points(matrix const& x, std::vector<double> const& weights,
                                          std::int64_t k, fk::fit_options const& options,
                                          std::int64_t problem = 0) {
  namespace detail = fk::detail;
  int const candidates = options.candidates > 0
                             ? options.candidates
                             : std::min(8, 2 + static_cast<int>(std::log(static_cast<double>(k))));
  std::uint64_t const key = detail::random_key(options.seed, problem);
  auto const plus_plus = [&](matrix const& rows, std::vector<double> const& own,
                             std::uint64_t own_key) {
    return reference_plus_plus(
        rows, own, k, candidates, [&](std::int64_t step, int candidate, reference_number which) {
          return detail::random_unit(own_key, static_cast<std::uint64_t>(step * 64 + candidate) +
                                                  (static_cast<std::uint64_t>(which) << 40));
        });
  };
  if (options.init == fk::init_method::kmeans_plus_plus) return plus_plus(x, weights, key);
  auto const round_key = [&](int round) {
    return detail::mix64(key ^ static_cast<std::uint64_t>(round + 1));
  };
  reference_rounds_result const taken = reference_rounds(
      x, weights, k, 5, detail::random_unit(key, 0), [&](int round, std::int64_t point) {
        return detail::random_unit(round_key(round), static_cast<std::uint64_t>(point));
      });
  std::vector<std::int64_t> points;
  if (static_cast<std::int64_t>(taken.points.size()) < k) {
    // All of them, and random draws.
    points = taken.points;
    for (std::int64_t draw = 0; static_cast<std::int64_t>(points.size()) < k; ++draw) {
      std::int64_t const point = detail::random_centroid(draw, x.rows, problem, options.seed);
      if (std::count(points.begin(), points.end(), point) == 0) points.push_back(point);
    }
    return points;
  }
  for (std::int64_t const j : plus_plus(take_rows(x, taken.points), taken.weights, round_key(5))) {
    points.push_back(taken.points[static_cast<std::size_t>(j)]);
  }
  return points;
}

// Every centroid is that point's row.
::testing::AssertionResult are_points(matrix const& c, matrix const& x,
                                      std::vector<std::int64_t> const& points) {
  for (std::int64_t j = 0; j < c.rows; ++j) {
    std::int64_t const i = points[static_cast<std::size_t>(j)];
    for (std::int64_t e = 0; e < c.cols; ++e) {
      if (c(j, e) != x(i, e)) {
        return ::testing::AssertionFailure() << "centroid " << j << ", feature " << e << " is "
                                             << c(j, e) << ", point " << i << " has " << x(i, e);
      }
    }
  }
  return ::testing::AssertionSuccess();
}

// Which row of x centroid j is, -1: none.
std::int64_t row_of(matrix const& c, std::int64_t j, matrix const& x) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (std::equal(c.row(j), c.row(j) + c.cols, x.row(i))) return i;
  }
  return -1;
}

std::vector<double> integer_weights(std::int64_t n, std::uint64_t seed, int lo, int hi) {
  return integer_points(n, 1, seed, lo, hi).values;
}

std::vector<double> ones(std::int64_t n) {
  return std::vector<double>(static_cast<std::size_t>(n), 1.0);
}

template <class T>
void expect_the_oracles(matrix const& x, std::int64_t k, fk::fit_options const& options,
                        std::vector<double> const& weights = {}, layout const& x_layout = {},
                        fk::execution const& exec = {}) {
  SCOPED_TRACE(text(name_of(options.init), " ", shape{x.rows, k, x.cols}, ", candidates ",
                    options.candidates, ", points ", x_layout.name,
                    weights.empty() ? "" : ", weighted", ", kernel ", fk::to_string(exec.kernel)));
  matrix const c = from_type<centroid_of<T>>(
      run_seeding<T>({x}, k, options, weights, x_layout, {}, exec), k, x.cols);
  EXPECT_TRUE(
      are_points(c, x, expected_points(x, weights.empty() ? ones(x.rows) : weights, k, options)));
}

// Small integers: every distance and every sum of potentials is exact, so the draws are the
// oracle's.
TYPED_TEST(init, small_plus_plus_is_the_oracles) {
  using T = TypeParam;
  fk::fit_options const options = seeded(fk::init_method::kmeans_plus_plus);
  for (shape const& s : small_shapes()) {
    expect_the_oracles<T>(integer_points(s.n, s.d, 11), s.k, options);
  }
  std::int64_t const n = sized(1500, 600);  // several blocks of points
  matrix const x = integer_points(n, 40, 12);
  for (int const candidates : part_of({1, 7, 8, 15, 16, 33, 64})) {
    fk::fit_options other = options;
    other.candidates = candidates;
    expect_the_oracles<T>(x, 20, other);
    expect_the_oracles<T>(x, 20, other, integer_weights(n, 13, 0, 5));
  }
}

TYPED_TEST(init, small_parallel_is_the_oracles) {
  using T = TypeParam;
  fk::fit_options const options = seeded(fk::init_method::kmeans_parallel);
  for (shape const& s :
       part_of({shape{1, 1, 2}, shape{5, 5, 3}, shape{64, 64, 64}, shape{257, 12, 33},
                shape{700, 9, 192}, shape{1500, 30, 24}, shape{50, 3, 768}})) {
    expect_the_oracles<T>(integer_points(s.n, s.d, 14), s.k, options);
    expect_the_oracles<T>(integer_points(s.n, s.d, 14), s.k, options,
                          integer_weights(s.n, 15, 1, 4));
  }
}

TYPED_TEST(init, small_seedings_in_every_layout_and_on_every_kernel) {
  using T = TypeParam;
  matrix const x = integer_points(sized(600, 200), 45, 16);
  for (fk::init_method const method : part_of(kMeasuring)) {
    for (layout const& how : single_layouts())
      expect_the_oracles<T>(x, sized(25, 9), seeded(method), {}, how);
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      expect_the_oracles<T>(x, sized(25, 9), seeded(method), {}, {}, on_kernel(kernel));
    }
  }
}

// Runs of blocks, and blocks of more than one span a warp.
TYPED_TEST(init, seedings_of_many_points_are_the_oracles) {
  using T = TypeParam;
  for (fk::init_method const method : part_of(kMeasuring)) {
    expect_the_oracles<T>(integer_points(70001, 12, 17), 20, seeded(method),
                          integer_weights(70001, 18, 0, 3));
    expect_the_oracles<T>(integer_points(1200003, 3, 19, -60, 60), 5, seeded(method));
  }
}

// Every problem of a batch draws for itself, to the bits that it would draw alone.
TYPED_TEST(init, small_seedings_of_batches) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const n = sized(700, 200), k = sized(20, 7), d = 37;
  std::vector<matrix> exact, rough;
  for (std::uint64_t p = 0; p < 6; ++p) {
    exact.push_back(integer_points(n, d, 20 + p));
    rough.push_back(rounded_to<T>(normal_points(n, d, 30 + p)));
  }
  std::vector<double> const weights = integer_weights(6 * n, 40, 0, 3);
  for (fk::init_method const method : part_of(kMeasuring)) {
    SCOPED_TRACE(name_of(method));
    fk::fit_options const options = seeded(method, 9);
    auto const first = run_seeding<T>(exact, k, options, weights);
    for (std::int64_t p = 0; p < 6; ++p) {
      matrix const& own = exact[static_cast<std::size_t>(p)];
      EXPECT_TRUE(are_points(from_type<C>(slice(first, p, k * d), k, d), own,
                             expected_points(own, slice(weights, p, n), k, options, p)))
          << "problem " << p;
    }
    auto const plain = run_seeding<T>(rough, k, options, weights);
    for (layout const& x_layout : batch_layouts()) {
      for (layout const& c_layout : batch_layouts()) {
        if (x_layout.batch != c_layout.batch) continue;
        SCOPED_TRACE(text("points ", x_layout.name, ", centroids ", c_layout.name));
        EXPECT_TRUE(
            same_bits(run_seeding<T>(rough, k, options, weights, x_layout, c_layout), plain));
      }
    }
    EXPECT_TRUE(same_bits(run_seeding<T>({rough[0]}, k, options, slice(weights, 0, n)),
                          slice(plain, 0, k * d)));
  }
}

TYPED_TEST(init, small_seedings_are_reproducible) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const n = sized(3000, 400), k = sized(40, 10), d = 64;
  matrix const x = rounded_to<T>(normal_points(n, d, 50));
  for (fk::init_method const method : part_of(kMeasuring)) {
    for (fk::metric const what :
         part_of({fk::metric::euclidean, fk::metric::cosine, fk::metric::inner_product})) {
      SCOPED_TRACE(text(name_of(method), ", metric ", static_cast<int>(what)));
      fk::fit_options options = seeded(method);
      options.metric = what;
      auto const first = run_seeding<T>({x}, k, options);
      EXPECT_TRUE(same_bits(first, run_seeding<T>({x}, k, options)));
      fk::fit_options other = options;
      other.seed = 6;
      EXPECT_FALSE(same_bits(first, run_seeding<T>({x}, k, other)));
      matrix const c = from_type<C>(first, k, d);
      std::set<std::int64_t> rows;
      for (std::int64_t j = 0; j < k; ++j) rows.insert(row_of(c, j, x));
      EXPECT_EQ(rows.count(-1), 0u) << "a centroid is no point";
      EXPECT_EQ(rows.size(), static_cast<std::size_t>(k)) << "points were chosen twice";

      // The same in a graph, which runs again over other points.
      device_matrices<T> points(x);
      device_matrices<C> const centroids(matrix(k, d, -77));
      device_buffer<unsigned char> const memory(
          fk::init_workspace_bytes(points.const_view(), centroids.view(), options));
      cudaStream_t stream = nullptr;
      FLASH_KMEANS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
      fk::execution const exec{stream, memory.data(), memory.size()};
      fk::init_centroids_async(points.const_view(), centroids.view(), options, exec);
      cudaGraph_t graph = nullptr;
      FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
      cudaGraphExec_t executable = nullptr;
      FLASH_KMEANS_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
      auto const replay = [&] {
        FLASH_KMEANS_CUDA_CHECK(cudaGraphLaunch(executable, stream));
        FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
        return centroids.download();
      };
      EXPECT_TRUE(same_bits(replay(), first));
      matrix const y = rounded_to<T>(normal_points(n, d, 51));
      points.upload({y});
      EXPECT_TRUE(same_bits(replay(), run_seeding<T>({y}, k, options)));
      FLASH_KMEANS_CUDA_CHECK(cudaGraphExecDestroy(executable));
      FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));
      FLASH_KMEANS_CUDA_CHECK(cudaStreamDestroy(stream));
    }
  }
}

// As many centroids as there are different points: each is chosen once, however often it is there.
TYPED_TEST(init, small_distinct_points_come_first) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const distinct = 37, d = 24;
  matrix const rows = rounded_to<T>(normal_points(distinct, d, 60));
  std::vector<std::int64_t> repeated;
  random_source random(61);
  for (std::int64_t i = 0; i < 900; ++i) {
    repeated.push_back(i < distinct ? i : random.integer(0, distinct - 1));
  }
  matrix const x = take_rows(rows, repeated);
  for (fk::init_method const method : part_of(kMeasuring)) {
    for (fk::metric const what : part_of({fk::metric::euclidean, fk::metric::cosine})) {
      SCOPED_TRACE(text(name_of(method), ", metric ", static_cast<int>(what)));
      fk::fit_options options = seeded(method);
      options.metric = what;
      matrix const c = from_type<C>(run_seeding<T>({x}, distinct, options), distinct, d);
      std::set<std::int64_t> found;
      for (std::int64_t j = 0; j < distinct; ++j) found.insert(row_of(c, j, rows));
      EXPECT_EQ(found.count(-1), 0u) << "a centroid is no point";
      EXPECT_EQ(found.size(), static_cast<std::size_t>(distinct));
    }
  }
}

// With nothing left to draw by, points come in their order.
TYPED_TEST(init, small_plus_plus_without_potential) {
  using T = TypeParam;
  fk::fit_options const options = seeded(fk::init_method::kmeans_plus_plus);
  std::int64_t const n = 130, d = 9;
  matrix const x = numbered_points(n, d, 62);
  {
    SCOPED_TRACE("k = n");
    expect_the_oracles<T>(x, n, options);
  }
  {
    SCOPED_TRACE("all weigh 0");
    expect_the_oracles<T>(x, n, options, std::vector<double>(static_cast<std::size_t>(n), 0.0));
  }
  {
    SCOPED_TRACE("all but three weigh 0");
    std::vector<double> weights(static_cast<std::size_t>(n), 0.0);
    weights[3] = weights[70] = weights[129] = 2;
    expect_the_oracles<T>(x, n, options, weights);
  }
  {
    SCOPED_TRACE("all the same point");
    expect_the_oracles<T>(matrix(n, d, 3), n, options);
  }
  {
    SCOPED_TRACE("repeated points");
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < n; ++i) rows.push_back(i % 10);
    expect_the_oracles<T>(take_rows(x, rows), 40, options);
  }
}

// Fewer points than centroids by what the rounds take, by weight or by being finite: what there is
// comes first, then what nothing speaks for, then repetitions, and zeros where there is nothing. As on
// the CPU.
template <class T>
void expect_points_while_there_are_any(fk::init_method method) {
  using C = centroid_of<T>;
  std::int64_t const n = 90, d = 12;
  double const nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::int64_t> finite_rows{90, 30, 1, 0};
  for (std::int64_t const finite : part_of(finite_rows, 2)) {
    matrix x = numbered_points(n, d, 70);
    for (std::int64_t i = 0; i < n; ++i) {
      if ((i * 7 + 3) % n >= finite) x(i, i % d) = i % 2 == 0 ? nan : -1 / 0.0;
    }
    std::vector<double> some = integer_weights(n, 71, 0, 1), none(static_cast<std::size_t>(n), 0.0);
    for (std::vector<double> const& weights : part_of({ones(n), some, none})) {
      for (fk::metric const what : part_of({fk::metric::euclidean, fk::metric::cosine})) {
        for (std::int64_t const k : part_of({n, std::int64_t{40}})) {
          SCOPED_TRACE(text("init ", static_cast<int>(method), ", finite ", finite, ", k ", k,
                            ", metric ", static_cast<int>(what), ", weight ",
                            std::accumulate(weights.begin(), weights.end(), 0.0)));
          fk::fit_options options = seeded(method);
          options.metric = what;
          auto const got = run_seeding<T>({x}, k, options, weights);
          // On the CPU in the type of the masters: the values are the same.
          std::vector<C> points = to_type<C>(x), centroids(static_cast<std::size_t>(k * d));
          std::vector<C> const own(weights.begin(), weights.end());
          options.weights = own.data();
          fk::host::init_centroids(fk::matrix_view<C const>{points.data(), n, d},
                                   fk::matrix_view<C>{centroids.data(), k, d}, options);
          // Cosines round, so which of the points that are left is drawn may differ.
          if (what == fk::metric::euclidean || finite < 30) {
            EXPECT_TRUE(same_bits(got, centroids));
          }
          matrix const c = from_type<C>(got, k, d);
          std::set<std::int64_t> rows;
          for (std::int64_t j = 0; j < k; ++j) rows.insert(row_of(c, j, x));
          if (finite == 0) {
            EXPECT_EQ(got, std::vector<C>(got.size(), C(0)));
          } else {
            EXPECT_EQ(rows.count(-1), 0u) << "a centroid is no point";
            EXPECT_EQ(static_cast<std::int64_t>(rows.size()), std::min(k, finite));
          }
        }
      }
    }
  }
}

// A test a method: sanitizers take minutes for each.
TYPED_TEST(init, small_too_few_points_random) {
  expect_points_while_there_are_any<TypeParam>(fk::init_method::random);
}
TYPED_TEST(init, small_too_few_points_plus_plus) {
  expect_points_while_there_are_any<TypeParam>(fk::init_method::kmeans_plus_plus);
}
TYPED_TEST(init, small_too_few_points_parallel) {
  expect_points_while_there_are_any<TypeParam>(fk::init_method::kmeans_parallel);
}

// Points of weight 0, with values that are not finite, and without a direction where that counts.
TYPED_TEST(init, small_points_that_are_never_drawn) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const n = sized(1100, 400), k = sized(60, 20), d = 20;
  double const nan = std::numeric_limits<double>::quiet_NaN();
  double const infinity = std::numeric_limits<double>::infinity();
  matrix x = rounded_to<T>(normal_points(n, d, 63));
  std::vector<double> weights = ones(n);
  for (std::int64_t i = 0; i < n; ++i) {
    if (i % 8 == 0) weights[static_cast<std::size_t>(i)] = 0;
    if (i % 8 == 1) x(i, i % d) = nan;
    if (i % 8 == 2) x(i, i % d) = i % 16 == 2 ? infinity : -infinity;
    if (i % 8 == 3) {
      for (std::int64_t e = 0; e < d; ++e) x(i, e) = 0;
    }
  }
  for (fk::init_method const method : part_of(kMeasuring)) {
    for (fk::metric const what : part_of({fk::metric::euclidean, fk::metric::cosine})) {
      SCOPED_TRACE(text(name_of(method), ", metric ", static_cast<int>(what)));
      fk::fit_options options = seeded(method);
      options.metric = what;
      matrix const c = from_type<C>(run_seeding<T>({x}, k, options, weights), k, d);
      for (std::int64_t j = 0; j < k; ++j) {
        std::int64_t const i = row_of(c, j, x);
        ASSERT_GE(i, 0) << "centroid " << j << " is no point, or one that is not finite";
        ASSERT_NE(i % 8, 0) << "point " << i << " weighs nothing";
        if (what == fk::metric::cosine) ASSERT_NE(i % 8, 3) << "point " << i << " is 0";
      }
    }
  }
}

// A point of weight w is w points.
TYPED_TEST(init, small_weights_are_repetitions) {
  using T = TypeParam;
  std::int64_t const n = 400, k = 30, d = 16;
  matrix const x = integer_points(n, d, 64);
  std::vector<double> const weights = integer_weights(n, 65, 0, 4);
  std::vector<std::int64_t> repeated;
  for (std::int64_t i = 0; i < n; ++i) {
    for (int copy = 0; copy < weights[static_cast<std::size_t>(i)]; ++copy) repeated.push_back(i);
  }
  fk::fit_options const options = seeded(fk::init_method::kmeans_plus_plus);
  EXPECT_TRUE(same_bits(run_seeding<T>({x}, k, options, weights),
                        run_seeding<T>({take_rows(x, repeated)}, k, options)));
}

// Clusters far from each other: i of a regular grid, 128 apart, with noise within 2 of it.
matrix far_blobs(std::int64_t blobs, std::int64_t points_per_blob, std::int64_t d) {
  matrix x = integer_points(blobs * points_per_blob, d, 66, -2, 2);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t e = 0, rest = i % blobs; e < 3; ++e, rest /= 4) {
      x(i, e) += 128 * static_cast<double>(rest % 4);
    }
  }
  return x;
}

TYPED_TEST(init, small_every_blob_gets_a_centroid) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const blobs = 50, d = 24;
  matrix const x = rounded_to<T>(far_blobs(blobs, sized(40, 8), d));
  for (fk::init_method const method : part_of(kMeasuring)) {
    SCOPED_TRACE(name_of(method));
    matrix const c = from_type<C>(run_seeding<T>({x}, blobs, seeded(method)), blobs, d);
    std::set<std::int64_t> found;
    for (std::int64_t j = 0; j < blobs; ++j) found.insert(row_of(c, j, x) % blobs);
    EXPECT_EQ(found.size(), static_cast<std::size_t>(blobs));

    matrix const nowhere(blobs, d, -77);
    fk::fit_options options = seeded(fk::init_method::random);
    double const random = run_fit<T>(x, nowhere, options).result.inertia;
    options.init = method;
    EXPECT_LT(run_fit<T>(x, nowhere, options).result.inertia, random / 10);
  }
}

// And in directions: rows of one blob are multiples of one axis, with noise.
TYPED_TEST(init, small_every_direction_gets_a_centroid) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const blobs = 20, d = 40;
  matrix x = integer_points(blobs * sized(50, 10), d, 67, -1, 1);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t e = 0; e < d; ++e) x(i, e) *= 0.125 * static_cast<double>(1 + i % 7);
    x(i, i % blobs) += 16 * static_cast<double>(1 + i % 7);
  }
  x = rounded_to<T>(x);
  for (fk::init_method const method : part_of(kMeasuring)) {
    SCOPED_TRACE(name_of(method));
    fk::fit_options options = seeded(method);
    options.metric = fk::metric::cosine;
    matrix const c = from_type<C>(run_seeding<T>({x}, blobs, options), blobs, d);
    std::set<std::int64_t> found;
    for (std::int64_t j = 0; j < blobs; ++j) found.insert(row_of(c, j, x) % blobs);
    EXPECT_EQ(found.size(), static_cast<std::size_t>(blobs));
  }
}

// A fit starts from what init_centroids gives, small or not, planned or not.
TYPED_TEST(init, small_fits_start_from_the_seeding) {
  using T = TypeParam;
  using C = centroid_of<T>;
  for (shape const& s : part_of({shape{500, 12, 20}, shape{20000, 150, 24}})) {
    matrix const x = rounded_to<T>(normal_points(s.n, s.d, 68));
    matrix const nowhere(s.k, s.d, -77);
    for (fk::init_method const method : part_of(kMeasuring)) {
      SCOPED_TRACE(text(name_of(method), " ", s));
      fk::fit_options options = seeded(method);
      options.max_iterations = 3;
      matrix const start = from_type<C>(run_seeding<T>({x}, s.k, options), s.k, s.d);
      auto const drawn = run_fit<T>(x, nowhere, options);
      EXPECT_TRUE(same_run(drawn, run_fit<T>(x, start, given(3, options.tolerance))));

      device_matrices<T> const points(x);
      device_matrices<C> const centroids(nowhere);
      device_buffer<std::int32_t> const labels(static_cast<std::size_t>(s.n));
      device_buffer<unsigned char> const memory(
          fk::fit_workspace_bytes(points.const_view(), centroids.view(), options));
      fk::fit_plan<T> plan(points.const_view(), centroids.view(), {labels.data()}, options,
                           {nullptr, memory.data(), memory.size()});
      cudaStream_t stream = nullptr;
      FLASH_KMEANS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      for (bool const again : {false, true}) {
        plan.fit_async(stream, {again, false});
        FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
        EXPECT_TRUE(same_bits(centroids.download(), drawn.centroids)) << "again: " << again;
      }
      FLASH_KMEANS_CUDA_CHECK(cudaStreamDestroy(stream));
    }
  }
}

}  // namespace
