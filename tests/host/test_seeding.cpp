// First centroids by k-means++ and k-means||, and fits that try several seedings, on the CPU: against
// the fp64 oracle with the same random numbers. Points are small integers, so that potentials and
// their sums are exact and the oracle's draws are the library's, point for point.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "data.hpp"
#include "host_options.hpp"
#include "host_test.hpp"
#include "reference.hpp"
#include "reference_options.hpp"

namespace {

using namespace testing_support;
using fk::init_method;

// By the rule that candidate l of step t draws number 64 t + l of the problem's key.
std::vector<std::int64_t> expected_rows(init_method init, reference_options const& o,
                                        matrix const& x, std::int64_t k, int candidates,
                                        std::uint64_t seed, std::int64_t problem) {
  int const drawn = candidates > 0
                        ? candidates
                        : std::min(8, 2 + static_cast<int>(std::log(static_cast<double>(k))));
  std::vector<double> const weights = reference_seed_weights(o, x);
  std::uint64_t const key = fk::detail::random_key(seed, problem);
  if (init == init_method::kmeans_plus_plus) {
    return reference_plus_plus(o.by, x, weights, k, drawn, [&](std::uint64_t counter) {
      return fk::detail::random_unit(key, counter);
    });
  }
  // Round r draws with mix64(key ^ (r + 1)), a point by its index; the choice comes after round 4.
  return reference_parallel(o.by, x, weights, k, drawn, [&](int round, std::uint64_t counter) {
    std::uint64_t const own =
        round < 0 ? key : fk::detail::mix64(key ^ static_cast<std::uint64_t>(round + 1));
    return fk::detail::random_unit(own, counter);
  });
}

template <class T>
class seeding : public ::testing::Test {};
TYPED_TEST_SUITE(seeding, point_types, type_names);

template <class T>
class seeding_float : public ::testing::Test {};
TYPED_TEST_SUITE(seeding_float, float_types, type_names);

constexpr init_method kMeasuring[] = {init_method::kmeans_plus_plus, init_method::kmeans_parallel};

TYPED_TEST(seeding, draws_the_oracle_s_points) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 3;
  for (shape const& s : {shape{40, 5, 1}, shape{1500, 12, 5}, shape{300, 40, 17}}) {
    std::vector<matrix> small, wide;
    std::vector<std::vector<double>> ws;
    for (std::uint64_t i = 0; i < b; ++i) {
      small.push_back(integers<TypeParam>(s.n, s.d, 500 + i));
      wide.push_back(
          integer_points(s.n, s.d, 505 + i, std::is_unsigned_v<TypeParam> ? 0 : -120, 120));
      for (std::int64_t f = 0; f < s.d; ++f) small.back()(3, f) = wide.back()(3, f) = 0;
      ws.push_back(some_weights(s.n, 510 + i));
    }
    std::vector<centroid> const weights = stored_weights<centroid>(ws);
    for (init_method const init : kMeasuring) {
      for (measure const by : kMeasures) {
        // Ties of cosines are not exact: none in a wide range, and nothing but ties in one dimension.
        if (by == measure::cosine && s.d == 1) continue;
        std::vector<matrix> const& xs = by == measure::cosine ? wide : small;
        for (int const candidates : {0, 1, 64}) {
          bool const weighted = candidates != 1;
          SCOPED_TRACE(std::string(name_of(by)) + (weighted ? ", weighted" : "") + ", candidates " +
                       std::to_string(candidates) + ", init " +
                       std::to_string(static_cast<int>(init)) + ", " + text(s));
          fk::fit_options o;
          o.init = init;
          o.metric = metric_of(by);
          o.candidates = candidates;
          o.seed = 77;
          if (weighted) o.weights = weights.data();
          std::vector<matrix> expected;
          for (std::int64_t p = 0; p < b; ++p) {
            reference_options ref;
            ref.by = by;
            if (weighted) ref.weights = ws[at(p)];
            std::vector<std::int64_t> const rows =
                expected_rows(init, ref, xs[at(p)], s.k, candidates, 77, p);
            ASSERT_EQ(static_cast<std::int64_t>(rows.size()), s.k);
            expected.push_back(take_rows(xs[at(p)], rows));
          }
          for (layout const as : {layout::contiguous, layout::interleaved}) {
            stored<TypeParam> points(xs, as);
            stored<centroid> centroids(std::vector<matrix>(at(b), matrix(s.k, s.d, 99)),
                                       layout::padded);
            fk::host::init_centroids(points.const_view(), centroids.view(), o);
            EXPECT_TRUE(centroids.poison_is_untouched());
            for (std::int64_t p = 0; p < b; ++p) {
              EXPECT_EQ(centroids.get(p).values, expected[at(p)].values) << "problem " << p;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(seeding, points_without_weight_are_drawn_last_and_in_order) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x(12, 1);
  for (std::int64_t i = 0; i < 12; ++i) x(i, 0) = static_cast<double>(2 * i + 1);
  std::vector<centroid> weights(12, 0);
  stored<TypeParam> points(x);
  auto rows = [&](fk::fit_options o, std::int64_t k) {
    stored<centroid> centroids(matrix(k, 1, -1));
    o.weights = weights.data();
    fk::host::init_centroids(points.const_view(), centroids.view(), o);
    return centroids.get().values;
  };
  fk::fit_options o;
  o.init = init_method::kmeans_plus_plus;
  EXPECT_EQ(rows(o, 4), (std::vector<double>{1, 3, 5, 7}));  // 0, 1, 2, 3
  weights[1] = weights[7] = weights[10] = 2;
  for (o.seed = 0; o.seed < 20; ++o.seed) {
    std::vector<double> got = rows(o, 6);
    std::vector<double> const rest(got.begin() + 3, got.end());
    EXPECT_EQ(rest, (std::vector<double>{1, 5, 7}));  // 0, 2, 3
    std::sort(got.begin(), got.begin() + 3);
    got.resize(3);
    EXPECT_EQ(got, (std::vector<double>{3, 15, 21}));
  }
  // k-means|| finds no more than three points and draws the rest as init_method::random does.
  o.init = init_method::kmeans_parallel;
  for (o.seed = 0; o.seed < 20; ++o.seed) {
    std::vector<double> got = rows(o, 6);
    std::vector<double> taken(got.begin(), got.begin() + 3);
    std::sort(taken.begin(), taken.end());
    EXPECT_EQ(taken, (std::vector<double>{3, 15, 21}));
    std::vector<double> expected;
    for (std::int64_t draw = 0; expected.size() < 3; ++draw) {
      std::int64_t const r = fk::detail::random_centroid(draw, 12, 0, o.seed);
      if (r != 1 && r != 7 && r != 10) expected.push_back(x(r, 0));
    }
    EXPECT_EQ(std::vector<double>(got.begin() + 3, got.end()), expected);
  }
}

TYPED_TEST(seeding, every_point_is_drawn_once_when_k_is_n) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x = integers<TypeParam>(50, 3, 520);
  for (std::int64_t i = 0; i < 50; ++i) x(i, 0) = static_cast<double>(i);
  stored<TypeParam> points(x);
  for (init_method const init : kMeasuring) {
    stored<centroid> centroids(matrix(50, 3, -1));
    fk::fit_options o;
    o.init = init;
    fk::host::init_centroids(points.const_view(), centroids.view(), o);
    std::set<double> rows;
    for (std::int64_t j = 0; j < 50; ++j) rows.insert(centroids.get()(j, 0));
    EXPECT_EQ(rows.size(), 50u);
  }
}

// Groups so far apart that a second draw from one is all but impossible.
TYPED_TEST(seeding_float, finds_every_group) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const k = 9, per = 60;
  matrix x(k * per, 4);
  matrix const noise = integer_points(k * per, 4, 530, 0, 1);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    for (std::int64_t f = 0; f < 4; ++f) x(i, f) = noise(i, f);
    x(i, i % k % 4) += i % k < 4 ? 128 : -128;
    if (i % k == 8) x(i, 0) -= 512;
  }
  x = rounded_to<TypeParam>(x);
  stored<TypeParam> points(x);
  for (init_method const init : kMeasuring) {
    for (std::uint64_t seed = 0; seed < 25; ++seed) {
      stored<centroid> centroids(matrix(k, 4, 0));
      fk::fit_options o;
      o.init = init;
      o.seed = seed;
      fk::host::init_centroids(points.const_view(), centroids.view(), o);
      labels_vector const groups = reference_assign(centroids.get(), first_rows(x, k));
      EXPECT_EQ(std::set<std::int32_t>(groups.begin(), groups.end()).size(), at(k))
          << "seed " << seed;
    }
  }
}

TYPED_TEST(seeding_float, rows_that_are_not_finite_are_not_drawn) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 1300, k = 15, d = 4;
  matrix x = integer_points(n, d, 540);
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < n; ++i) {
    if (i % 7 == 3) {
      x(i, i % d) = i % 2 == 0 ? kNan : std::numeric_limits<double>::infinity();
    } else {
      kept.push_back(i);
    }
  }
  matrix const clean = take_rows(x, kept);
  stored<TypeParam> points(x), clean_points(clean);
  for (measure const by : kMeasures) {
    fk::fit_options o;
    o.metric = metric_of(by);
    stored<centroid> with(matrix(k, d, 0)), without(matrix(k, d, 0));
    // Rows that are left out do not change who is drawn by k-means++.
    o.init = init_method::kmeans_plus_plus;
    fk::host::init_centroids(points.const_view(), with.view(), o);
    fk::host::init_centroids(clean_points.const_view(), without.view(), o);
    EXPECT_EQ(with.get().values, without.get().values) << name_of(by);
    o.init = init_method::kmeans_parallel;
    fk::host::init_centroids(points.const_view(), with.view(), o);
    for (double const value : with.get().values) EXPECT_TRUE(std::isfinite(value));
  }
  // Fewer rows than centroids are left: they are repeated. None: zeros.
  matrix few(6, 2, kNan);
  few(1, 0) = 3, few(1, 1) = 4, few(4, 0) = 5, few(4, 1) = 6;
  stored<TypeParam> few_points(few), no_points(matrix(6, 2, kNan));
  for (init_method const init :
       {init_method::random, init_method::kmeans_plus_plus, init_method::kmeans_parallel}) {
    fk::fit_options o;
    o.init = init;
    stored<centroid> centroids(matrix(4, 2, -1));
    fk::host::init_centroids(few_points.const_view(), centroids.view(), o);
    std::vector<double> first_column;
    for (std::int64_t j = 0; j < 4; ++j) first_column.push_back(centroids.get()(j, 0));
    EXPECT_EQ(first_column[0] + first_column[1], 8);
    EXPECT_EQ(first_column[2], first_column[0]);
    EXPECT_EQ(first_column[3], first_column[1]);
    fk::host::init_centroids(no_points.const_view(), centroids.view(), o);
    EXPECT_EQ(centroids.get().values, matrix(4, 2, 0).values);
  }
}

TYPED_TEST(seeding_float, a_fit_starts_from_init_centroids) {
  using centroid = fk::centroid_t<TypeParam>;
  std::vector<matrix> xs;
  std::vector<std::vector<double>> ws;
  for (std::uint64_t i = 0; i < 3; ++i) {
    xs.push_back(real_points(500, 6, 550 + i));
    ws.push_back(some_weights(500, 560 + i));
  }
  std::vector<centroid> const weights = stored_weights<centroid>(ws);
  std::vector<matrix> const anything(3, matrix(9, 6, 1e6));
  for (init_method const init :
       {init_method::random, init_method::kmeans_plus_plus, init_method::kmeans_parallel}) {
    for (measure const by : kMeasures) {
      fk::fit_options o;
      o.init = init;
      o.metric = metric_of(by);
      o.weights = weights.data();
      o.seed = 4;
      fitted const drawn = run_fit<TypeParam>(xs, anything, o);
      stored<TypeParam> points(xs);
      stored<centroid> centroids(anything);
      fk::host::init_centroids(points.const_view(), centroids.view(), o);
      o.init = init_method::given;
      expect_same_bits(run_fit<TypeParam>(xs, centroids.get_all(), o), drawn);
      // A problem draws by its own number, whatever else is in the batch.
      o.init = init;
      expect_same_bits(run_fit<TypeParam>({xs[0]}, {anything[0]}, o),
                       run_fit<TypeParam>({xs[0]}, {anything[1]}, o));
      fitted const alone = run_fit<TypeParam>({xs[0]}, {anything[0]}, o);
      EXPECT_EQ(alone.centroids[0].values, drawn.centroids[0].values);
      o.seed = 5;
      EXPECT_NE(run_fit<TypeParam>({xs[0]}, {anything[0]}, o).centroids[0].values,
                drawn.centroids[0].values);
    }
  }
}

TYPED_TEST(seeding_float, any_number_of_threads_draws_the_same) {
  using centroid = fk::centroid_t<TypeParam>;
  for (std::uint64_t const b : {1, 20}) {
    std::int64_t const n = b == 1 ? 7001 : 300, k = 20, d = 9;
    std::vector<matrix> xs;
    for (std::uint64_t i = 0; i < b; ++i) xs.push_back(real_points(n, d, 570 + i));
    stored<TypeParam> points(xs);
    for (init_method const init : kMeasuring) {
      fk::fit_options o;
      o.init = init;
      std::vector<matrix> one;
      for (int const threads : {1, 2, 5}) {
        stored<centroid> centroids(std::vector<matrix>(b, matrix(k, d, 0)));
        fk::host::init_centroids(points.const_view(), centroids.view(), o, {threads});
        if (threads == 1) one = centroids.get_all();
        for (std::size_t i = 0; i < b; ++i) {
          EXPECT_EQ(centroids.get_all()[i].values, one[i].values) << threads << " threads";
        }
      }
    }
  }
}

// Steps draw two at a time, and yet each by the distances to all centroids before it: with one
// candidate a step, how often points are drawn one after the other is what k-means++ says.
TEST(seeding_draws, have_the_probabilities_of_k_means_plus_plus) {
  std::vector<double> const x = {0, 1, 3, 7, 8, 30};
  auto const n = static_cast<std::int64_t>(x.size());
  constexpr std::int64_t kSeedings = 60000, k = 4;
  std::vector<double> centroids(kSeedings * k);
  fk::fit_options o;
  o.init = init_method::kmeans_plus_plus;
  o.candidates = 1;
  o.seed = 3;
  fk::host::init_centroids(
      fk::matrix_view<double const>(x.data(), n, 1, 1, {kSeedings, 1}, {0, 0}),
      fk::matrix_view<double>(centroids.data(), k, 1, 1, {kSeedings, 1}, {k, 0}), o);
  std::map<std::vector<double>, int> counts;
  for (std::int64_t i = 0; i < kSeedings; ++i) {
    ++counts[std::vector<double>(centroids.begin() + i * k, centroids.begin() + (i + 1) * k)];
  }
  int cells = 0, counted = 0;
  std::function<void(std::vector<double>, double)> const expect = [&](std::vector<double> drawn,
                                                                      double probability) {
    if (static_cast<std::int64_t>(drawn.size()) == k) {
      double const mean = kSeedings * probability;
      int const count = counts[drawn];
      counted += count;
      if (mean < 30) return;  // too few to tell
      ++cells;
      EXPECT_NEAR(count, mean, 4.5 * std::sqrt(mean * (1 - probability))) << "cell " << cells;
      return;
    }
    std::vector<double> potentials;
    for (double const point : x) {
      double least = drawn.empty() ? 1 : std::numeric_limits<double>::infinity();
      for (double const c : drawn) least = std::min(least, (point - c) * (point - c));
      potentials.push_back(least);
    }
    double const total = std::accumulate(potentials.begin(), potentials.end(), 0.0);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (potentials[i] == 0) continue;
      std::vector<double> next = drawn;
      next.push_back(x[i]);
      expect(next, probability * potentials[i] / total);
    }
  };
  expect({}, 1);
  EXPECT_EQ(counted, kSeedings) << "points were drawn that cannot be";
  EXPECT_GT(cells, 100);
}

// ---- n_init ----

TYPED_TEST(seeding, n_init_returns_the_best_fit_of_each_problem) {
  std::int64_t const b = 4, n = 150, k = 6, d = 3;
  std::vector<matrix> xs;
  for (std::uint64_t i = 0; i < b; ++i) xs.push_back(integers<TypeParam>(n, d, 580 + i));
  std::vector<matrix> const anything(at(b), matrix(k, d, -1));
  fk::fit_options o;
  o.seed = 11;
  o.max_iterations = 20;
  for (measure const by : kMeasures) {
    o.metric = metric_of(by);
    o.n_init = 5;
    for (layout const as : {layout::contiguous, layout::padded, layout::interleaved}) {
      fitted const best = run_fit<TypeParam>(xs, anything, o, {}, as);
      std::vector<fitted> runs;
      o.n_init = 1;
      for (o.seed = 11; o.seed < 16; ++o.seed) {
        runs.push_back(run_fit<TypeParam>(xs, anything, o));
      }
      o.seed = 11;
      o.n_init = 5;
      std::set<std::size_t> winners;
      double inertia = 0;
      for (std::int64_t p = 0; p < b; ++p) {
        SCOPED_TRACE(std::string(name_of(by)) + ", problem " + std::to_string(p));
        std::size_t winner = 0;
        for (std::size_t run = 1; run < 5; ++run) {
          if (runs[run].status[at(p)].inertia < runs[winner].status[at(p)].inertia) winner = run;
        }
        winners.insert(winner);
        fitted const& own = runs[winner];
        EXPECT_EQ(best.centroids[at(p)].values, own.centroids[at(p)].values);
        EXPECT_TRUE(same_bits<fk::fit_status>({best.status[at(p)]}, {own.status[at(p)]}));
        EXPECT_TRUE(std::equal(best.labels.begin() + p * n, best.labels.begin() + (p + 1) * n,
                               own.labels.begin() + p * n));
        inertia += own.status[at(p)].inertia;
      }
      expect_index(best.index, best.labels, b, n, k);
      EXPECT_EQ(best.result.inertia, inertia);
      EXPECT_GT(winners.size(), 1u) << "one run wins everywhere: the data tests nothing";
    }
  }
}

// Every seeding ends with the same two clusters and the same inertia, but not with the same names.
TYPED_TEST(seeding, n_init_returns_the_first_of_equals) {
  matrix x(4, 1);
  x.values = {0, 2, 100, 102};
  fk::fit_options o;
  o.init = init_method::kmeans_plus_plus;
  fitted const first = run_fit<TypeParam>({x}, {matrix(2, 1, 0)}, o);
  ASSERT_EQ(first.result.inertia, 4);
  // As many fits as it takes to end with one that names the clusters otherwise.
  int fits = 1;
  fitted last = first;
  while (last.labels == first.labels) {
    o.seed = static_cast<std::uint64_t>(fits++);
    ASSERT_LT(fits, 50);
    last = run_fit<TypeParam>({x}, {matrix(2, 1, 0)}, o);
    ASSERT_EQ(last.result.inertia, 4);
  }
  o.seed = 0;
  o.n_init = fits;
  fitted const best = run_fit<TypeParam>({x}, {matrix(2, 1, 0)}, o);
  EXPECT_EQ(best.labels, first.labels);
  EXPECT_EQ(best.centroids[0].values, first.centroids[0].values);
}

TEST(n_init, progress_is_told_of_every_fit) {
  std::vector<int> iterations;
  fk::fit_options o;
  o.progress = [&](int iteration, double) {
    iterations.push_back(iteration);
    return true;
  };
  o.n_init = 3;
  o.max_iterations = 2;
  o.tolerance = 0;
  run_fit<float>({real_points(400, 4, 590)}, {matrix(9, 4, 0)}, o);
  EXPECT_EQ(iterations, (std::vector<int>{1, 2, 1, 2, 1, 2}));
}

}  // namespace
