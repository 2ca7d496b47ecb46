// init_centroids: the points that a fit starts from.
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
  for (row const& s : {row{1, 1, 2}, row{2, 1, 3}, row{100, 7, 24}, row{1000, 1000, 2},
                       row{16384, 300, 45}, row{500, 64, 100}, row{40, 5, 4096}}) {
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

}  // namespace
