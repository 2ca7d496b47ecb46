// fit: the whole of Lloyd's algorithm, alone and in batches.
#include <flash_kmeans/host.hpp>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

template <class T>
class fit : public gpu_test {};
TYPED_TEST_SUITE(fit, element_types, element_names);

// --- Exact data ----------------------------------------------------------------------------------

fit_case blobs(std::int64_t k, std::int64_t points_per_cluster, std::int64_t d,
               std::uint64_t seed) {
  matrix x = exact_blobs(k, points_per_cluster, d, seed);
  matrix c = first_rows(x, k);
  return {std::move(x), std::move(c)};
}

std::vector<fit_case> small_cases() {
  std::vector<fit_case> cases;
  cases.push_back(blobs(1, 1, 1, 1));
  cases.push_back(blobs(1, 8, 3, 2));
  cases.push_back(blobs(5, 4, 3, 3));
  cases.push_back(blobs(3, 1, 24, 4));  // k = n
  cases.push_back(blobs(7, 2, 45, 5));
  cases.push_back(blobs(17, 4, 64, 6));
  cases.push_back(blobs(129, 2, 100, 7));
  cases.push_back(blobs(60, 2, 192, 8));
  cases.push_back(blobs(4, 4, 768, 9));
  cases.push_back(blobs(3, 4, 1536, 10));
  cases.push_back(blobs(2, 2, 4096, 11));
  cases.push_back(exact_moving(1, 2, 2, 12));
  cases.push_back(exact_moving(3, 4, 24, 13));
  cases.push_back(exact_moving(64, 2, 45, 14));
  cases.push_back(exact_moving(5, 8, 100, 15));
  cases.push_back(exact_moving(2, 2, 4096, 16));
  return cases;
}

std::vector<fit_case> large_cases() {
  std::vector<fit_case> cases;
  cases.push_back(blobs(500, 4, 64, 21));
  cases.push_back(blobs(1003, 2, 45, 22));
  cases.push_back(blobs(128, 32, 128, 23));
  cases.push_back(blobs(50, 2048, 3, 24));
  cases.push_back(blobs(7, 16384, 24, 25));
  cases.push_back(blobs(1, 131072, 16, 26));
  cases.push_back(blobs(33, 8, 4096, 27));
  cases.push_back(exact_moving(60, 32, 64, 28));
  cases.push_back(exact_moving(515, 2, 24, 29));
  cases.push_back(exact_moving(20, 64, 192, 30));
  return cases;
}

// All iterations of these run in one launch: over one block and over several, clusters of one piece
// and of many, more clusters than a warp has lanes, rows of whole and of broken 16 bytes.
std::vector<fit_case> one_launch_cases() {
  std::vector<fit_case> cases;
  cases.push_back(blobs(1, 1, 1, 101));
  cases.push_back(blobs(1, 256, 5, 102));
  cases.push_back(blobs(3, 64, 24, 103));
  cases.push_back(blobs(1, 2048, 16, 104));
  cases.push_back(blobs(2, 512, 45, 105));
  cases.push_back(blobs(300, 1, 16, 106));
  cases.push_back(blobs(31, 32, 100, 107));
  cases.push_back(blobs(64, 16, 64, 108));
  cases.push_back(blobs(5, 512, 8, 109));
  cases.push_back(blobs(7, 8, 200, 110));
  cases.push_back(exact_moving(3, 64, 24, 111));
  cases.push_back(exact_moving(20, 16, 45, 112));
  return cases;
}

std::string name_of(fit_case const& f) {
  return text(shape{f.points.rows, f.centroids.rows, f.points.cols});
}

// All of a run of one problem against the oracle's fit, bit for bit.
template <class T>
void expect_run_is(fit_run<T> const& run, reference_fit_result const& expected) {
  EXPECT_TRUE(same_bits(run.centroids, to_type<centroid_of<T>>(expected.centroids)));
  EXPECT_EQ(run.labels, expected.labels);
  EXPECT_TRUE(index_matches(run.index, 0, run.n, run.k, expected.labels));
  EXPECT_EQ(run.status[0].iterations, expected.iterations);
  EXPECT_EQ(run.status[0].converged, expected.converged ? 1 : 0);
  EXPECT_EQ(run.status[0].inertia, expected.inertia);
  EXPECT_EQ(run.status[0].shift, expected.shift);
  EXPECT_EQ(run.result.iterations, expected.iterations);
  EXPECT_EQ(run.result.converged, expected.converged);
  EXPECT_EQ(run.result.inertia, expected.inertia);
}

template <class T>
void expect_exact(std::vector<fit_case> const& cases) {
  for (fit_case const& f : part_of(cases, 4)) {
    SCOPED_TRACE(name_of(f));
    for (double const tolerance : part_of({0.0, 1e-4})) {
      SCOPED_TRACE(tolerance);
      reference_fit_result const expected = reference_fit(f.points, f.centroids, 20, tolerance);
      ASSERT_TRUE(expected.converged) << "the data are made so that it does";
      for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
        SCOPED_TRACE(fk::to_string(kernel));
        auto const run = run_fit<T>(f.points, f.centroids, given(20, tolerance), on_kernel(kernel));
        if (kernel != fk::assign_kernel::automatic) {
          EXPECT_EQ(run.result.kernel, kernel);
        }
        expect_run_is(run, expected);
      }
    }
  }
}

TYPED_TEST(fit, small_exact) { expect_exact<TypeParam>(small_cases()); }

TYPED_TEST(fit, large_exact) { expect_exact<TypeParam>(large_cases()); }

TYPED_TEST(fit, small_one_launch_exact) {
  using T = TypeParam;
  expect_exact<T>(one_launch_cases());
  // And it is one launch: the kernel that fits of this size would otherwise use was not used.
  for (fit_case const& f : part_of(one_launch_cases())) {
    SCOPED_TRACE(name_of(f));
    EXPECT_EQ(run_fit<T>(f.points, f.centroids, given(2, 0)).result.kernel,
              is_half_v<T> ? fk::assign_kernel::sm80 : fk::assign_kernel::simt);
  }
}

// The CPU backend on the same exact data: the same bits as the GPU.
TYPED_TEST(fit, small_host_backend_agrees) {
  using T = TypeParam;
  using C = centroid_of<T>;
  for (fit_case const& f : part_of(small_cases())) {
    SCOPED_TRACE(name_of(f));
    std::int64_t const n = f.points.rows, k = f.centroids.rows, d = f.points.cols;
    auto const run = run_fit<T>(f.points, f.centroids, given(20, 0));
    std::vector<T> const x = to_type<T>(f.points);
    std::vector<C> c = to_type<C>(f.centroids);
    index_values index;
    index.counts.resize(static_cast<std::size_t>(k));
    index.offsets.resize(static_cast<std::size_t>(k + 1));
    index.order.resize(static_cast<std::size_t>(n));
    index.inverse.resize(static_cast<std::size_t>(n));
    std::vector<std::int32_t> labels(static_cast<std::size_t>(n));
    fk::fit_status status{};
    fk::fit_outputs const out{
        labels.data(),
        {index.counts.data(), index.offsets.data(), index.order.data(), index.inverse.data()},
        &status};
    fk::fit_result const result =
        fk::host::fit(fk::matrix_view<T const>(x.data(), n, d), fk::matrix_view<C>(c.data(), k, d),
                      out, given(20, 0), fk::host::execution{});
    EXPECT_EQ(result.kernel, fk::assign_kernel::host);
    EXPECT_TRUE(same_bits(c, run.centroids));
    EXPECT_EQ(labels, run.labels);
    EXPECT_TRUE(index == run.index);
    EXPECT_EQ(result.iterations, run.result.iterations);
    EXPECT_EQ(result.converged, run.result.converged);
    EXPECT_EQ(result.inertia, run.result.inertia);
    EXPECT_EQ(status.shift, run.status[0].shift);
  }
}

// Stops by count, by a shift that is small enough, and by one that is zero. The shifts of
// exact_moving are 17 a gadget in the first two updates and 0 in the third.
TYPED_TEST(fit, small_convergence) {
  using T = TypeParam;
  std::int64_t const gadgets = 5;
  fit_case const f = exact_moving(gadgets, 4, 24, 31);
  double const at_shift = 17.0 * gadgets / reference_variance(f.points);
  struct row {
    int max_iterations;
    double tolerance;
    int iterations;
    bool converged;
  };
  for (row const& r :
       part_of({row{1, 0, 1, false}, row{2, 0, 2, false}, row{3, 0, 3, true}, row{300, 0, 3, true},
                row{300, 0.5 * at_shift, 3, true}, row{300, 1.5 * at_shift, 1, true},
                row{1, 1.5 * at_shift, 1, true}, row{300, 1e6 * at_shift, 1, true}})) {
    SCOPED_TRACE(text(r.max_iterations, " iterations, tolerance ", r.tolerance));
    reference_fit_result const expected =
        reference_fit(f.points, f.centroids, r.max_iterations, r.tolerance);
    ASSERT_EQ(expected.iterations, r.iterations);
    ASSERT_EQ(expected.converged, r.converged);
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      expect_run_is(run_fit<T>(f.points, f.centroids, given(r.max_iterations, r.tolerance),
                               on_kernel(kernel)),
                    expected);
    }
  }
}

TYPED_TEST(fit, small_default_options_converge) {
  using T = TypeParam;
  fit_case const f = exact_moving(5, 4, 24, 32);
  fk::fit_options options;
  options.init = fk::init_method::given;
  expect_run_is(run_fit<T>(f.points, f.centroids, options),
                reference_fit(f.points, f.centroids, 300, 1e-4));
}

// Tolerance is relative to the variance: far from the origin the same data stop at the same step,
// where sums of squares minus squared sums would have cancelled to nothing.
TYPED_TEST(fit, small_tolerance_far_from_the_origin) {
  using T = TypeParam;
  // Steps of bfloat16 are 4 around 600, of half 1 around 1500; scores stay exact in float: x.c and
  // |c|^2/2 are sums of 6 products below 1511^2, multiples of 1/2 below 2^24.
  double const scale = std::is_same_v<T, __nv_bfloat16> ? 4 : 1;
  double const away = std::is_same_v<T, __nv_bfloat16> ? 600
                      : std::is_same_v<T, double>      ? 1e6
                                                       : 1500;
  fit_case f = exact_moving(1, 8, 6, 33);
  for (double& value : f.points.values) value = value * scale + away;
  for (double& value : f.centroids.values) value = value * scale + away;
  ASSERT_EQ(rounded_to<T>(f.points).values, f.points.values);
  double const at_shift = 17.0 * scale * scale / reference_variance(f.points);
  for (double const factor : part_of({0.9, 1.1})) {
    SCOPED_TRACE(factor);
    auto const run = run_fit<T>(f.points, f.centroids, given(1, factor * at_shift),
                                on_kernel(fk::assign_kernel::simt));
    EXPECT_EQ(run.result.converged, factor > 1);
  }
}

// Without the closing assignment labels are those that the last update was computed from.
TYPED_TEST(fit, small_closing_assignment_off) {
  using T = TypeParam;
  fit_case const f = exact_moving(5, 4, 24, 34);
  for (int const iterations : part_of({1, 2, 3, 10})) {
    SCOPED_TRACE(iterations);
    reference_fit_result const expected = reference_fit(f.points, f.centroids, iterations, 0);
    // The centroids before the last update that was done.
    matrix before = f.centroids;
    if (expected.iterations > 1) {
      before = reference_fit(f.points, f.centroids, expected.iterations - 1, 0).centroids;
    }
    std::vector<std::int32_t> const labels = reference_assign(f.points, before);
    // After one update the labels have changed; after more they stay.
    ASSERT_EQ(labels != expected.labels, iterations == 1);
    fk::fit_options options = given(iterations, 0);
    options.closing_assignment = false;
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      auto const run = run_fit<T>(f.points, f.centroids, options, on_kernel(kernel));
      EXPECT_TRUE(same_bits(run.centroids, to_type<centroid_of<T>>(expected.centroids)));
      EXPECT_EQ(run.labels, labels);
      EXPECT_TRUE(index_matches(run.index, 0, run.n, run.k, labels));
      EXPECT_TRUE(std::isnan(run.status[0].inertia));
      EXPECT_TRUE(std::isnan(run.result.inertia));
      EXPECT_EQ(run.status[0].shift, expected.shift);
      EXPECT_EQ(run.result.iterations, expected.iterations);
      EXPECT_EQ(run.result.converged, expected.converged);
    }
  }
}

// Duplicate points, duplicate centroids, clusters that stay empty.
TYPED_TEST(fit, small_duplicates) {
  using T = TypeParam;
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 60; ++i) rows.push_back(i % 3);
  matrix const x = take_rows(integer_points(3, 40, 41), rows);
  matrix const c = first_rows(x, 10);
  reference_fit_result const expected = reference_fit(x, c, 10, 0);
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    auto const run = run_fit<T>(x, c, given(10, 0), on_kernel(kernel));
    expect_run_is(run, expected);
    EXPECT_EQ(run.index.counts, (std::vector<std::int32_t>{20, 20, 20, 0, 0, 0, 0, 0, 0, 0}));
  }
}

// --- Float data ----------------------------------------------------------------------------------

// What is returned belongs together: labels are nearest to the returned centroids, by-products are
// of those labels, inertia is of both.
template <class T>
void expect_consistent(std::vector<shape> const& shapes) {
  for (shape const& s : shapes) {
    SCOPED_TRACE(text(s));
    matrix const x = rounded_to<T>(normal_points(s.n, s.d, 51));
    matrix const start = first_rows(x, s.k);
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      auto const run = run_fit<T>(x, start, given(12, 1e-4), on_kernel(kernel));
      matrix const c = run.centroids_of(0);
      ASSERT_TRUE(
          labels_are_nearest<T>(x, assignment_centroids<T>(c), run.labels, on_kernel(kernel)));
      ASSERT_TRUE(index_matches(run.index, 0, s.n, s.k, run.labels));
      double const inertia = reference_inertia(x, c, run.labels);
      // n positive terms, each within distance_error, added in double.
      double const relative =
          distance_error<T>(s.d) + static_cast<double>(s.n) * std::ldexp(1.0, -52);
      ASSERT_NEAR(run.status[0].inertia, inertia, relative * inertia);
      ASSERT_EQ(run.result.inertia, run.status[0].inertia);
      ASSERT_EQ(run.result.iterations, run.status[0].iterations);
      ASSERT_EQ(run.result.converged, run.status[0].converged == 1);
      ASSERT_TRUE(run.result.converged || run.result.iterations == 12);

      // And the other verbs say the same of the returned centroids.
      device_matrices<T> const points(x);
      device_matrices<centroid_of<T>> const centroids(c);
      auto const predicted =
          run_predict<T>(points.const_view(), centroids.const_view(), on_kernel(kernel));
      ASSERT_EQ(predicted.labels, run.labels);
      ASSERT_EQ(fk::inertia(points.const_view(), centroids.const_view(), {}, on_kernel(kernel)),
                run.status[0].inertia);
    }
  }
}

TYPED_TEST(fit, small_outputs_belong_together) {
  expect_consistent<TypeParam>(
      {{1, 1, 5}, {50, 50, 7}, {701, 7, 3}, {503, 16, 24}, {300, 20, 64}, {200, 9, 200}});
}

TYPED_TEST(fit, large_outputs_belong_together) {
  expect_consistent<TypeParam>(
      {{20011, 64, 100}, {5003, 1000, 16}, {707, 33, 768}, {401, 129, 1536}, {100003, 5, 1}});
}

// Every iteration is one update of the labels that the iterations before it end with.
TYPED_TEST(fit, small_iterations_are_lloyd_steps) {
  using T = TypeParam;
  matrix const x = rounded_to<T>(normal_points(901, 30, 52));
  matrix const start = first_rows(x, 13);
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    matrix before = start;
    std::vector<std::int32_t> labels = run_predict<T>(x, start, on_kernel(kernel)).labels;
    for (int iterations = 1; iterations <= 5; ++iterations) {
      SCOPED_TRACE(iterations);
      auto const run = run_fit<T>(x, start, given(iterations, 0), on_kernel(kernel));
      ASSERT_EQ(run.result.iterations, iterations) << "it must not have converged yet";
      matrix const got = run.centroids_of(0);
      ASSERT_TRUE(means_match<T>(x, labels, before, got));
      // A difference of stored values errs by u of C, its square by 3 u, the sum is in double.
      double const shift = reference_shift(before, got);
      double const relative =
          4 * unit_roundoff<centroid_of<T>>() + 2 * (13 * 30 + 4) * std::ldexp(1.0, -53);
      ASSERT_NEAR(run.status[0].shift, shift, relative * shift);
      before = got;
      labels = run.labels;
    }
  }
}

// Inertia never rises, up to what rounding explains. One step from (c, labels) to (c', labels'):
// means do not raise it beyond their own rounding, |m| (bound e)^2 a feature, which is second
// order; the new labels are nearest within label_slack of the centroids that are multiplied, and
// those are the masters to within u |c| a centroid, u the rounding of half or bfloat16: a distance
// D changes by at most 2 sqrt(D) u |c| + (u |c|)^2 on either side of the comparison. The inertias
// themselves err by distance_error.
TYPED_TEST(fit, small_inertia_never_rises) {
  using T = TypeParam;
  shape const s{sized(1500, 300), 16, 24};
  matrix const x = rounded_to<T>(normal_points(s.n, s.d, 53));
  matrix const start = first_rows(x, s.k);
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    double last = std::numeric_limits<double>::infinity();
    double first = 0;
    for (int iterations = 1; iterations <= sized(12, 4); ++iterations) {
      auto const run = run_fit<T>(x, start, given(iterations, 0), on_kernel(kernel));
      matrix const c = run.centroids_of(0);
      double largest = 0;
      for (std::int64_t j = 0; j < s.k; ++j) largest = std::max(largest, norm(c, j));
      double const moved = is_half_v<T> ? unit_roundoff<T>() * largest : 0;
      double slack = 0;
      for (std::int64_t i = 0; i < s.n; ++i) {
        double const distance =
            reference_distance(x, i, c, run.labels[static_cast<std::size_t>(i)]);
        slack +=
            label_slack<T>(s.d, norm(x, i), largest, largest, 2 * distance, on_kernel(kernel)) +
            2 * (2 * std::sqrt(distance) * moved + moved * moved) +
            2 * distance_error<T>(s.d) * distance;
      }
      double const inertia = run.result.inertia;
      ASSERT_LE(inertia, last + slack) << iterations << " iterations";
      ASSERT_LT(slack, 0.01 * inertia) << "a slack that says nothing";
      if (iterations == 1) first = inertia;
      last = inertia;
    }
    if (!sanitizing()) {
      EXPECT_LT(last, 0.97 * first) << "and it falls";
    }
  }
}

TYPED_TEST(fit, small_two_runs_give_the_same_bits) {
  using T = TypeParam;
  matrix const x = normal_points(sized(3001, 301), 40, 54);
  fk::fit_options options;
  options.max_iterations = 8;
  options.seed = 99;
  matrix const nowhere(37, 40);
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    auto const first = run_fit<T>(x, nowhere, options, on_kernel(kernel));
    auto const second = run_fit<T>(x, nowhere, options, on_kernel(kernel));
    EXPECT_TRUE(same_run(first, second)) << fk::to_string(kernel);
  }
}

TYPED_TEST(fit, large_two_runs_give_the_same_bits) {
  using T = TypeParam;
  matrix const x = normal_points(100003, 64, 55);
  fk::fit_options options;
  options.max_iterations = 5;
  matrix const nowhere(300, 64);
  auto const first = run_fit<T>(x, nowhere, options);
  auto const second = run_fit<T>(x, nowhere, options);
  EXPECT_TRUE(same_run(first, second));
}

// --- Start ---------------------------------------------------------------------------------------

// init_method::random is init_centroids followed by a fit from there, for every problem of a batch.
TYPED_TEST(fit, small_random_start_is_init_centroids) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const b = 4, n = 300, k = 12, d = 20;
  layout flat;
  flat.batch = {b, 1};
  std::vector<matrix> x;
  for (std::uint64_t p = 0; p < 4; ++p) x.push_back(normal_points(n, d, 60 + p));
  fk::fit_options options;
  options.seed = 7;
  options.max_iterations = 6;
  auto const from_random = run_fit<T>(x, std::vector<matrix>(4, matrix(k, d)), options);

  device_matrices<T> const points(x, flat);
  device_matrices<C> const centroids(std::vector<matrix>(4, matrix(k, d)), flat);
  fk::init_centroids(points.const_view(), centroids.view(), options);
  std::vector<matrix> start;
  for (std::int64_t p = 0; p < b; ++p) {
    start.push_back(centroids.problem(p));
    matrix const own = rounded_to<T>(x[static_cast<std::size_t>(p)]);
    for (std::int64_t j = 0; j < k; ++j) {
      std::int64_t const row = fk::detail::random_centroid(j, n, p, options.seed);
      for (std::int64_t e = 0; e < d; ++e) {
        ASSERT_EQ(start.back()(j, e), own(row, e));
      }
    }
  }
  options.init = fk::init_method::given;
  EXPECT_TRUE(same_run(from_random, run_fit<T>(x, start, options)));

  options.init = fk::init_method::random;
  options.seed = 8;
  auto const other = run_fit<T>(x, std::vector<matrix>(4, matrix(k, d)), options);
  EXPECT_FALSE(same_bits(other.centroids, from_random.centroids));
}

// --- Batches -------------------------------------------------------------------------------------

// Problems that converge after 2 and 3 updates beside ones that go on: each ends as it does alone,
// bit for bit, so none touches another and none moves on after it has converged.
template <class T>
void expect_batch_is_its_problems(std::vector<matrix> const& x, std::vector<matrix> const& c,
                                  fk::fit_options const& options, fk::execution const& exec,
                                  layout const& x_layout, layout const& c_layout) {
  auto const batch = run_fit<T>(x, c, options, exec, x_layout, c_layout);
  int most = 0;
  bool all = true;
  double inertia = 0;
  for (std::size_t p = 0; p < x.size(); ++p) {
    SCOPED_TRACE(text("problem ", p));
    auto const i = static_cast<std::int64_t>(p);
    auto const alone = run_fit<T>(x[p], c[p], options, exec);
    EXPECT_TRUE(same_bits(slice(batch.centroids, i, batch.k * batch.d), alone.centroids));
    EXPECT_EQ(batch.labels_of(i), alone.labels);
    EXPECT_TRUE(same_bits(slice(batch.status, i, 1), alone.status))
        << batch.status[p].iterations << " iterations, alone " << alone.status[0].iterations;
    EXPECT_TRUE(index_matches(batch.index, i, batch.n, batch.k, alone.labels));
    most = std::max(most, alone.result.iterations);
    all = all && alone.result.converged;
    inertia += alone.result.inertia;
  }
  EXPECT_EQ(batch.result.iterations, most);
  EXPECT_EQ(batch.result.converged, all);
  // Sums of positive numbers in double, in some order.
  double const relative = static_cast<double>(x.size()) * std::ldexp(1.0, -52);
  EXPECT_NEAR(batch.result.inertia, inertia, relative * inertia);
}

TYPED_TEST(fit, small_batches_end_as_their_problems_do_alone) {
  using T = TypeParam;
  std::int64_t const k = 10, d = 24;
  std::vector<matrix> x, c;
  auto const add = [&](fit_case f) {
    x.push_back(std::move(f.points));
    c.push_back(std::move(f.centroids));
  };
  auto const normal = [&](std::uint64_t seed) {
    matrix points = normal_points(480, d, seed);
    matrix start = first_rows(points, k);
    return fit_case{std::move(points), std::move(start)};
  };
  // n = 480 and k = 10 in all of them; 480 is no multiple of 64 or 128.
  add(exact_moving(5, 32, d, 71));
  add(normal(72));
  add(normal(73));
  add(exact_moving(5, 32, d, 74));
  add(normal(75));
  add(normal(76));
  for (layout const& how : batch_layouts()) {
    SCOPED_TRACE(how.name);
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      expect_batch_is_its_problems<T>(x, c, given(15, 1e-4), on_kernel(kernel), how, how);
    }
  }
  // Not all of them have converged, and those that have did so at different iterations.
  auto const run = run_fit<T>(x, c, given(15, 1e-4));
  EXPECT_EQ(run.status[0].iterations, 3);
  EXPECT_GT(run.result.iterations, 3);
}

TYPED_TEST(fit, small_batch_without_closing_assignment) {
  using T = TypeParam;
  std::vector<matrix> x, c;
  for (std::uint64_t p = 0; p < 3; ++p) {
    fit_case f = exact_moving(3, 4, 20, 80 + p);
    if (p == 1) f.centroids = reference_fit(f.points, f.centroids, 2, 0).centroids;
    x.push_back(f.points);
    c.push_back(f.centroids);
  }
  fk::fit_options options = given(2, 0);
  options.closing_assignment = false;
  auto const run = run_fit<T>(x, c, options);
  for (std::int64_t p = 0; p < 3; ++p) {
    SCOPED_TRACE(p);
    auto const at = static_cast<std::size_t>(p);
    // Problem 1 starts where the others end: it converges in its first update.
    int const iterations = p == 1 ? 1 : 2;
    matrix const before = p == 1 ? c[at] : reference_fit(x[at], c[at], 1, 0).centroids;
    std::vector<std::int32_t> const labels = reference_assign(x[at], before);
    EXPECT_EQ(run.labels_of(p), labels);
    EXPECT_TRUE(index_matches(run.index, p, run.n, run.k, labels));
    EXPECT_EQ(run.status[at].iterations, iterations);
    EXPECT_EQ(run.status[at].converged, p == 1 ? 1 : 0);
    EXPECT_TRUE(std::isnan(run.status[at].inertia));
  }
  EXPECT_EQ(run.result.iterations, 2);
  EXPECT_FALSE(run.result.converged);
  EXPECT_TRUE(std::isnan(run.result.inertia));
}

// What fit_workspace_bytes promises where points need not be packed.
TYPED_TEST(fit, small_workspace_bytes_per_point) {
  using T = TypeParam;
  if constexpr (sizeof(T) == 2) {
    struct {
      std::int64_t b, n, k, d;
    } const cases[] = {{1, 8192, 1024, 128},     {1, 262144, 1024, 128},  {1, 1 << 20, 4096, 128},
                       {1, 1 << 20, 65536, 128}, {1, 1 << 23, 1024, 128}, {32, 65536, 1000, 128},
                       {8, 16384, 100, 128},     {1, 1 << 20, 1000, 768}, {1, 70000, 2048, 1024},
                       {16, 1 << 20, 256, 8},    {1, 1 << 30, 100, 8}};
    for (auto const& s : cases) {
      for (double const tolerance : part_of({0.0, 1e-4})) {
        SCOPED_TRACE(
            text("b ", s.b, ", n ", s.n, ", k ", s.k, ", d ", s.d, ", tolerance ", tolerance));
        // An aligned address, which is not read.
        auto const x =
            fk::matrix_view<T const>::batched(reinterpret_cast<T const*>(256), s.b, s.n, s.d);
        auto const c = fk::matrix_view<float>::batched(nullptr, s.b, s.k, s.d);
        auto const bytes = static_cast<double>(fk::fit_workspace_bytes(x, c, given(10, tolerance)));
        auto const problems = static_cast<double>(s.b);
        auto const points = problems * static_cast<double>(s.n);
        auto const coordinates = problems * static_cast<double>(s.k * s.d);
        bool const changes = s.n >= 1 << 15 && s.n >= 32 * s.k && s.d >= 32;
        EXPECT_LE(bytes, (changes ? 52 : 24) * points + (changes ? 36 : 20) * coordinates +
                             problems * (changes ? 8 << 20 : 4 << 20));
      }
    }
  }
}

TYPED_TEST(fit, large_batch_of_small_problems) {
  using T = TypeParam;
  std::vector<matrix> x, c;
  std::vector<reference_fit_result> expected;
  for (std::uint64_t p = 0; p < 3000; ++p) {
    fit_case f = exact_moving(3, 2, 8, p);
    // Every third problem starts at its end and freezes at once.
    if (p % 3 == 0) f.centroids = reference_fit(f.points, f.centroids, 3, 0).centroids;
    expected.push_back(reference_fit(f.points, f.centroids, 10, 0));
    x.push_back(std::move(f.points));
    c.push_back(std::move(f.centroids));
  }
  layout how;
  how.batch = {30, 100};
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    auto const run = run_fit<T>(x, c, given(10, 0), on_kernel(kernel), how, how);
    for (std::size_t p = 0; p < x.size(); ++p) {
      auto const i = static_cast<std::int64_t>(p);
      ASSERT_EQ(run.centroids_of(i).values, expected[p].centroids.values) << "problem " << p;
      ASSERT_EQ(run.labels_of(i), expected[p].labels) << "problem " << p;
      ASSERT_EQ(run.status[p].iterations, expected[p].iterations) << "problem " << p;
      ASSERT_EQ(run.status[p].inertia, expected[p].inertia) << "problem " << p;
    }
    EXPECT_EQ(run.result.iterations, 3);
    EXPECT_TRUE(run.result.converged);
  }
}

// Only labels are required.
TYPED_TEST(fit, small_every_other_output_is_optional) {
  using T = TypeParam;
  fit_case const f = exact_moving(5, 4, 24, 91);
  reference_fit_result const expected = reference_fit(f.points, f.centroids, 10, 0);
  device_matrices<T> const points(f.points);
  device_matrices<centroid_of<T>> const centroids(f.centroids);
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(f.points.rows), 1);
  fk::fit_result const result =
      fk::fit(points.const_view(), centroids.view(), labels.data(), given(10, 0));
  EXPECT_EQ(labels.download(), expected.labels);
  EXPECT_TRUE(same_bits(centroids.download(), to_type<centroid_of<T>>(expected.centroids)));
  EXPECT_EQ(result.inertia, expected.inertia);
  EXPECT_EQ(result.iterations, expected.iterations);
  EXPECT_TRUE(result.converged);
}

}  // namespace
