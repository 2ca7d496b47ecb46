// Sequences of different lengths in one call, and centroids that are added to others, on the CPU.
#include <gtest/gtest.h>

#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <string>
#include <vector>

#include "host_test.hpp"
#include "sequences.hpp"

namespace {

using namespace testing_support;

struct cpu {
  template <class V>
  class buffer {
   public:
    explicit buffer(std::vector<V> values) : values_(std::move(values)) {}
    V* data() const { return values_.data(); }
    std::vector<V> download() const { return values_; }

   private:
    mutable std::vector<V> values_;
  };

  template <class X, class C>
  static fk::fit_result fit(X const& x, C const& c, fk::fit_outputs const& out,
                            fk::fit_options const& options) {
    return fk::host::fit(x, c, out, options);
  }
  template <class T, class X, class C>
  static void predict(X const& x, C const& c, fk::predict_outputs<fk::centroid_t<T>> const& out) {
    fk::host::predict(x, c, out);
  }
  template <class X, class C>
  static fk::fit_result append(X const& x, C const& c, std::int64_t first,
                               fk::fit_outputs const& out, fk::fit_options const& options) {
    return fk::host::append(x, c, first, out, options);
  }
};

std::vector<sequence_shape> const kShapes{{1, 1}, {37, 5}, {300, 20}, {64, 64}, {5, 2}};

template <class T>
class ragged : public ::testing::Test {};
TYPED_TEST_SUITE(ragged, point_types, type_names);

TYPED_TEST(ragged, sequences_are_fits_of_their_own) {
  for (std::int64_t const heads : {1, 3}) {
    sequence_set set = some_sequences<TypeParam>(kShapes, heads, 6, 100);
    if (!std::is_integral_v<TypeParam>) spoil(set, 2, heads - 1, 17);
    for (sequence_layout const& how : kSequenceLayouts) {
      for (bool const weighted : {false, true}) {
        fk::fit_options options;
        options.init = fk::init_method::given;
        options.max_iterations = 6;
        expect_fits_of_sequences<cpu, TypeParam>(set, how, options, weighted);
      }
    }
  }
}

TYPED_TEST(ragged, every_option_counts_in_every_sequence) {
  sequence_set const set = some_sequences<TypeParam>(kShapes, 2, 5, 200);
  expect_options_in_every_sequence<cpu, TypeParam>(set);
}

TYPED_TEST(ragged, clusters_that_are_known) {
  if (std::is_same_v<TypeParam, std::uint8_t>) return;  // coordinates of blobs have signs
  for (sequence_layout const& how : kSequenceLayouts) {
    expect_blobs_of_sequences<cpu, TypeParam>(how);
  }
}

TYPED_TEST(ragged, appended_centroids_are_those_of_a_fit_of_the_new_points) {
  fk::fit_options options;
  options.max_iterations = 5;
  options.seed = 3;
  for (std::int64_t const there : {0, 1, 40}) {
    for (fk::init_method const init : {fk::init_method::random, fk::init_method::given}) {
      options.init = init;
      expect_append<cpu, TypeParam>(3, {120, 9}, 5, there, options, false);
      if (!std::is_integral_v<TypeParam>) {
        expect_append<cpu, TypeParam>(2, {120, 9}, 5, there, options, true);
      }
    }
  }
}

TYPED_TEST(ragged, a_batch_in_two_calls_draws_as_in_one) {
  expect_numbers_of_problems<cpu, TypeParam>();
}

TEST(ragged_calls, threads_change_no_bit) {
  sequence_set const set =
      some_sequences<float>({{400, 7}, {30, 2}, {900, 30}, {77, 7}}, 2, 9, 300);
  sequence_image<float> const points(set.x, 2, kSequenceLayouts[0]);
  std::vector<std::vector<float>> centroids;
  for (int const threads : {1, 2, 5}) {
    sequence_image<float> const c(set.c, 2, kSequenceLayouts[0]);
    std::vector<float> x = points.values(), own = c.values();
    labels_vector labels(2 * (400 + 30 + 900 + 77));
    fk::host::fit(points.view<float const>(x.data()), c.view<float>(own.data()), labels.data(), {},
                  {threads});
    centroids.push_back(own);
  }
  EXPECT_TRUE(same_bits(centroids[0], centroids[1]));
  EXPECT_TRUE(same_bits(centroids[0], centroids[2]));
}

TEST(ragged_calls, bad_sequences_are_refused) {
  labels_vector labels(1000, -9);
  fk::fit_options given;
  given.init = fk::init_method::given;
  expect_bad_sequences_are_refused<float>(
      [&](auto const& x, auto const& c) { fk::host::fit(x, c, labels.data(), given); }, true, true);
  expect_bad_sequences_are_refused<float>(
      [&](auto const& x, auto const& c) { fk::host::predict(x, c, labels.data()); }, false, false);
  EXPECT_EQ(labels, labels_vector(1000, -9));
}

TEST(ragged_calls, check_input_names_the_problem_and_writes_nothing) {
  sequence_set set = some_sequences<float>(kShapes, 2, 6, 100);
  spoil(set, 3, 1, 60);
  sequence_image<float> const points(set.x, 2, kSequenceLayouts[0]),
      centroids(set.c, 2, kSequenceLayouts[0]);
  std::vector<float> x = points.values(), c = centroids.values();
  labels_vector labels(2 * (1 + 37 + 300 + 64 + 5), -9);
  fk::fit_options options;
  options.check_input = true;
  expect_refused(
      [&] {
        fk::host::fit(points.view<float const>(x.data()), centroids.view<float>(c.data()),
                      labels.data(), options);
      },
      "flash_kmeans: x of problem 7, row 60, feature 3 is inf");
  EXPECT_EQ(labels, labels_vector(labels.size(), -9));
  EXPECT_TRUE(same_bits(c, centroids.values()));
}

TEST(ragged_calls, a_bad_weight_is_named_by_its_problem) {
  sequence_set const set = some_sequences<float>({{10, 2}, {20, 3}}, 2, 4, 100);
  sequence_image<float> const points(set.x, 2, kSequenceLayouts[0]),
      centroids(set.c, 2, kSequenceLayouts[0]);
  std::vector<float> x = points.values(), c = centroids.values(), weights(60, 1);
  weights[20 + 20 + 4] = -1;
  labels_vector labels(60, -9);
  fk::fit_options options;
  options.weights = weights.data();
  expect_refused(
      [&] {
        fk::host::fit(points.view<float const>(x.data()), centroids.view<float>(c.data()),
                      labels.data(), options);
      },
      "flash_kmeans: options.weights of problem 3, point 4 is -1");
  EXPECT_EQ(labels, labels_vector(60, -9));
}

// Of each sequence in turn; one that is not wanted any more ends after its first update.
TEST(ragged_calls, progress_is_told_of_sequence_after_sequence) {
  sequence_set const set = some_sequences<float>({{300, 20}, {400, 30}}, 1, 6, 100);
  sequence_image<float> const points(set.x, 1, kSequenceLayouts[0]),
      centroids(set.c, 1, kSequenceLayouts[0]);
  for (int const most : {1000, 2}) {
    std::vector<float> x = points.values(), c = centroids.values();
    labels_vector labels(700, -9);
    std::vector<fk::fit_status> status(2);
    std::vector<int> told;
    fk::fit_options options;
    options.tolerance = 0;
    options.max_iterations = 4;
    options.progress = [&](int iteration, double) {
      told.push_back(iteration);
      return static_cast<int>(told.size()) < most;
    };
    fk::host::fit(points.view<float const>(x.data()), centroids.view<float>(c.data()),
                  {labels.data(), {}, status.data()}, options);
    if (most == 1000) {
      EXPECT_EQ(told, (std::vector<int>{1, 2, 3, 4, 1, 2, 3, 4}));
      continue;
    }
    EXPECT_EQ(told, (std::vector<int>{1, 2, 1}));
    EXPECT_EQ(status[0].iterations, 2);
    EXPECT_EQ(status[1].iterations, 1);
    EXPECT_EQ(std::count(labels.begin(), labels.end(), -9), 0);
  }
}

TEST(append_calls, bad_arguments_are_refused) {
  float x[40] = {}, c[40] = {};
  labels_vector labels(10, -9);
  auto const run = [&](std::int64_t first, std::int64_t rows) {
    fk::host::append(fk::matrix_view<float const>{x, 10, 4}, fk::matrix_view<float>{c, rows, 4},
                     first, labels.data());
  };
  expect_refused([&] { run(-1, 4); }, "flash_kmeans: first is -1, must not be negative");
  expect_refused([&] { run(4, 4); }, "flash_kmeans: first is 4, must be less than centroids.rows");
  expect_refused([&] { run(2, 13); },
                 "flash_kmeans: centroids.rows - first is 11, must be at most");
  fk::fit_options options;
  options.first_problem = -2;
  expect_refused(
      [&] {
        fk::host::append(fk::matrix_view<float const>{x, 10, 4}, fk::matrix_view<float>{c, 4, 4}, 1,
                         labels.data(), options);
      },
      "flash_kmeans: options.first_problem is -2");
  EXPECT_EQ(labels, labels_vector(10, -9));
}

}  // namespace
