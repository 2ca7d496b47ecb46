// Rows of a matrix and sums over them.
#pragma once

#include <cstdint>
#include <vector>

#include "../../types.hpp"

namespace flash_kmeans::detail::cpu {

template <class T>
matrix_view<T> problem(matrix_view<T> const& v, std::int64_t i) {
  return {v.data + v.problem_offset(i), v.rows, v.cols, v.ld};
}

template <class T>
T* row(matrix_view<T> const& v, std::int64_t i) {
  return v.data + i * v.ld;
}

// By way of the compute type: the half types convert to float only.
template <class P>
double as_double(P value) {
  return static_cast<double>(static_cast<centroid_t<P>>(value));
}

inline double sum_in_order(std::vector<double> const& terms) {
  double sum = 0;
  for (double const term : terms) sum += term;
  return sum;
}

// |a - b|^2 in double.
template <class A, class B>
double squared_distance(A const* a, B const* b, std::int64_t d) {
  double sums[8] = {};
  auto add = [&](std::int64_t f, std::int64_t lane) {
    double const difference = as_double(a[f]) - as_double(b[f]);
    sums[lane] += difference * difference;
  };
  std::int64_t f = 0;
  for (; f + 8 <= d; f += 8) {
    for (std::int64_t lane = 0; lane < 8; ++lane) add(f + lane, lane);
  }
  for (std::int64_t lane = 0; f + lane < d; ++lane) add(f + lane, lane);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace flash_kmeans::detail::cpu
