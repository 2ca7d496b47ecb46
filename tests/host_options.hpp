// What the tests of the CPU backend's options share.
#pragma once

#include <cmath>
#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <type_traits>
#include <vector>

#include "data.hpp"
#include "host_test.hpp"
#include "reference_options.hpp"

namespace testing_support {

constexpr measure kMeasures[] = {measure::euclidean, measure::cosine, measure::inner_product};
constexpr vacancy kVacancies[] = {vacancy::keep, vacancy::farthest_point, vacancy::split_largest};

inline fk::metric metric_of(measure by) {
  if (by == measure::cosine) return fk::metric::cosine;
  return by == measure::euclidean ? fk::metric::euclidean : fk::metric::inner_product;
}

inline fk::empty_cluster policy_of(vacancy empty) {
  if (empty == vacancy::farthest_point) return fk::empty_cluster::farthest_point;
  return empty == vacancy::keep ? fk::empty_cluster::keep : fk::empty_cluster::split_largest;
}

inline char const* name_of(measure by) {
  if (by == measure::cosine) return "cosine";
  return by == measure::euclidean ? "euclidean" : "inner_product";
}

inline char const* name_of(vacancy empty) {
  if (empty == vacancy::farthest_point) return "farthest_point";
  return empty == vacancy::keep ? "keep" : "split_largest";
}

template <class C>
double as_stored(double value) {
  return element_from_type(element_to_type<C>(value));
}

// Whole numbers from 0 to 3, so that weighted sums of integers are exact.
inline std::vector<double> some_weights(std::int64_t n, std::uint64_t seed) {
  return integer_points(n, 1, seed, 0, 3).values;
}

template <class C>
std::vector<C> stored_weights(std::vector<std::vector<double>> const& problems) {
  std::vector<C> all;
  for (auto const& own : problems) {
    for (double const value : own) all.push_back(static_cast<C>(value));
  }
  return all;
}

// Centroids among the points of integers<T> (times `scale`), none of them on a tie between two; rows
// `same` are copies of row 1, so that they are empty at first.
template <class T>
matrix some_centroids(std::int64_t k, std::int64_t d, std::uint64_t seed,
                      std::vector<std::int64_t> const& same = {}, double scale = 1) {
  matrix c = real_points(k, d, seed);
  for (double& value : c.values) value = scale * (2 * value + (std::is_unsigned_v<T> ? 4 : 0));
  for (std::int64_t const j : same) {
    for (std::int64_t f = 0; f < d; ++f) c(j, f) = c(1, f);
  }
  return rounded_to<fk::centroid_t<T>>(c);
}

// A cosine or a product of d terms: at most d + 5 roundings on the way, see test_host.cpp; scores
// are in the type of the centroids, distances in double on either side.
template <class C>
double slack_of_label(measure by, matrix const& x, std::int64_t i, matrix const& c,
                      std::int64_t j) {
  double const g = growth(x.cols + 5, kUnit<C>);
  if (by == measure::cosine) return 2 * g;
  double terms = 0;
  for (std::int64_t f = 0; f < x.cols; ++f) terms += std::abs(x(i, f) * c(j, f));
  if (by == measure::inner_product) return 2 * g * terms;
  for (std::int64_t f = 0; f < x.cols; ++f) terms += c(j, f) * c(j, f) / 2;
  return 4 * g * terms;
}

}  // namespace testing_support
