// The distance of a point and a centroid, by each metric, in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "../../types.hpp"
#include "abi.hpp"
#include "rows.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// A sum over d features in eight running sums, which compilers vectorise and which keeps rounding
// errors small; term(f) is feature f's.
template <class Term>
double sum_over_features(std::int64_t d, Term const& term) {
  double sums[8] = {};
  std::int64_t f = 0;
  for (; f + 8 <= d; f += 8) {
    for (std::int64_t lane = 0; lane < 8; ++lane) sums[lane] += term(f + lane);
  }
  for (std::int64_t lane = 0; f + lane < d; ++lane) sums[lane] += term(f + lane);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// |a - b|^2.
template <class A, class B>
double squared_distance(A const* a, B const* b, std::int64_t d) {
  return sum_over_features(d, [&](std::int64_t f) {
    double const difference = as_double(a[f]) - as_double(b[f]);
    return difference * difference;
  });
}

template <class A, class B>
double dot(A const* a, B const* b, std::int64_t d) {
  return sum_over_features(d, [&](std::int64_t f) { return as_double(a[f]) * as_double(b[f]); });
}

template <class A>
double length(A const* a, std::int64_t d) {
  return std::sqrt(dot(a, a, d));
}

// 1 - cos of the angle between two rows, from 0 to 2, by their product and that of their lengths; 1
// where either is zero.
inline double cosine_distance(double product, double lengths) {
  return lengths == 0 ? 1 : 1 - std::clamp(product / lengths, -1.0, 1.0);
}

template <class A, class B>
double distance(metric by, A const* a, B const* b, std::int64_t d) {
  switch (by) {
    case metric::cosine: return cosine_distance(dot(a, b, d), length(a, d) * length(b, d));
    case metric::inner_product: return -dot(a, b, d);
    default: return squared_distance(a, b, d);
  }
}

// As it is handed out; NaN where it is not finite in C.
template <class C, class A, class B>
C stored_distance(metric by, A const* a, B const* b, std::int64_t d) {
  C const value = static_cast<C>(distance(by, a, b, d));
  return std::isfinite(value) ? value : std::numeric_limits<C>::quiet_NaN();
}

// Scales a row to length 1, unless it is zero.
template <class C>
void scale_to_unit(C* a, std::int64_t d) {
  double const by = length(a, d);
  if (by == 0) return;
  for (std::int64_t f = 0; f < d; ++f) a[f] = static_cast<C>(static_cast<double>(a[f]) / by);
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
