// What a fit tells of its iterations: records and progress.
#include "../gpu_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class telemetry : public gpu_test {};
TYPED_TEST_SUITE(telemetry, element_types, element_names);

using records_vector = std::vector<fk::iteration_record>;

constexpr int kMost = 11;

// Of one problem and iteration, as text.
std::string say(fk::iteration_record const& r) {
  return text("inertia ", std::hexfloat, r.inertia, ", shift ", r.shift, std::dec, ", moved ",
              r.moved, ", empty ", r.empty);
}

::testing::AssertionResult same_records(records_vector const& got, records_vector const& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (same_bits(records_vector{got[i]}, records_vector{expected[i]})) continue;
    return ::testing::AssertionFailure()
           << "problem " << i / kMost << ", iteration " << i % kMost + 1 << ": " << say(got[i])
           << "; expected " << say(expected[i]);
  }
  return ::testing::AssertionSuccess();
}

template <class T>
struct recorded_run {
  fit_run<T> fit;
  records_vector records;  // [b][max_iterations]
};

enum class way { fit, async, captured, plan };

// The fit of a batch with weights and records, in its exact workspace.
template <class T>
recorded_run<T> run_recorded(problem_set const& s, fk::fit_options what, fk::assign_kernel kernel,
                             layout const& how, way by = way::fit) {
  using C = centroid_of<T>;
  auto const b = static_cast<std::int64_t>(s.x.size());
  std::int64_t const n = s.x.front().rows, k = s.c.front().rows, d = s.x.front().cols;
  device_matrices<T> const points(s.x, how);
  device_matrices<C> centroids(s.c, how);
  device_buffer<C> const weights(flat<C>(s.w));
  what.weights = weights.data();
  device_buffer<std::int32_t> const labels(at(b * n));
  index_buffers const index(b, n, k);
  device_buffer<fk::fit_status> const status(at(b));
  device_buffer<fk::iteration_record> const records(at(b * what.max_iterations));
  fk::fit_outputs const out{labels.data(), index.view(), status.data(), records.data()};
  fk::execution exec = on_kernel(kernel);
  exec.workspace_bytes =
      fk::fit_workspace_bytes(points.const_view(), centroids.view(), what, exec, out);
  EXPECT_GT(exec.workspace_bytes,
            fk::fit_workspace_bytes(points.const_view(), centroids.view(), what, exec));
  device_buffer<unsigned char> const memory(exec.workspace_bytes);
  exec.workspace = memory.data();
  cudaStream_t stream = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  exec.stream = stream;
  fk::fit_result result;
  auto const queue = [&] { fk::fit_async(points.const_view(), centroids.view(), out, what, exec); };
  if (by == way::fit) {
    result = fk::fit(points.const_view(), centroids.view(), out, what, exec);
  } else if (by == way::async) {
    queue();
  } else if (by == way::captured) {
    FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    queue();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    FLASH_KMEANS_CUDA_CHECK(cudaGraphInstantiate(&ready, graph, 0));
    FLASH_KMEANS_CUDA_CHECK(cudaGraphLaunch(ready, stream));
    FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
    FLASH_KMEANS_CUDA_CHECK(cudaGraphExecDestroy(ready));
    FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));
  } else {
    // Its second fit, which starts over.
    fk::fit_plan<T> plan(points.const_view(), centroids.view(), out, what, exec);
    plan.fit_async(stream);
    FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
    centroids.upload(s.c);
    plan.fit_async(stream, {true, false});
    FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
  }
  FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
  FLASH_KMEANS_CUDA_CHECK(cudaStreamDestroy(stream));
  return {{centroids.download(), labels.download(), index_values(index), status.download(), result,
           n, k, d},
          records.download()};
}

// Points that are not finite, points of zeros, weights of zero, and clusters that are empty at
// first because their centroids are copies.
template <class T>
problem_set some_problems(std::int64_t n, std::uint64_t seed) {
  problem_set s = normal_problems<T>(3, {n, 10, 24}, seed, true);
  for (std::size_t p = 0; p < 3; ++p) {
    for (std::int64_t e = 0; e < 24; ++e) {
      s.x[p](20, e) = 0;
      s.c[p](4, e) = s.c[p](7, e) = s.c[p](1, e);
    }
    for (std::int64_t i = 0; i < n; i += 5) s.w[p][at(i)] = 0;
  }
  for (std::int64_t i = 10; i < n; i += 9) s.x[1](i, i % 24) = i % 2 == 0 ? kNan : -kInf;
  return s;
}

// Every record belongs to the labels and centroids of the fit that ends there.
template <class T>
void expect_records(problem_set const& s, metric_case const& m, fk::fit_options what,
                    fk::assign_kernel kernel, recorded_run<T> const& whole) {
  std::int64_t const n = whole.fit.n, k = whole.fit.k;
  std::vector<matrix> before;
  std::vector<labels_vector> previous;
  for (std::size_t p = 0; p < 3; ++p) {
    before.push_back(start_of(oracle<T>(m.by), s.c[p]));
    previous.emplace_back(at(n), -1);
  }
  fk::iteration_record untouched;
  std::memset(&untouched, 0xFF, sizeof(untouched));
  what.closing_assignment = false;
  std::int64_t found_empty = 0;
  for (int iteration = 1; iteration <= kMost; ++iteration) {
    what.max_iterations = iteration;
    fit_run<T> const shorter = run_set<T>(s, what, kernel, aligned_heads(3));
    for (std::size_t p = 0; p < 3; ++p) {
      SCOPED_TRACE(text("iteration ", iteration, ", problem ", p));
      auto const i = static_cast<std::int64_t>(p);
      fk::iteration_record const& got = whole.records[p * kMost + at(iteration - 1)];
      if (iteration > whole.fit.status[p].iterations) {
        EXPECT_TRUE(same_bits(records_vector{got}, records_vector{untouched})) << say(got);
        continue;
      }
      auto const o = oracle<T>(m.by, s.weights(p));
      labels_vector const labels = shorter.labels_of(i), own = counted(s.x[p], labels);
      EXPECT_TRUE(inertia_belongs<T>(o, s.x[p], before[p], labels, got.inertia));
      EXPECT_EQ(got.shift, shorter.status[p].shift);
      std::int64_t moved = 0;
      std::vector<bool> has_points(at(k), false);
      for (std::int64_t r = 0; r < n; ++r) {
        moved += own[at(r)] != previous[p][at(r)] ? 1 : 0;
        bool const counts = own[at(r)] >= 0 && o.weight(r) > 0 &&
                            (m.by != measure::cosine || reference_length(s.x[p], r) > 0);
        if (counts) has_points[at(own[at(r)])] = true;
      }
      EXPECT_EQ(got.moved, moved);
      auto const empty = std::count(has_points.begin(), has_points.end(), false);
      EXPECT_EQ(got.empty, empty);
      found_empty += empty;
      previous[p] = own;
      before[p] = shorter.centroids_of(i);
    }
  }
  EXPECT_GT(found_empty, 0) << "the data tests nothing";
}

template <class T>
void expect_records_are_what_shorter_fits_end_with(double max_size_ratio) {
  for (std::int64_t const n : {std::int64_t{400}, std::int64_t{9000}}) {
    if ((max_size_ratio > 0 || sanitizing()) && n > 400) continue;
    problem_set const s = some_problems<T>(n, 301);
    for (metric_case const& m : part_of(kMetrics)) {
      for (policy_case const& policy : part_of(kPolicies)) {
        for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
          SCOPED_TRACE(text("n ", n, ", ", m.name, ", ", policy.name, ", ", fk::to_string(kernel)));
          fk::fit_options what = given(kMost, 2e-2);
          what.metric = m.metric;
          what.empty_cluster = policy.policy;
          what.max_size_ratio = max_size_ratio;
          auto const whole = run_recorded<T>(s, what, kernel, odd_heads(3));
          expect_records<T>(s, m, what, kernel, whole);
          // They change nothing else.
          EXPECT_TRUE(same_run(whole.fit, run_set<T>(s, what, kernel, odd_heads(3))));
          for (way const by : {way::async, way::captured, way::plan}) {
            auto const other = run_recorded<T>(s, what, kernel, odd_heads(3), by);
            SCOPED_TRACE(text("way ", static_cast<int>(by)));
            EXPECT_TRUE(same_records(other.records, whole.records));
            EXPECT_TRUE(same_run(other.fit, whole.fit));
          }
          for (std::size_t p = 0; p < 3; ++p) {
            layout one = odd_heads(3);
            one.batch = {1, 1};
            auto const single = run_recorded<T>(alone(s, p), what, kernel, one);
            EXPECT_TRUE(same_records(slice(whole.records, static_cast<std::int64_t>(p), kMost),
                                     single.records))
                << "problem " << p << " alone";
          }
        }
      }
    }
  }
}

TYPED_TEST(telemetry, small_records_are_what_shorter_fits_end_with) {
  expect_records_are_what_shorter_fits_end_with<TypeParam>(0);
}

TYPED_TEST(telemetry, small_records_of_capped_sizes) {
  expect_records_are_what_shorter_fits_end_with<TypeParam>(1.2);
}

// Without weights, small problems have all their iterations in one kernel, which keeps no records:
// with records they run on the others. Sums of whole numbers are exact on either.
TYPED_TEST(telemetry, small_records_of_small_problems) {
  using T = TypeParam;
  std::int64_t const n = 300, k = 8, d = 16;
  matrix const x = integer_points(n, d, 311), c = first_rows(x, k);
  fk::fit_options const what = given(1, 0);
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  device_buffer<std::int32_t> const labels(labels_vector(at(n)));
  device_buffer<fk::iteration_record> const records(1);
  fk::fit_result const result = fk::fit(points.const_view(), centroids.view(),
                                        {labels.data(), {}, nullptr, records.data()}, what);
  auto const without = run_fit<T>(x, c, what);
  EXPECT_TRUE(same_bits(centroids.download(), without.centroids));
  EXPECT_EQ(labels.download(), without.labels);
  EXPECT_EQ(result.iterations, 1);
  fk::iteration_record const got = records.download().front();
  EXPECT_EQ(got.moved, n);
  EXPECT_EQ(got.empty, 0);
  EXPECT_EQ(got.inertia, reference_inertia(oracle<T>(measure::euclidean), x, c,
                                           reference_assign(measure::euclidean, x, c)));
}

// Every fourth update; shifts are those of the records; false ends the fit as max_iterations does.
TYPED_TEST(telemetry, small_progress_follows_and_ends_a_fit) {
  using T = TypeParam;
  problem_set const s = normal_problems<T>(3, {sized(3000, 1000), 40, 24}, 321, true);
  fk::fit_options what = given(kMost, 0);
  auto const automatic = fk::assign_kernel::automatic;
  auto const eight = [&] {
    fk::fit_options fewer = what;
    fewer.max_iterations = 8;
    return run_set<T>(s, fewer, automatic);
  }();
  ASSERT_FALSE(eight.result.converged) << "the data tests nothing";
  std::vector<int> iterations;
  std::vector<double> shifts;
  what.progress = [&](int iteration, double shift) {
    iterations.push_back(iteration);
    shifts.push_back(shift);
    return iteration < 8;
  };
  auto const stopped = run_recorded<T>(s, what, automatic, aligned_heads(3));
  EXPECT_EQ(iterations, (std::vector<int>{4, 8}));
  EXPECT_TRUE(same_bits(stopped.fit.centroids, eight.centroids));
  EXPECT_EQ(stopped.fit.labels, eight.labels);
  EXPECT_TRUE(same_bits(stopped.fit.status, eight.status));
  ASSERT_EQ(shifts.size(), 2u);
  for (std::size_t look = 0; look < 2; ++look) {
    double sum = 0;
    for (std::size_t p = 0; p < 3; ++p) {
      if (eight.status[p].iterations < iterations[look]) continue;
      sum += stopped.records[p * kMost + at(iterations[look] - 1)].shift;
    }
    EXPECT_EQ(shifts[look], sum);
  }
}

TYPED_TEST(telemetry, progress_begins_no_other_seeding_and_may_throw) {
  using T = TypeParam;
  // So many points that not all seedings run side by side, and a prime number of these: they run
  // one after the other.
  problem_set const s = normal_problems<T>(1, {1 << 15, 30, 36}, 331, true);
  fk::fit_options what;
  what.n_init = 67;
  what.max_iterations = 6;
  what.tolerance = 0;
  std::vector<int> iterations;
  what.progress = [&](int iteration, double) {
    iterations.push_back(iteration);
    return iterations.size() < 2;
  };
  auto const run = run_set<T>(s, what);
  EXPECT_EQ(iterations, (std::vector<int>{4, 4}));
  expect_closed<T>(s, kMetrics[0], run, fk::assign_kernel::automatic, false);
  what.progress = [](int, double) -> bool { throw std::runtime_error("enough"); };
  EXPECT_THROW(run_set<T>(s, what), std::runtime_error);
}

}  // namespace
