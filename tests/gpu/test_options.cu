// The options of a fit: metrics, weights, points that are not finite, empty clusters, several
// seedings.
#include "../gpu_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class options : public gpu_test {};
TYPED_TEST_SUITE(options, element_types, element_names);

// --- One update of exact data --------------------------------------------------------------------

std::vector<exact_set> labelled(std::vector<exact_set> sets) {
  for (exact_set& s : sets) s.label();
  return sets;
}

std::vector<exact_set> const& small_sets() {
  static auto const sets =
      labelled({exact_problems(3, {1, 1, 1}, 1), exact_problems(3, {60, 9, 5}, 11),
                exact_problems(3, {300, 17, 3}, 21), exact_problems(3, {261, 40, 64}, 31),
                exact_problems(3, {130, 33, 100}, 41)});
  return sets;
}

// Clusters over many chunks of the sort, one that has 99 of 100 points, and many of few.
std::vector<exact_set> const& large_sets() {
  static auto const sets = [] {
    std::vector<exact_set> some{exact_problems(3, {5000, 7, 24}, 51),
                                exact_problems(1, {70000, 16, 16}, 61),
                                exact_problems(1, {9000, 3000, 4}, 71)};
    matrix& x = some[1].x[0];
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t e = 0; i % 100 != 0 && e < x.cols; ++e) x(i, e) = x(1, e);
    }
    return labelled(std::move(some));
  }();
  return sets;
}

template <class T>
void expect_one_update(exact_set const& exact, layout const& how,
                       std::vector<fk::assign_kernel> const& kernels, bool search) {
  for (std::size_t number = 0; number < 3; ++number) {
    metric_case const& m = kMetrics[number];
    for (bool const weighted : part_of({false, true})) {
      problem_set s = exact;
      std::vector<matrix> starts, expected;
      for (std::size_t p = 0; p < s.x.size(); ++p) {
        labels_vector const& labels = exact.labels[number][p];
        if (weighted) s.w.push_back(whole_weights(labels));
        auto const o = oracle<T>(m.by, s.weights(p));
        starts.push_back(start_of(o, s.c[p]));
        expected.push_back(reference_update(o, s.x[p], labels, starts[p]));
      }
      for (fk::assign_kernel const kernel : part_of(kernels)) {
        SCOPED_TRACE(text(m.name, weighted ? ", weighted, " : ", ", how.name, ", n ", s.x[0].rows,
                          ", k ", s.c[0].rows, ", d ", s.x[0].cols, ", ", fk::to_string(kernel)));
        fk::fit_options what = given(1, 0);
        what.metric = m.metric;
        auto const closed = run_set<T>(s, what, kernel, how);
        what.closing_assignment = false;
        auto const open = run_set<T>(s, what, kernel, how);
        for (std::size_t p = 0; p < s.x.size(); ++p) {
          SCOPED_TRACE(text("problem ", p));
          auto const i = static_cast<std::int64_t>(p);
          labels_vector const& labels = exact.labels[number][p];
          ASSERT_TRUE(same_labels(open.labels_of(i), labels));
          ASSERT_TRUE(same_values(open.centroids_of(i), expected[p]));
          EXPECT_TRUE(index_matches(open.index, i, open.n, open.k, labels));
          fk::fit_status const& status = open.status[p];
          EXPECT_EQ(status.iterations, 1);
          EXPECT_EQ(status.non_finite, 0);
          EXPECT_TRUE(std::isnan(status.inertia));
          // A difference of stored values errs by u of C, its square by 3 u; the sum is in double.
          double const shift = reference_shift(starts[p], expected[p]);
          double const relative =
              4 * unit_roundoff<centroid_of<T>>() +
              2 * static_cast<double>(open.k * open.d + 4) * std::ldexp(1.0, -53);
          EXPECT_NEAR(status.shift, shift, relative * shift);
        }
        EXPECT_TRUE(same_bits(open.centroids, closed.centroids));
        expect_closed(s, m, closed, kernel, search);
      }
    }
  }
}

TYPED_TEST(options, small_one_update_is_exact) {
  bool aligned = false;
  for (exact_set const& s : part_of(small_sets())) {
    expect_one_update<TypeParam>(s, aligned ? aligned_heads(3) : odd_heads(3),
                                 fit_kernels<TypeParam>(), true);
    aligned = !aligned;
  }
}

// Sums do not depend on what the labels were found with.
TYPED_TEST(options, large_one_update_is_exact) {
  for (exact_set const& s : large_sets()) {
    expect_one_update<TypeParam>(s, aligned_heads(static_cast<std::int64_t>(s.x.size())),
                                 {fk::assign_kernel::automatic}, false);
  }
}

// --- Several updates of other data ---------------------------------------------------------------

TYPED_TEST(options, small_several_updates_belong_together) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{400, 7, 3}, shape{300, 20, 64}, shape{211, 9, 130}})) {
    for (bool const weighted : part_of({false, true})) {
      problem_set const set = normal_problems<T>(3, s, 101, weighted);
      for (metric_case const& m : part_of(kMetrics)) {
        for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
          SCOPED_TRACE(
              text(m.name, weighted ? ", weighted, " : ", ", s, ", ", fk::to_string(kernel)));
          fk::fit_options what = given(2, 0);
          what.metric = m.metric;
          what.closing_assignment = false;
          auto const before = run_set<T>(set, what, kernel, odd_heads(3));
          what.max_iterations = 3;
          auto const open = run_set<T>(set, what, kernel, odd_heads(3));
          what.closing_assignment = true;
          auto const closed = run_set<T>(set, what, kernel, odd_heads(3));
          for (std::int64_t p = 0; p < 3; ++p) {
            SCOPED_TRACE(text("problem ", p));
            matrix const &x = set.x[at(p)], was = before.centroids_of(p);
            EXPECT_GE(open.status[at(p)].iterations, 2);
            EXPECT_TRUE(labels_belong<T>(m.by, x, was, open.labels_of(p), kernel));
            EXPECT_TRUE(update_matches<T>(oracle<T>(m.by, set.weights(at(p))), x, open.labels_of(p),
                                          was, open.centroids_of(p)));
          }
          EXPECT_TRUE(same_bits(open.centroids, closed.centroids));
          expect_closed(set, m, closed, kernel);
        }
      }
    }
  }
}

// One step does not raise the inertia beyond what rounding explains: a point's new label is nearest
// within twice score_error among the centroids that are multiplied, and these are off by u |c|, u the
// rounding of half or bfloat16, on either side of the comparison. Distances are two scores
// (euclidean), or a score over |x|. The inertias themselves err by distance_slack, the centroids'
// own rounding counts in second order only.
TYPED_TEST(options, small_inertia_never_rises) {
  using T = TypeParam;
  for (metric_case const& m : part_of({kMetrics[0], kMetrics[1]})) {
    problem_set const s = normal_problems<T>(1, {sized(900, 200), 8, 12}, 121, true);
    auto const o = oracle<T>(m.by, s.w[0]);
    matrix const& x = s.x[0];
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(text(m.name, ", ", fk::to_string(kernel)));
      fk::fit_options what = given(1, 0);
      what.metric = m.metric;
      double last = kInf, first = 0;
      for (; what.max_iterations <= sized(10, 3); ++what.max_iterations) {
        auto const run = run_set<T>(s, what, kernel);
        matrix const c = run.centroids_of(0);
        double longest = 0, slack = 0;
        for (std::int64_t j = 0; j < c.rows; ++j) {
          longest = std::max(longest, reference_length(c, j));
        }
        double const rounded = is_half_v<T> ? unit_roundoff<T>() : 0;
        for (std::int64_t i = 0; i < x.rows; ++i) {
          std::int64_t const label = run.labels[at(i)];
          double const length = reference_length(x, i);
          double const distance = reference_distance(m.by, x, i, c, label);
          bool const cosine = m.by == measure::cosine;
          // Scores per distance, and what rounding a centroid changes of one.
          double const scale = cosine ? 1 / length : 2;
          double const moved =
              cosine ? length * rounded : (length + longest) * rounded * longest * (1 + rounded);
          double const score = score_error<T>(x.cols, length, longest, on_kernel(kernel));
          slack += o.weight(i) * (scale * 2 * (score + moved) +
                                  2 * distance_slack<T>(m.by, x, i, c, label, distance));
        }
        double const inertia = run.result.inertia;
        ASSERT_LE(inertia, last + slack) << what.max_iterations << " iterations";
        ASSERT_LT(slack, 0.02 * inertia) << "a slack that says nothing";
        if (what.max_iterations == 1) first = inertia;
        last = inertia;
      }
      if (!sanitizing()) {
        EXPECT_LT(last, 0.97 * first) << "and it falls";
      }
    }
  }
}

// A point of weight w is w points, in every bit where sums are exact; one of weight 0 is none. On
// forced kernels only: a small fit without weights would run on another one.
TYPED_TEST(options, small_weights_are_repetitions) {
  using T = TypeParam;
  std::int64_t const n = 300;
  problem_set weighted = exact_problems(1, {n, 12, 20}, 131), repeated = weighted;
  std::vector<std::int64_t> rows;
  weighted.w.emplace_back();
  for (std::int64_t i = 0; i < n; ++i) {
    weighted.w[0].push_back(static_cast<double>(i * 3 % 5));
    for (std::int64_t copy = 0; copy < i * 3 % 5; ++copy) rows.push_back(i);
  }
  repeated.x[0] = take_rows(weighted.x[0], rows);
  for (metric_case const& m : part_of(kMetrics)) {
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      SCOPED_TRACE(text(m.name, ", ", fk::to_string(kernel)));
      fk::fit_options what = given(6, 0);
      what.metric = m.metric;
      auto const one = run_set<T>(weighted, what, kernel);
      auto const many = run_set<T>(repeated, what, kernel);
      EXPECT_TRUE(same_values(one.centroids_of(0), many.centroids_of(0)));
      EXPECT_EQ(one.result.iterations, many.result.iterations);
      EXPECT_EQ(one.status[0].shift, many.status[0].shift);
      for (std::size_t r = 0; r < rows.size(); ++r) {
        ASSERT_EQ(many.labels[r], one.labels[at(rows[r])]) << "copy " << r << " of " << rows[r];
      }
      double sizes = 0;  // of what is added up in double, in another order
      for (std::size_t r = 0; r < rows.size(); ++r) {
        sizes += std::abs(reference_distance(m.by, repeated.x[0], static_cast<std::int64_t>(r),
                                             many.centroids_of(0), many.labels[r]));
      }
      EXPECT_NEAR(one.result.inertia, many.result.inertia,
                  2 * static_cast<double>(rows.size()) * std::ldexp(1.0, -52) * sizes);
    }
  }
}

// --- Points that are not finite ------------------------------------------------------------------

// A fit ends as it does without the rows that are not finite, problem by problem.
template <class T>
void expect_counts_nowhere(problem_set const& s, metric_case const& m, fk::fit_options what,
                           fk::assign_kernel kernel, layout const& how) {
  SCOPED_TRACE(text(m.name, s.w.empty() ? ", n " : ", weighted, n ", s.x[0].rows, ", k ",
                    s.c[0].rows, ", d ", s.x[0].cols, ", closing ", what.closing_assignment, ", ",
                    fk::to_string(kernel)));
  what.metric = m.metric;
  auto const with = run_set<T>(s, what, kernel, how);
  problem_set const clean = cleaned(s);
  std::int64_t non_finite = 0;
  for (std::size_t p = 0; p < s.x.size(); ++p) {
    SCOPED_TRACE(text("problem ", p));
    auto const i = static_cast<std::int64_t>(p);
    auto const without = run_set<T>(alone(clean, p), what, kernel);
    labels_vector expected;
    std::size_t next = 0;
    for (std::int64_t row = 0; row < s.x[p].rows; ++row) {
      expected.push_back(is_finite_row(s.x[p], row) ? without.labels[next++] : 0);
    }
    EXPECT_TRUE(same_labels(with.labels_of(i), expected));
    EXPECT_TRUE(index_matches(with.index, i, with.n, with.k, counted(s.x[p], expected)));
    EXPECT_TRUE(same_values(with.centroids_of(i), without.centroids_of(0)));
    fk::fit_status const &got = with.status[p], &clear = without.status[0];
    EXPECT_EQ(got.iterations, clear.iterations);
    EXPECT_EQ(got.converged, clear.converged);
    EXPECT_EQ(got.shift, clear.shift);
    EXPECT_EQ(got.non_finite, non_finite_rows(s.x[p]));
    EXPECT_EQ(clear.non_finite, 0);
    if (what.closing_assignment) {
      EXPECT_TRUE(inertia_belongs<T>(oracle<T>(m.by, s.weights(p)), s.x[p], with.centroids_of(i),
                                     expected, got.inertia));
    } else {
      EXPECT_TRUE(std::isnan(got.inertia));
    }
    non_finite += got.non_finite;
  }
  EXPECT_EQ(with.result.non_finite, non_finite);
}

// In the first, a middle and the last row, among others; problem 1 has none.
problem_set spoilt_problems(std::int64_t b, shape const& s) {
  problem_set set = exact_problems(b, s, 141);
  for (std::int64_t p = 0; p < b; p += 2) {
    std::int64_t number = p;
    for (std::int64_t const row : {std::int64_t{0}, s.n / 2, s.n / 2 + 1, s.n - 1}) {
      for (std::int64_t const feature : {s.d - 1, number % s.d}) {
        set.x[at(p)](row, feature) = kSpoilt[++number % 3];
      }
    }
  }
  return set;
}

template <class T>
void expect_spoilt_rows_count_nowhere(std::int64_t b, shape const& s) {
  problem_set set = spoilt_problems(b, s);
  for (metric_case const& m : part_of(kMetrics)) {
    for (bool const weighted : part_of({false, true})) {
      set.w.clear();
      for (std::size_t p = 0; weighted && p < set.x.size(); ++p) {
        set.w.push_back(whole_weights(reference_assign(m.by, set.x[p], set.c[p])));
      }
      for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
        fk::fit_options what = given(5, 0);
        what.closing_assignment = weighted != (kernel == fk::assign_kernel::automatic);
        expect_counts_nowhere<T>(set, m, what, kernel, weighted ? odd_heads(b) : aligned_heads(b));
        if (kernel != fk::assign_kernel::automatic) continue;
        what.closing_assignment = !what.closing_assignment;
        expect_counts_nowhere<T>(set, m, what, kernel, odd_heads(b));
      }
    }
  }
}

TYPED_TEST(options, small_rows_that_are_not_finite_count_nowhere) {
  for (shape const& s : part_of({shape{500, 10, 8}, shape{130, 9, 3}, shape{270, 20, 100}})) {
    expect_spoilt_rows_count_nowhere<TypeParam>(s.n == 500 ? 3 : 1, s);
  }
}

TYPED_TEST(options, large_rows_that_are_not_finite_count_nowhere) {
  for (shape const& s : part_of({shape{5001, 40, 16}, shape{4200, 2100, 8}})) {
    expect_spoilt_rows_count_nowhere<TypeParam>(1, s);
  }
}

// Without an index or a closing assignment, labels are mended by the one kernel of small problems,
// or by a kernel after the last update.
TYPED_TEST(options, small_rows_that_are_not_finite_have_a_label_where_nothing_else_is_asked_for) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{500, 10, 8}, shape{9000, 200, 16}})) {
    for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
      SCOPED_TRACE(text(s, ", ", fk::to_string(kernel)));
      problem_set const set = spoilt_problems(3, s);
      fk::fit_options what = given(5, 0);
      what.closing_assignment = false;
      auto const all = run_set<T>(set, what, kernel, aligned_heads(3));
      device_matrices<T> const points(set.x, aligned_heads(3));
      device_matrices<centroid_of<T>> const centroids(set.c, aligned_heads(3));
      device_buffer<std::int32_t> const labels(at(3 * s.n));
      device_buffer<fk::fit_status> const status(3);
      fk::fit(points.const_view(), centroids.view(), {labels.data(), {}, status.data()}, what,
              on_kernel(kernel));
      EXPECT_EQ(labels.download(), all.labels);
      EXPECT_TRUE(same_bits(centroids.download(), all.centroids));
      auto const got = status.download();
      for (std::size_t p = 0; p < 3; ++p) {
        EXPECT_EQ(got[p].non_finite, non_finite_rows(set.x[p]));
        EXPECT_EQ(got[p].non_finite, all.status[p].non_finite);
      }
    }
  }
}

// One value, in every position.
TYPED_TEST(options, small_every_position_of_a_value_that_is_not_finite) {
  using T = TypeParam;
  for (std::int64_t const d : part_of({3, 64, 100})) {
    problem_set s = exact_problems(1, {3 * d + 40, 6, d}, 151);
    for (std::int64_t i = 0; i < 3 * d; ++i) s.x[0](i, i / 3) = kSpoilt[i % 3];
    for (metric_case const& m : part_of(kMetrics)) {
      for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
        expect_counts_nowhere<T>(s, m, given(3, 0), kernel, {});
      }
    }
  }
}

// They do not keep a fit from converging, and do not count in the variance that a tolerance is
// relative to: the first shift is just above or just below it.
// The lowest problem and row, wherever its lanes and blocks are; the same words as on the CPU.
TYPED_TEST(options, small_check_input_names_the_first_row_and_writes_nothing) {
  using T = TypeParam;
  for (shape const& s :
       part_of({shape{20, 2, 4}, shape{sized(3000, 300), 5, 45}, shape{sized(700, 70), 3, 520}})) {
    for (layout const& how : part_of({aligned_heads(3), odd_heads(3)})) {
      SCOPED_TRACE(text(s, ", ", how.name));
      std::int64_t const row = s.n * 2 / 3, feature = s.d - 2;
      fk::fit_options what = given(2, 0);
      what.check_input = true;
      std::vector<matrix> const c(3, integer_points(s.k, s.d, 5));
      std::vector<matrix> x(3, integer_points(s.n, s.d, 6));
      fk::fit_options unchecked = what;
      unchecked.check_input = false;
      EXPECT_TRUE(same_run(run_fit<T>(x, c, what, {}, how, how),
                           run_fit<T>(x, c, unchecked, {}, how, how)));
      x[1](row, feature) = -kInf;
      x[1](s.n - 1, 0) = kNan;
      x[2](0, 0) = kNan;
      device_matrices<T> const points(x, how);
      device_matrices<centroid_of<T>> const centroids(c, how);
      auto const before = centroids.download();
      device_buffer<std::int32_t> const labels(at(3 * s.n));
      index_buffers const index(3, s.n, s.k);
      device_buffer<fk::fit_status> const status(3);
      std::size_t const bytes =
          fk::fit_workspace_bytes(points.const_view(), centroids.view(), what);
      device_buffer<unsigned char> const memory(bytes);
      fk::execution exec;
      exec.workspace = memory.data();
      exec.workspace_bytes = bytes;
      auto const fit = [&] {
        fk::fit(points.const_view(), centroids.view(), {labels.data(), index.view(), status.data()},
                what, exec);
      };
      try {
        fit();
        ADD_FAILURE() << "was taken";
      } catch (std::invalid_argument const& error) {
        EXPECT_EQ(std::string(error.what()),
                  text("flash_kmeans: x of problem 1, row ", row, ", feature ", feature,
                       " is -inf, must be finite (options.check_input)"));
      }
      EXPECT_TRUE(same_bits(centroids.download(), before));
      EXPECT_TRUE(labels.untouched() && status.untouched() && index.counts.untouched() &&
                  index.offsets.untouched() && index.order.untouched() &&
                  index.inverse.untouched());
      what.check_input = false;
      EXPECT_NO_THROW(fit());
    }
  }
}

TYPED_TEST(options, small_tolerance_with_rows_that_are_not_finite) {
  using T = TypeParam;
  problem_set s = exact_problems(1, {500, 10, 8}, 161);
  for (std::int64_t i = 0; i < 500; i += 7) s.x[0](i, i % 8) = kSpoilt[i % 3];
  for (metric_case const& m : part_of(kMetrics)) {
    auto const o = oracle<T>(m.by);
    matrix const start = start_of(o, s.c[0]);
    matrix const next = reference_update(o, s.x[0], reference_assign(m.by, s.x[0], start), start);
    double const ratio = reference_shift(start, next) / reference_variance(m.by, s.x[0]);
    for (double const factor : part_of({1 - 1e-3, 1 + 1e-3})) {
      for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
        SCOPED_TRACE(text(m.name, ", factor ", factor, ", ", fk::to_string(kernel)));
        fk::fit_options what = given(1, factor * ratio);
        what.metric = m.metric;
        auto const run = run_set<T>(s, what, kernel);
        EXPECT_EQ(run.result.converged, factor > 1);
        EXPECT_TRUE(std::isfinite(run.status[0].shift));
      }
    }
    fk::fit_options until = given(300, 1e-4);
    until.metric = m.metric;
    if (m.by != measure::inner_product) {
      EXPECT_TRUE(run_set<T>(s, until).result.converged) << m.name;
    }
  }
}

// A problem of nothing else keeps its centroids, as does one whose points weigh nothing, whatever is
// to become of empty clusters; others of the batch go on.
TYPED_TEST(options, small_nothing_that_counts) {
  using T = TypeParam;
  std::int64_t const n = 200, k = 9, d = 16;
  problem_set s = exact_problems(3, {n, k, d}, 171);
  s.x[1] = matrix(n, d, kNan);
  s.w = {weights_vector(at(n), 1), weights_vector(at(n), 1), weights_vector(at(n), 0)};
  for (metric_case const& m : part_of(kMetrics)) {
    for (policy_case const& policy : part_of(kPolicies)) {
      for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
        SCOPED_TRACE(text(m.name, ", ", policy.name, ", ", fk::to_string(kernel)));
        fk::fit_options what = given(4, 1e-6);
        what.metric = m.metric;
        what.empty_cluster = policy.policy;
        auto const run = run_set<T>(s, what, kernel, odd_heads(3));
        expect_closed(s, m, run, kernel);
        for (std::size_t const p : {1, 2}) {
          SCOPED_TRACE(text("problem ", p));
          auto const i = static_cast<std::int64_t>(p);
          EXPECT_TRUE(same_values(run.centroids_of(i), start_of(oracle<T>(m.by), s.c[p])));
          EXPECT_EQ(run.status[p].iterations, 1);
          EXPECT_EQ(run.status[p].converged, 1);
          EXPECT_EQ(run.status[p].shift, 0);
          EXPECT_EQ(run.status[p].inertia, 0);
          EXPECT_EQ(run.status[p].non_finite, p == 1 ? n : 0);
        }
        auto const own = run_set<T>(alone(s, 0), what, kernel);
        EXPECT_TRUE(same_bits(slice(run.centroids, 0, k * d), own.centroids));
        EXPECT_GT(own.result.iterations, 1);
        // The same without a closing assignment, and of one problem in one launch.
        what.closing_assignment = false;
        problem_set last{{s.x[1]}, {s.c[1]}, {}};
        auto const open = run_set<T>(last, what, kernel);
        EXPECT_TRUE(same_values(open.centroids_of(0), run.centroids_of(1)));
        EXPECT_EQ(open.labels, labels_vector(at(n), 0));
        EXPECT_EQ(open.result.non_finite, n);
        EXPECT_TRUE(open.result.converged);
      }
    }
  }
}

// Feature 0 of a point is its number.
TYPED_TEST(options, small_random_start_draws_finite_rows) {
  using T = TypeParam;
  std::int64_t const n = 120, k = 60, d = 5;
  std::vector<matrix> x(3, matrix(n, d, 1));
  for (std::size_t p = 0; p < 3; ++p) {
    for (std::int64_t i = 0; i < n; ++i) x[p](i, 0) = static_cast<double>(i);
    for (std::int64_t i = static_cast<std::int64_t>(p); i < n; i += 2) x[p](i, 4) = kSpoilt[i % 3];
  }
  layout const how = odd_heads(3);
  device_matrices<T> const points(x, how);
  device_matrices<centroid_of<T>> const centroids(std::vector<matrix>(3, matrix(k, d)), how);
  fk::fit_options what;
  what.seed = 5;
  fk::init_centroids(points.const_view(), centroids.view(), what);
  for (std::int64_t p = 0; p < 3; ++p) {
    matrix const c = centroids.problem(p);
    std::vector<char> drawn(at(n), 0);
    for (std::int64_t j = 0; j < k; ++j) {
      ASSERT_TRUE(is_finite_row(c, j)) << "problem " << p << ", centroid " << j;
      auto const row = static_cast<std::int64_t>(c(j, 0));
      ASSERT_TRUE(row >= 0 && row < n && is_finite_row(x[at(p)], row)) << row;
      ASSERT_EQ(drawn[at(row)]++, 0) << "point " << row << " is drawn twice";
    }
  }
}

// --- Tolerance -----------------------------------------------------------------------------------

// Under cosine it is relative to the variance of directions. The variance is off by rounding only,
// and the shift as in expect_one_update.
TYPED_TEST(options, small_tolerance_under_cosine) {
  using T = TypeParam;
  problem_set const s = exact_problems(1, {400, 12, 24}, 181);
  auto const o = oracle<T>(measure::cosine);
  auto const first = reference_fit(o, s.x[0], s.c[0], 1, 0);
  double const ratio = first.shift / reference_variance(measure::cosine, s.x[0]);
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    for (double const factor : part_of({1 - 1e-4, 1 + 1e-4})) {
      SCOPED_TRACE(text("factor ", factor, ", ", fk::to_string(kernel)));
      fk::fit_options what = given(300, factor * ratio);
      what.metric = fk::metric::cosine;
      auto const run = run_set<T>(s, what, kernel);
      EXPECT_TRUE(run.result.converged);
      EXPECT_EQ(run.result.iterations == 1, factor > 1) << run.result.iterations;
      if (factor > 1) {
        EXPECT_NEAR(run.status[0].shift, first.shift, 1e-6 * first.shift);
      }
    }
  }
}

// --- Empty clusters ------------------------------------------------------------------------------

// Exact problems with points in pairs of equals. The first has a point at each of its centroids, so
// none is empty; three centroids of the second, and all but two of the third, are copies of number 1
// and lose all ties.
exact_set problems_with_empty_clusters() {
  std::int64_t const n = 300, k = 9, d = 16;
  exact_set s = exact_problems(3, {n, k, d}, 191);
  for (matrix& x : s.x) {
    for (std::int64_t i = 0; i < n; i += 4) {
      for (std::int64_t e = 0; e < d; ++e) x(i + 1, e) = x(i, e);
    }
  }
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t e = 0; e < d; ++e) {
      s.c[0](j, e) = s.x[0](40 + 5 * j, e) = e == j ? 4 : 0;
      if (j == 3 || j == 7 || j == 8) s.c[1](j, e) = s.c[1](1, e);
      if (j >= 2) s.c[2](j, e) = s.c[2](1, e);
    }
  }
  s.label();
  return s;
}

std::int64_t clusters_without_points(labels_vector const& labels, std::int64_t k) {
  std::vector<char> has(at(k), 0);
  for (std::int32_t const label : labels) has[at(label)] = 1;
  return std::count(has.begin(), has.end(), 0);
}

// One update against the oracle's: exact, but for clusters that were split. There each split rounds
// up to three times (a product, and under cosine a length and a quotient), on either side, and a
// cluster of no more than n points is halved no more than log2(n) + 1 times.
template <class T>
void expect_filled(exact_set const& exact, policy_case const& policy, std::size_t number,
                   bool weighted, layout const& how) {
  metric_case const& m = kMetrics[number];
  problem_set s = exact;
  std::vector<matrix> starts, expected;
  for (std::size_t p = 0; p < s.x.size(); ++p) {
    labels_vector const& labels = exact.labels[number][p];
    if (weighted) s.w.push_back(whole_weights(labels));
    auto const o = oracle<T>(m.by, s.weights(p), policy.empty);
    starts.push_back(start_of(o, s.c[p]));
    expected.push_back(reference_update(o, s.x[p], labels, starts[p]));
  }
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    SCOPED_TRACE(text(policy.name, ", ", m.name, weighted ? ", weighted, k " : ", k ", s.c[0].rows,
                      ", ", fk::to_string(kernel)));
    fk::fit_options what = given(1, 0);
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
        // The oracle rounds after every split, and a cluster may be split again and again.
        double const splits = std::log2(static_cast<double>(open.n)) + 1;
        for (std::size_t e = 0; e < got.values.size(); ++e) {
          double const value = expected[p].values[e];
          ASSERT_NEAR(got.values[e], value, 2 * (3 * splits + 4) * unit * std::abs(value))
              << "cluster " << e / at(got.cols) << ", feature " << e % at(got.cols);
        }
      } else {
        ASSERT_TRUE(same_values(got, expected[p]));
      }
      double const shift = reference_shift(starts[p], got);
      double const relative =
          4 * unit + 2 * static_cast<double>(open.k * open.d + 4) * std::ldexp(1.0, -53);
      EXPECT_NEAR(open.status[p].shift, shift, relative * shift);
    }
  }
}

TYPED_TEST(options, small_empty_clusters_are_filled) {
  exact_set const s = problems_with_empty_clusters();
  for (std::size_t number = 0; number < 3; ++number) {
    ASSERT_EQ(clusters_without_points(s.labels[number][0], 9), 0);
    ASSERT_GE(clusters_without_points(s.labels[number][1], 9), 3);
    ASSERT_GE(clusters_without_points(s.labels[number][2], 9), 7);
    for (policy_case const& policy : part_of(kPolicies)) {
      for (bool const weighted : part_of({false, true})) {
        expect_filled<TypeParam>(s, policy, number, weighted, odd_heads(3));
      }
    }
  }
}

TYPED_TEST(options, large_many_empty_clusters_are_filled) {
  static auto const s = [] {
    exact_set one = exact_problems(1, {6000, 2500, 8}, 201);
    one.label();
    return one;
  }();
  ASSERT_GT(clusters_without_points(s.labels[0][0], 2500), 500);
  expect_filled<TypeParam>(s, kPolicies[1], 0, false, {});
  expect_filled<TypeParam>(s, kPolicies[2], 0, false, {});
}

// Four of twelve centroids start where no point ever is.
TYPED_TEST(options, small_filled_clusters_lower_the_inertia) {
  using T = TypeParam;
  problem_set s = normal_problems<T>(2, {600, 12, 12}, 211, false);
  for (std::int64_t j = 2; j < 6; ++j) s.c[1](j, 0) += 60;
  for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
    double kept = 0;
    for (policy_case const& policy : kPolicies) {
      SCOPED_TRACE(text(policy.name, ", ", fk::to_string(kernel)));
      fk::fit_options what = given(60, 1e-4);
      what.empty_cluster = policy.policy;
      auto const run = run_set<T>(s, what, kernel);
      expect_closed(s, kMetrics[0], run, kernel);
      auto const& counts = run.index.counts;
      bool const keeps = policy.empty == vacancy::keep;
      EXPECT_EQ(std::count(counts.begin() + 12, counts.end(), 0), keeps ? 4 : 0);
      if (keeps) kept = run.status[1].inertia;
      if (!keeps) {
        EXPECT_LT(run.status[1].inertia, 0.95 * kept);
      }
    }
  }
}

// --- Batches, streams, graphs --------------------------------------------------------------------

TYPED_TEST(options, small_batches_end_as_their_problems_do_alone) {
  using T = TypeParam;
  problem_set const s = mixed_problems<T>(400, 221);
  for (metric_case const& m : part_of(kMetrics)) {
    for (policy_case const& policy : part_of(kPolicies)) {
      for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
        SCOPED_TRACE(text(m.name, ", ", policy.name, ", ", fk::to_string(kernel)));
        fk::fit_options what = given(7, 1e-4);
        what.metric = m.metric;
        what.empty_cluster = policy.policy;
        auto const batch = run_set<T>(s, what, kernel, odd_heads(3));
        EXPECT_TRUE(same_run(batch, run_set<T>(s, what, kernel, aligned_heads(3))));
        for (std::size_t p = 0; p < 3; ++p) {
          auto const i = static_cast<std::int64_t>(p);
          auto const one = run_set<T>(alone(s, p), what, kernel);
          EXPECT_TRUE(same_bits(slice(batch.centroids, i, 240), one.centroids)) << "problem " << p;
          EXPECT_EQ(batch.labels_of(i), one.labels) << "problem " << p;
          EXPECT_TRUE(same_bits(slice(batch.status, i, 1), one.status)) << "problem " << p;
        }
      }
    }
  }
}

// Captured in a graph, and as a plan whose points stay: the bits of fit. Once with several seedings.
template <class T>
void expect_graphs_and_plans_are_fits(double max_size_ratio) {
  problem_set const s = mixed_problems<T>(500, 231);
  layout const how = aligned_heads(3);
  cudaStream_t stream = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (policy_case const& policy : part_of(kPolicies)) {
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(text(policy.name, ", ", fk::to_string(kernel)));
      fk::fit_options what = given(14, 1e-3);
      what.metric = fk::metric::cosine;
      what.empty_cluster = policy.policy;
      what.max_size_ratio = max_size_ratio;
      if (policy.empty == vacancy::split_largest) {
        what.init = fk::init_method::random;
        what.n_init = 3;
      }
      auto const plain = run_set<T>(s, what, kernel, how);
      device_matrices<T> const points(s.x, how);
      device_matrices<centroid_of<T>> centroids(s.c, how);
      device_buffer<centroid_of<T>> const weights(flat<centroid_of<T>>(s.w));
      device_buffer<std::int32_t> const labels(plain.labels.size());
      index_buffers const index(3, plain.n, plain.k);
      device_buffer<fk::fit_status> const status(3);
      fk::fit_outputs const out{labels.data(), index.view(), status.data()};
      what.weights = weights.data();
      fk::execution exec = on_kernel(kernel);
      device_buffer<unsigned char> const memory(
          fk::fit_workspace_bytes(points.const_view(), centroids.view(), what, exec));
      exec.stream = stream;
      exec.workspace = memory.data();
      exec.workspace_bytes = memory.size();
      auto const expect_plain = [&](char const* from) {
        FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
        fit_run<T> const run{centroids.download(),
                             labels.download(),
                             index_values(index),
                             status.download(),
                             {},
                             plain.n,
                             plain.k,
                             plain.d};
        EXPECT_TRUE(same_run(run, plain)) << from;
        centroids.upload(s.c);
      };
      auto const queue = [&] {
        fk::fit_async(points.const_view(), centroids.view(), out, what, exec);
      };
      queue();
      expect_plain("fit_async");
      cudaGraph_t graph = nullptr;
      cudaGraphExec_t executable = nullptr;
      FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
      EXPECT_NO_THROW(queue());
      FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
      FLASH_KMEANS_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
      for (int launch = 0; launch < 2; ++launch) {
        FLASH_KMEANS_CUDA_CHECK(cudaGraphLaunch(executable, stream));
        expect_plain("graph");
      }
      FLASH_KMEANS_CUDA_CHECK(cudaGraphExecDestroy(executable));
      FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));
      fk::fit_plan<T> plan(points.const_view(), centroids.view(), out, what, exec);
      for (bool const unchanged : {false, true, true}) {
        plan.fit_async(stream, {unchanged, false});
        expect_plain(unchanged ? "plan, points unchanged" : "plan");
      }
    }
  }
  FLASH_KMEANS_CUDA_CHECK(cudaStreamDestroy(stream));
}

TYPED_TEST(options, small_graphs_and_plans_are_fits) {
  expect_graphs_and_plans_are_fits<TypeParam>(0);
}

TYPED_TEST(options, small_graphs_and_plans_are_fits_of_capped_sizes) {
  expect_graphs_and_plans_are_fits<TypeParam>(1.2);
}

// --- Several seedings ----------------------------------------------------------------------------

// Each problem ends as the best of its fits with seed, seed + 1, ... does.
TYPED_TEST(options, small_several_seedings_keep_the_best) {
  using T = TypeParam;
  std::int64_t const k = 10, d = 24;
  for (metric_case const& m : part_of(kMetrics)) {
    for (fk::init_method const init :
         part_of({fk::init_method::random, fk::init_method::kmeans_plus_plus})) {
      for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
        SCOPED_TRACE(text(m.name, ", init ", static_cast<int>(init), ", ", fk::to_string(kernel)));
        problem_set const s = mixed_problems<T>(300, 241);
        fk::fit_options what;
        what.init = init;
        what.metric = m.metric;
        what.max_iterations = 6;
        what.seed = 17;
        std::vector<fit_run<T>> singles;
        for (int i = 0; i < 4; ++i) {
          singles.push_back(run_set<T>(s, what, kernel, odd_heads(3)));
          ++what.seed;
        }
        what.seed = 17;
        what.n_init = 4;
        auto const run = run_set<T>(s, what, kernel, odd_heads(3));
        EXPECT_TRUE(same_run(run, run_set<T>(s, what, kernel, odd_heads(3)))) << "two runs";
        bool later = false;
        double inertia = 0;
        for (std::int64_t p = 0; p < 3; ++p) {
          std::size_t best = 0;
          for (std::size_t i = 1; i < singles.size(); ++i) {
            if (singles[i].status[at(p)].inertia < singles[best].status[at(p)].inertia) best = i;
          }
          SCOPED_TRACE(text("problem ", p, ", seeding ", best));
          fit_run<T> const& one = singles[best];
          later = later || best > 0;
          EXPECT_TRUE(same_bits(slice(run.centroids, p, k * d), slice(one.centroids, p, k * d)));
          EXPECT_EQ(run.labels_of(p), one.labels_of(p));
          EXPECT_TRUE(index_matches(run.index, p, run.n, k, counted(s.x[at(p)], one.labels_of(p))));
          EXPECT_TRUE(same_bits(slice(run.status, p, 1), slice(one.status, p, 1)));
          inertia += one.status[at(p)].inertia;
        }
        EXPECT_TRUE(later) << "no problem tells the best from the first";
        EXPECT_EQ(run.result.inertia, inertia);
      }
    }
  }
}

}  // namespace
