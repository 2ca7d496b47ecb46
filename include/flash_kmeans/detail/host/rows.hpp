// Rows of a matrix and sums over them.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "abi.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

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

inline double sum_in_order(vector<double> const& terms) {
  double sum = 0;
  for (double const term : terms) sum += term;
  return sum;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
