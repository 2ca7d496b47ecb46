// The cap on the size of clusters: against the fp64 oracle and the CPU backend, with all other options,
// and what it is for.
#include <flash_kmeans/host.hpp>

#include "../gpu_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class balance : public gpu_test {};
TYPED_TEST_SUITE(balance, element_types, element_names);

fk::fit_options capped(double ratio, int iterations, double tolerance = 0) {
  fk::fit_options what = given(iterations, tolerance);
  what.max_size_ratio = ratio;
  return what;
}

// --- One update ----------------------------------------------------------------------------------

// Exact problems of which `copies` of 12 centroids are copies of number 1, which loses them all ties:
// so many are empty.
exact_set crowded_problems(std::int64_t b, shape const& s, std::int64_t copies,
                           std::uint64_t seed) {
  exact_set set = exact_problems(b, s, seed);
  for (matrix& c : set.c) {
    for (std::int64_t j = 2; j < s.k; ++j) {
      for (std::int64_t e = 0; j % 12 < copies && e < s.d; ++e) c(j, e) = c(1, e);
    }
  }
  set.label();
  return set;
}

template <class T>
reference_options capped_oracle(double ratio, measure by, weights_vector w, vacancy empty) {
  reference_options o = oracle<T>(by, std::move(w), empty);
  o.max_size_ratio = ratio;
  return o;
}

// Against the oracle's, which is exact but for clusters that were split (see expect_filled in
// test_options.cu). Returns the centroids that the cap moved.
template <class T>
std::size_t expect_balanced(exact_set const& exact, double ratio, policy_case const& policy,
                            std::size_t number, bool weighted, layout const& how,
                            std::vector<fk::assign_kernel> const& kernels) {
  metric_case const& m = kMetrics[number];
  problem_set s = exact;
  std::vector<matrix> starts, expected;
  std::vector<std::size_t> moves;
  std::size_t all_moves = 0;
  for (std::size_t p = 0; p < s.x.size(); ++p) {
    labels_vector const& labels = exact.labels[number][p];
    if (weighted) s.w.push_back(whole_weights(labels));
    auto const o = capped_oracle<T>(ratio, m.by, s.weights(p), policy.empty);
    starts.push_back(start_of(o, s.c[p]));
    expected.push_back(reference_update(o, s.x[p], labels, starts[p]));
    moves.push_back(reference_moves(o, s.x[p], labels, s.c[p].rows).size());
    all_moves += moves.back();
  }
  for (fk::assign_kernel const kernel : part_of(kernels)) {
    SCOPED_TRACE(text("ratio ", ratio, ", ", policy.name, ", ", m.name,
                      weighted ? ", weighted, k " : ", k ", s.c[0].rows, ", ",
                      fk::to_string(kernel)));
    fk::fit_options what = capped(ratio, 1, 1e6);
    what.metric = m.metric;
    what.empty_cluster = policy.policy;
    auto const closed = run_set<T>(s, what, kernel, how);
    what.closing_assignment = false;
    auto const open = run_set<T>(s, what, kernel, how);
    EXPECT_TRUE(same_bits(open.centroids, closed.centroids));
    expect_closed(s, m, closed, kernel, s.c[0].rows < 100);
    for (std::size_t p = 0; p < s.x.size(); ++p) {
      auto const i = static_cast<std::int64_t>(p);
      SCOPED_TRACE(text("problem ", p));
      labels_vector const& labels = exact.labels[number][p];
      EXPECT_TRUE(same_labels(open.labels_of(i), labels));
      EXPECT_TRUE(index_matches(open.index, i, open.n, open.k, labels));
      matrix const got = open.centroids_of(i);
      double const unit = unit_roundoff<centroid_of<T>>();
      if (policy.empty == vacancy::split_largest) {
        double const splits = std::log2(static_cast<double>(open.n)) + 1;
        for (std::size_t e = 0; e < got.values.size(); ++e) {
          double const value = expected[p].values[e];
          EXPECT_NEAR(got.values[e], value, 2 * (3 * splits + 4) * unit * std::abs(value))
              << "cluster " << e / at(got.cols) << ", feature " << e % at(got.cols);
        }
      } else {
        EXPECT_TRUE(same_values(got, expected[p]));
      }
      double const shift = reference_shift(starts[p], got);
      double const relative =
          4 * unit + 2 * static_cast<double>(open.k * open.d + 4) * std::ldexp(1.0, -53);
      EXPECT_NEAR(open.status[p].shift, shift, relative * shift);
      // Any shift is within the tolerance.
      EXPECT_EQ(open.status[p].converged, moves[p] == 0 ? 1 : 0);
    }
  }
  return all_moves;
}

template <class T>
void expect_updates_balanced(std::size_t number) {
  exact_set const some = crowded_problems(3, {300, 9, 16}, 5, 401);
  exact_set const many = crowded_problems(3, {260, 60, 5}, 8, 411);
  for (policy_case const& policy : part_of(kPolicies)) {
    for (bool const weighted : part_of({false, true})) {
      std::size_t moves = 0;
      for (double const ratio : part_of({1.0, 1.7, 4.0})) {
        moves += expect_balanced<T>(some, ratio, policy, number, weighted, odd_heads(3),
                                    fit_kernels<T>());
        moves += expect_balanced<T>(many, ratio, policy, number, weighted, aligned_heads(3),
                                    {fk::assign_kernel::automatic});
      }
      if (!sanitizing()) {
        EXPECT_GT(moves, 50u) << "the data tests nothing";
      }
    }
  }
}

// A test a metric: sanitizers take minutes for each.
TYPED_TEST(balance, small_one_update_is_the_oracle_s) { expect_updates_balanced<TypeParam>(0); }
TYPED_TEST(balance, small_one_update_is_the_oracle_s_cosine) {
  expect_updates_balanced<TypeParam>(1);
}
TYPED_TEST(balance, small_one_update_is_the_oracle_s_inner_product) {
  expect_updates_balanced<TypeParam>(2);
}

// Blocks that come around several times, and a sort by digits; sizes of more than one digit.
TYPED_TEST(balance, large_one_update_is_the_oracle_s) {
  static auto const sets = [] {
    std::vector<exact_set> some{crowded_problems(1, {6000, 2500, 8}, 11, 421),
                                crowded_problems(2, {20000, 30, 16}, 10, 431)};
    return some;
  }();
  for (exact_set const& s : sets) {
    for (double const ratio : part_of({1.0, 3.5})) {
      for (policy_case const& policy : part_of(kPolicies)) {
        EXPECT_GT(expect_balanced<TypeParam>(s, ratio, policy, 0, policy.empty != vacancy::keep, {},
                                             {fk::assign_kernel::automatic}),
                  2u);
      }
    }
  }
}

// Half of the points in one cluster and no cluster without points: those that are spared are told
// from others by sizes of several digits.
TYPED_TEST(balance, large_the_smallest_clusters_are_spared) {
  static auto const set = [] {
    exact_set one = exact_problems(1, {40000, 20, 16}, 435);
    for (std::int64_t i = 0; i < 40000; i += 2) {
      for (std::int64_t e = 0; e < 16; ++e) one.x[0](i, e) = one.x[0](1, e);
    }
    one.label();
    return one;
  }();
  labels_vector const& labels = set.labels[0][0];
  auto const size = [&](std::int32_t j) { return std::count(labels.begin(), labels.end(), j); };
  std::int64_t largest = 0, spared = 0;
  for (reference_move const& move :
       reference_moves(capped_oracle<TypeParam>(3, measure::euclidean, {}, vacancy::keep), set.x[0],
                       labels, 20)) {
    largest = std::max<std::int64_t>(largest, size(move.cluster));
    ++spared;
  }
  EXPECT_GT(largest, 256);
  std::int64_t could_be = 0;
  for (std::int32_t j = 0; j < 20; ++j) could_be += size(j) <= 3000 ? 1 : 0;
  EXPECT_GT(could_be, spared);
  expect_balanced<TypeParam>(set, 3, kPolicies[0], 0, true, {}, {fk::assign_kernel::automatic});
  expect_balanced<TypeParam>(set, 1, kPolicies[1], 0, false, {}, {fk::assign_kernel::automatic});
}

// --- Several updates -----------------------------------------------------------------------------

// Whole numbers so far apart that no point comes to lie on a tie between two means.
problem_set scattered_problems(std::int64_t b, shape const& s, std::uint64_t seed) {
  problem_set set;
  for (std::int64_t p = 0; p < b; ++p) {
    auto const own = seed + static_cast<std::uint64_t>(p);
    set.x.push_back(integer_points(s.n, s.d, own, -60, 60));
    set.c.push_back(integer_points(s.k, s.d, own + 50, -30, 30));
    for (std::int64_t j = 2; j < s.k; j += 3) {
      for (std::int64_t e = 0; e < s.d; ++e) set.c.back()(j, e) = set.c.back()(1, e);
    }
    set.w.emplace_back();
    for (std::int64_t i = 0; i < s.n; ++i) {
      set.w.back().push_back(static_cast<double>((i * 7 + i / 5) % 4));
    }
  }
  return set;
}

// Labels of half and bfloat16 points belong to rounded centroids, after the first update.
TYPED_TEST(balance, small_fits_end_as_on_the_cpu) {
  using T = TypeParam;
  using C = centroid_of<T>;
  problem_set const s = scattered_problems(2, {300, 14, 9}, 441);
  for (metric_case const& m : part_of({kMetrics[0], kMetrics[2]})) {
    for (policy_case const& policy : part_of(kPolicies)) {
      for (double const ratio : part_of({1.2, 2.0})) {
        SCOPED_TRACE(text(m.name, ", ", policy.name, ", ratio ", ratio));
        fk::fit_options what = capped(ratio, is_half_v<T> ? 1 : 6);
        what.metric = m.metric;
        what.empty_cluster = policy.policy;
        what.closing_assignment = !is_half_v<T>;
        auto const run = run_set<T>(s, what);
        for (std::size_t p = 0; p < 2; ++p) {
          SCOPED_TRACE(text("problem ", p));
          std::vector<T> const points = to_type<T>(s.x[p]);
          std::vector<C> centroids = to_type<C>(s.c[p]);
          std::vector<C> const weights = flat<C>({s.w[p]});
          what.weights = weights.data();
          labels_vector labels(at(run.n));
          fk::fit_status status{};
          fk::host::fit(fk::matrix_view<T const>(points.data(), run.n, run.d),
                        fk::matrix_view<C>(centroids.data(), run.k, run.d),
                        {labels.data(), {}, &status}, what);
          auto const i = static_cast<std::int64_t>(p);
          EXPECT_EQ(run.labels_of(i), labels);
          EXPECT_EQ(run.status[p].iterations, status.iterations);
          EXPECT_EQ(run.status[p].converged, status.converged);
          matrix const got = run.centroids_of(i);
          for (std::size_t e = 0; e < centroids.size(); ++e) {
            // A half of a cluster is one rounding on the GPU, and one a split on the CPU.
            double const value = static_cast<double>(centroids[e]);
            bool const split = policy.empty == vacancy::split_largest;
            double const off = split ? 16 * unit_roundoff<C>() * std::abs(value) : 0;
            ASSERT_NEAR(got.values[e], value, off) << "value " << e;
          }
        }
      }
    }
  }
}

// Batches, layouts and repetitions change no bit; rows that are not finite count in no size.
template <class T>
void expect_batches_end_alike(metric_case const& m) {
  problem_set const s = mixed_problems<T>(400, 451);
  problem_set const clean = cleaned(s);
  for (policy_case const& policy : part_of(kPolicies)) {
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      SCOPED_TRACE(text(m.name, ", ", policy.name, ", ", fk::to_string(kernel)));
      fk::fit_options what = capped(1.2, 7, 1e-4);
      what.metric = m.metric;
      what.empty_cluster = policy.policy;
      auto const batch = run_set<T>(s, what, kernel, odd_heads(3));
      EXPECT_TRUE(same_run(batch, run_set<T>(s, what, kernel, odd_heads(3)))) << "two runs";
      EXPECT_TRUE(same_run(batch, run_set<T>(s, what, kernel, aligned_heads(3))));
      for (std::size_t p = 0; p < 3; ++p) {
        auto const i = static_cast<std::int64_t>(p);
        auto const one = run_set<T>(alone(s, p), what, kernel);
        EXPECT_TRUE(same_bits(slice(batch.centroids, i, 240), one.centroids)) << "problem " << p;
        EXPECT_EQ(batch.labels_of(i), one.labels) << "problem " << p;
        EXPECT_TRUE(same_bits(slice(batch.status, i, 1), one.status)) << "problem " << p;
      }
      auto const without = run_set<T>(alone(clean, 1), what, kernel);
      EXPECT_TRUE(same_values(batch.centroids_of(1), without.centroids_of(0)));
      EXPECT_EQ(slice(batch.index.counts, 1, 10), without.index.counts);
    }
  }
}

TYPED_TEST(balance, small_batches_end_as_their_problems_do_alone) {
  expect_batches_end_alike<TypeParam>(kMetrics[0]);
}
TYPED_TEST(balance, small_batches_end_as_their_problems_do_alone_cosine) {
  expect_batches_end_alike<TypeParam>(kMetrics[1]);
}
TYPED_TEST(balance, small_batches_end_as_their_problems_do_alone_inner_product) {
  expect_batches_end_alike<TypeParam>(kMetrics[2]);
}

TYPED_TEST(balance, small_several_seedings_keep_the_best) {
  using T = TypeParam;
  problem_set const s = mixed_problems<T>(300, 471);
  fk::fit_options what;
  what.max_iterations = 6;
  what.max_size_ratio = 1.2;
  std::vector<fit_run<T>> singles;
  for (what.seed = 17; what.seed < 21; ++what.seed) singles.push_back(run_set<T>(s, what));
  what.seed = 17;
  what.n_init = 4;
  auto const run = run_set<T>(s, what);
  bool later = false;
  for (std::size_t p = 0; p < 3; ++p) {
    auto const best = std::min_element(singles.begin(), singles.end(), [&](auto& a, auto& b) {
      return a.status[p].inertia < b.status[p].inertia;
    });
    later = later || best != singles.begin();
    auto const i = static_cast<std::int64_t>(p);
    EXPECT_TRUE(same_bits(slice(run.centroids, i, 240), slice(best->centroids, i, 240)));
    EXPECT_EQ(run.labels_of(i), best->labels_of(i));
    EXPECT_TRUE(same_bits(slice(run.status, i, 1), slice(best->status, i, 1)));
  }
  EXPECT_TRUE(later) << "no problem tells the best from the first";
}

// --- Convergence ---------------------------------------------------------------------------------

// Equal points go to one centroid however many lie on them, so centroids move until the end.
TYPED_TEST(balance, small_no_problem_converges_while_centroids_move) {
  using T = TypeParam;
  problem_set s;
  for (int p = 0; p < 2; ++p) {
    s.x.emplace_back(20, 3, 7);
    s.c.emplace_back(3, 3, 7);
    for (std::int64_t e = 0; e < 3; ++e) {
      s.c[at(p)](1, e) = 9;
      s.c[at(p)](2, e) = 11;
    }
  }
  // In the second, two thirds of the points are elsewhere.
  for (std::int64_t i = 0; i < 14; ++i) {
    for (std::int64_t e = 0; e < 3; ++e) s.x[1](i, e) = i < 7 ? 9 : 11;
  }
  for (double const tolerance : part_of({0.0, 1.0})) {
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      auto const run = run_set<T>(s, capped(1.5, 9, tolerance), kernel);
      EXPECT_EQ(run.status[0].iterations, 9);
      EXPECT_EQ(run.status[0].converged, 0);
      EXPECT_EQ(run.status[0].shift, 0);
      EXPECT_FALSE(run.result.converged);
      EXPECT_EQ(run.labels_of(0), labels_vector(20, 0));
      EXPECT_EQ(run.centroids_of(0)(1, 0), 7);
      EXPECT_EQ(run.centroids_of(0)(2, 0), 7);
      EXPECT_EQ(run.status[1].iterations, 1);
      EXPECT_EQ(run.status[1].converged, 1);
      // Points that weigh nothing move none.
      s.w.assign(2, weights_vector(20, 0));
      auto const still = run_set<T>(s, capped(1.5, 9, tolerance), kernel);
      EXPECT_EQ(still.status[0].iterations, 1);
      EXPECT_TRUE(same_values(still.centroids_of(0), s.c[0]));
      s.w.clear();
    }
  }
}

TYPED_TEST(balance, small_as_many_clusters_as_points) {
  using T = TypeParam;
  problem_set s{{matrix(60, 2)}, {matrix(60, 2, 30)}, {}};
  for (std::int64_t i = 0; i < 60; ++i) s.x[0](i, 0) = static_cast<double>(2 * i);
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    auto const run = run_set<T>(s, capped(1, 80), kernel);
    EXPECT_TRUE(run.result.converged);
    EXPECT_EQ(run.result.inertia, 0);
    EXPECT_EQ(run.index.counts, labels_vector(60, 1));
  }
}

// Small problems stay in one launch, too.
TYPED_TEST(balance, small_a_cap_that_no_cluster_can_exceed_changes_no_bit) {
  using T = TypeParam;
  problem_set const s = normal_problems<T>(3, {400, 9, 12}, 461, false);
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    auto const without = run_set<T>(s, capped(0, 20), kernel);
    for (double const ratio : part_of({9.0, 10.0, 1e300})) {
      auto const with = run_set<T>(s, capped(ratio, 20), kernel);
      EXPECT_TRUE(same_run(with, without));
      EXPECT_EQ(with.result.kernel, without.result.kernel);
    }
    EXPECT_FALSE(same_run(run_set<T>(s, capped(1.1, 20), kernel), without));
    problem_set one = s;
    for (matrix& c : one.c) c = first_rows(c, 1);
    EXPECT_TRUE(
        same_run(run_set<T>(one, capped(1, 20), kernel), run_set<T>(one, capped(0, 20), kernel)));
  }
}

// --- What it is for ------------------------------------------------------------------------------

// Ten blobs with 99 % of the points and as many far ones as k-means++ takes most of its centroids
// from. Three times the average size is in reach, but for what the last update leaves; of twice it,
// three clusters barely hold a blob, and fits come near without having to settle.
TYPED_TEST(balance, crowds_are_spread_over_more_clusters) {
  using T = TypeParam;
  std::int64_t const n = 6060, k = 60, d = 6;
  matrix x = normal_points(n, d, 60);
  matrix const corners = integer_points(10, d, 61, -20, 20);
  matrix const far = integer_points(n, d, 62, -300, 300);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t e = 0; e < d; ++e) {
      x(i, e) = i % 101 == 50 ? far(i, e) : x(i, e) + corners(i % 10, e);
    }
  }
  x = rounded_to<T>(x);
  fk::fit_options what;
  what.init = fk::init_method::kmeans_plus_plus;
  what.seed = 3;
  labels_vector counts = run_fit<T>(x, matrix(k, d), what).index.counts;
  std::sort(counts.rbegin(), counts.rend());
  std::int64_t top = 0;
  for (std::size_t j = 0; j < 10; ++j) top += counts[j];
  EXPECT_GT(top, n * 98 / 100);
  EXPECT_GT(counts[0], 5 * n / k);
  for (double const ratio : {2.0, 3.0}) {
    what.max_size_ratio = ratio;
    auto const with = run_fit<T>(x, matrix(k, d), what);
    double const most = *std::max_element(with.index.counts.begin(), with.index.counts.end());
    EXPECT_LE(most, 1.25 * ratio * n / k) << ratio;
    EXPECT_TRUE(ratio != 3 || with.result.converged);
  }
}

}  // namespace
