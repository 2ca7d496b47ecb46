// predict and inertia: labels and distances of given centroids.
#include <cuda/std/array>
#include <cuda/std/mdspan>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

template <class T>
class assign : public gpu_test {};
TYPED_TEST_SUITE(assign, element_types, element_names);

// Small integers: every product, sum and half norm is exact in float (|s| <= 16 d + 8 d < 2^24, in
// steps of 1/2), so labels and distances are the oracle's bit for bit, ties included.
template <class T>
void expect_exact(std::vector<shape> const& shapes) {
  for (shape const& s : shapes) {
    SCOPED_TRACE(text(s));
    matrix const x = integer_points(s.n, s.d, 11);
    matrix const c = integer_points(s.k, s.d, 12);
    std::vector<std::int32_t> const expected = reference_assign(x, c);
    device_matrices<T> const points(x);
    device_matrices<centroid_of<T>> const centroids(c);
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      auto const run =
          run_predict<T>(points.const_view(), centroids.const_view(), on_kernel(kernel));
      EXPECT_EQ(run.kernel, kernel);
      ASSERT_EQ(run.labels, expected);
      for (std::int64_t i = 0; i < s.n; ++i) {
        auto const at = static_cast<std::size_t>(i);
        ASSERT_EQ(static_cast<double>(run.distances[at]), reference_distance(x, i, c, expected[at]))
            << "point " << i;
      }
    }
  }
}

// Bell-shaped data: labels within the derived rounding of the nearest, distances within theirs.
template <class T>
void expect_within_rounding(std::vector<shape> const& shapes) {
  for (shape const& s : shapes) {
    SCOPED_TRACE(text(s));
    matrix const x = rounded_to<T>(normal_points(s.n, s.d, 21));
    matrix const c = rounded_to<centroid_of<T>>(normal_points(s.k, s.d, 22));
    matrix const multiplied = assignment_centroids<T>(c);
    device_matrices<T> const points(x);
    device_matrices<centroid_of<T>> const centroids(c);
    std::vector<std::int32_t> checked;
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      auto const run =
          run_predict<T>(points.const_view(), centroids.const_view(), on_kernel(kernel));
      // Kernels mostly agree to the last label; the oracle is asked once for each different answer.
      if (run.labels != checked) {
        ASSERT_TRUE(labels_are_nearest<T>(x, multiplied, run.labels, on_kernel(kernel)));
        checked = run.labels;
      }
      ASSERT_TRUE(distances_match<T>(x, c, run.labels, run.distances));
    }
  }
}

TYPED_TEST(assign, small_exact) { expect_exact<TypeParam>(small_shapes()); }

TYPED_TEST(assign, large_exact) { expect_exact<TypeParam>(large_shapes()); }

TYPED_TEST(assign, small_float) { expect_within_rounding<TypeParam>(small_shapes()); }

TYPED_TEST(assign, large_float) { expect_within_rounding<TypeParam>(large_shapes()); }

TYPED_TEST(assign, small_automatic_kernel_gives_the_labels_of_the_kernel_it_reports) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({3, 64, 200})) {
    SCOPED_TRACE(d);
    matrix const x = normal_points(300, d, 31), c = normal_points(70, d, 32);
    auto const chosen = run_predict<T>(x, c);
    std::vector<fk::assign_kernel> const kernels = kernels_for<T>();
    ASSERT_NE(std::find(kernels.begin(), kernels.end(), chosen.kernel), kernels.end())
        << fk::to_string(chosen.kernel);
    auto const forced = run_predict<T>(x, c, on_kernel(chosen.kernel));
    EXPECT_EQ(chosen.labels, forced.labels);
    EXPECT_TRUE(same_bits(chosen.distances, forced.distances));
  }
}

TYPED_TEST(assign, small_two_runs_give_the_same_bits) {
  using T = TypeParam;
  matrix const x = normal_points(sized(1001, 131), 77, 33), c = normal_points(200, 77, 34);
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    auto const first = run_predict<T>(x, c, on_kernel(kernel));
    auto const second = run_predict<T>(x, c, on_kernel(kernel));
    EXPECT_EQ(first.labels, second.labels);
    EXPECT_TRUE(same_bits(first.distances, second.distances));
  }
}

TYPED_TEST(assign, small_k_may_exceed_n) {
  using T = TypeParam;
  matrix const x = integer_points(3, 40, 41), c = integer_points(1000, 40, 42);
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    EXPECT_EQ(run_predict<T>(x, c, on_kernel(kernel)).labels, reference_assign(x, c))
        << fk::to_string(kernel);
  }
}

// Equal centroids in one tile, in neighbouring tiles and far apart: the first one wins.
TYPED_TEST(assign, small_ties_go_to_the_lowest_index) {
  using T = TypeParam;
  std::int64_t const k = 650, d = 64;
  matrix c = integer_points(k, d, 51);
  auto const copy = [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t e = 0; e < d; ++e) c(to, e) = c(from, e);
  };
  std::int64_t const pairs[][2] = {{0, 500},   {0, 1},     {3, 130}, {4, 5},
                                   {6, 14},    {7, 71},    {8, 136}, {127, 128},
                                   {129, 257}, {255, 383}, {2, 649}, {63, 64}};
  for (auto const& pair : pairs) copy(pair[0], pair[1]);
  // Points on the centroids themselves: without the tie-break the copies would be as good.
  matrix x = integer_points(k + 100, d, 52);
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t e = 0; e < d; ++e) x(i, e) = c(i, e);
  }
  std::vector<std::int32_t> const expected = reference_assign(x, c);
  for (auto const& pair : pairs) {
    ASSERT_EQ(expected[static_cast<std::size_t>(pair[1])], pair[0]) << "the oracle itself";
  }
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    EXPECT_EQ(run_predict<T>(x, c, on_kernel(kernel)).labels, expected) << fk::to_string(kernel);
  }
}

TYPED_TEST(assign, small_equal_centroids_all_lose_to_the_first) {
  using T = TypeParam;
  matrix const x = normal_points(333, 50, 53);
  matrix const c = take_rows(normal_points(1, 50, 54), std::vector<std::int64_t>(300, 0));
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    EXPECT_EQ(run_predict<T>(x, c, on_kernel(kernel)).labels, std::vector<std::int32_t>(333, 0))
        << fk::to_string(kernel);
  }
}

TYPED_TEST(assign, small_duplicate_points_get_one_label) {
  using T = TypeParam;
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 500; ++i) rows.push_back(i % 7);
  matrix const x = take_rows(normal_points(7, 90, 55), rows), c = normal_points(40, 90, 56);
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    auto const labels = run_predict<T>(x, c, on_kernel(kernel)).labels;
    for (std::size_t i = 7; i < labels.size(); ++i) {
      ASSERT_EQ(labels[i], labels[i % 7]) << "point " << i << ", " << fk::to_string(kernel);
    }
  }
}

TYPED_TEST(assign, small_nan_points_get_label_0_and_leave_the_others_alone) {
  using T = TypeParam;
  double const nan = std::numeric_limits<double>::quiet_NaN();
  for (std::int64_t const d : part_of({5, 64, 300})) {
    SCOPED_TRACE(d);
    matrix x = integer_points(400, d, 61);
    matrix const c = integer_points(140, d, 62);
    for (std::int64_t const i :
         {std::int64_t{0}, std::int64_t{17}, std::int64_t{128}, std::int64_t{399}}) {
      x(i, (i * 3) % d) = nan;
    }
    for (std::int64_t e = 0; e < d; ++e) x(200, e) = nan;
    std::vector<std::int32_t> const expected = reference_assign(x, c);
    ASSERT_EQ(expected[200], 0);
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      auto const run = run_predict<T>(x, c, on_kernel(kernel));
      EXPECT_EQ(run.labels, expected);
      EXPECT_TRUE(distances_match<T>(x, c, run.labels, run.distances));
    }
  }
}

TYPED_TEST(assign, small_nan_centroids_never_win) {
  using T = TypeParam;
  double const nan = std::numeric_limits<double>::quiet_NaN();
  for (std::int64_t const d : part_of({5, 64, 300})) {
    SCOPED_TRACE(d);
    matrix const x = integer_points(400, d, 63);
    matrix c = integer_points(200, d, 64);
    std::vector<std::int32_t> const before = reference_assign(x, c);
    // Those that would win most, the first one and whole runs of them.
    for (std::int64_t i = 0; i < 20; ++i) c(before[static_cast<std::size_t>(i)], i % d) = nan;
    c(0, d - 1) = nan;
    for (std::int64_t j = 120; j < 140; ++j) c(j, 0) = nan;
    std::vector<std::int32_t> const expected = reference_assign(x, c);
    ASSERT_NE(expected, before);
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      EXPECT_EQ(run_predict<T>(x, c, on_kernel(kernel)).labels, expected) << fk::to_string(kernel);
    }
    for (double& value : c.values) value = nan;
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      EXPECT_EQ(run_predict<T>(x, c, on_kernel(kernel)).labels, std::vector<std::int32_t>(400, 0))
          << "all NaN, " << fk::to_string(kernel);
    }
  }
}

// Points at the edge of half: |x|^2 is far beyond half, and centroids beyond its range must
// saturate rather than turn into infinities, whose scores are NaN.
TYPED_TEST(assign, small_values_at_the_edge_of_half) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({1, 8, 100})) {
    SCOPED_TRACE(d);
    // bfloat16 has no 65504; 65280 is its last step below 65536.
    double const edge = std::is_same_v<T, __nv_bfloat16> ? 65280 : 65504;
    double const at[] = {edge, -edge, 0, edge / 2, -edge / 2};
    matrix x(5, d), c(5, d), beyond(2, d);
    for (std::int64_t e = 0; e < d; ++e) {
      for (std::int64_t i = 0; i < 5; ++i) x(i, e) = c(4 - i, e) = at[i];
      beyond(0, e) = 1e5;
      beyond(1, e) = -1e5;
    }
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      EXPECT_EQ(run_predict<T>(x, c, on_kernel(kernel)).labels,
                (std::vector<std::int32_t>{4, 3, 2, 1, 0}));
      // The origin is as far from one as from the other.
      EXPECT_EQ(run_predict<T>(x, beyond, on_kernel(kernel)).labels,
                (std::vector<std::int32_t>{0, 1, 0, 0, 1}));
    }
  }
}

// A decision that needs more than the 11 bits of TF32: x = 1 + 2^-10 + 2^-12 is nearer to 1 + 2^-9
// than to 1, but rounded or cut to TF32 it is half-way between them and the tie would go to 1. In
// float all values are exact: x (1 + 2^-9) is a multiple of 2^-21 below 2.
TEST_F(gpu_test, small_float_points_are_not_rounded_to_tf32) {
  for (std::int64_t const d : part_of({1, 4, 64, 128})) {
    SCOPED_TRACE(d);
    matrix x(200, d), c(2, d);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      x(i, i % d) = 1 + std::ldexp(1.0, -10) + std::ldexp(1.0, -12);
    }
    // Both centroids lie on the first axis; points on another one are nearer to the shorter.
    c(0, 0) = 1;
    c(1, 0) = 1 + std::ldexp(1.0, -9);
    std::vector<std::int32_t> expected(200);
    for (std::int64_t i = 0; i < x.rows; ++i) expected[static_cast<std::size_t>(i)] = i % d == 0;
    ASSERT_EQ(reference_assign(x, c), expected);
    EXPECT_EQ(run_predict<float>(x, c).labels, expected);
    EXPECT_EQ(run_predict<double>(x, c).labels, expected);
  }
}

TYPED_TEST(assign, small_rows_may_lie_anywhere) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({1, 3, 45, 64, 200})) {
    matrix const x = integer_points(sized(150, 70), d, 71);
    matrix const c = integer_points(sized(131, 66), d, 72);
    std::vector<std::int32_t> const expected = reference_assign(x, c);
    for (layout const& x_layout : single_layouts()) {
      for (layout const& c_layout : single_layouts()) {
        SCOPED_TRACE(text("d = ", d, ", points ", x_layout.name, ", centroids ", c_layout.name));
        device_matrices<T> const points(x, x_layout);
        device_matrices<centroid_of<T>> const centroids(c, c_layout);
        for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
          SCOPED_TRACE(fk::to_string(kernel));
          auto const run =
              run_predict<T>(points.const_view(), centroids.const_view(), on_kernel(kernel));
          ASSERT_EQ(run.labels, expected);
          ASSERT_TRUE(distances_match<T>(x, c, expected, run.distances));
        }
        ASSERT_TRUE(points.padding_untouched());
        ASSERT_TRUE(centroids.padding_untouched());
      }
    }
  }
}

TYPED_TEST(assign, small_batches_in_every_layout) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{70, 9, 24}, shape{131, 130, 45}, shape{33, 5, 256}})) {
    std::vector<matrix> x, c;
    for (std::uint64_t p = 0; p < 6; ++p) {
      x.push_back(integer_points(s.n, s.d, 80 + p));
      c.push_back(integer_points(s.k, s.d, 90 + p));
    }
    std::vector<std::int32_t> const expected = reference_assign(x, c);
    for (layout x_layout : batch_layouts()) {
      for (layout c_layout : batch_layouts()) {
        if (x_layout.batch != c_layout.batch) continue;
        SCOPED_TRACE(text(s, ", points ", x_layout.name, ", centroids ", c_layout.name));
        device_matrices<T> const points(x, x_layout);
        device_matrices<centroid_of<T>> const centroids(c, c_layout);
        for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
          SCOPED_TRACE(fk::to_string(kernel));
          auto const run =
              run_predict<T>(points.const_view(), centroids.const_view(), on_kernel(kernel));
          ASSERT_EQ(run.labels, expected);
          for (std::int64_t p = 0; p < 6; ++p) {
            auto const at = static_cast<std::size_t>(p);
            ASSERT_TRUE(distances_match<T>(x[at], c[at], slice(run.labels, p, s.n),
                                           slice(run.distances, p, s.n)));
          }
        }
      }
    }
  }
}

// One problem's data may serve all problems of a batch: points with stride 0.
TYPED_TEST(assign, small_points_shared_by_a_batch) {
  using T = TypeParam;
  matrix const x = integer_points(90, 20, 101);
  std::vector<matrix> c;
  for (std::uint64_t p = 0; p < 4; ++p) {
    c.push_back(integer_points(11, 20, 102 + p));
  }
  std::vector<std::int32_t> const expected = reference_assign(std::vector<matrix>(c.size(), x), c);
  layout flat;
  flat.batch = {4, 1};
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c, flat);
  fk::matrix_view<T const> shared = points.const_view();
  shared.batch = {4, 1};
  shared.batch_stride = {0, 0};
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    EXPECT_EQ(run_predict<T>(shared, centroids.const_view(), on_kernel(kernel)).labels, expected)
        << fk::to_string(kernel);
  }
}

// More problems than the y and z dimensions of a grid hold.
TYPED_TEST(assign, large_batch_of_tiny_problems) {
  using T = TypeParam;
  std::int64_t const b = 70000, n = 5, k = 3, d = 6;
  layout how;
  how.batch = {b / 10, 10};
  std::vector<matrix> x, c;
  for (std::int64_t p = 0; p < b; ++p) {
    x.push_back(integer_points(n, d, static_cast<std::uint64_t>(2 * p)));
    c.push_back(integer_points(k, d, static_cast<std::uint64_t>(2 * p + 1)));
  }
  std::vector<std::int32_t> const expected = reference_assign(x, c);
  device_matrices<T> const points(x, how);
  device_matrices<centroid_of<T>> const centroids(c, how);
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    auto const run = run_predict<T>(points.const_view(), centroids.const_view(), on_kernel(kernel));
    ASSERT_EQ(run.labels, expected);
    std::int64_t const last = b - 1;
    ASSERT_TRUE(distances_match<T>(x.back(), c.back(), slice(run.labels, last, n),
                                   slice(run.distances, last, n)));
  }
}

TYPED_TEST(assign, small_distances_are_optional) {
  using T = TypeParam;
  matrix const x = integer_points(100, 24, 111), c = integer_points(9, 24, 112);
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  device_buffer<std::int32_t> labels(100);
  fk::predict_outputs<centroid_of<T>> const out{labels.data()};
  fk::predict(points.const_view(), centroids.const_view(), out);
  EXPECT_EQ(labels.download(), reference_assign(x, c));
}

// Centroids may be given as a view that could be written; predict leaves them alone.
TYPED_TEST(assign, small_inputs_are_not_written) {
  using T = TypeParam;
  matrix const x = normal_points(100, 24, 113), c = normal_points(9, 24, 114);
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  device_buffer<std::int32_t> labels(100);
  fk::predict_outputs<centroid_of<T>> const out{labels.data()};
  fk::predict(points.const_view(), centroids.view(), out);
  EXPECT_TRUE(same_bits(points.download(), to_type<T>(x)));
  EXPECT_TRUE(same_bits(centroids.download(), to_type<centroid_of<T>>(c)));
}

// --- inertia -------------------------------------------------------------------------------------

// Sums of small integers: exact.
TYPED_TEST(assign, small_inertia_exact) {
  using T = TypeParam;
  for (shape const& s : small_shapes()) {
    SCOPED_TRACE(text(s));
    matrix const x = integer_points(s.n, s.d, 121), c = integer_points(s.k, s.d, 122);
    device_matrices<T> const points(x);
    device_matrices<centroid_of<T>> const centroids(c);
    double const expected = reference_inertia(x, c, reference_assign(x, c));
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      EXPECT_EQ(fk::inertia(points.const_view(), centroids.const_view(), {}, on_kernel(kernel)),
                expected)
          << fk::to_string(kernel);
    }
  }
}

TYPED_TEST(assign, large_inertia_exact) {
  using T = TypeParam;
  matrix const x = integer_points(700001, 3, 123), c = integer_points(20, 3, 124);
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  EXPECT_EQ(fk::inertia(points.const_view(), centroids.const_view()),
            reference_inertia(x, c, reference_assign(x, c)));
}

TYPED_TEST(assign, small_inertia_of_a_batch) {
  using T = TypeParam;
  std::vector<matrix> x, c;
  std::vector<double> expected;
  double total = 0;
  for (std::uint64_t p = 0; p < 6; ++p) {
    x.push_back(integer_points(301, 45, 130 + p));
    c.push_back(integer_points(12, 45, 140 + p));
    expected.push_back(reference_inertia(x.back(), c.back(), reference_assign(x.back(), c.back())));
    total += expected.back();
  }
  for (layout const& how : batch_layouts()) {
    SCOPED_TRACE(how.name);
    device_matrices<T> const points(x, how);
    device_matrices<centroid_of<T>> const centroids(c, how);
    EXPECT_EQ(fk::inertia(points.const_view(), centroids.const_view()), total);
    device_buffer<double> each(6);
    fk::inertia_async(points.const_view(), centroids.const_view(), each.data());
    EXPECT_EQ(each.download(), expected);
  }
}

// The sum with the labels of predict: every term errs by at most distance_error, all terms are
// positive, and n terms are added in double.
TYPED_TEST(assign, small_inertia_float) {
  using T = TypeParam;
  matrix const x = rounded_to<T>(normal_points(2003, 60, 151));
  matrix const c = rounded_to<centroid_of<T>>(normal_points(40, 60, 152));
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  auto const run = run_predict<T>(points.const_view(), centroids.const_view());
  double const expected = reference_inertia(x, c, run.labels);
  double const relative = distance_error<T>(60) + 2003 * std::ldexp(1.0, -52);
  EXPECT_NEAR(fk::inertia(points.const_view(), centroids.const_view()), expected,
              relative * expected);
}

// --- mdspan --------------------------------------------------------------------------------------

template <class T, std::size_t Rank>
using dense = cuda::std::mdspan<T, cuda::std::dextents<std::int64_t, Rank>>;
template <class T, std::size_t Rank>
using strided =
    cuda::std::mdspan<T, cuda::std::dextents<std::int64_t, Rank>, cuda::std::layout_stride>;

template <class T>
void expect_same_view(fk::matrix_view<T> const& a, fk::matrix_view<T> const& b) {
  EXPECT_EQ(a.data, b.data);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.cols, b.cols);
  EXPECT_EQ(a.ld, b.ld);
  ASSERT_EQ(a.batch_count(), b.batch_count());
  for (std::int64_t p = 0; p < a.batch_count(); ++p) {
    EXPECT_EQ(a.problem_offset(p), b.problem_offset(p)) << "problem " << p;
  }
}

TYPED_TEST(assign, small_mdspan_of_rank_2) {
  using T = TypeParam;
  matrix const x = integer_points(100, 24, 161), c = integer_points(9, 24, 162);
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  dense<T const, 2> const span(points.view().data, 100, 24);
  fk::matrix_view<T const> const view(span);
  expect_same_view(view, points.const_view());
  dense<centroid_of<T>, 2> const centroid_span(centroids.view().data, 9, 24);
  fk::matrix_view<centroid_of<T> const> const centroid_view(centroid_span);
  EXPECT_EQ(run_predict<T>(view, centroid_view).labels, reference_assign(x, c));
}

TYPED_TEST(assign, small_mdspan_of_rank_2_with_padded_rows) {
  using T = TypeParam;
  layout padded;
  padded.pad = 5;
  matrix const x = integer_points(100, 24, 163), c = integer_points(9, 24, 164);
  device_matrices<T> const points(x, padded);
  device_matrices<centroid_of<T>> const centroids(c);
  using span_type = strided<T const, 2>;
  span_type const span(points.view().data, typename span_type::mapping_type(
                                               cuda::std::dextents<std::int64_t, 2>(100, 24),
                                               cuda::std::array<std::int64_t, 2>{29, 1}));
  fk::matrix_view<T const> const view(span);
  expect_same_view(view, points.const_view());
  EXPECT_EQ(run_predict<T>(view, centroids.const_view()).labels, reference_assign(x, c));
}

TYPED_TEST(assign, small_mdspan_of_ranks_3_and_4) {
  using T = TypeParam;
  std::int64_t const b = 2, h = 3, n = 50, k = 7, d = 24;
  std::vector<matrix> x, c;
  for (std::uint64_t p = 0; p < 6; ++p) {
    x.push_back(integer_points(n, d, 170 + p));
    c.push_back(integer_points(k, d, 180 + p));
  }
  std::vector<std::int32_t> const expected = reference_assign(x, c);
  layout bhsd, nhd;
  bhsd.batch = nhd.batch = {b, h};
  nhd.nhd = true;
  device_matrices<T> const contiguous(x, bhsd), interleaved(x, nhd);
  device_matrices<centroid_of<T>> const centroids(c, bhsd);

  dense<T const, 4> const span_4(contiguous.view().data, b, h, n, d);
  fk::matrix_view<T const> const view_4(span_4);
  expect_same_view(view_4, contiguous.const_view());
  expect_same_view(view_4, fk::matrix_view<T const>::bhsd(contiguous.view().data, b, h, n, d));
  EXPECT_EQ(run_predict<T>(view_4, centroids.const_view()).labels, expected);

  // [b][n][h][d] in the order b, h, n, d.
  using span_type = strided<T const, 4>;
  span_type const span_nhd(
      interleaved.view().data,
      typename span_type::mapping_type(cuda::std::dextents<std::int64_t, 4>(b, h, n, d),
                                       cuda::std::array<std::int64_t, 4>{n * h * d, d, h * d, 1}));
  fk::matrix_view<T const> const view_nhd(span_nhd);
  expect_same_view(view_nhd, interleaved.const_view());
  expect_same_view(view_nhd, fk::matrix_view<T const>::nhd(interleaved.view().data, b, n, h, d));
  EXPECT_EQ(run_predict<T>(view_nhd, centroids.const_view()).labels, expected);

  // Rank 3 is one batch dimension; views of one call must agree in theirs.
  dense<T const, 3> const span_3(contiguous.view().data, b * h, n, d);
  dense<centroid_of<T> const, 3> const centroid_span_3(centroids.view().data, b * h, k, d);
  fk::matrix_view<T const> const view_3(span_3);
  fk::matrix_view<centroid_of<T> const> const centroid_view_3(centroid_span_3);
  expect_same_view(view_3, contiguous.const_view());
  EXPECT_EQ(run_predict<T>(view_3, centroid_view_3).labels, expected);
}

}  // namespace
