// Queries: top_k and transform, and all queries by metric and with weights.
#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

template <class T>
class queries : public gpu_test {};
TYPED_TEST_SUITE(queries, element_types, element_names);

struct metric_case {
  fk::metric metric;
  reference_metric reference;
  char const* name;
};
constexpr metric_case kMetrics[] = {
    {fk::metric::euclidean, reference_metric::euclidean, "euclidean"},
    {fk::metric::cosine, reference_metric::cosine, "cosine"},
    {fk::metric::inner_product, reference_metric::inner_product, "inner_product"}};

fk::query_options by(fk::metric metric) {
  fk::query_options options;
  options.metric = metric;
  return options;
}

// Kernels that top_k may be forced to.
template <class T>
std::vector<fk::assign_kernel> top_k_kernels() {
  std::vector<fk::assign_kernel> kernels = kernels_for<T>();
  kernels.erase(std::remove(kernels.begin(), kernels.end(), fk::assign_kernel::sm90),
                kernels.end());
  return kernels;
}

// Scaled to length 1 in the type of the centroids; zeros stay.
template <class T>
matrix unit_rows(matrix const& c) {
  matrix unit = c;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    double const length = std::sqrt(reference_product(c, j, c, j));
    for (std::int64_t e = 0; e < c.cols && length > 0; ++e) unit(j, e) /= length;
  }
  return rounded_to<centroid_of<T>>(unit);
}

// got[i][m] is the distance of point i to centroid labels[i][m]; NaN where the oracle's is not
// finite.
template <class T>
::testing::AssertionResult distances_are(reference_metric of, matrix const& x, matrix const& c,
                                         std::vector<std::int32_t> const& labels, std::int64_t m,
                                         std::vector<centroid_of<T>> const& got) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t r = 0; r < m; ++r) {
      auto const at = static_cast<std::size_t>(i * m + r);
      std::int32_t const label = labels[at];
      if (label < 0 || label >= c.rows) {
        return ::testing::AssertionFailure()
               << "label " << r << " of point " << i << " is " << label;
      }
      double const expected = reference_distance(of, x, i, c, label);
      auto const value = static_cast<double>(got[at]);
      bool const right =
          std::isfinite(expected)
              ? std::abs(value - expected) <= distance_slack<T>(of, x, i, c, label, expected)
              : std::isnan(value);
      if (!right) {
        return ::testing::AssertionFailure()
               << "distance of point " << i << " to centroid " << label << " is " << value
               << ", the oracle says " << expected;
      }
    }
  }
  return ::testing::AssertionSuccess();
}

// Label for label, and says where they differ.
::testing::AssertionResult labels_are(std::vector<std::int32_t> const& expected,
                                      std::vector<std::int32_t> const& got, std::int64_t m = 1) {
  if (expected.size() != got.size()) {
    return ::testing::AssertionFailure() << got.size() << " labels, not " << expected.size();
  }
  for (std::size_t at = 0; at < got.size(); ++at) {
    if (got[at] == expected[at]) continue;
    return ::testing::AssertionFailure()
           << "point " << at / static_cast<std::size_t>(m) << ", number "
           << at % static_cast<std::size_t>(m) << ": got centroid " << got[at]
           << ", the oracle says " << expected[at];
  }
  return ::testing::AssertionSuccess();
}

template <class T>
struct top_k_run {
  std::vector<std::int32_t> labels;
  std::vector<centroid_of<T>> distances;
  fk::assign_kernel kernel;
};

template <class T>
top_k_run<T> run_top_k(fk::matrix_view<T const> const& x,
                       fk::matrix_view<centroid_of<T> const> const& c, int j,
                       fk::query_options const& options = {}, fk::execution const& exec = {}) {
  auto const count = static_cast<std::size_t>(x.batch_count() * x.rows * j);
  device_buffer<std::int32_t> labels(count, 1);
  device_buffer<centroid_of<T>> distances(count, 1);
  fk::top_k_outputs<centroid_of<T>> const out{labels.data(), distances.data()};
  fk::assign_kernel const kernel = fk::top_k(x, c, j, out, options, exec);
  return {labels.download(), distances.download(), kernel};
}

template <class T>
top_k_run<T> run_top_k(matrix const& x, matrix const& c, int j,
                       fk::query_options const& options = {}, fk::execution const& exec = {}) {
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  return run_top_k<T>(points.const_view(), centroids.const_view(), j, options, exec);
}

template <class T>
predict_run<T> run_predict_by(fk::metric metric, matrix const& x, matrix const& c,
                              fk::execution const& exec = {}) {
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  auto const n = static_cast<std::size_t>(x.rows);
  device_buffer<std::int32_t> labels(n);
  device_buffer<centroid_of<T>> distances(n);
  fk::predict_outputs<centroid_of<T>> const out{labels.data(), distances.data()};
  fk::assign_kernel const kernel =
      fk::predict(points.const_view(), centroids.const_view(), out, by(metric), exec);
  return {labels.download(), distances.download(), kernel};
}

// Every label among the first j of the oracle's order.
std::vector<std::int32_t> first_of_each(std::vector<std::int32_t> const& nearest, std::int64_t of,
                                        std::int64_t j) {
  std::vector<std::int32_t> first;
  for (std::size_t at = 0; at < nearest.size(); at += static_cast<std::size_t>(of)) {
    first.insert(first.end(), nearest.begin() + static_cast<std::ptrdiff_t>(at),
                 nearest.begin() + static_cast<std::ptrdiff_t>(at) + j);
  }
  return first;
}

std::vector<int> wanted_of(std::int64_t k) {
  std::vector<int> wanted;
  for (std::int64_t const j : {1, 2, 10, 31, 32, 33, 64}) {
    if (j <= k) wanted.push_back(static_cast<int>(j));
  }
  if (k < 64 && wanted.back() != k) wanted.push_back(static_cast<int>(k));
  return wanted;
}

std::vector<shape> query_shapes() {
  if (sanitizing()) return small_shapes();
  return {{1, 1, 1},      {3, 2, 1},       {5, 5, 3},      {7, 33, 24},    {65, 17, 64},
          {129, 64, 16},  {127, 70, 100},  {131, 128, 8},  {257, 129, 33}, {260, 130, 192},
          {61, 300, 193}, {130, 257, 128}, {50, 100, 768}, {21, 65, 1536}};
}

// --- top_k ---------------------------------------------------------------------------------------

// Small integers: scores are exact, so that labels are the oracle's, ties included.
template <class T>
void expect_exact_top_k(std::vector<shape> const& shapes) {
  for (shape const& s : shapes) {
    matrix const x = integer_points(s.n, s.d, 11), c = integer_points(s.k, s.d, 12);
    std::int64_t const most = std::min<std::int64_t>(s.k, 64);
    std::vector<std::int32_t> const nearest =
        reference_nearest(reference_metric::euclidean, x, c, most);
    device_matrices<T> const points(x);
    device_matrices<centroid_of<T>> const centroids(c);
    for (int const j : part_of(wanted_of(s.k))) {
      std::vector<std::int32_t> const expected = first_of_each(nearest, most, j);
      for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
        SCOPED_TRACE(text(s, ", j = ", j, ", ", fk::to_string(kernel)));
        auto const run =
            run_top_k<T>(points.const_view(), centroids.const_view(), j, {}, on_kernel(kernel));
        EXPECT_EQ(run.kernel, kernel);
        ASSERT_TRUE(labels_are(expected, run.labels, j));
        for (std::size_t at = 0; at < expected.size(); ++at) {
          auto const i = static_cast<std::int64_t>(at) / j;
          ASSERT_EQ(static_cast<double>(run.distances[at]),
                    reference_distance(x, i, c, expected[at]))
              << "point " << i << ", centroid " << expected[at];
        }
      }
    }
  }
}

TYPED_TEST(queries, small_top_k_exact) { expect_exact_top_k<TypeParam>(query_shapes()); }

// Few points and many centroids, which are divided among blocks; and more tiles of points than
// blocks, so that blocks use their lists again.
TYPED_TEST(queries, large_top_k_exact) {
  expect_exact_top_k<TypeParam>({{3, 40000, 24}, {70, 9001, 64}, {130, 4099, 5}, {40003, 130, 16}});
}

// Each centroid beats all before it, or none does, so that lists change as often as they can and as
// seldom.
TYPED_TEST(queries, small_top_k_of_centroids_in_order) {
  using T = TypeParam;
  std::int64_t const k = 900, d = 4;
  matrix x(200, d), falling(k, d), rising(k, d);
  for (std::int64_t i = 0; i < x.rows; ++i) x(i, 1) = static_cast<double>(i % 3);
  for (std::int64_t j = 0; j < k; ++j) {
    // Integers that bfloat16 holds, in steps, so that there are ties too.
    falling(j, 0) = static_cast<double>((k - 1 - j) / 4);
    rising(j, 0) = static_cast<double>(j / 4);
  }
  for (matrix const* const c : {&falling, &rising}) {
    for (int const j : part_of({1, 7, 64})) {
      std::vector<std::int32_t> const expected =
          reference_nearest(reference_metric::euclidean, x, *c, j);
      for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
        EXPECT_TRUE(labels_are(expected, run_top_k<T>(x, *c, j, {}, on_kernel(kernel)).labels, j))
            << (c == &falling ? "falling" : "rising") << ", j = " << j << ", "
            << fk::to_string(kernel);
      }
    }
  }
}

TYPED_TEST(queries, small_top_k_of_equal_centroids_is_in_order_of_the_index) {
  using T = TypeParam;
  matrix const x = normal_points(150, 50, 21);
  matrix const c = take_rows(normal_points(1, 50, 22), std::vector<std::int64_t>(300, 0));
  for (int const j : part_of({1, 5, 64})) {
    std::vector<std::int32_t> expected;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (int r = 0; r < j; ++r) expected.push_back(r);
    }
    for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
      EXPECT_TRUE(labels_are(expected, run_top_k<T>(x, c, j, {}, on_kernel(kernel)).labels, j))
          << "j = " << j << ", " << fk::to_string(kernel);
    }
  }
}

// Rank by rank the true distance exceeds that of the oracle's order by at most what rounding of two
// scores explains; no centroid comes twice; distances are those of the labels.
template <class T>
void expect_top_k_within_rounding(metric_case const& m, shape const& s, int j) {
  matrix const x = rounded_to<T>(normal_points(s.n, s.d, 31));
  matrix const c = rounded_to<centroid_of<T>>(normal_points(s.k, s.d, 32));
  matrix const masters = m.metric == fk::metric::cosine ? unit_rows<T>(c) : c;
  matrix const multiplied = assignment_centroids<T>(masters);
  double longest = 0;
  for (std::int64_t l = 0; l < s.k; ++l) longest = std::max(longest, norm(multiplied, l));
  for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
    SCOPED_TRACE(text(m.name, ", ", s, ", j = ", j, ", ", fk::to_string(kernel)));
    auto const run = run_top_k<T>(x, c, j, by(m.metric), on_kernel(kernel));
    ASSERT_TRUE(distances_are<T>(m.reference, x, c, run.labels, j, run.distances));
    auto const first = run_predict_by<T>(m.metric, x, c, on_kernel(kernel));
    for (std::int64_t i = 0; i < s.n; ++i) {
      // Scores, not distances: x.c, and for euclidean less |c|^2/2.
      auto const score = [&](std::int32_t l) {
        double const product = reference_product(x, i, multiplied, l);
        return m.metric == fk::metric::euclidean
                   ? product - reference_product(multiplied, l, multiplied, l) / 2
                   : product;
      };
      std::vector<double> best;
      for (std::int32_t l = 0; l < s.k; ++l) best.push_back(score(l));
      std::sort(best.begin(), best.end(), std::greater<double>());
      double const slack = 2 * score_error<T>(s.d, norm(x, i), longest, {});
      std::vector<std::int32_t> const own = slice(run.labels, i, j);
      ASSERT_EQ(own[0], first.labels[static_cast<std::size_t>(i)]) << "point " << i;
      for (int r = 0; r < j; ++r) {
        ASSERT_LE(best[static_cast<std::size_t>(r)] - score(own[static_cast<std::size_t>(r)]),
                  slack)
            << "point " << i << ", number " << r << " is centroid "
            << own[static_cast<std::size_t>(r)];
      }
      std::vector<std::int32_t> sorted = own;
      std::sort(sorted.begin(), sorted.end());
      ASSERT_EQ(std::adjacent_find(sorted.begin(), sorted.end()), sorted.end()) << "point " << i;
    }
  }
}

TYPED_TEST(queries, small_top_k_float) {
  for (metric_case const& m : part_of(kMetrics)) {
    for (shape const& s :
         part_of({shape{129, 200, 24}, shape{70, 333, 100}, shape{33, 130, 300}})) {
      for (int const j : part_of({1, 10, 64})) expect_top_k_within_rounding<TypeParam>(m, s, j);
    }
  }
}

TYPED_TEST(queries, small_top_k_rows_may_lie_anywhere) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({1, 3, 45, 64, 200})) {
    matrix const x = integer_points(150, d, 41), c = integer_points(131, d, 42);
    std::vector<std::int32_t> const expected =
        reference_nearest(reference_metric::euclidean, x, c, 9);
    for (layout const& x_layout : single_layouts()) {
      for (layout const& c_layout : single_layouts()) {
        device_matrices<T> const points(x, x_layout);
        device_matrices<centroid_of<T>> const centroids(c, c_layout);
        for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
          SCOPED_TRACE(text("d = ", d, ", points ", x_layout.name, ", centroids ", c_layout.name,
                            ", ", fk::to_string(kernel)));
          auto const run =
              run_top_k<T>(points.const_view(), centroids.const_view(), 9, {}, on_kernel(kernel));
          ASSERT_TRUE(labels_are(expected, run.labels, 9));
          ASSERT_TRUE(
              distances_are<T>(reference_metric::euclidean, x, c, expected, 9, run.distances));
        }
      }
    }
  }
}

// --- All queries by metric -----------------------------------------------------------------------

template <class T>
std::vector<centroid_of<T>> run_transform(matrix const& x, matrix const& c, fk::metric metric) {
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  device_buffer<centroid_of<T>> distances(static_cast<std::size_t>(x.rows * c.rows), 1);
  fk::transform(points.const_view(), centroids.const_view(),
                fk::matrix_view<centroid_of<T>>(distances.data(), x.rows, c.rows), by(metric));
  return distances.download();
}

// Labels of all centroids for all points, in order: what transform gives distances to.
std::vector<std::int32_t> all_labels(std::int64_t n, std::int64_t k) {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < k; ++j) labels.push_back(static_cast<std::int32_t>(j));
  }
  return labels;
}

TYPED_TEST(queries, small_metrics_exact) {
  using T = TypeParam;
  for (shape const& s : part_of(query_shapes(), 3)) {
    matrix x = integer_points(s.n, s.d, 51);
    for (std::int64_t e = 0; e < s.d; ++e) x(s.n / 2, e) = 0;  // a point of zeros
    matrix const c = exact_directions(s.k, s.d, 52);
    int const j = static_cast<int>(std::min<std::int64_t>(s.k, 20));
    for (metric_case const& m : part_of(kMetrics)) {
      SCOPED_TRACE(text(s, ", ", m.name));
      std::vector<std::int32_t> const nearest = reference_nearest(m.reference, x, c, j);
      std::vector<std::int32_t> const expected = first_of_each(nearest, j, 1);
      for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
        SCOPED_TRACE(fk::to_string(kernel));
        auto const run = run_predict_by<T>(m.metric, x, c, on_kernel(kernel));
        ASSERT_TRUE(labels_are(expected, run.labels));
        ASSERT_TRUE(distances_are<T>(m.reference, x, c, expected, 1, run.distances));
        // The sum in double of what predict says, whose own rounding is tested above.
        double sum = 0, sizes = 0;
        for (centroid_of<T> const distance : run.distances) {
          sum += static_cast<double>(distance);
          sizes += std::abs(static_cast<double>(distance));
        }
        device_matrices<T> const points(x);
        device_matrices<centroid_of<T>> const centroids(c);
        ASSERT_NEAR(fk::inertia(points.const_view(), centroids.const_view(), by(m.metric),
                                on_kernel(kernel)),
                    sum, static_cast<double>(s.n) * std::ldexp(1.0, -52) * sizes);
      }
      for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
        SCOPED_TRACE(fk::to_string(kernel));
        auto const run = run_top_k<T>(x, c, j, by(m.metric), on_kernel(kernel));
        ASSERT_TRUE(labels_are(nearest, run.labels, j));
        ASSERT_TRUE(distances_are<T>(m.reference, x, c, nearest, j, run.distances));
      }
      ASSERT_TRUE(distances_are<T>(m.reference, x, c, all_labels(s.n, s.k), s.k,
                                   run_transform<T>(x, c, m.metric)));
    }
  }
}

TYPED_TEST(queries, small_metrics_of_a_batch) {
  using T = TypeParam;
  std::int64_t const n = 131, k = 40, d = 45;
  std::vector<matrix> x, c;
  for (std::uint64_t p = 0; p < 6; ++p) {
    x.push_back(integer_points(n, d, 60 + p));
    c.push_back(exact_directions(k, d, 70 + p));
  }
  for (metric_case const& m : part_of(kMetrics)) {
    std::vector<std::int32_t> expected, nearest;
    for (std::size_t p = 0; p < 6; ++p) {
      std::vector<std::int32_t> const own = reference_nearest(m.reference, x[p], c[p], 5);
      nearest.insert(nearest.end(), own.begin(), own.end());
    }
    expected = first_of_each(nearest, 5, 1);
    for (layout const& how : batch_layouts()) {
      SCOPED_TRACE(text(m.name, ", ", how.name));
      device_matrices<T> const points(x, how);
      device_matrices<centroid_of<T>> const centroids(c, how);
      for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
        device_buffer<std::int32_t> const labels(expected.size());
        fk::predict(points.const_view(), centroids.const_view(), {labels.data()}, by(m.metric),
                    on_kernel(kernel));
        ASSERT_TRUE(labels_are(expected, labels.download())) << fk::to_string(kernel);
      }
      for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
        auto const run = run_top_k<T>(points.const_view(), centroids.const_view(), 5, by(m.metric),
                                      on_kernel(kernel));
        ASSERT_TRUE(labels_are(nearest, run.labels, 5)) << fk::to_string(kernel);
        for (std::int64_t p = 0; p < 6; ++p) {
          auto const at = static_cast<std::size_t>(p);
          ASSERT_TRUE(distances_are<T>(m.reference, x[at], c[at], slice(nearest, p, n * 5), 5,
                                       slice(run.distances, p, n * 5)))
              << "problem " << p << ", " << fk::to_string(kernel);
        }
      }
      // Distances laid out in the same way.
      device_matrices<centroid_of<T>> const distances(std::vector<matrix>(6, matrix(n, k)), how);
      fk::transform(points.const_view(), centroids.const_view(), distances.view(), by(m.metric));
      EXPECT_TRUE(distances.padding_untouched());
      EXPECT_TRUE(centroids.padding_untouched());
      std::vector<centroid_of<T>> const got = distances.download();
      for (std::int64_t p = 0; p < 6; ++p) {
        auto const at = static_cast<std::size_t>(p);
        ASSERT_TRUE(
            distances_are<T>(m.reference, x[at], c[at], all_labels(n, k), k, slice(got, p, n * k)))
            << "problem " << p;
      }
    }
  }
}

TYPED_TEST(queries, small_transform_float) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{1, 1, 1}, shape{100, 7, 3}, shape{129, 130, 24},
                                 shape{65, 257, 100}, shape{300, 65, 64}, shape{20, 33, 1000}})) {
    matrix const x = rounded_to<T>(normal_points(s.n, s.d, 81));
    matrix const c = rounded_to<centroid_of<T>>(normal_points(s.k, s.d, 82));
    for (metric_case const& m : part_of(kMetrics)) {
      EXPECT_TRUE(distances_are<T>(m.reference, x, c, all_labels(s.n, s.k), s.k,
                                   run_transform<T>(x, c, m.metric)))
          << s << ", " << m.name;
    }
  }
}

// Far from the origin and near to each other: |x|^2 - 2 x.c + |c|^2 would lose all digits.
TYPED_TEST(queries, small_transform_does_not_cancel) {
  using T = TypeParam;
  matrix x(40, 30), c(20, 30);
  for (std::int64_t i = 0; i < 40; ++i) {
    x(i, i % 29) = 0.5;
    x(i, 29) = 1;
  }
  for (double& value : x.values) value += 128;
  for (double& value : c.values) value = 128;
  for (std::int64_t j = 0; j < 20; ++j) c(j, j) += std::ldexp(1.0, -12);
  x = rounded_to<T>(x);
  std::vector<centroid_of<T>> const got = run_transform<T>(x, c, fk::metric::euclidean);
  EXPECT_TRUE(distances_are<T>(reference_metric::euclidean, x, c, all_labels(40, 20), 20, got));
}

// --- Cosine --------------------------------------------------------------------------------------

// Lengths of centroids say nothing, however large or small: squares overflow or vanish here.
TYPED_TEST(queries, small_cosine_takes_centroids_of_any_length) {
  using T = TypeParam;
  using C = centroid_of<T>;
  matrix const x = integer_points(200, 37, 91);
  matrix const c = exact_directions(90, 37, 92);
  std::vector<std::int32_t> const expected = reference_nearest(reference_metric::cosine, x, c, 1);
  int const reach = std::is_same_v<C, double> ? 1000 : 120;
  for (int const exponent : {-reach, -30, 0, 30, reach}) {
    matrix scaled = c;
    for (double& value : scaled.values) value = std::ldexp(value, exponent);
    std::vector<C> const all = run_transform<T>(x, scaled, fk::metric::cosine);
    EXPECT_TRUE(distances_are<T>(reference_metric::cosine, x, c, all_labels(200, 90), 90, all))
        << "2^" << exponent;
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      auto const run = run_predict_by<T>(fk::metric::cosine, x, scaled, on_kernel(kernel));
      EXPECT_TRUE(labels_are(expected, run.labels))
          << "2^" << exponent << ", " << fk::to_string(kernel);
    }
  }
}

// What has length 1 but for rounding is multiplied as it is: scaling it once more changes no bit.
TYPED_TEST(queries, small_cosine_leaves_unit_centroids_alone) {
  using T = TypeParam;
  using C = centroid_of<T>;
  for (std::int64_t const d : part_of({1, 3, 100, sized(4096, 300)})) {
    matrix const x = rounded_to<T>(normal_points(60, d, 93));
    matrix const unit = unit_rows<T>(normal_points(30, d, 94));
    // Under the inner product nothing is scaled.
    std::vector<C> const cosine = run_transform<T>(x, unit, fk::metric::cosine);
    device_matrices<T> const points(x);
    device_matrices<C> const centroids(unit);
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      EXPECT_TRUE(labels_are(
          run_predict_by<T>(fk::metric::inner_product, x, unit, on_kernel(kernel)).labels,
          run_predict_by<T>(fk::metric::cosine, x, unit, on_kernel(kernel)).labels))
          << "d = " << d << ", " << fk::to_string(kernel);
    }
    EXPECT_TRUE(distances_are<T>(reference_metric::cosine, x, unit, all_labels(60, 30), 30, cosine))
        << "d = " << d;
  }
}

TYPED_TEST(queries, small_cosine_of_zeros) {
  using T = TypeParam;
  matrix const zeros(5, 24), some = integer_points(5, 24, 95), c = exact_directions(9, 24, 96);
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    for (auto const& run :
         {run_predict_by<T>(fk::metric::cosine, zeros, c, on_kernel(kernel)),
          run_predict_by<T>(fk::metric::cosine, some, matrix(9, 24), on_kernel(kernel))}) {
      EXPECT_TRUE(labels_are(std::vector<std::int32_t>(5, 0), run.labels));
      for (centroid_of<T> const distance : run.distances) {
        EXPECT_EQ(static_cast<double>(distance), 1);
      }
    }
  }
  auto const several = run_top_k<T>(zeros, c, 4, by(fk::metric::cosine));
  for (std::size_t at = 0; at < 20; ++at) {
    EXPECT_EQ(several.labels[at], static_cast<std::int32_t>(at % 4));
    EXPECT_EQ(static_cast<double>(several.distances[at]), 1);
  }
}

// --- Weights -------------------------------------------------------------------------------------

// Multiples of 1/4 times sums of small integers: exact.
TYPED_TEST(queries, small_inertia_with_weights) {
  using T = TypeParam;
  using C = centroid_of<T>;
  for (std::int64_t const n : part_of({1, 255, 256, 257, sized(3001, 300)})) {
    SCOPED_TRACE(n);
    std::vector<matrix> x, c;
    std::vector<double> expected;
    std::vector<C> weights;
    random_source random(101);
    double total = 0;
    for (std::uint64_t p = 0; p < 4; ++p) {
      x.push_back(integer_points(n, 20, 102 + p));
      c.push_back(integer_points(6, 20, 110 + p));
      double sum = 0;
      std::vector<std::int32_t> const labels = reference_assign(x.back(), c.back());
      for (std::int64_t i = 0; i < n; ++i) {
        double const weight = static_cast<double>(random.integer(0, 12)) / 4;
        weights.push_back(static_cast<C>(weight));
        sum +=
            weight * reference_distance(x.back(), i, c.back(), labels[static_cast<std::size_t>(i)]);
      }
      expected.push_back(sum);
      total += sum;
    }
    layout how;
    how.batch = {2, 2};
    device_matrices<T> const points(x, how);
    device_matrices<C> const centroids(c, how);
    device_buffer<C> const there(weights);
    fk::query_options options;
    options.weights = there.data();
    EXPECT_EQ(fk::inertia(points.const_view(), centroids.const_view(), options), total);
    device_buffer<double> const each(4);
    fk::inertia_async(points.const_view(), centroids.const_view(), each.data(), options);
    EXPECT_EQ(each.download(), expected);
    // They are of no effect on labels and distances.
    device_buffer<std::int32_t> const labels(weights.size());
    fk::predict(points.const_view(), centroids.const_view(), {labels.data()}, options);
    EXPECT_TRUE(labels_are(reference_assign(x, c), labels.download()));
  }
}

TYPED_TEST(queries, small_weights_are_repetitions) {
  using T = TypeParam;
  using C = centroid_of<T>;
  matrix const x = integer_points(300, 33, 121), c = exact_directions(15, 33, 122);
  std::vector<std::int64_t> rows;
  std::vector<C> weights;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    weights.push_back(static_cast<C>(i % 4));
    rows.insert(rows.end(), static_cast<std::size_t>(i % 4), i);
  }
  device_matrices<T> const points(x), repeated(take_rows(x, rows));
  device_matrices<C> const centroids(c);
  device_buffer<C> const there(weights);
  for (metric_case const& m : part_of(kMetrics)) {
    fk::query_options options = by(m.metric);
    double const expected = fk::inertia(repeated.const_view(), centroids.const_view(), options);
    options.weights = there.data();
    double const got = fk::inertia(points.const_view(), centroids.const_view(), options);
    EXPECT_NEAR(got, expected, 1000 * std::ldexp(1.0, -52) * std::abs(expected)) << m.name;
  }
}

// --- Values that are not finite ------------------------------------------------------------------

template <class T>
void expect_others_alone(double bad) {
  using C = centroid_of<T>;
  for (std::int64_t const d : part_of({5, 64, 300})) {
    matrix const good = integer_points(400, d, 131);
    matrix const c = exact_directions(140, d, 132);
    matrix x = good;
    std::vector<std::int64_t> const spoilt{0, 17, 128, 200, 399};
    for (std::int64_t const i : spoilt) x(i, (i * 3) % d) = bad;
    for (std::int64_t e = 0; e < d; ++e) x(200, e) = bad;
    auto const is_spoilt = [&](std::int64_t i) {
      return std::find(spoilt.begin(), spoilt.end(), i) != spoilt.end();
    };
    device_matrices<T> const points(x);
    device_matrices<C> const centroids(c);
    for (metric_case const& m : part_of(kMetrics)) {
      std::vector<std::int32_t> const nearest = reference_nearest(m.reference, good, c, 3);
      for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
        SCOPED_TRACE(text(bad, ", d = ", d, ", ", m.name, ", ", fk::to_string(kernel)));
        auto const one = run_predict_by<T>(m.metric, x, c, on_kernel(kernel));
        auto const several = run_top_k<T>(x, c, 3, by(m.metric), on_kernel(kernel));
        double sum = 0;
        for (std::int64_t i = 0; i < x.rows; ++i) {
          for (std::int64_t r = 0; r < 3; ++r) {
            auto const at = static_cast<std::size_t>(3 * i + r);
            ASSERT_EQ(several.labels[at], is_spoilt(i) ? r : nearest[at])
                << "point " << i << ", number " << r;
            ASSERT_EQ(std::isnan(static_cast<double>(several.distances[at])), is_spoilt(i))
                << "point " << i << ", number " << r;
          }
          auto const at = static_cast<std::size_t>(i);
          ASSERT_EQ(one.labels[at], is_spoilt(i) ? 0 : nearest[3 * at]) << "point " << i;
          auto const distance = static_cast<double>(one.distances[at]);
          ASSERT_EQ(std::isnan(distance), is_spoilt(i)) << "point " << i;
          if (!is_spoilt(i)) sum += distance;
        }
        EXPECT_NEAR(fk::inertia(points.const_view(), centroids.const_view(), by(m.metric),
                                on_kernel(kernel)),
                    sum, 400 * std::ldexp(1.0, -52) * 400 * 32 * static_cast<double>(d));
      }
      std::vector<C> const all = run_transform<T>(x, c, m.metric);
      for (std::int64_t i = 0; i < x.rows; ++i) {
        for (std::int64_t l = 0; l < c.rows; ++l) {
          ASSERT_EQ(std::isnan(static_cast<double>(all[static_cast<std::size_t>(i * c.rows + l)])),
                    is_spoilt(i))
              << bad << ", " << m.name << ", point " << i << ", centroid " << l;
        }
      }
    }
  }
}

TYPED_TEST(queries, small_nan_points_spoil_nothing_else) {
  expect_others_alone<TypeParam>(std::numeric_limits<double>::quiet_NaN());
}

TYPED_TEST(queries, small_infinite_points_spoil_nothing_else) {
  expect_others_alone<TypeParam>(std::numeric_limits<double>::infinity());
  expect_others_alone<TypeParam>(-std::numeric_limits<double>::infinity());
}

// Squares of bfloat16, float and double points can overflow where the values are finite.
TYPED_TEST(queries, small_distances_that_overflow_are_left_out_of_the_sum) {
  using T = TypeParam;
  if (std::is_same_v<T, __half>) GTEST_SKIP() << "squares of half fit into float";
  matrix x = integer_points(50, 8, 141);
  matrix const c = integer_points(4, 8, 142);
  double const expected =
      reference_inertia(x, c, reference_assign(x, c)) -
      reference_inertia(take_rows(x, {7}), c, reference_assign(take_rows(x, {7}), c));
  x(7, 3) = std::is_same_v<T, double> ? 1e200 : 1e30;
  auto const run = run_predict<T>(x, c);
  EXPECT_TRUE(std::isnan(static_cast<double>(run.distances[7])));
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  EXPECT_EQ(fk::inertia(points.const_view(), centroids.const_view()), expected);
}

// Centroids with a NaN come last, in order of their index.
TYPED_TEST(queries, small_top_k_puts_nan_centroids_last) {
  using T = TypeParam;
  matrix const x = integer_points(140, 24, 151);
  matrix c = integer_points(20, 24, 152);
  for (std::int64_t const l : {0, 3, 4, 11, 19}) {
    c(l, l) = std::numeric_limits<double>::quiet_NaN();
  }
  for (metric_case const& m : part_of(kMetrics)) {
    if (m.metric == fk::metric::cosine) continue;  // scores are not exact
    std::vector<std::int32_t> const expected = reference_nearest(m.reference, x, c, 20);
    for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
      auto const run = run_top_k<T>(x, c, 20, by(m.metric), on_kernel(kernel));
      EXPECT_TRUE(labels_are(expected, run.labels, 20)) << m.name << ", " << fk::to_string(kernel);
      EXPECT_TRUE(distances_are<T>(m.reference, x, c, expected, 20, run.distances))
          << m.name << ", " << fk::to_string(kernel);
    }
  }
}

// --- How the search for several is divided -------------------------------------------------------

// Needs no GPU.
TEST(queries_division, small_parts_cover_all_centroids_once) {
  for (std::int64_t const most : {1, 2, 108, 264, 296}) {
    for (std::int64_t const points : {1, 2, 3, 53, 107, 108, 131, 132, 133, 264, 265, 100000}) {
      for (std::int64_t const k : part_of({1, 2, 3, 7, 64, 313, 16384})) {
        SCOPED_TRACE(text(most, " blocks, ", points, " tiles of points, ", k, " of centroids"));
        auto const lists = fk::detail::nearest_j_lists_for(points, k, most);
        EXPECT_GE(lists.parts * lists.part_tiles, k);
        EXPECT_LT((lists.parts - 1) * lists.part_tiles, k) << "an empty part";
        EXPECT_LE(lists.blocks, std::max<std::int64_t>(most, 1));
        EXPECT_LE(lists.blocks, points * lists.parts);
        // Lists that are merged later are not used twice.
        if (lists.parts > 1) EXPECT_EQ(lists.blocks, points * lists.parts);
        // No part could be smaller.
        if (lists.part_tiles > 1) EXPECT_GT(points * (lists.parts + 1) * 2, most);
      }
    }
  }
}

// --- Reproducible --------------------------------------------------------------------------------

TYPED_TEST(queries, small_two_runs_give_the_same_bits) {
  using T = TypeParam;
  matrix const x = normal_points(sized(500, 65), 77, 161);
  matrix const c = normal_points(sized(3000, 300), 77, 162);
  for (metric_case const& m : part_of(kMetrics)) {
    for (fk::assign_kernel const kernel : part_of(top_k_kernels<T>())) {
      auto const first = run_top_k<T>(x, c, 40, by(m.metric), on_kernel(kernel));
      auto const second = run_top_k<T>(x, c, 40, by(m.metric), on_kernel(kernel));
      EXPECT_TRUE(labels_are(first.labels, second.labels, 40)) << m.name;
      EXPECT_TRUE(same_bits(first.distances, second.distances)) << m.name;
      // What else is in the call changes nothing: one point alone has its centroids divided among
      // more blocks.
      std::int64_t const row = sized(321, 32);
      auto const alone = run_top_k<T>(take_rows(x, {row}), c, 40, by(m.metric), on_kernel(kernel));
      EXPECT_TRUE(labels_are(slice(first.labels, row, 40), alone.labels, 40)) << m.name;
      EXPECT_TRUE(same_bits(slice(first.distances, row, 40), alone.distances)) << m.name;
    }
    EXPECT_TRUE(same_bits(run_transform<T>(x, c, m.metric), run_transform<T>(x, c, m.metric)))
        << m.name;
  }
}

TYPED_TEST(queries, small_top_k_chooses_the_kernel_that_it_reports) {
  using T = TypeParam;
  matrix const x = normal_points(100, 24, 171), c = normal_points(30, 24, 172);
  auto const chosen = run_top_k<T>(x, c, 5);
  EXPECT_EQ(chosen.kernel, top_k_kernels<T>().back());
  auto const forced = run_top_k<T>(x, c, 5, {}, on_kernel(chosen.kernel));
  EXPECT_TRUE(labels_are(chosen.labels, forced.labels, 5));
  EXPECT_TRUE(same_bits(chosen.distances, forced.distances));
}

}  // namespace
