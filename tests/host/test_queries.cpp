// top_k and transform of the CPU backend against the fp64 oracle, over metrics, point types, batches,
// layouts and numbers of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "data.hpp"
#include "host_options.hpp"
#include "host_test.hpp"
#include "reference.hpp"
#include "reference_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class queries : public ::testing::Test {};
TYPED_TEST_SUITE(queries, point_types, type_names);

template <class T>
class queries_float : public ::testing::Test {};
TYPED_TEST_SUITE(queries_float, float_types, type_names);

std::vector<shape> const kShapes{{1, 1, 1},   {5, 70, 3},   {49, 16, 24},
                                 {97, 17, 5}, {130, 64, 7}, {50, 200, 257}};

// Centroids from near to far; the lowest index first among equals.
labels_vector by_distance(measure by, matrix const& x, std::int64_t i, matrix const& c) {
  labels_vector order(at(c.rows));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return reference_distance(by, x, i, c, a) < reference_distance(by, x, i, c, b);
  });
  return order;
}

// Products of small integers are exact, so lists must be the oracle's, ties included.
TYPED_TEST(queries, top_k_is_exact_on_integers) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 2;
  for (shape const& s : kShapes) {
    std::vector<matrix> xs, cs;
    for (std::uint64_t i = 0; i < b; ++i) {
      xs.push_back(integers<TypeParam>(s.n, s.d, 600 + i));
      cs.push_back(integers<TypeParam>(s.k, s.d, 610 + i));
    }
    for (measure const by : {measure::euclidean, measure::inner_product}) {
      for (int const j : {1, 2, 7, 64}) {
        if (j > s.k) continue;
        for (layout const as : {layout::contiguous, layout::padded, layout::interleaved}) {
          SCOPED_TRACE(std::string(name_of(by)) + ", j " + std::to_string(j) + ", " + text(s));
          stored<TypeParam> points(xs, as);
          stored<centroid> centroids(cs, as);
          fk::query_options query;
          query.metric = metric_of(by);
          labels_vector labels(at(b * s.n * j), -9), alone(at(b * s.n * j), -9);
          std::vector<centroid> distances(at(b * s.n * j), -9);
          fk::host::top_k(points.const_view(), centroids.const_view(), j,
                          {labels.data(), distances.data()}, query);
          fk::host::top_k(points.const_view(), centroids.const_view(), j, alone.data(), query);
          EXPECT_EQ(alone, labels);
          for (std::int64_t p = 0; p < b; ++p) {
            for (std::int64_t i = 0; i < s.n; ++i) {
              labels_vector expected = by_distance(by, xs[at(p)], i, cs[at(p)]);
              expected.resize(at(j));
              auto const own = labels.begin() + (p * s.n + i) * j;
              ASSERT_EQ(labels_vector(own, own + j), expected) << "point " << i;
              for (int l = 0; l < j; ++l) {
                ASSERT_EQ(distances[at((p * s.n + i) * j + l)],
                          reference_distance(by, xs[at(p)], i, cs[at(p)], expected[at(l)]));
              }
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(queries, top_k_is_the_nearest_within_rounding) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 200, k = 90, d = 19;
  matrix const x = integers<TypeParam>(n, d, 620), c = some_centroids<TypeParam>(k, d, 621);
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  for (measure const by : kMeasures) {
    SCOPED_TRACE(name_of(by));
    fk::query_options query;
    query.metric = metric_of(by);
    labels_vector nearest(at(n), -9);
    std::vector<centroid> nearest_distances(at(n), -9);
    fk::host::predict(points.const_view(), centroids.const_view(),
                      {nearest.data(), nearest_distances.data()}, query);
    for (int const j : {1, 10, 64}) {
      labels_vector labels(at(n * j), -9);
      std::vector<centroid> distances(at(n * j), -9);
      fk::host::top_k(points.const_view(), centroids.const_view(), j,
                      {labels.data(), distances.data()}, query);
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(labels[at(i * j)], nearest[at(i)]);
        ASSERT_EQ(distances[at(i * j)], nearest_distances[at(i)]);
        labels_vector const expected = by_distance(by, x, i, c);
        labels_vector own(labels.begin() + i * j, labels.begin() + (i + 1) * j);
        for (int l = 0; l < j; ++l) {
          // The l-th distance is that of the oracle's l-th centroid, or mistaken for it: see
          // slack_of_label.
          double const got = reference_distance(by, x, i, c, own[at(l)]);
          double const right = reference_distance(by, x, i, c, expected[at(l)]);
          ASSERT_NEAR(got, right,
                      slack_of_label<centroid>(by, x, i, c, own[at(l)]) +
                          slack_of_label<centroid>(by, x, i, c, expected[at(l)]))
              << "point " << i << ", place " << l;
        }
        std::sort(own.begin(), own.end());
        ASSERT_EQ(std::unique(own.begin(), own.end()), own.end()) << "point " << i;
      }
    }
  }
}

TYPED_TEST(queries, transform_gives_the_distances_of_predict_and_of_the_oracle) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 4;
  for (shape const& s : kShapes) {
    std::vector<matrix> xs, cs;
    for (std::uint64_t i = 0; i < b; ++i) {
      xs.push_back(integers<TypeParam>(s.n, s.d, 630 + i));
      cs.push_back(some_centroids<TypeParam>(s.k, s.d, 640 + i));
    }
    for (measure const by : kMeasures) {
      SCOPED_TRACE(std::string(name_of(by)) + ", " + text(s));
      for (layout const as : {layout::contiguous, layout::padded, layout::interleaved}) {
        stored<TypeParam> points(xs, as);
        stored<centroid> centroids(cs, as);
        stored<centroid> distances(std::vector<matrix>(at(b), matrix(s.n, s.k, -9)), as);
        fk::query_options query;
        query.metric = metric_of(by);
        labels_vector labels(at(b * s.n), -9);
        std::vector<centroid> nearest(at(b * s.n), -9);
        fk::host::predict(points.const_view(), centroids.const_view(),
                          {labels.data(), nearest.data()}, query);
        fk::host::transform(points.const_view(), centroids.const_view(), distances.view(), query);
        EXPECT_TRUE(distances.poison_is_untouched());
        for (std::int64_t p = 0; p < b; ++p) {
          matrix const got = distances.get(p);
          for (std::int64_t i = 0; i < s.n; ++i) {
            ASSERT_EQ(got(i, labels[at(p * s.n + i)]), nearest[at(p * s.n + i)]);
            for (std::int64_t j = 0; j < s.k; ++j) {
              double const expected = reference_distance(by, xs[at(p)], i, cs[at(p)], j);
              double const scale = by == measure::cosine
                                       ? 2
                                       : std::abs(expected) + reference_length(xs[at(p)], i) *
                                                                  reference_length(cs[at(p)], j);
              ASSERT_NEAR(
                  got(i, j), expected,
                  2 * growth(s.d + 8, 0x1p-53) * scale + kUnit<centroid> * std::abs(expected))
                  << "problem " << p << ", point " << i << ", centroid " << j;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(queries_float, values_that_are_not_finite) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x = integer_points(30, 6, 650), c = integer_points(9, 6, 651);
  x(4, 1) = kNan;
  x(8, 5) = -std::numeric_limits<double>::infinity();
  c(2, 0) = c(5, 3) = kNan;
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  for (measure const by : kMeasures) {
    SCOPED_TRACE(name_of(by));
    fk::query_options query;
    query.metric = metric_of(by);
    int const j = 9;
    labels_vector labels(30 * j, -9);
    std::vector<centroid> distances(30 * j, -9);
    fk::host::top_k(points.const_view(), centroids.const_view(), j,
                    {labels.data(), distances.data()}, query);
    stored<centroid> all(matrix(30, 9, -9));
    fk::host::transform(points.const_view(), centroids.const_view(), all.view(), query);
    for (std::int64_t i = 0; i < 30; ++i) {
      bool const bad = i == 4 || i == 8;
      for (std::int64_t l = 0; l < j; ++l) {
        std::int32_t const label = labels[at(i * j + l)];
        // Centroids with NaN come last, in order.
        if (bad || l >= 7) {
          ASSERT_EQ(label, bad ? l : (l == 7 ? 2 : 5));
        }
        ASSERT_EQ(std::isnan(distances[at(i * j + l)]), bad || l >= 7);
        ASSERT_EQ(std::isnan(all.get()(i, l)), bad || l == 2 || l == 5);
      }
    }
  }
}

TYPED_TEST(queries_float, any_number_of_threads_gives_the_same_bits) {
  using centroid = fk::centroid_t<TypeParam>;
  for (std::uint64_t const b : {1, 25}) {
    std::int64_t const n = b == 1 ? 5003 : 210, k = 33, d = 21;
    int const j = 12;
    std::vector<matrix> xs, cs;
    for (std::uint64_t p = 0; p < b; ++p) {
      xs.push_back(real_points(n, d, 660 + p));
      cs.push_back(real_points(k, d, 690 + p));
    }
    stored<TypeParam> points(xs);
    stored<centroid> centroids(cs);
    labels_vector one_labels;
    std::vector<centroid> one_distances;
    std::vector<matrix> one_all;
    for (int const threads : {1, 2, 5}) {
      labels_vector labels(b * at(n * j), -9);
      std::vector<centroid> distances(b * at(n * j), -9);
      stored<centroid> all(std::vector<matrix>(b, matrix(n, k, -9)));
      fk::host::top_k(points.const_view(), centroids.const_view(), j,
                      {labels.data(), distances.data()}, {}, {threads});
      fk::host::transform(points.const_view(), centroids.const_view(), all.view(), {}, {threads});
      if (threads == 1) {
        one_labels = labels;
        one_distances = distances;
        one_all = all.get_all();
      }
      EXPECT_EQ(labels, one_labels);
      EXPECT_TRUE(same_bits(distances, one_distances));
      for (std::size_t p = 0; p < b; ++p) EXPECT_EQ(all.get_all()[p].values, one_all[p].values);
    }
  }
}

// ---- Bad arguments ----

template <class Call>
std::string refusal(Call const& call) {
  try {
    call();
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "taken";
}

TEST(queries_refuse, bad_arguments_with_name_and_value_and_write_nothing) {
  std::vector<float> const points(60, 1), centroids(40, 2);
  std::vector<float> distances(200, -9);
  labels_vector labels(200, -9);
  fk::matrix_view<float const> const x(points.data(), 12, 5), c(centroids.data(), 8, 5);
  fk::matrix_view<float> const good(distances.data(), 12, 8);
  auto const top_k = [&](int j, fk::top_k_outputs<float> const& out,
                         fk::query_options const& query = {}, int threads = 1) {
    return refusal([&] { fk::host::top_k(x, c, j, out, query, {threads}); });
  };
  auto const transform = [&](fk::matrix_view<float> const& to, fk::query_options const& query = {},
                             int threads = 1) {
    return refusal([&] { fk::host::transform(x, c, to, query, {threads}); });
  };
  auto const says = [](std::string const& text, std::string const& words) {
    EXPECT_NE(text.find(words), std::string::npos) << text << "\nmust say: " << words;
  };
  says(top_k(0, labels.data()), "j is 0, must be at least 1");
  says(top_k(9, labels.data()), "j is 9, must be at most centroids.rows (k = 8)");
  says(top_k(65, labels.data()), "j is 65, must be at most 64");
  says(top_k(2, nullptr), "labels is null");
  says(top_k(2, {labels.data(), reinterpret_cast<float*>(std::uintptr_t{0x1001})}),
       "distances is 0x1001, must be aligned");
  fk::query_options bad;
  bad.metric = static_cast<fk::metric>(4);
  says(top_k(2, labels.data(), bad), "options.metric is 4");
  says(transform(good, bad), "options.metric is 4");
  std::vector<double> const weights(12, 1);
  bad.metric = fk::metric::euclidean;
  bad.weights = weights.data();
  says(top_k(2, labels.data(), bad), "options.weights is double");
  says(transform(good, bad), "options.weights is double");
  says(top_k(2, labels.data(), {}, -3), "execution.threads is -3");
  says(transform(good, {}, -3), "execution.threads is -3");
  says(transform({nullptr, 12, 8}), "distances.data is null");
  says(transform({distances.data(), 11, 8}), "distances.rows (n) is 11, must equal x.rows (12)");
  says(transform({distances.data(), 12, 7}), "distances.cols (k) is 7, must equal centroids.rows");
  says(transform({distances.data(), 12, 8, 5}), "distances.ld is 5");
  says(transform({distances.data(), 12, 8, 8, {2, 1}, {96, 0}}), "distances.batch is 2 x 1");
  EXPECT_EQ(labels, labels_vector(200, -9));
  EXPECT_EQ(distances, std::vector<float>(200, -9));
  // The same arguments are good otherwise.
  EXPECT_EQ(top_k(8, labels.data()), "taken");
  EXPECT_EQ(transform(good), "taken");
}

}  // namespace
