// Screened fits: as fits without a screen, bit for bit, whatever screens leave open.
#include "../gpu_options.hpp"

namespace {

using namespace testing_support;

// The kernel that a screen goes before.
template <class T>
constexpr fk::assign_kernel kExact =
    std::is_same_v<T, double> ? fk::assign_kernel::simt : fk::assign_kernel::sm90;

template <class T>
class screening : public gpu_test {
 protected:
  void SetUp() override {
    gpu_test::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (kernels_for<float>().back() != fk::assign_kernel::sm90) {
      GTEST_SKIP() << "nothing is screened on this device";
    }
  }
};
using screened_types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(screening, screened_types, element_names);

template <class T>
fk::execution with(fk::screening screening) {
  fk::execution exec = on_kernel(kExact<T>);
  exec.screening = screening;
  return exec;
}

template <class T>
void expect_same(problem_set const& s, fk::fit_options what, layout const& how = {}) {
  device_buffer<T> const weights(flat<T>(s.w));
  if (!s.w.empty()) what.weights = weights.data();
  auto const off = run_fit<T>(s.x, s.c, what, with<T>(fk::screening::off), how, how);
  for (int repetition = 0; repetition < 2; ++repetition) {
    auto const on = run_fit<T>(s.x, s.c, what, with<T>(fk::screening::on), how, how);
    EXPECT_TRUE(same_run(on, off));
  }
}

// Of three problems the second has each centroid twice, which leaves all of its points open, and the
// third is at rest from the start.
template <class T>
problem_set different_problems(shape const& s, std::uint64_t seed) {
  problem_set set = normal_problems<T>(3, s, seed, true);
  for (std::int64_t j = 1; j < s.k; j += 2) {
    for (std::int64_t e = 0; e < s.d; ++e) set.c[1](j, e) = set.c[1](j - 1, e);
  }
  for (std::int64_t i = 0; i < s.n; ++i) {
    for (std::int64_t e = 0; e < s.d; ++e) set.x[2](i, e) = set.c[2](i % s.k, e);
  }
  return set;
}

TYPED_TEST(screening, small_fits_are_as_without) {
  for (shape const& s :
       part_of({shape{sized(300, 130), 20, 24}, shape{260, 70, 130}, shape{150, 40, 300}})) {
    problem_set const set = different_problems<TypeParam>(s, 501);
    for (metric_case const& m : part_of(kMetrics)) {
      for (double const tolerance : part_of({0.0, 1e-3})) {
        SCOPED_TRACE(text(s, ", ", m.name, ", tolerance ", tolerance));
        fk::fit_options what = given(9, tolerance);
        what.metric = m.metric;
        expect_same<TypeParam>(set, what);
        what.closing_assignment = false;
        expect_same<TypeParam>(set, what, odd_heads(3));
      }
    }
  }
}

// Most points of a problem are open in the very iteration after which it has converged: the closing
// assignment takes all of its points.
TYPED_TEST(screening, small_fits_at_rest_while_most_points_are_open) {
  shape const s{sized(600, 300), 20, 24};
  problem_set set = normal_problems<TypeParam>(2, s, 551, false);
  for (std::int64_t j = 9; j < s.k; j += 2) {  // twelve centroids in pairs, whose points stay open
    for (std::int64_t e = 0; e < s.d; ++e) set.c[1](j, e) = set.c[1](j - 1, e);
  }
  for (std::int64_t i = 0; i < s.n; ++i) {
    for (std::int64_t e = 0; e < s.d; ++e) set.x[1](i, e) = set.c[1](i % s.k, e);
  }
  expect_same<TypeParam>(set, given(9, 1e6));
}

TYPED_TEST(screening, large_fits_are_as_without) {
  for (shape const& s : part_of({shape{40000, 300, 64}, shape{20000, 1000, 128}})) {
    SCOPED_TRACE(text(s));
    expect_same<TypeParam>(different_problems<TypeParam>(s, 511), given(6, 0));
  }
}

TYPED_TEST(screening, small_policies_and_points_that_are_not_finite) {
  problem_set const s = mixed_problems<TypeParam>(sized(400, 150), 521);
  for (policy_case const& policy : part_of(kPolicies)) {
    for (double const ratio : part_of({0.0, 1.3})) {
      SCOPED_TRACE(text(policy.name, ", ratio ", ratio));
      fk::fit_options what = given(6, 1e-4);
      what.empty_cluster = policy.policy;
      what.max_size_ratio = ratio;
      expect_same<TypeParam>(s, what);
    }
  }
}

TYPED_TEST(screening, small_seedings_are_as_without) {
  problem_set const s =
      normal_problems<TypeParam>(2, {sized(3000, 300), sized(60, 12), 40}, 531, false);
  for (fk::init_method const method :
       part_of({fk::init_method::random, fk::init_method::kmeans_plus_plus,
                fk::init_method::kmeans_parallel})) {
    SCOPED_TRACE(static_cast<int>(method));
    fk::fit_options what;
    what.init = method;
    what.max_iterations = 4;
    what.n_init = 2;
    expect_same<TypeParam>(s, what);
  }
}

// A plan whose points stay and whose centroids are others, and the other way round.
TYPED_TEST(screening, small_plans_with_unchanged_points_and_centroids) {
  using T = TypeParam;
  shape const s{sized(500, 130), sized(30, 10), 48};
  problem_set const first = different_problems<TypeParam>(s, 541),
                    second = different_problems<TypeParam>(s, 542);
  fk::fit_options const what = given(5, 0);
  layout how;
  how.batch = {3, 1};
  device_matrices<T> points(first.x, how), centroids(first.c, how);
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(3 * s.n));
  fk::fit_outputs const out{labels.data()};
  fk::execution exec = with<T>(fk::screening::on);
  device_buffer<unsigned char> const memory(
      fk::fit_workspace_bytes(points.const_view(), centroids.view(), what, exec));
  exec.workspace = memory.data();
  exec.workspace_bytes = memory.size();
  fk::fit_plan<T> plan(points.const_view(), centroids.view(), out, what, exec);
  auto const expect_as_anew = [&](std::vector<matrix> const& x, std::vector<matrix> const& c) {
    auto const off = run_fit<T>(x, c, what, with<T>(fk::screening::off));
    EXPECT_TRUE(same_bits(centroids.download(), off.centroids));
    EXPECT_EQ(labels.download(), off.labels);
    std::vector<matrix> ends;
    for (std::int64_t p = 0; p < 3; ++p) ends.push_back(off.centroids_of(p));
    return ends;
  };
  plan.fit_async(nullptr);
  std::vector<matrix> const after = expect_as_anew(first.x, first.c);
  plan.fit_async(nullptr, {true, true});
  expect_as_anew(first.x, after);
  centroids.upload(second.c);
  plan.fit_async(nullptr, {true, false});
  std::vector<matrix> const later = expect_as_anew(first.x, second.c);
  points.upload(second.x);
  plan.fit_async(nullptr, {false, true});
  expect_as_anew(second.x, later);
}

}  // namespace
