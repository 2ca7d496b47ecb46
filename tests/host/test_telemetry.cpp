// What a fit on the CPU tells of its iterations: records and progress.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "data.hpp"
#include "host_options.hpp"
#include "host_test.hpp"
#include "reference_options.hpp"

namespace {

using namespace testing_support;

constexpr int kMost = 12;

// Three problems, with points that are not finite, points of zeros, weights that are zero and
// clusters that are empty; the last one starts where it ends.
template <class T>
struct problems {
  std::vector<matrix> xs, cs;
  std::vector<std::vector<double>> ws;

  explicit problems(bool weighted) {
    for (std::uint64_t p = 0; p < 3; ++p) {
      xs.push_back(integers<T>(600, 5, 70 + p));
      cs.push_back(some_centroids<T>(14, 5, 80 + p, {6, 9}));
      ws.push_back(weighted ? some_weights(600, 90 + p) : std::vector<double>(600, 1));
      for (std::int64_t f = 0; f < 5; ++f) xs.back()(17, f) = 0;
    }
    if constexpr (!std::is_integral_v<T>) {
      for (std::int64_t i = 5; i < 600; i += 97) {
        xs[1](i, 3) = std::numeric_limits<double>::quiet_NaN();
      }
    }
  }
};

template <class T>
class telemetry : public ::testing::Test {};
TYPED_TEST_SUITE(telemetry, point_types, type_names);

template <class T>
std::pair<fitted, std::vector<fk::iteration_record>> recorded(
    problems<T> const& s, fk::fit_options options, layout as = layout::contiguous,
    fk::host::execution const& exec = {}) {
  using centroid = fk::centroid_t<T>;
  std::vector<centroid> const weights = stored_weights<centroid>(s.ws);
  options.weights = weights.data();
  stored<T> points(s.xs, as);
  stored<centroid> centroids(s.cs, as);
  fitted f{
      {}, labels_vector(1800, -9), std::vector<fk::fit_status>(3), index_memory(3, 600, 14), {}};
  std::vector<fk::iteration_record> records(at(3 * options.max_iterations), {-7, -7, -7, -7});
  f.result = fk::host::fit(points.const_view(), centroids.view(),
                           {f.labels.data(), f.index.view(), f.status.data(), records.data()},
                           options, exec);
  f.centroids = centroids.get_all();
  return {f, records};
}

// Every record belongs to the labels and centroids of the fits that end there.
TYPED_TEST(telemetry, records_are_what_shorter_fits_end_with) {
  for (measure const by : kMeasures) {
    for (vacancy const empty : kVacancies) {
      bool const weighted = empty != vacancy::keep;
      SCOPED_TRACE(std::string(name_of(by)) + ", " + name_of(empty));
      problems<TypeParam> const s(weighted);
      fk::fit_options options;
      options.init = fk::init_method::given;
      options.metric = metric_of(by);
      options.empty_cluster = policy_of(empty);
      options.tolerance = 1e-3;
      options.max_iterations = kMost;
      auto const [whole, records] = recorded(s, options);
      auto const [again, same] = recorded(s, options, layout::interleaved, {3});
      expect_same_bits(whole, again);
      EXPECT_TRUE(same_bits(records, same));
      std::vector<matrix> before = s.cs;
      if (by == measure::cosine) {
        for (matrix& c : before) {
          reference_options o;
          o.stored = as_stored<fk::centroid_t<TypeParam>>;
          for (std::int64_t j = 0; j < c.rows; ++j) reference_to_unit(o, c, j);
        }
      }
      labels_vector previous(1800, -1);
      options.closing_assignment = false;
      std::int64_t found_empty = 0;
      for (int iteration = 1; iteration <= kMost; ++iteration) {
        options.max_iterations = iteration;
        auto const [shorter, fewer] = recorded(s, options);
        for (std::int64_t p = 0; p < 3; ++p) {
          SCOPED_TRACE("iteration " + std::to_string(iteration) + ", problem " + std::to_string(p));
          fk::iteration_record const& got = records[at(p * kMost + iteration - 1)];
          if (iteration > whole.status[at(p)].iterations) {
            EXPECT_TRUE(same_bits(std::vector<fk::iteration_record>{got}, {{-7, -7, -7, -7}}));
            continue;
          }
          matrix const& x = s.xs[at(p)];
          reference_options o;
          o.by = by;
          for (double const weight : s.ws[at(p)]) o.weights.push_back(weight);
          labels_vector labels(shorter.labels.begin() + p * 600,
                               shorter.labels.begin() + (p + 1) * 600);
          double const inertia = reference_inertia(o, x, before[at(p)], labels);
          EXPECT_NEAR(got.inertia, inertia, 1e-6 * std::abs(inertia));
          EXPECT_EQ(got.shift, shorter.status[at(p)].shift);
          std::int64_t moved = 0;
          std::vector<int> has_points(14, 0);
          for (std::int64_t i = 0; i < 600; ++i) {
            if (!is_finite_row(x, i)) continue;
            std::int32_t& was = previous[at(p * 600 + i)];
            moved += was != labels[at(i)] ? 1 : 0;
            was = labels[at(i)];
            bool const counts =
                o.weight(i) > 0 && (by != measure::cosine || reference_length(x, i) > 0);
            if (counts) has_points[at(labels[at(i)])] = 1;
          }
          EXPECT_EQ(got.moved, moved);
          auto const without = std::count(has_points.begin(), has_points.end(), 0);
          EXPECT_EQ(got.empty, without);
          found_empty += without;
          before[at(p)] = shorter.centroids[at(p)];
        }
      }
      EXPECT_GT(found_empty, 0);
    }
  }
}

// They change nothing else.
TYPED_TEST(telemetry, a_fit_with_records_is_the_fit) {
  problems<TypeParam> const s(false);
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.max_iterations = kMost;
  expect_same_bits(recorded(s, options).first, run_fit<TypeParam>(s.xs, s.cs, options));
}

TEST(telemetry_errors, records_of_several_seedings_are_refused) {
  std::vector<float> points(20, 1), centroids(2, 7);
  std::vector<std::int32_t> labels(20);
  std::vector<fk::iteration_record> records(300);
  fk::fit_options options;
  options.n_init = 2;
  try {
    fk::host::fit(fk::matrix_view<float>(points.data(), 20, 1),
                  fk::matrix_view<float>(centroids.data(), 2, 1),
                  {labels.data(), {}, nullptr, records.data()}, options);
    ADD_FAILURE() << "was taken";
  } catch (std::invalid_argument const& error) {
    EXPECT_EQ(std::string(error.what()),
              "flash_kmeans: options.n_init is 2, must be 1 where records are asked for");
  }
  EXPECT_EQ(centroids, std::vector<float>(2, 7));
}

// A fit that is told to end is one with fewer iterations.
TEST(progress, false_ends_the_fit) {
  matrix const x = real_points(3000, 6, 91), c = first_rows(x, 20);
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.tolerance = 0;
  options.max_iterations = 3;
  fitted const three = run_fit<float>({x}, {c}, options);
  options.max_iterations = 300;
  options.progress = [](int iteration, double) { return iteration < 3; };
  expect_same_bits(run_fit<float>({x}, {c}, options), three);
  EXPECT_FALSE(three.result.converged);
}

TEST(progress, false_begins_no_other_seeding) {
  matrix const x = real_points(500, 4, 92);
  std::vector<int> iterations;
  fk::fit_options options;
  options.n_init = 5;
  options.max_iterations = 2;
  options.tolerance = 0;
  options.progress = [&](int iteration, double) {
    iterations.push_back(iteration);
    return iterations.size() < 3;
  };
  fitted const stopped = run_fit<float>({x}, {matrix(9, 4, 0)}, options);
  EXPECT_EQ(iterations, (std::vector<int>{1, 2, 1}));
  EXPECT_EQ(stopped.result.inertia, stopped.status[0].inertia);
}

}  // namespace
