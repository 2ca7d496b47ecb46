// The sm90 kernel: its tiles, its shares of the work, its copies of the points, and its accuracy.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <class T>
bool sm90_runs_here() {
  std::vector<fk::assign_kernel> const kernels = kernels_for<T>();
  return std::find(kernels.begin(), kernels.end(), fk::assign_kernel::sm90) != kernels.end();
}

// Tests of this fixture skip where the kernel cannot run.
template <class T>
class assign_sm90 : public gpu_test {
 protected:
  void SetUp() override {
    gpu_test::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!sm90_runs_here<T>()) GTEST_SKIP() << "sm90 does not run on this device";
  }
};
using sm90_types = ::testing::Types<__half, __nv_bfloat16, float>;
TYPED_TEST_SUITE(assign_sm90, sm90_types, element_names);

fk::execution on_sm90(fk::precision precision = fk::precision::native,
                      fk::screening screening = fk::screening::off) {
  fk::execution exec = on_kernel(fk::assign_kernel::sm90);
  exec.precision = precision;
  exec.screening = screening;
  return exec;
}
fk::execution screened() { return on_sm90(fk::precision::native, fk::screening::on); }

// Every way that the kernel multiplies points of type T.
template <class T>
std::vector<fk::execution> ways() {
  std::vector<fk::execution> all{on_sm90()};
  if (std::is_same_v<T, float>) {
    all.push_back(screened());
    all.push_back(on_sm90(fk::precision::tf32));
  }
  return all;
}

char const* name_of(fk::execution const& exec) {
  if (exec.precision == fk::precision::tf32) return "tf32";
  return exec.screening == fk::screening::on ? "screened" : "native";
}

// Labels of exact data are the oracle's, however they are multiplied.
template <class T>
void expect_labels(fk::matrix_view<T const> const& x,
                   fk::matrix_view<centroid_of<T> const> const& c,
                   std::vector<std::int32_t> const& expected) {
  for (fk::execution const& exec : part_of(ways<T>())) {
    SCOPED_TRACE(name_of(exec));
    auto const run = run_predict<T>(x, c, exec);
    EXPECT_EQ(run.kernel, fk::assign_kernel::sm90);
    ASSERT_EQ(run.labels, expected);
  }
}

template <class T>
void expect_labels(matrix const& x, matrix const& c, std::vector<std::int32_t> const& expected) {
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  expect_labels<T>(points.const_view(), centroids.const_view(), expected);
}

// --- Shapes --------------------------------------------------------------------------------------

// Features that fill chunks, steps and turns, fall one short and go one over, with points that stay
// in shared memory and that do not, and of float around 10 and 21, where pairs of pieces fill one
// chunk and two; every third number of centroids with each. n is odd, so that it fills no tile, and
// as large as the oracle can do in a few hundredths of a second.
TYPED_TEST(assign_sm90, every_width_and_depth_exact) {
  using T = TypeParam;
  std::int64_t const depths[] = {1,   2,   3,   7,   8,   9,   10,  11,  15,   16,  17,  21,
                                 22,  24,  31,  45,  63,  64,  65,  96,  100,  127, 128, 129,
                                 192, 200, 256, 320, 384, 512, 513, 768, 1536, 4096};
  std::int64_t const widths[] = {1,   2,   63,  64,  65,  100, 128, 129,
                                 191, 192, 193, 256, 293, 385, 1000};
  std::int64_t turn = 0;
  for (std::int64_t const d : depths) {
    ++turn;
    for (std::int64_t at = turn % 3; at < 15; at += 3) {
      std::int64_t const k = widths[at];
      std::int64_t const n =
          std::clamp<std::int64_t>(20000000 / (k * d), 7, 2 * 132 * 192 / 10) | 1;
      SCOPED_TRACE(text(shape{n, k, d}));
      matrix const x = integer_points(n, d, 201), c = integer_points(k, d, 202);
      ASSERT_NO_FATAL_FAILURE(expect_labels<T>(x, c, reference_assign(x, c)));
    }
  }
}

// The same with few points, for sanitizers.
TYPED_TEST(assign_sm90, small_exact) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{193, 65, 8}, shape{129, 193, 64}, shape{131, 385, 72},
                                 shape{65, 129, 129}, shape{7, 200, 513}, shape{67, 66, 1000}})) {
    SCOPED_TRACE(text(s));
    matrix const x = integer_points(s.n, s.d, 203), c = integer_points(s.k, s.d, 204);
    ASSERT_NO_FATAL_FAILURE(expect_labels<T>(x, c, reference_assign(x, c)));
  }
}

// The centroids of a point tile are shared by many blocks. Three features of nine values each make
// most centroids ties of others, far apart.
template <class T>
void expect_few_points_exact(std::vector<shape> const& shapes) {
  for (shape const& s : shapes) {
    SCOPED_TRACE(text(s));
    matrix const x = integer_points(s.n, s.d, 211), c = integer_points(s.k, s.d, 212);
    ASSERT_NO_FATAL_FAILURE(expect_labels<T>(x, c, reference_assign(x, c)));
  }
}

TYPED_TEST(assign_sm90, small_few_points_many_centroids) {
  expect_few_points_exact<TypeParam>(
      {{1, 193, 3}, {1, 5000, 64}, {5, 3001, 24}, {5, 2000, 520}, {130, 2000, 3}});
}

TYPED_TEST(assign_sm90, large_few_points_many_centroids) {
  expect_few_points_exact<TypeParam>({{1, 20000, 64},
                                      {1, 19999, 1000},
                                      {5, 20000, 3},
                                      {5, 20000, 200},
                                      {130, 20000, 3},
                                      {130, 19969, 64},
                                      {400, 7001, 40}});
}

// Real numbers: scores of equal centroids are equal bits in whichever block they are found.
TYPED_TEST(assign_sm90, small_ties_across_blocks_go_to_the_lowest_index) {
  using T = TypeParam;
  std::int64_t const k = 6000;
  for (std::int64_t const d : part_of({3, 64, 200})) {
    for (std::int64_t const n : part_of({1, 5, 130})) {
      SCOPED_TRACE(text("n = ", n, ", d = ", d));
      matrix const x = normal_points(n, d, 221);
      matrix const one = take_rows(normal_points(1, d, 222), std::vector<std::int64_t>(k, 0));
      ASSERT_NO_FATAL_FAILURE(
          expect_labels<T>(x, one, std::vector<std::int32_t>(static_cast<std::size_t>(n), 0)));
      // The second half repeats the first, so no label may lie in it.
      std::vector<std::int64_t> rows;
      for (std::int64_t j = 0; j < k; ++j) rows.push_back(j % (k / 2));
      matrix const twice = take_rows(normal_points(k / 2, d, 223), rows);
      for (fk::execution const& exec : part_of(ways<T>())) {
        SCOPED_TRACE(name_of(exec));
        for (std::int32_t const label : run_predict<T>(x, twice, exec).labels) {
          ASSERT_GE(label, 0);
          ASSERT_LT(label, k / 2);
        }
      }
    }
  }
}

// Copies of a few centroids in any order: in the same tile, in others, in other blocks' shares.
TYPED_TEST(assign_sm90, small_lowest_of_duplicates_wins) {
  using T = TypeParam;
  for (shape const& s : part_of(
           {shape{400, 190, 3}, shape{401, 1000, 64}, shape{5, 5000, 129}, shape{260, 700, 700}})) {
    SCOPED_TRACE(text(s));
    // Apart by far more than bfloat16 rounds, so that only copies are equal.
    matrix const distinct = normal_points(37, s.d, 231);
    random_source random(232);
    std::vector<std::int64_t> rows;
    std::vector<std::int32_t> first(37, -1);
    for (std::int64_t j = 0; j < s.k; ++j) {
      rows.push_back(random.integer(0, 36));
      std::int32_t& seen = first[static_cast<std::size_t>(rows.back())];
      if (seen < 0) seen = static_cast<std::int32_t>(j);
    }
    matrix const x = normal_points(s.n, s.d, 233), c = take_rows(distinct, rows);
    for (fk::execution const& exec : part_of(ways<T>())) {
      SCOPED_TRACE(name_of(exec));
      for (std::int32_t const label : run_predict<T>(x, c, exec).labels) {
        ASSERT_GE(label, 0);
        ASSERT_LT(label, s.k);
        ASSERT_EQ(label, first[static_cast<std::size_t>(rows[static_cast<std::size_t>(label)])]);
      }
    }
  }
}

TYPED_TEST(assign_sm90, small_more_than_262144_centroids) {
  using T = TypeParam;
  for (std::int64_t const n : {3, sized(200, 5)}) {
    matrix const x = integer_points(n, 2, 241, -200, 200);
    matrix const c = integer_points(300001, 2, 242, -200, 200);
    ASSERT_NO_FATAL_FAILURE(expect_labels<T>(x, c, reference_assign(x, c)));
  }
}

// --- Batches and convergence ---------------------------------------------------------------------

// Labels -7 before; problems whose status says so must keep them, all others get the oracle's.
template <class T>
void expect_running_problems_alone(shape const& s, layout const& how,
                                   std::vector<char> const& converged) {
  std::int64_t const b = how.batch[0] * how.batch[1];
  std::vector<matrix> x, c;
  std::vector<std::int32_t> expected;
  std::vector<fk::fit_status> states;
  for (std::int64_t p = 0; p < b; ++p) {
    bool const stopped = converged[static_cast<std::size_t>(p)] != 0;
    x.push_back(integer_points(s.n, s.d, static_cast<std::uint64_t>(2 * p)));
    c.push_back(integer_points(s.k, s.d, static_cast<std::uint64_t>(2 * p + 1)));
    std::vector<std::int32_t> const labels =
        stopped ? std::vector<std::int32_t>(static_cast<std::size_t>(s.n), -7)
                : reference_assign(x.back(), c.back());
    expected.insert(expected.end(), labels.begin(), labels.end());
    states.push_back({0, 0, 1, stopped ? 1 : 0});
  }
  device_matrices<T> const points(x, how);
  device_matrices<centroid_of<T>> const centroids(c, how);
  device_buffer<fk::fit_status> const status(states);
  for (fk::execution const& exec : part_of(ways<T>())) {
    SCOPED_TRACE(name_of(exec));
    fk::matrix_view<centroid_of<T> const> const view = centroids.const_view();
    fk::detail::assign_plan const plan = fk::detail::plan_assignment<T>(exec);
    fk::detail::arena sizing;
    fk::detail::assignment<T>(points.const_view(), view, plan, sizing);
    device_buffer<unsigned char> const memory(sizing.used());
    fk::detail::arena arena(memory.data());
    fk::detail::assignment<T> assignment(points.const_view(), view, plan, arena);
    device_buffer<std::int32_t> const labels(std::vector<std::int32_t>(expected.size(), -7));
    assignment.prepare();
    assignment.queue_points(nullptr);
    assignment.queue_centroids(nullptr);
    // Twice: the first run must leave the counters as the second needs them.
    assignment.queue_labels(labels.data(), status.data(), nullptr);
    ASSERT_EQ(labels.download(), expected);
    assignment.queue_labels(labels.data(), status.data(), nullptr);
    ASSERT_EQ(labels.download(), expected);
  }
}

std::vector<char> converged_unless(std::int64_t b, std::int64_t period, std::int64_t rest) {
  std::vector<char> converged;
  for (std::int64_t p = 0; p < b; ++p) converged.push_back(p % period == rest ? 0 : 1);
  return converged;
}

TYPED_TEST(assign_sm90, small_converged_problems_keep_their_labels) {
  using T = TypeParam;
  layout how;
  how.batch = {5, 8};
  for (shape const& s : part_of({shape{70, 9, 24}, shape{200, 200, 24}, shape{5, 900, 64}})) {
    SCOPED_TRACE(text(s));
    expect_running_problems_alone<T>(s, how, std::vector<char>(40, 0));
    expect_running_problems_alone<T>(s, how, std::vector<char>(40, 1));
    expect_running_problems_alone<T>(s, how, converged_unless(40, 7, 3));
    expect_running_problems_alone<T>(s, how, converged_unless(40, 40, 0));
    expect_running_problems_alone<T>(s, how, converged_unless(40, 40, 39));
  }
}

// More problems than a block has threads many times over, and than y and z of a grid hold.
TYPED_TEST(assign_sm90, large_batch_of_tiny_problems) {
  using T = TypeParam;
  std::int64_t const b = 70000;
  layout how;
  how.batch = {b / 10, 10};
  expect_running_problems_alone<T>({3, 2, 2}, how, std::vector<char>(b, 0));
  expect_running_problems_alone<T>({3, 2, 2}, how, converged_unless(b, 97, 5));
  expect_running_problems_alone<T>({3, 2, 2}, how, converged_unless(b, b, b - 1));
}

// --- Where matrices lie --------------------------------------------------------------------------

// Every problem gets the labels that it gets alone and contiguous, in a workspace of just the size
// that the verb asks for.
template <class T>
void expect_labels_of_contiguous(std::vector<matrix> const& x, std::vector<matrix> const& c,
                                 layout const& x_layout, layout const& c_layout) {
  auto const n = x.front().rows;
  device_matrices<T> const points(x, x_layout);
  device_matrices<centroid_of<T>> const centroids(c, c_layout);
  for (fk::execution const& way : part_of(ways<T>())) {
    SCOPED_TRACE(name_of(way));
    device_buffer<unsigned char> const memory(
        fk::predict_workspace_bytes(points.const_view(), centroids.const_view(), {}, way));
    fk::execution exec = way;
    exec.workspace = memory.data();
    exec.workspace_bytes = memory.size();
    auto const run = run_predict<T>(points.const_view(), centroids.const_view(), exec);
    for (std::size_t p = 0; p < x.size(); ++p) {
      ASSERT_EQ(slice(run.labels, static_cast<std::int64_t>(p), n),
                run_predict<T>(x[p], c[p], way).labels)
          << "problem " << p;
    }
  }
  ASSERT_TRUE(points.padding_untouched());
  ASSERT_TRUE(centroids.padding_untouched());
}

TYPED_TEST(assign_sm90, small_layouts_do_not_change_labels) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({3, 64, 200})) {
    std::vector<matrix> x, c;
    for (std::uint64_t p = 0; p < 6; ++p) {
      x.push_back(normal_points(sized(301, 97), d, 251 + p));
      c.push_back(normal_points(sized(130, 70), d, 261 + p));
    }
    for (layout const& how : batch_layouts()) {
      SCOPED_TRACE(text("d = ", d, ", ", how.name));
      layout flat;
      flat.batch = how.batch;
      ASSERT_NO_FATAL_FAILURE(expect_labels_of_contiguous<T>(x, c, how, flat));
      ASSERT_NO_FATAL_FAILURE(expect_labels_of_contiguous<T>(x, c, flat, how));
    }
    for (layout const& how : single_layouts()) {
      SCOPED_TRACE(text("d = ", d, ", ", how.name));
      ASSERT_NO_FATAL_FAILURE(expect_labels_of_contiguous<T>({x[0]}, {c[0]}, how, {}));
    }
  }
}

// Points with stride 0, in rows that need no copy.
TYPED_TEST(assign_sm90, small_points_shared_by_a_batch) {
  using T = TypeParam;
  matrix const x = integer_points(290, 64, 271);
  std::vector<matrix> c;
  for (std::uint64_t p = 0; p < 6; ++p) {
    c.push_back(integer_points(70, 64, 272 + p));
  }
  std::vector<std::int32_t> const expected = reference_assign(std::vector<matrix>(c.size(), x), c);
  for (std::array<std::int64_t, 2> const& batch :
       {std::array<std::int64_t, 2>{6, 1}, std::array<std::int64_t, 2>{1, 6},
        std::array<std::int64_t, 2>{2, 3}}) {
    SCOPED_TRACE(text(batch[0], " x ", batch[1]));
    layout how;
    how.batch = batch;
    device_matrices<T> const points(x);
    device_matrices<centroid_of<T>> const centroids(c, how);
    fk::matrix_view<T const> shared = points.const_view();
    shared.batch = batch;
    shared.batch_stride = {0, 0};
    ASSERT_NO_FATAL_FAILURE(expect_labels<T>(shared, centroids.const_view(), expected));
  }
}

// --- NaN and range -------------------------------------------------------------------------------

// One NaN in every third point, in turn, so that each place in a tile has one.
TYPED_TEST(assign_sm90, small_nan_points_get_label_0) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({5, 64, 300})) {
    matrix const good = integer_points(400, d, 281), c = integer_points(210, d, 282);
    for (std::int64_t rest = 0; rest < 3; ++rest) {
      SCOPED_TRACE(text("d = ", d, ", points ", rest, " + 3 i"));
      matrix x = good;
      for (std::int64_t i = rest; i < x.rows; i += 3) x(i, (i * 7) % d) = kNan;
      std::vector<std::int32_t> const expected = reference_assign(x, c);
      for (std::int64_t i = rest; i < x.rows; i += 3) {
        ASSERT_EQ(expected[static_cast<std::size_t>(i)], 0) << "the oracle itself";
      }
      ASSERT_NO_FATAL_FAILURE(expect_labels<T>(x, c, expected));
    }
  }
}

// Points on the centroids, every third of which is NaN, in turn.
TYPED_TEST(assign_sm90, small_nan_centroids_never_win) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({5, 64, 300})) {
    matrix const good = integer_points(400, d, 291);
    for (std::int64_t rest = 0; rest < 3; ++rest) {
      SCOPED_TRACE(text("d = ", d, ", centroids ", rest, " + 3 i"));
      matrix c = good;
      for (std::int64_t j = rest; j < c.rows; j += 3) c(j, (j * 7) % d) = kNan;
      ASSERT_NO_FATAL_FAILURE(expect_labels<T>(good, c, reference_assign(good, c)));
    }
    ASSERT_NO_FATAL_FAILURE(
        expect_labels<T>(good, matrix(400, d, kNan), std::vector<std::int32_t>(400, 0)));
  }
}

// Whole shares of a tile without a winner, before, between and after the one that has it.
TYPED_TEST(assign_sm90, small_nan_centroids_split_over_blocks) {
  using T = TypeParam;
  std::int64_t const k = 5000, d = 24;
  matrix const x = integer_points(5, d, 292), good = integer_points(k, d, 293);
  ASSERT_NO_FATAL_FAILURE(expect_labels<T>(x, matrix(k, d, kNan), std::vector<std::int32_t>(5, 0)));
  for (std::int64_t const only : part_of({0, 1, 191, 192, 2500, 4999})) {
    SCOPED_TRACE(only);
    matrix c(k, d, kNan);
    for (std::int64_t e = 0; e < d; ++e) c(only, e) = good(only, e);
    ASSERT_NO_FATAL_FAILURE(
        expect_labels<T>(x, c, std::vector<std::int32_t>(5, static_cast<std::int32_t>(only))));
  }
}

// |c|^2/2 is far beyond half. Multiples of 32 up to 31 * 32 have 5 bits; sums of 64 products are
// multiples of 512 below 2^26, which float holds.
TYPED_TEST(assign_sm90, small_norms_beyond_half) {
  using T = TypeParam;
  matrix x = integer_points(300, 64, 301, -31, 31), c = integer_points(250, 64, 302, -31, 31);
  for (double& value : x.values) value *= 32;
  for (double& value : c.values) value *= 32;
  ASSERT_GT(norm(c, 0) * norm(c, 0) / 2, 65504);
  ASSERT_NO_FATAL_FAILURE(expect_labels<T>(x, c, reference_assign(x, c)));
}

// --- Accuracy ------------------------------------------------------------------------------------

// Labels of bell-shaped data are within the rounding of every way to multiply, tf32 included.
TYPED_TEST(assign_sm90, small_labels_are_nearest_within_rounding) {
  using T = TypeParam;
  for (shape const& s : part_of(
           {shape{300, 130, 3}, shape{300, 200, 64}, shape{200, 293, 200}, shape{50, 100, 1536}})) {
    SCOPED_TRACE(text(s));
    matrix const x = rounded_to<T>(normal_points(s.n, s.d, 311));
    matrix const c = rounded_to<centroid_of<T>>(normal_points(s.k, s.d, 312));
    for (fk::execution const& exec : part_of(ways<T>())) {
      SCOPED_TRACE(name_of(exec));
      auto const run = run_predict<T>(x, c, exec);
      EXPECT_TRUE(labels_are_nearest<T>(x, assignment_centroids<T>(c, exec), run.labels, exec));
      EXPECT_TRUE(distances_match<T>(x, c, run.labels, run.distances));
    }
  }
}

class assign_sm90_float : public assign_sm90<float> {};

// What labels cost against the nearest centroids.
struct regret {
  double sum = 0;  // of squared distances
  std::int64_t wrong = 0;

  regret(matrix const& x, matrix const& c, std::vector<std::int32_t> const& labels,
         std::vector<std::int32_t> const& nearest) {
    for (std::int64_t i = 0; i < x.rows; ++i) {
      std::int32_t const got = labels[static_cast<std::size_t>(i)];
      std::int32_t const best = nearest[static_cast<std::size_t>(i)];
      if (got == best) continue;
      ++wrong;
      sum += reference_distance(x, i, c, got) - reference_distance(x, i, c, best);
    }
  }
};

// The rule x.c - |c|^2/2 in fp32, products added one by one.
std::vector<std::int32_t> labels_in_fp32(matrix const& points, matrix const& centroids) {
  std::vector<float> const x = to_type<float>(points), c = to_type<float>(centroids);
  auto const d = static_cast<std::size_t>(points.cols);
  auto const k = static_cast<std::size_t>(centroids.rows);
  std::vector<float> half_norms(k, 0.0f);
  for (std::size_t j = 0; j < k; ++j) {
    for (std::size_t e = 0; e < d; ++e) half_norms[j] += c[j * d + e] * c[j * d + e];
    half_norms[j] /= 2;
  }
  std::vector<std::int32_t> labels;
  for (std::size_t i = 0; i * d < x.size(); ++i) {
    float best = -std::numeric_limits<float>::infinity();
    std::int32_t label = 0;
    for (std::size_t j = 0; j < k; ++j) {
      float score = 0;
      for (std::size_t e = 0; e < d; ++e) score += x[i * d + e] * c[j * d + e];
      score -= half_norms[j];
      if (score > best) {
        best = score;
        label = static_cast<std::int32_t>(j);
      }
    }
    labels.push_back(label);
  }
  return labels;
}

// Centroids in pairs that differ by a few units in the last place, so that the nearer one of a pair
// is decided by the last bits of a score.
matrix pairs_of_neighbours(std::int64_t k, std::int64_t d, std::uint64_t seed) {
  matrix const half = rounded_to<float>(normal_points(k / 2, d, seed));
  matrix c(k, d);
  random_source random(seed + 1);
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t e = 0; e < d; ++e) {
      auto value = static_cast<float>(half(j / 2, e));
      std::int64_t const steps = j % 2 == 0 ? 0 : random.integer(-3, 3);
      for (std::int64_t s = 0; s < std::abs(steps); ++s) {
        value = std::nextafter(value, steps < 0 ? -100.0f : 100.0f);
      }
      c(j, e) = static_cast<double>(value);
    }
  }
  return c;
}

TEST_F(assign_sm90_float, native_is_no_worse_than_fp32) {
  for (std::int64_t const d : part_of({3, 10, 21, 24, 128, 768, 1536})) {
    std::int64_t const n = d < 200 ? 8000 : 1500, k = 64;
    matrix const x = rounded_to<float>(normal_points(n, d, 321));
    matrix const apart = rounded_to<float>(normal_points(k, d, 322));
    matrix const near = pairs_of_neighbours(k, d, 323);
    for (matrix const* const c : {&apart, &near}) {
      SCOPED_TRACE(text("d = ", d, c == &near ? ", pairs of neighbours" : ", apart"));
      std::vector<std::int32_t> const nearest = reference_assign(x, *c);
      regret const plain(x, *c, labels_in_fp32(x, *c), nearest);
      for (fk::execution const& exec : part_of({on_sm90(), screened()})) {
        SCOPED_TRACE(name_of(exec));
        regret const got(x, *c, run_predict<float>(x, *c, exec).labels, nearest);
        EXPECT_LE(got.sum, plain.sum);
        EXPECT_LE(got.wrong, plain.wrong);
      }
      if (c == &near) EXPECT_GT(plain.wrong, 0) << "data that say nothing";
    }
  }
}

// --- Screens -------------------------------------------------------------------------------------

// Data on which a screen must not trust half: far from the origin, of any magnitude, with lengths
// that differ by orders of it, and single points or centroids beyond all others.
std::vector<std::pair<char const*, std::array<matrix, 2>>> data_hard_to_screen(std::int64_t d) {
  matrix const x = normal_points(700, d, 401), c = normal_points(90, d, 402);
  auto const each = [&](auto&& change) {
    std::array<matrix, 2> both{x, c};
    for (matrix& m : both) {
      for (std::int64_t i = 0; i < m.rows; ++i) {
        for (std::int64_t e = 0; e < d; ++e) m(i, e) = change(m(i, e), i);
      }
    }
    return both;
  };
  auto const scaled = [&](double by) {
    return each([=](double v, std::int64_t) { return v * by; });
  };
  std::vector<std::pair<char const*, std::array<matrix, 2>>> all;
  all.emplace_back("times 1e-15", scaled(1e-15));
  all.emplace_back("times 1e-4", scaled(1e-4));
  all.emplace_back("times 1e6", scaled(1e6));
  all.emplace_back("times 1e16", scaled(1e16));
  all.emplace_back("plus 1000", each([](double v, std::int64_t) { return v + 1000; }));
  all.emplace_back("lengths of all kinds", each([](double v, std::int64_t i) {
                     return std::ldexp(v, static_cast<int>(i * 7 % 19) - 9);
                   }));
  std::array<matrix, 2> far = {x, c};
  for (std::int64_t e = 0; e < d; ++e) {
    far[0](5, e) *= 1e7;
    far[0](300, e) *= 1e4;
    far[1](17, e) *= 1e7;
    far[1](60, e) *= 1e4;
  }
  all.emplace_back("a few far away", far);
  return all;
}

TEST_F(assign_sm90_float, small_hard_data_are_screened_right) {
  for (std::int64_t const d : part_of({24, 130, 400})) {
    for (auto const& [name, data] : part_of(data_hard_to_screen(d))) {
      SCOPED_TRACE(text(name, ", d = ", d));
      matrix const x = rounded_to<float>(data[0]), c = rounded_to<float>(data[1]);
      std::vector<std::int32_t> const got = run_predict<float>(x, c, screened()).labels;
      EXPECT_TRUE(labels_are_nearest<float>(x, c, got, screened()));
      std::vector<std::int32_t> const nearest = reference_assign(x, c);
      regret const plain(x, c, labels_in_fp32(x, c), nearest), mine(x, c, got, nearest);
      EXPECT_LE(mine.wrong, plain.wrong);
    }
  }
}

// Points that one screen leaves open, in each of `times` assignments.
std::vector<std::int64_t> left_open(matrix const& x, matrix const& c, int times) {
  namespace detail = fk::detail;
  device_matrices<float> const points(x), centroids(c);
  detail::assign_shape const shape{1, x.rows, c.rows, x.cols};
  std::int64_t const ld = detail::round_up<std::int64_t>(x.cols, 16);
  device_buffer<__nv_bfloat16> const packed(static_cast<std::size_t>(3 * x.rows * ld));
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(x.rows));
  detail::screen<float> screen;
  detail::arena sizing;
  screen.lay_out(shape, x.rows, sizing);
  device_buffer<unsigned char> const memory(sizing.used());
  detail::arena arena(memory.data());
  screen.lay_out(shape, x.rows, arena);
  screen.prepare();
  screen.queue_points(points.const_view(), fk::metric::euclidean, nullptr);
  detail::pack_params<float, __nv_bfloat16> to{};
  to.x = detail::device_matrix<float const>(points.const_view());
  to.to = packed.data();
  to.n = to.rows = x.rows;
  to.ld = ld;
  to.d = static_cast<std::int32_t>(x.cols);
  to.lanes = 4;
  std::vector<std::int64_t> open;
  for (int i = 0; i < times; ++i) {
    screen.queue<__nv_bfloat16, 3>(centroids.const_view(), -0.5, to, labels.data(), nullptr, 0,
                                   nullptr);
    detail::screen_problem problem{};
    FLASH_KMEANS_CUDA_CHECK(
        cudaMemcpy(&problem, screen.state().problems, sizeof(problem), cudaMemcpyDeviceToHost));
    open.push_back(problem.all != 0 ? x.rows : problem.open);
  }
  return open;
}

// A screen that left most points open would be right, and of no use.
TEST_F(assign_sm90_float, small_screens_leave_little_open) {
  std::int64_t const n = 3000, k = 100;
  for (std::int64_t const d : part_of({24, 128, 400})) {
    SCOPED_TRACE(d);
    matrix const x = normal_points(n, d, 411), c = normal_points(k, d, 412);
    std::vector<std::int64_t> const plain = left_open(x, c, 2);
    EXPECT_LT(plain[0], n / 15);
    EXPECT_EQ(plain[0], plain[1]);
    for (auto const& [name, data] : part_of(data_hard_to_screen(d))) {
      SCOPED_TRACE(name);
      // Of lengths that differ by orders of magnitude no bound can be close.
      if (name != std::string("lengths of all kinds")) {
        EXPECT_LT(left_open(data[0], data[1], 1)[0], data[0].rows / 3);
      }
    }
    // Whoever has two nearest centroids is open, and once that are too many, everyone.
    std::vector<std::int64_t> twice;
    for (std::int64_t j = 0; j < k; ++j) twice.push_back(j / 2);
    EXPECT_EQ(left_open(x, take_rows(c, twice), 3), (std::vector<std::int64_t>{n, n, n}));
  }
}

// --- Sizes that only a GPU can check -------------------------------------------------------------

__host__ __device__ inline std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

__host__ __device__ inline int small_integer(std::int64_t at) {
  return static_cast<int>(mixed(static_cast<std::uint64_t>(at) + 1) >> 32) % 5;
}

__global__ void fill_with_integers(__half* x, std::int64_t count) {
  std::int64_t const step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    x[i] = __float2half_rn(static_cast<float>(small_integer(i)));
  }
}

bool memory_is_free(std::size_t bytes) {
  std::size_t free = 0, total = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return free >= bytes;
}

class assign_sm90_half : public assign_sm90<__half> {};

// Elements beyond 2^31; rows at both ends and where offsets pass 2^31 bytes and 2^30 elements.
TEST_F(assign_sm90_half, huge_points_exact) {
  std::int64_t const n = (std::int64_t{1} << 28) + 1, d = 8, k = 5;
  if (!memory_is_free(std::size_t{7} << 30)) GTEST_SKIP() << "needs 7 GiB of device memory";
  device_buffer<__half> const x(static_cast<std::size_t>(n * d));
  fill_with_integers<<<4096, 256>>>(x.data(), n * d);
  FLASH_KMEANS_CUDA_CHECK(cudaGetLastError());
  matrix const c = integer_points(k, d, 331);
  device_matrices<float> const centroids(c);
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(n));
  fk::predict_outputs<float> const out{labels.data()};
  fk::predict(fk::matrix_view<__half const>(x.data(), n, d), centroids.const_view(), out, {},
              on_sm90());
  constexpr std::int64_t kRows = 1000;
  for (std::int64_t const from :
       {std::int64_t{0}, n / 8 - kRows / 2, n / 2 - kRows / 2, 3 * (n / 4), n - kRows}) {
    SCOPED_TRACE(from);
    matrix rows(kRows, d);
    for (std::int64_t at = 0; at < kRows * d; ++at) {
      rows.values[static_cast<std::size_t>(at)] = small_integer(from * d + at);
    }
    ASSERT_EQ(labels.download(static_cast<std::size_t>(from), kRows), reference_assign(rows, c));
  }
}

enum class kind { random, clustered, duplicated, near_ties };

// Bell-shaped enough: four 16-bit uniforms, centred; variance 1/3.
__device__ float bell(std::uint64_t at) {
  std::uint64_t const bits = mixed(at);
  int sum = 0;
  for (int part = 0; part < 4; ++part) sum += static_cast<int>(bits >> (16 * part) & 0xffff);
  return static_cast<float>(sum - 2 * 65535) * (1.0f / 65536);
}

// Points of a kind, made from the centroids [k][d].
template <class T>
__global__ void fill_with_points(T* x, std::int64_t n, int d, double const* c, int k, kind what,
                                 std::uint64_t seed) {
  std::int64_t const step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < n * d;
       at += step) {
    std::int64_t const i = at / d;
    int const e = static_cast<int>(at - i * d);
    // A duplicated point is one of 1000.
    std::uint64_t const point = what == kind::duplicated ? i % 1000 : i;
    std::uint64_t const who = mixed(seed + 2 * point + 1);
    auto const one = static_cast<int>((who & 0xffffffff) % k),
               other = static_cast<int>((who >> 32) % k);
    float const noise = bell(seed + 0x100000000u + point * d + e);
    float value = 2 * noise;
    if (what == kind::clustered) value = static_cast<float>(c[one * d + e]) + noise / 8;
    // Half-way between two centroids, but for rounding.
    if (what == kind::near_ties)
      value = static_cast<float>((c[one * d + e] + c[other * d + e]) / 2);
    if constexpr (std::is_same_v<T, __half>) {
      x[at] = __float2half_rn(value);
    } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
      x[at] = __float2bfloat16_rn(value);
    } else {
      x[at] = value;
    }
  }
}

// One thread a point, brute force in double: counts labels that rounding does not explain
// (labels_are_nearest) or that are not the first of equal centroids.
template <class T, int D>
__global__ void __launch_bounds__(128)
    count_wrong_labels(T const* x, std::int64_t n, double const* c, double const* norms,
                       std::int32_t const* first, int k, std::int32_t const* labels,
                       score_rounding rounding, unsigned long long* wrong) {
  std::int64_t const i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  double point[D], square = 0;
#pragma unroll
  for (int e = 0; e < D; ++e) {
    point[e] = static_cast<double>(static_cast<float>(x[i * D + e]));
    square += point[e] * point[e];
  }
  std::int32_t const got = labels[i];
  double best_distance = INFINITY, got_distance = INFINITY;
  int best = 0;
  for (int j = 0; j < k; ++j) {
    double sums[2] = {0, 0};
#pragma unroll
    for (int e = 0; e < D; ++e) {
      double const difference = point[e] - c[j * D + e];
      sums[e % 2] += difference * difference;
    }
    double const distance = sums[0] + sums[1];
    if (distance < best_distance) {
      best_distance = distance;
      best = j;
    }
    if (j == got) got_distance = distance;
  }
  bool right = got == best;
  if (!right && got >= 0 && got < k && first[got] == got) {
    double const norm_x = sqrt(square);
    double slack = (D + 4.0) * 0x1p-53 * (got_distance + best_distance);
    for (int const j : {static_cast<int>(got), best}) {
      slack += 2 * (rounding.sums * (norm_x * norms[j] + norms[j] * norms[j] / 2) +
                    rounding.products * norm_x * norms[j]);
    }
    right = got_distance - best_distance <= slack;
  }
  if (!right) atomicAdd(wrong, 1ull);
}

matrix centroids_of_kind(kind what, std::int64_t k, std::int64_t d) {
  if (what != kind::duplicated) return normal_points(k, d, 341);
  std::vector<std::int64_t> rows;
  for (std::int64_t j = 0; j < k; ++j) rows.push_back(j * 7 % (k / 4));
  return take_rows(normal_points(k / 4, d, 341), rows);
}

// Checks n points and returns how many labels are wrong, with one of them changed on purpose if
// `spoilt`.
template <class T, int D>
std::int64_t wrong_labels(kind what, std::int64_t n, std::int64_t k, std::uint64_t seed,
                          fk::execution const& exec, bool spoilt = false) {
  matrix const masters = rounded_to<centroid_of<T>>(centroids_of_kind(what, k, D));
  matrix const multiplied = assignment_centroids<T>(masters, exec);
  std::vector<double> norms;
  std::vector<std::int32_t> first;
  for (std::int64_t j = 0; j < k; ++j) {
    norms.push_back(norm(multiplied, j));
    std::int64_t same = 0;
    while (!std::equal(multiplied.row(j), multiplied.row(j) + D, multiplied.row(same))) ++same;
    first.push_back(static_cast<std::int32_t>(same));
  }
  device_matrices<centroid_of<T>> const centroids(masters);
  device_buffer<double> const c(multiplied.values), norms_there(norms);
  device_buffer<std::int32_t> const first_there(first);
  device_buffer<T> const x(static_cast<std::size_t>(n * D));
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(n));
  device_buffer<unsigned long long> const wrong(std::vector<unsigned long long>{0});
  fill_with_points<<<4096, 256>>>(x.data(), n, D, c.data(), static_cast<int>(k), what, seed);
  FLASH_KMEANS_CUDA_CHECK(cudaGetLastError());
  fk::predict_outputs<centroid_of<T>> const out{labels.data()};
  fk::predict(fk::matrix_view<T const>(x.data(), n, D), centroids.const_view(), out, {}, exec);
  if (spoilt) {
    std::int32_t label = 0;
    std::int32_t* const there = labels.data() + n / 2;
    FLASH_KMEANS_CUDA_CHECK(cudaMemcpy(&label, there, sizeof(label), cudaMemcpyDeviceToHost));
    label = static_cast<std::int32_t>((label + 1) % k);
    FLASH_KMEANS_CUDA_CHECK(cudaMemcpy(there, &label, sizeof(label), cudaMemcpyHostToDevice));
  }
  count_wrong_labels<T, D><<<static_cast<unsigned>((n + 127) / 128), 128>>>(
      x.data(), n, c.data(), norms_there.data(), first_there.data(), static_cast<int>(k),
      labels.data(), rounding_of_scores<T>(D, exec), wrong.data());
  FLASH_KMEANS_CUDA_CHECK(cudaGetLastError());
  return static_cast<std::int64_t>(wrong.download()[0]);
}

// In parts, so that points and their copies are at most 4 GB.
TYPED_TEST(assign_sm90, exactness_over_1e8_points) {
  using T = TypeParam;
  if (!memory_is_free(std::size_t{8} << 30)) GTEST_SKIP() << "needs 8 GiB of device memory";
  std::int64_t const n = 5000000;
  for (fk::execution const& exec : part_of(ways<T>())) {
    SCOPED_TRACE(name_of(exec));
    for (std::uint64_t part = 0; part < 5; ++part) {
      std::uint64_t const seed = (part + 1) << 40;
      SCOPED_TRACE(text("part ", part));
      ASSERT_EQ((wrong_labels<T, 16>(kind::random, n, 64, seed, exec)), 0);
      ASSERT_EQ((wrong_labels<T, 64>(kind::clustered, n, 512, seed, exec)), 0);
      ASSERT_EQ((wrong_labels<T, 16>(kind::duplicated, n, 500, seed, exec)), 0);
      ASSERT_EQ((wrong_labels<T, 64>(kind::near_ties, n, 100, seed, exec)), 0);
    }
  }
}

// The same check on few points, and that it notices a single wrong label among them.
TYPED_TEST(assign_sm90, small_exactness_is_noticed) {
  using T = TypeParam;
  for (fk::execution const& exec : part_of(ways<T>())) {
    SCOPED_TRACE(name_of(exec));
    for (kind const what :
         part_of({kind::random, kind::clustered, kind::duplicated, kind::near_ties})) {
      SCOPED_TRACE(static_cast<int>(what));
      EXPECT_EQ((wrong_labels<T, 16>(what, 2001, 68, 1, exec)), 0);
    }
    EXPECT_EQ((wrong_labels<T, 64>(kind::clustered, 2001, 68, 1, exec, true)), 1);
  }
}

}  // namespace
