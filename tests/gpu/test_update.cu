// update_centroids: means, by-products, shift.
#include "../gpu_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class update : public gpu_test {};
TYPED_TEST_SUITE(update, element_types, element_names);

template <class T>
struct update_run {
  std::vector<centroid_of<T>> centroids;  // [b][k][d]
  index_values index;
  std::vector<double> shifts;  // [b]
  double shift;
};

template <class T>
bool same_run(update_run<T> const& a, update_run<T> const& b) {
  return same_bits(a.centroids, b.centroids) && a.index == b.index &&
         same_bits(a.shifts, b.shifts) && a.shift == b.shift;
}

// labels are those of all problems, one problem after the other.
template <class T>
update_run<T> run_update(std::vector<matrix> const& x, std::vector<std::int32_t> const& labels,
                         std::vector<matrix> const& c, layout const& x_layout = {},
                         layout const& c_layout = {}) {
  auto const b = static_cast<std::int64_t>(x.size());
  device_matrices<T> const points(x, x_layout);
  device_matrices<centroid_of<T>> const centroids(c, c_layout);
  device_buffer<std::int32_t> const device_labels(labels);
  index_buffers index(b, x.front().rows, c.front().rows);
  device_buffer<double> shifts(static_cast<std::size_t>(b));
  fk::update_outputs const out{index.view(), shifts.data()};
  double const shift =
      fk::update_centroids(points.const_view(), device_labels.data(), centroids.view(), out);
  EXPECT_TRUE(points.padding_untouched());
  EXPECT_TRUE(centroids.padding_untouched());
  EXPECT_EQ(device_labels.download(), labels);
  return {centroids.download(), index_values(index), shifts.download(), shift};
}

template <class T>
update_run<T> run_update(matrix const& x, std::vector<std::int32_t> const& labels,
                         matrix const& c) {
  return run_update<T>(std::vector<matrix>{x}, labels, std::vector<matrix>{c});
}

// The shift against the oracle's, from centroids as they are stored: a difference of two values
// errs by u of C, its square by 3 u, and the sum is of positive terms, in whatever order (in
// double, with 2^-53 a term).
template <class T>
double shift_error(std::int64_t k, std::int64_t d) {
  return 4 * unit_roundoff<centroid_of<T>>() +
         2 * static_cast<double>(k * d + 4) * std::ldexp(1.0, -53);
}

// Sums of small integers are exact in float, and sum / count in double rounded once is the oracle's
// mean rounded once: the same bits.
template <class T>
void expect_exact(matrix const& x, std::vector<std::int32_t> const& labels, matrix const& c) {
  auto const run = run_update<T>(x, labels, c);
  matrix const expected = reference_update(x, labels, c);
  ASSERT_TRUE(same_bits(run.centroids, to_type<centroid_of<T>>(expected)));
  ASSERT_TRUE(index_matches(run.index, 0, x.rows, c.rows, labels));
  double const shift =
      reference_shift(rounded_to<centroid_of<T>>(c), rounded_to<centroid_of<T>>(expected));
  ASSERT_NEAR(run.shifts[0], shift, shift_error<T>(c.rows, c.cols) * shift);
  ASSERT_EQ(run.shift, run.shifts[0]);
}

std::vector<std::int32_t> random_labels(std::int64_t n, std::int64_t k, std::uint64_t seed) {
  random_source random(seed);
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    labels.push_back(static_cast<std::int32_t>(random.integer(0, k - 1)));
  }
  return labels;
}

// sizes[j] labels j, shuffled.
std::vector<std::int32_t> labels_of_sizes(std::vector<std::int64_t> const& sizes,
                                          std::uint64_t seed) {
  std::vector<std::int32_t> labels;
  for (std::size_t j = 0; j < sizes.size(); ++j) {
    labels.insert(labels.end(), static_cast<std::size_t>(sizes[j]), static_cast<std::int32_t>(j));
  }
  random_source random(seed);
  for (std::size_t i = labels.size(); i > 1; --i) {
    std::swap(
        labels[i - 1],
        labels[static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(i) - 1))]);
  }
  return labels;
}

template <class T>
void expect_exact(std::vector<shape> const& shapes) {
  for (shape const& s : shapes) {
    SCOPED_TRACE(text(s));
    expect_exact<T>(integer_points(s.n, s.d, 11), random_labels(s.n, s.k, 12),
                    integer_points(s.k, s.d, 13));
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TYPED_TEST(update, small_exact) { expect_exact<TypeParam>(small_shapes()); }

TYPED_TEST(update, large_exact) { expect_exact<TypeParam>(large_shapes()); }

// Points of up to 2048 clusters are sorted by counting, by one block or by a cluster of them; of
// more by two digits, or by three above 2^22. Labels outside have a bucket of their own, for which
// powers of two need one bit more.
TYPED_TEST(update, small_every_way_to_sort) {
  using T = TypeParam;
  for (std::int64_t const n : {129, sized(5000, 300)}) {
    for (std::int64_t const k :
         part_of({1, 2, 100, 255, 256, 1024, 2047, 2048, 3000, 4096, 65536, 70000}, 4)) {
      SCOPED_TRACE(text("n ", n, ", k ", k));
      std::vector<std::int32_t> labels = random_labels(2 * n, k, 91);
      for (std::size_t i = 0; i < labels.size(); i += 11) labels[i] = i % 2 == 0 ? -1 : 1 << 30;
      std::vector<matrix> const x{integer_points(n, 3, 92), integer_points(n, 3, 93)};
      std::vector<matrix> const c{integer_points(k, 3, 94), integer_points(k, 3, 95)};
      layout how;
      how.batch = {2, 1};
      auto const run = run_update<T>(x, labels, c, how, how);
      for (std::int64_t b = 0; b < 2; ++b) {
        auto const own = slice(labels, b, n);
        matrix const expected = reference_update(x[b], own, c[b]);
        ASSERT_TRUE(same_bits(slice(run.centroids, b, k * 3), to_type<centroid_of<T>>(expected)));
        ASSERT_TRUE(index_matches(run.index, b, n, k, own));
      }
    }
  }
}

TYPED_TEST(update, small_three_digits_to_sort) {
  using T = TypeParam;
  std::int64_t const n = sized(3000, 300), k = (1 << 22) + 9;
  std::vector<std::int32_t> labels = random_labels(n, k, 96);
  for (std::size_t i = 0; i < labels.size(); i += 7) {
    labels[i] = static_cast<std::int32_t>(i % 2 == 0 ? k - 1 - i % 5 : k);
  }
  matrix const x = integer_points(n, 1, 97), c = integer_points(k, 1, 98);
  auto const run = run_update<T>(x, labels, c);
  ASSERT_TRUE(same_bits(run.centroids, to_type<centroid_of<T>>(reference_update(x, labels, c))));
  ASSERT_TRUE(index_matches(run.index, 0, n, k, labels));
}

// Batches of more points than the blocks of a cluster sort together: spans are counted first, in one
// group or in several.
TYPED_TEST(update, large_spans_are_counted) {
  using T = TypeParam;
  for (shape const& s :
       part_of({shape{70001, 300, 1}, shape{300000, 7, 2}, shape{140000, 2047, 1},
                shape{140000, 1024, 1}, shape{200000, 5000, 1}, shape{200000, 4096, 1}})) {
    SCOPED_TRACE(text(s));
    std::vector<std::int32_t> labels = random_labels(3 * s.n, s.k, 181);
    for (std::size_t i = 0; i < labels.size(); i += 13) labels[i] = -1;
    // The middle one is crowded.
    for (std::int64_t i = s.n; i < 2 * s.n; ++i) {
      if (i % 100 != 0) labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(s.k / 2);
    }
    std::vector<matrix> x, c;
    for (std::uint64_t b = 0; b < 3; ++b) {
      x.push_back(integer_points(s.n, s.d, 182 + b));
      c.push_back(integer_points(s.k, s.d, 185 + b));
    }
    layout how;
    how.batch = {3, 1};
    auto const run = run_update<T>(x, labels, c, how, how);
    for (std::int64_t b = 0; b < 3; ++b) {
      auto const at = static_cast<std::size_t>(b);
      auto const own = slice(labels, b, s.n);
      matrix const expected = reference_update(x[at], own, c[at]);
      ASSERT_TRUE(same_bits(slice(run.centroids, b, s.k * s.d), to_type<centroid_of<T>>(expected)));
      ASSERT_TRUE(index_matches(run.index, b, s.n, s.k, own));
    }
  }
}

// A plain fp32 sum of 10^7 values near 10 would lose three digits; sums of chunks in fp32 and of
// chunks in double lose less than the mean's own rounding adds.
TYPED_TEST(update, large_sums_of_ten_million_points_stay_accurate) {
  using T = TypeParam;
  std::int64_t const n = 10000000;
  matrix x = normal_points(n, 1, 191);
  for (double& value : x.values) value += 10;
  x = rounded_to<T>(x);
  matrix const c(2, 1);
  // All points in one cluster, and but a thousandth.
  for (std::int64_t const others : {0, 1000}) {
    SCOPED_TRACE(text("one of ", others));
    std::vector<std::int32_t> labels(static_cast<std::size_t>(n), 0);
    for (std::size_t i = 0; others != 0 && i < labels.size(); i += 1000) labels[i] = 1;
    auto const run = run_update<T>(x, labels, c);
    matrix const got = from_type<centroid_of<T>>(run.centroids, 2, 1);
    matrix const expected = reference_update(x, labels, c);
    for (std::int64_t j = 0; j < 2; ++j) {
      EXPECT_NEAR(got(j, 0), expected(j, 0),
                  2 * unit_roundoff<centroid_of<T>>() * std::abs(expected(j, 0)))
          << "cluster " << j;
    }
  }
}

// So many chunks that runs of them are added up ahead of time.
TYPED_TEST(update, large_two_million_points) {
  using T = TypeParam;
  std::int64_t const n = (1 << 21) + 5000;
  matrix const x = integer_points(n, 4, 96, -1, 1);
  for (std::int64_t const k : part_of({3, 1000})) {
    SCOPED_TRACE(text("k ", k));
    expect_exact<T>(x, random_labels(n, k, 97), integer_points(k, 4, 98));
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TYPED_TEST(update, small_labels_out_of_range_are_ignored) {
  using T = TypeParam;
  std::int64_t const n = 1000;
  for (std::int64_t const k : part_of({7, 8})) {
    SCOPED_TRACE(text("k ", k));
    matrix const x = integer_points(n, 24, 21), c = integer_points(k, 24, 22);
    std::vector<std::int32_t> labels = random_labels(n, k, 23);
    std::int32_t const outside[] = {-1,
                                    static_cast<std::int32_t>(k),
                                    9,
                                    15,
                                    1 << 20,
                                    std::numeric_limits<std::int32_t>::max(),
                                    std::numeric_limits<std::int32_t>::min()};
    for (std::size_t i = 0; i < labels.size(); i += 3) labels[i] = outside[i % std::size(outside)];
    expect_exact<T>(x, labels, c);
    // None is left: nothing moves.
    std::vector<std::int32_t> const nowhere(static_cast<std::size_t>(n), -7);
    auto const none = run_update<T>(x, nowhere, c);
    EXPECT_TRUE(same_bits(none.centroids, to_type<centroid_of<T>>(c)));
    EXPECT_EQ(none.shift, 0);
    EXPECT_TRUE(index_matches(none.index, 0, n, k, nowhere));
  }
}

// NaN in a point reaches the mean of its own cluster alone, and a point without a cluster none.
TYPED_TEST(update, small_nan_stays_in_its_cluster) {
  using T = TypeParam;
  std::int64_t const n = 500, k = 6, d = 40;
  matrix x = integer_points(n, d, 31);
  matrix const c = integer_points(k, d, 32);
  std::vector<std::int32_t> labels = random_labels(n, k, 33);
  labels[100] = 2;
  labels[200] = -1;
  double const nan = std::numeric_limits<double>::quiet_NaN();
  x(100, 5) = nan;
  for (std::int64_t e = 0; e < d; ++e) x(200, e) = nan;
  auto const run = run_update<T>(x, labels, c);
  matrix const got = from_type<centroid_of<T>>(run.centroids, k, d);
  matrix const expected = rounded_to<centroid_of<T>>(reference_update(x, labels, c));
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t e = 0; e < d; ++e) {
      if (j == 2 && e == 5) {
        EXPECT_TRUE(std::isnan(got(j, e)));
      } else {
        ASSERT_EQ(got(j, e), expected(j, e)) << "cluster " << j << ", feature " << e;
      }
    }
  }
}

TYPED_TEST(update, small_empty_clusters_keep_their_centroids) {
  using T = TypeParam;
  std::int64_t const n = 300, k = 50, d = 45;
  matrix const x = integer_points(n, d, 41), c = normal_points(k, d, 42);
  std::vector<std::int32_t> labels = random_labels(n, 10, 43);
  for (std::int32_t& label : labels) label = label * 4 + 3;  // 3, 7, ..., 39
  auto const run = run_update<T>(x, labels, c);
  auto const before = to_type<centroid_of<T>>(c);
  for (std::int64_t j = 0; j < k; ++j) {
    bool const empty = run.index.counts[static_cast<std::size_t>(j)] == 0;
    EXPECT_EQ(empty, j % 4 != 3 || j > 39) << "cluster " << j;
    EXPECT_EQ(same_bits(slice(run.centroids, j, d), slice(before, j, d)), empty) << "cluster " << j;
  }
  EXPECT_TRUE(index_matches(run.index, 0, n, k, labels));
}

// Sizes around every power of two: clusters begin and end before, on and after whatever chunks the
// sums are cut into.
TYPED_TEST(update, small_clusters_straddle_chunks) {
  using T = TypeParam;
  std::vector<std::int64_t> sizes;
  for (std::int64_t const power : {2, 8, 32, 64, 128, 256, 512, 1024}) {
    for (std::int64_t const off : {-1, 0, 1}) sizes.push_back(power + off);
  }
  sizes.push_back(0);
  sizes.push_back(1);
  auto const k = static_cast<std::int64_t>(sizes.size());
  for (bool const backwards : {false, true}) {
    if (backwards) std::reverse(sizes.begin(), sizes.end());
    std::vector<std::int32_t> const labels = labels_of_sizes(sizes, 51);
    for (std::int64_t const d : part_of({1, 5, 64})) {
      SCOPED_TRACE(text("d = ", d, ", backwards = ", backwards));
      auto const n = static_cast<std::int64_t>(labels.size());
      expect_exact<T>(integer_points(n, d, 52), labels, integer_points(k, d, 53));
    }
  }
}

// Sums of half and bfloat16 points must not be kept in their type: 300000 points of up to 4.
TYPED_TEST(update, large_all_points_in_one_cluster) {
  using T = TypeParam;
  std::int64_t const n = 300000, d = 16;
  matrix const x = integer_points(n, d, 61, 0, 4);
  expect_exact<T>(x, std::vector<std::int32_t>(static_cast<std::size_t>(n), 0),
                  integer_points(1, d, 62));
  expect_exact<T>(x, std::vector<std::int32_t>(static_cast<std::size_t>(n), 38),
                  integer_points(77, d, 63));
}

TYPED_TEST(update, large_one_huge_cluster_and_many_tiny_ones) {
  using T = TypeParam;
  std::vector<std::int64_t> sizes;
  random_source random(71);
  for (int j = 0; j < 5000; ++j) sizes.push_back(random.integer(0, 3));
  sizes[2500] = 200000;
  std::vector<std::int32_t> const labels = labels_of_sizes(sizes, 72);
  auto const n = static_cast<std::int64_t>(labels.size());
  expect_exact<T>(integer_points(n, 20, 73), labels, integer_points(5000, 20, 74));
}

TYPED_TEST(update, small_clusters_of_one_point) {
  using T = TypeParam;
  std::int64_t const n = 777;
  std::vector<std::int64_t> const ones(static_cast<std::size_t>(n), 1);
  expect_exact<T>(integer_points(n, 33, 81), labels_of_sizes(ones, 82), integer_points(n, 33, 83));
}

TYPED_TEST(update, small_batches_in_every_layout) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{170, 9, 24}, shape{90, 130, 45}, shape{65, 3, 200}})) {
    std::vector<matrix> x, c;
    std::vector<std::int32_t> labels;
    std::vector<centroid_of<T>> expected;
    for (std::uint64_t p = 0; p < 6; ++p) {
      x.push_back(integer_points(s.n, s.d, 90 + p));
      c.push_back(integer_points(s.k, s.d, 100 + p));
      std::vector<std::int32_t> own = random_labels(s.n, s.k, 110 + p);
      own[p] = -1;  // problems differ in how many points count
      labels.insert(labels.end(), own.begin(), own.end());
      matrix const means = reference_update(x.back(), own, c.back());
      auto const values = to_type<centroid_of<T>>(means);
      expected.insert(expected.end(), values.begin(), values.end());
    }
    for (layout const& x_layout : batch_layouts()) {
      for (layout const& c_layout : batch_layouts()) {
        if (x_layout.batch != c_layout.batch) continue;
        SCOPED_TRACE(text(s, ", points ", x_layout.name, ", centroids ", c_layout.name));
        auto const run = run_update<T>(x, labels, c, x_layout, c_layout);
        ASSERT_TRUE(same_bits(run.centroids, expected));
        double total = 0;
        for (std::int64_t p = 0; p < 6; ++p) {
          auto const at = static_cast<std::size_t>(p);
          ASSERT_TRUE(index_matches(run.index, p, s.n, s.k, slice(labels, p, s.n)));
          double const shift = reference_shift(
              c[at], from_type<centroid_of<T>>(slice(expected, p, s.k * s.d), s.k, s.d));
          ASSERT_NEAR(run.shifts[at], shift, shift_error<T>(s.k, s.d) * shift);
          total += run.shifts[at];
        }
        ASSERT_NEAR(run.shift, total, 6 * std::ldexp(1.0, -53) * total);
      }
    }
  }
}

TYPED_TEST(update, large_batch_of_tiny_problems) {
  using T = TypeParam;
  std::int64_t const b = 100000, n = 5, k = 3, d = 6;
  layout how;
  how.batch = {b / 10, 10};
  std::vector<matrix> x, c;
  std::vector<std::int32_t> labels;
  std::vector<centroid_of<T>> expected;
  for (std::int64_t p = 0; p < b; ++p) {
    x.push_back(integer_points(n, d, static_cast<std::uint64_t>(2 * p)));
    c.push_back(integer_points(k, d, static_cast<std::uint64_t>(2 * p + 1)));
    std::vector<std::int32_t> const own = random_labels(n, k, static_cast<std::uint64_t>(p));
    labels.insert(labels.end(), own.begin(), own.end());
    auto const means = to_type<centroid_of<T>>(reference_update(x.back(), own, c.back()));
    expected.insert(expected.end(), means.begin(), means.end());
  }
  auto const run = run_update<T>(x, labels, c, how, how);
  ASSERT_TRUE(same_bits(run.centroids, expected));
  for (std::int64_t p = 0; p < b; ++p) {
    ASSERT_TRUE(index_matches(run.index, p, n, k, slice(labels, p, n)));
  }
}

// --- Other rows by cluster ----------------------------------------------------------------------

// Sums of values by the labels of other points, small integers so that sums are exact.
TYPED_TEST(update, small_sums_by_cluster) {
  using T = TypeParam;
  using C = centroid_of<T>;
  for (shape const& s : part_of({shape{3000, 50, 24}, shape{500, 600, 45}, shape{20000, 3, 7}})) {
    std::vector<matrix> x;
    std::vector<std::int32_t> labels;
    std::vector<C> expected;
    for (std::uint64_t p = 0; p < 6; ++p) {
      x.push_back(integer_points(s.n, s.d, 200 + p));
      std::vector<std::int32_t> own = random_labels(s.n, s.k, 210 + p);
      for (std::size_t i = 0; i < own.size(); i += 17) own[i] = i % 2 == 0 ? -1 : 1 << 20;
      // Empty in one problem, crowded in the next.
      for (std::int32_t& label : own) label = label == 1 ? (p % 2 == 0 ? 0 : 2) : label;
      matrix sums(s.k, s.d);
      for (std::int64_t i = 0; i < s.n; ++i) {
        std::int32_t const label = own[static_cast<std::size_t>(i)];
        if (label < 0 || label >= s.k) continue;
        for (std::int64_t e = 0; e < s.d; ++e) sums(label, e) += x.back()(i, e);
      }
      auto const values = to_type<C>(sums);
      expected.insert(expected.end(), values.begin(), values.end());
      labels.insert(labels.end(), own.begin(), own.end());
    }
    std::vector<matrix> const nothing(6, matrix(s.k, s.d));
    device_buffer<std::int32_t> const device_labels(labels);
    for (layout const& how : batch_layouts()) {
      SCOPED_TRACE(text(s, ", ", how.name));
      device_matrices<T> const values(x, how);
      device_matrices<C> const sums(nothing, how);
      fk::sum_by_cluster(values.const_view(), device_labels.data(), sums.view());
      ASSERT_TRUE(same_bits(sums.download(), expected));
      EXPECT_TRUE(sums.padding_untouched());
    }
  }
}

TYPED_TEST(update, small_rows_by_cluster) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{300, 7, 1}, shape{200, 5, 3}, shape{150, 9, 45},
                                 shape{99, 4, 64}, shape{70, 3, 250}})) {
    std::vector<matrix> x, blank;
    std::vector<std::int32_t> order;
    std::vector<T> expected;
    random_source random(221);
    for (std::uint64_t p = 0; p < 6; ++p) {
      x.push_back(integer_points(s.n, s.d, 222 + p));
      blank.emplace_back(s.n, s.d);
      auto const values = to_type<T>(x.back());
      for (std::int64_t i = 0; i < s.n; ++i) {
        order.push_back(static_cast<std::int32_t>(random.integer(0, s.n - 1)));
        auto const row = slice(values, order.back(), s.d);
        expected.insert(expected.end(), row.begin(), row.end());
      }
    }
    device_buffer<std::int32_t> const device_order(order);
    for (layout const& from : batch_layouts()) {
      for (layout const& to : batch_layouts()) {
        if (from.batch != to.batch) continue;
        SCOPED_TRACE(text(s, ", from ", from.name, ", to ", to.name));
        device_matrices<T> const rows(x, from);
        device_matrices<T> const sorted(blank, to);
        fk::gather_by_cluster(rows.const_view(), device_order.data(), sorted.view());
        ASSERT_TRUE(same_bits(sorted.download(), expected));
        EXPECT_TRUE(sorted.padding_untouched());
      }
    }
  }
}

TYPED_TEST(update, small_rows_may_lie_anywhere) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({1, 3, 45, 64})) {
    matrix const x = integer_points(200, d, 121), c = integer_points(11, d, 122);
    std::vector<std::int32_t> const labels = random_labels(200, 11, 123);
    auto const expected = to_type<centroid_of<T>>(reference_update(x, labels, c));
    for (layout const& x_layout : single_layouts()) {
      for (layout const& c_layout : single_layouts()) {
        SCOPED_TRACE(text("d = ", d, ", points ", x_layout.name, ", centroids ", c_layout.name));
        ASSERT_TRUE(
            same_bits(run_update<T>({x}, labels, {c}, x_layout, c_layout).centroids, expected));
      }
    }
  }
}

TYPED_TEST(update, small_float) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{5000, 3, 7}, shape{3001, 100, 64}, shape{700, 10, 300}})) {
    SCOPED_TRACE(text(s));
    matrix const x = rounded_to<T>(normal_points(s.n, s.d, 131));
    matrix const c = rounded_to<centroid_of<T>>(normal_points(s.k, s.d, 132));
    std::vector<std::int32_t> const labels = random_labels(s.n, s.k, 133);
    auto const run = run_update<T>(x, labels, c);
    matrix const got = from_type<centroid_of<T>>(run.centroids, s.k, s.d);
    EXPECT_TRUE(means_match<T>(x, labels, c, got));
    // From the bits that were written and those that were there.
    double const shift = reference_shift(c, got);
    EXPECT_NEAR(run.shift, shift, shift_error<T>(s.k, s.d) * shift);
  }
}

TYPED_TEST(update, small_twenty_runs_give_the_same_bits) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{sized(20000, 2000), 3, 10}, shape{5000, 400, 64}})) {
    matrix const x = normal_points(s.n, s.d, 141), c = normal_points(s.k, s.d, 142);
    std::vector<std::int32_t> const labels = random_labels(s.n, s.k, 143);
    auto const first = run_update<T>(x, labels, c);
    for (int again = 1; again < sized(20, 3); ++again) {
      EXPECT_TRUE(same_run(first, run_update<T>(x, labels, c))) << text(s);
    }
  }
}

// --- Options -------------------------------------------------------------------------------------

// One update of the problems; weights and metric as said.
template <class T>
update_run<T> run_set(problem_set const& s, labels_vector const& labels, fk::metric metric,
                      layout const& how) {
  auto const b = static_cast<std::int64_t>(s.x.size());
  std::int64_t const n = s.x.front().rows, k = s.c.front().rows;
  device_matrices<T> const points(s.x, how);
  device_matrices<centroid_of<T>> const centroids(s.c, how);
  device_buffer<std::int32_t> const device_labels(labels);
  device_buffer<centroid_of<T>> const weights(flat<centroid_of<T>>(s.w));
  index_buffers index(b, n, k);
  device_buffer<double> shifts(at(b));
  fk::update_options options;
  options.metric = metric;
  if (!s.w.empty()) options.weights = weights.data();
  std::size_t const bytes =
      fk::update_workspace_bytes(points.const_view(), centroids.view(), options);
  device_buffer<unsigned char> const memory(bytes);
  fk::execution exec;
  exec.workspace = memory.data();
  exec.workspace_bytes = bytes;
  double const shift =
      fk::update_centroids(points.const_view(), device_labels.data(), centroids.view(),
                           {index.view(), shifts.data()}, options, exec);
  EXPECT_TRUE(points.padding_untouched());
  EXPECT_TRUE(centroids.padding_untouched());
  EXPECT_EQ(device_labels.download(), labels);
  return {centroids.download(), index_values(index), shifts.download(), shift};
}

template <class T>
matrix centroids_of(update_run<T> const& run, std::size_t p, shape const& s) {
  return from_type<centroid_of<T>>(slice(run.centroids, static_cast<std::int64_t>(p), s.k * s.d),
                                   s.k, s.d);
}

// Each problem against the oracle; returns the run.
template <class T, class Centroids>
update_run<T> expect_update(problem_set const& set, std::vector<labels_vector> const& labels,
                            shape const& s, metric_case const& m, layout const& how,
                            Centroids&& centroids_match) {
  labels_vector all;
  for (labels_vector const& own : labels) all.insert(all.end(), own.begin(), own.end());
  auto const run = run_set<T>(set, all, m.metric, how);
  double total = 0;
  for (std::size_t p = 0; p < set.x.size(); ++p) {
    SCOPED_TRACE(text(m.name, ", ", how.name, ", problem ", p));
    matrix const got = centroids_of(run, p, s);
    centroids_match(oracle<T>(m.by, set.weights(p)), p, got);
    EXPECT_TRUE(index_matches(run.index, static_cast<std::int64_t>(p), s.n, s.k, labels[p]));
    double const shift = reference_shift(set.c[p], got);
    EXPECT_NEAR(run.shifts[p], shift, shift_error<T>(s.k, s.d) * shift);
    total += run.shifts[p];
  }
  EXPECT_EQ(run.shift, total);
  return run;
}

// Sums of small integers times small integers are exact, and so are those of the weights: the
// oracle's quotient rounded once is the one. Some labels are outside, and one cluster has only
// points that weigh nothing.
TYPED_TEST(update, small_weights_exact) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{700, 13, 24}, shape{5000, 100, 7}, shape{3000, 2100, 8}})) {
    SCOPED_TRACE(text(s));
    problem_set set;
    std::vector<labels_vector> labels;
    for (std::uint64_t p = 0; p < 3; ++p) {
      set.x.push_back(integer_points(s.n, s.d, 210 + p));
      set.c.push_back(integer_points(s.k, s.d, 220 + p));
      labels.push_back(random_labels(s.n, s.k, 230 + p));
      set.w.push_back(whole_weights(labels.back()));
      for (std::size_t i = 0; i < labels.back().size(); i += 17) {
        labels.back()[i] = i % 2 == 0 ? -1 : static_cast<std::int32_t>(s.k);
      }
    }
    for (metric_case const& m : part_of({kMetrics[0], kMetrics[2]})) {
      for (layout const& how : part_of({aligned_heads(3), odd_heads(3)})) {
        expect_update<T>(
            set, labels, s, m, how,
            [&](reference_options const& o, std::size_t p, matrix const& got) {
              EXPECT_TRUE(same_values(got, reference_update(o, set.x[p], labels[p], set.c[p])));
            });
      }
    }
  }
}

// By every metric, with and without weights, problems of a batch as they are alone. Some rows are
// zeros, one cluster has nothing else, and another one is empty.
TYPED_TEST(update, small_options_match_the_oracle) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{900, 11, 24}, shape{4000, 64, 45}})) {
    for (bool const weighted : part_of({false, true})) {
      SCOPED_TRACE(text(s, weighted ? ", weighted" : ""));
      problem_set set = normal_problems<T>(3, s, 240, weighted);
      std::vector<labels_vector> labels;
      for (std::uint64_t p = 0; p < 3; ++p) {
        labels.push_back(random_labels(s.n, s.k - 1, 250 + p));
        for (std::int64_t i = 0; i < s.n; ++i) {
          if (labels.back()[at(i)] != 3 && i % 29 != 0) continue;
          for (std::int64_t e = 0; e < s.d; ++e) set.x[p](i, e) = 0;
        }
      }
      for (metric_case const& m : part_of(kMetrics)) {
        for (layout const& how : part_of({aligned_heads(3), odd_heads(3)})) {
          auto const run = expect_update<T>(
              set, labels, s, m, how,
              [&](reference_options const& o, std::size_t p, matrix const& got) {
                EXPECT_TRUE(update_matches<T>(o, set.x[p], labels[p], set.c[p], got));
                std::int64_t const kept[] = {s.k - 1, 3};
                for (std::int64_t const j : kept) {
                  if (j == 3 && m.by != measure::cosine) continue;
                  EXPECT_TRUE(same_values(take_rows(got, {j}), take_rows(set.c[p], {j})))
                      << "cluster " << j << " counts no point";
                }
              });
          layout one = how;
          one.batch = {1, 1};
          for (std::size_t p = 0; p < 3; ++p) {
            auto const single = run_set<T>(alone(set, p), labels[p], m.metric, one);
            EXPECT_TRUE(same_values(centroids_of(single, 0, s), centroids_of(run, p, s)))
                << m.name << ", problem " << p << " alone";
            EXPECT_EQ(single.shift, run.shifts[p]) << m.name << ", problem " << p << " alone";
          }
        }
      }
    }
  }
}

// What is asked for does not change what is computed.
TYPED_TEST(update, small_every_output_is_optional) {
  using T = TypeParam;
  std::int64_t const n = sized(2000, 300), k = 37, d = 24;
  matrix const x = normal_points(n, d, 151), c = normal_points(k, d, 152);
  std::vector<std::int32_t> const labels = random_labels(n, k, 153);
  auto const all = run_update<T>(x, labels, c);
  device_matrices<T> const points(x);
  device_buffer<std::int32_t> const device_labels(labels);
  for (int asked = 0; asked < 32; ++asked) {
    SCOPED_TRACE(asked);
    device_matrices<centroid_of<T>> const centroids(c);
    index_buffers const index(1, n, k);
    device_buffer<double> const shift(1);
    fk::update_outputs out;
    if (asked & 1) out.index.counts = index.counts.data();
    if (asked & 2) out.index.offsets = index.offsets.data();
    if (asked & 4) out.index.order = index.order.data();
    if (asked & 8) out.index.inverse = index.inverse.data();
    if (asked & 16) out.shift = shift.data();
    double const returned =
        fk::update_centroids(points.const_view(), device_labels.data(), centroids.view(), out);
    EXPECT_EQ(returned, all.shift);
    EXPECT_TRUE(same_bits(centroids.download(), all.centroids));
    auto const check = [](bool was_asked, device_buffer<std::int32_t> const& got,
                          std::vector<std::int32_t> const& expected) {
      if (was_asked) {
        EXPECT_EQ(got.download(), expected);
      } else {
        EXPECT_TRUE(got.untouched());
      }
    };
    check((asked & 1) != 0, index.counts, all.index.counts);
    check((asked & 2) != 0, index.offsets, all.index.offsets);
    check((asked & 4) != 0, index.order, all.index.order);
    check((asked & 8) != 0, index.inverse, all.index.inverse);
    if (asked & 16) {
      EXPECT_EQ(shift.download(), all.shifts);
    } else {
      EXPECT_TRUE(shift.untouched());
    }
  }
}

// The largest k that is counted: nothing is divided by zero, and nothing is allocated.
TYPED_TEST(update, workspace_bytes_of_the_largest_k) {
  using T = TypeParam;
  using C = centroid_of<T>;
  fk::matrix_view<T const> const x(nullptr, 1, 1);
  std::size_t const fewer =
      fk::update_workspace_bytes(x, fk::matrix_view<C>(nullptr, 2147483391, 1));
  EXPECT_GE(fk::update_workspace_bytes(x, fk::matrix_view<C>(nullptr, 2147483392, 1)), fewer);
}

}  // namespace
