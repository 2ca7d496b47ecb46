// Fits that add up only what changed from one update to the next: as fits whose every update adds up
// all points.
#include "../gpu_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class changes : public gpu_test {};
using changed_types = ::testing::Types<__half, __nv_bfloat16, float>;
TYPED_TEST_SUITE(changes, changed_types, element_names);

fk::fit_options without_closing(int iterations) {
  fk::fit_options what = given(iterations, 0);
  what.closing_assignment = false;
  return what;
}

// Sums of whole numbers are exact, in whatever order and whatever is added or taken away.
template <class T>
problem_set whole_problems(std::int64_t b, shape const& s, std::uint64_t seed) {
  problem_set set;
  for (std::int64_t p = 0; p < b; ++p) {
    set.x.push_back(integer_points(s.n, s.d, seed + static_cast<std::uint64_t>(p)));
    set.c.push_back(first_rows(set.x.back(), s.k));
  }
  return set;
}

template <class T>
struct changed_run {
  std::vector<float> centroids;      // [b][k][d]
  std::vector<std::int32_t> labels;  // [b][n]
  std::vector<fk::fit_status> status;
};

// A fit without an index, for which its last update would sort all points.
template <class T>
changed_run<T> run_changes(problem_set const& s, fk::fit_options const& what, layout how = {}) {
  auto const b = static_cast<std::int64_t>(s.x.size());
  if (how.batch[0] * how.batch[1] != b) how.batch = {b, 1};
  device_matrices<T> const points(s.x, how);
  device_matrices<float> const centroids(s.c, how);
  device_buffer<std::int32_t> labels(at(b * s.x.front().rows));
  device_buffer<fk::fit_status> status(at(b));
  fk::fit(points.const_view(), centroids.view(), {labels.data(), {}, status.data()}, what);
  EXPECT_TRUE(points.padding_untouched());
  EXPECT_TRUE(centroids.padding_untouched());
  return {centroids.download(), labels.download(), status.download()};
}

// Whether a second update adds up changes shows in the workspace.
template <class T>
bool adds_changes(problem_set const& s) {
  auto const bytes = [&](int iterations) {
    fk::matrix_view<T const> const x{nullptr, s.x.front().rows, s.x.front().cols};
    fk::matrix_view<float> const c{nullptr, s.c.front().rows, s.c.front().cols};
    return fk::fit_workspace_bytes(x, c, given(iterations, 0));
  };
  return bytes(2) > bytes(1);
}

// So many fits of one iteration each, which add up all points: where each ends the next begins.
template <class T>
changed_run<T> run_one_by_one(problem_set const& s, int iterations, layout const& how = {}) {
  problem_set now = s;
  std::int64_t const k = s.c.front().rows, d = s.c.front().cols;
  for (int i = 1;; ++i) {
    changed_run<T> run = run_changes<T>(now, without_closing(1), how);
    if (i == iterations) return run;
    for (std::size_t p = 0; p < now.c.size(); ++p) {
      now.c[p] = from_type<float>(slice(run.centroids, static_cast<std::int64_t>(p), k * d), k, d);
    }
  }
}

// Returns how many iterations the fits took.
template <class T>
std::vector<int> expect_as_one_by_one(problem_set const& s, int iterations,
                                      layout const& how = {}) {
  EXPECT_TRUE(adds_changes<T>(s));
  changed_run<T> const run = run_changes<T>(s, without_closing(iterations), how);
  changed_run<T> const expected = run_one_by_one<T>(s, iterations, how);
  EXPECT_TRUE(same_bits(run.centroids, expected.centroids));
  EXPECT_EQ(run.labels, expected.labels);
  std::vector<int> taken;
  for (std::size_t p = 0; p < s.x.size(); ++p) {
    EXPECT_TRUE(same_bits(std::vector<double>{run.status[p].shift},
                          std::vector<double>{expected.status[p].shift}))
        << "problem " << p << ": " << run.status[p].shift << ", " << expected.status[p].shift;
    EXPECT_EQ(run.status[p].non_finite, expected.status[p].non_finite) << "problem " << p;
    taken.push_back(run.status[p].iterations);
  }
  return taken;
}

TYPED_TEST(changes, exact_sums_are_those_of_all_points) {
  for (shape const& s : part_of({shape{40000, 300, 64}, shape{33000, 1000, 40},
                                 shape{100000, 7, 96}, shape{70000, 2048, 33}})) {
    for (int const iterations : part_of({2, 3, 9})) {
      SCOPED_TRACE(text(s, ", iterations ", iterations));
      expect_as_one_by_one<TypeParam>(whole_problems<TypeParam>(1, s, 601), iterations);
    }
  }
}

TYPED_TEST(changes, small_exact_sums) {
  int const iterations = sized(4, 2);
  problem_set const s =
      whole_problems<TypeParam>(sized(2, 1), {32768, sized(21, 3), sized(36, 32)}, 605);
  expect_as_one_by_one<TypeParam>(s, iterations);
  if (sanitizing()) return;
  // With an index the last update adds up all points.
  EXPECT_TRUE(same_bits(run_fit<TypeParam>(s.x, s.c, without_closing(iterations)).centroids,
                        run_changes<TypeParam>(s, without_closing(iterations)).centroids));
}

// A batch: one problem ends at once, one has a crowded cluster, one holds points that are not finite,
// and rows lie far apart.
TYPED_TEST(changes, problems_of_a_batch_differ) {
  shape const s{34000, 60, 48};
  problem_set set = whole_problems<TypeParam>(4, s, 611);
  for (std::int64_t i = 0; i < s.n; ++i) {
    for (std::int64_t e = 0; e < s.d; ++e) {
      set.x[1](i, e) = set.c[1](i % s.k, e);
      if (i % 100 != 0) set.x[2](i, e) = static_cast<double>(i % 3 == e % 5);
    }
  }
  for (std::int64_t i = 5; i < s.n; i += 700) set.x[3](i, i % s.d) = kSpoilt[i % 3];
  set.c[3] = first_rows(set.x[3], s.k);
  for (std::int64_t e = 0; e < s.d; ++e) set.c[3](5, e) = 0;
  for (layout const& how : part_of({layout{}, aligned_heads(2), odd_heads(2)})) {
    layout of_four = how;
    of_four.batch = {2, 2};
    SCOPED_TRACE(how.name);
    std::vector<int> const taken = expect_as_one_by_one<TypeParam>(set, 12, of_four);
    EXPECT_LE(taken[1], 2);
    EXPECT_EQ(taken[3], 12);
  }
  // Rounded sums, too, are the same alone.
  problem_set const rounded = normal_problems<TypeParam>(5, s, 615, false);
  changed_run<TypeParam> const together = run_changes<TypeParam>(rounded, given(12, 0));
  for (std::size_t p = 0; p < 5; ++p) {
    changed_run<TypeParam> const own = run_changes<TypeParam>(alone(rounded, p), given(12, 0));
    auto const problem = static_cast<std::int64_t>(p);
    EXPECT_TRUE(same_bits(own.centroids, slice(together.centroids, problem, s.k * s.d)));
    EXPECT_EQ(own.labels, slice(together.labels, problem, s.n));
  }
}

// Normal points, whose sums are rounded: centroids are the means of their points, however many
// updates ago these were added up. All centroids begin at one end of the points, so that clusters
// shrink from nearly all points to their share, and far from the origin.
TYPED_TEST(changes, centroids_stay_means) {
  using T = TypeParam;
  shape const s{60000, 40, 64};
  matrix x = normal_points(s.n, s.d, 621);
  for (std::int64_t i = 0; i < s.n; ++i) {
    for (std::int64_t e = 0; e < s.d; ++e) {
      x(i, e) += 30 + 20 * static_cast<double>(i) / static_cast<double>(s.n);
    }
  }
  problem_set const set{{rounded_to<T>(x)}, {first_rows(rounded_to<T>(x), s.k)}, {}};
  ASSERT_TRUE(adds_changes<T>(set));
  for (int const iterations : part_of({5, 40})) {
    SCOPED_TRACE(iterations);
    changed_run<T> const run = run_changes<T>(set, without_closing(iterations));
    ASSERT_EQ(run.status[0].iterations, iterations);
    std::vector<double> sums(at(s.k * s.d)), sizes(at(s.k));
    for (std::int64_t i = 0; i < s.n; ++i) {
      std::int64_t const label = run.labels[at(i)];
      sizes[at(label)] += 1;
      for (std::int64_t e = 0; e < s.d; ++e) sums[at(label * s.d + e)] += set.x[0](i, e);
    }
    matrix const c = from_type<float>(run.centroids, s.k, s.d);
    // Rounding of the mean itself, and in runs of 8 rows, of what is a few times the points there.
    double const error = 16 * unit_roundoff<float>();
    for (std::int64_t j = 0; j < s.k; ++j) {
      if (sizes[at(j)] == 0) continue;
      for (std::int64_t e = 0; e < s.d; ++e) {
        double const mean = sums[at(j * s.d + e)] / sizes[at(j)];
        ASSERT_NEAR(c(j, e), mean, error * std::abs(mean)) << "cluster " << j << ", feature " << e;
      }
    }
  }
}

// The loop of a plan and the second fit over a workspace that the first one has left behind.
TYPED_TEST(changes, plans_fit_as_calls_do) {
  using T = TypeParam;
  shape const s{50000, 128, 64};
  problem_set const first = normal_problems<T>(2, s, 631, false),
                    second = normal_problems<T>(2, s, 641, false);
  ASSERT_TRUE(adds_changes<T>(first));
  for (int const iterations : part_of({3, 10, 60})) {
    SCOPED_TRACE(iterations);
    fk::fit_options const what = given(iterations, 0);
    layout how;
    how.batch = {2, 1};
    device_matrices<T> points(first.x, how);
    device_matrices<float> centroids(first.c, how);
    device_buffer<std::int32_t> const labels(at(2 * s.n));
    fk::execution exec;
    device_buffer<unsigned char> const memory(
        fk::fit_workspace_bytes(points.const_view(), centroids.view(), what, exec));
    exec.workspace = memory.data();
    exec.workspace_bytes = memory.size();
    fk::fit_plan<T> plan(points.const_view(), centroids.view(), {labels.data()}, what, exec);
    for (problem_set const& set : {first, second, first}) {
      points.upload(set.x);
      centroids.upload(set.c);
      plan.fit_async(nullptr);
      changed_run<T> const expected = run_changes<T>(set, what);
      EXPECT_TRUE(same_bits(centroids.download(), expected.centroids));
      EXPECT_EQ(labels.download(), expected.labels);
    }
  }
}

// A sum that float cannot hold stays out of the sums that follow.
using changes_of_float = gpu_test;
TEST_F(changes_of_float, sums_out_of_range_are_as_one_by_one) {
  problem_set set = whole_problems<float>(1, {36000, 20, 32}, 651);
  for (std::int64_t i = 1000; i < 1100; ++i) set.x[0](i, 3) = 3e38;
  expect_as_one_by_one<float>(set, 6);
}

// Nor of those of other clusters, when it leaves the range in one update after the other and many
// blocks finish clusters at the same time.
TEST_F(changes_of_float, sums_out_of_range_in_many_updates) {
  problem_set set = whole_problems<float>(1, {40000, 1000, 32}, 661);
  for (std::int64_t i = 5000; i < 5200; ++i) set.x[0](i, 3) = 5e37;
  for (int run = 0; run < 3; ++run) expect_as_one_by_one<float>(set, 8);
}

}  // namespace
