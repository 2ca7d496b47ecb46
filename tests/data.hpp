// Data for the tests: made by integer arithmetic only, so the same bits on every platform.
#pragma once

#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "reference.hpp"

namespace testing_support {

// SplitMix64.
class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // Uniform enough on [lo, hi] for ranges far below 2^32.
  std::int64_t integer(std::int64_t lo, std::int64_t hi) {
    return lo + static_cast<std::int64_t>(
                    (next() >> 32) * static_cast<std::uint64_t>(hi - lo + 1) >> 32);
  }

  // Twelve 16-bit uniforms, summed and centred: mean 0, variance 1, no libm.
  double normal() {
    std::int64_t sum = 0;
    for (int word = 0; word < 3; ++word) {
      std::uint64_t const bits = next();
      for (int part = 0; part < 4; ++part) {
        sum += static_cast<std::int64_t>(bits >> (16 * part) & 0xffff);
      }
    }
    return (static_cast<double>(sum) - 6.0 * 65535.0) / 65536.0;
  }

 private:
  std::uint64_t state_;
};

// Integers drawn uniformly from [lo, hi].
inline matrix integer_points(std::int64_t n, std::int64_t d, std::uint64_t seed, int lo = -4,
                             int hi = 4) {
  matrix x(n, d);
  random_source random(seed);
  for (double& value : x.values) value = static_cast<double>(random.integer(lo, hi));
  return x;
}

// Bell-shaped, mean 0, variance 1, within [-6, 6].
inline matrix normal_points(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  matrix x(n, d);
  random_source random(seed);
  for (double& value : x.values) value = random.normal();
  return x;
}

// Smallest base whose `digits` digits count to `count`.
inline std::int64_t smallest_base(std::int64_t count, std::int64_t digits) {
  for (std::int64_t base = 2;; ++base) {
    std::int64_t reach = 1;
    for (std::int64_t digit = 0; digit < digits && reach < count; ++digit) reach *= base;
    if (reach >= count) return base;
  }
}

// k well separated clusters of points_per_cluster (a power of two) points; row i is of cluster
// i % k, so that the first k rows hold one point of each and are a start from which the first
// assignment finds the clusters.
//
// Why a fit on them is exact in every type and on every path: coordinates are integers below 2^7;
// half of a cluster's points are 1 higher in a noisy feature, so means are multiples of 1/2 below
// 2^7 (8 bits, which bfloat16 holds); every product, norm and score is a multiple of 1/8 and below
// 2^21 for d <= 4096, which float holds.
// Why they are well separated: clusters differ by at least 4 in one of the first three features and
// a point is off its cluster's corner by at most 1 in at most 5 features, so a point is within
// squared distance 5 of its own cluster's points and at least (4 - 1)^2 from all others.
inline matrix exact_blobs(std::int64_t k, std::int64_t points_per_cluster, std::int64_t d,
                          std::uint64_t seed) {
  assert(points_per_cluster >= 1 && (points_per_cluster & (points_per_cluster - 1)) == 0);
  std::int64_t const digits = d < 3 ? d : 3;
  std::int64_t const base = smallest_base(k, digits);
  assert(4 * base <= 248 && "too many clusters for so few features");
  random_source random(seed);
  matrix x(k * points_per_cluster, d);
  for (std::int64_t cluster = 0; cluster < k; ++cluster) {
    std::vector<double> corner(static_cast<std::size_t>(d));
    std::int64_t rest = cluster;
    for (std::int64_t e = 0; e < d; ++e) {
      if (e < digits) {
        corner[static_cast<std::size_t>(e)] = static_cast<double>(4 * (rest % base - base / 2));
        rest /= base;
      } else {
        corner[static_cast<std::size_t>(e)] = static_cast<double>(random.integer(-4, 4));
      }
    }
    std::int64_t noisy[5];
    int noisy_count = 0;
    for (std::int64_t e = 0; e < digits; ++e) noisy[noisy_count++] = e;
    if (d >= 4) noisy[noisy_count++] = random.integer(3, d - 1);
    if (d >= 5) {
      std::int64_t e = random.integer(3, d - 1);
      if (e == noisy[3]) e = e == d - 1 ? 3 : e + 1;
      noisy[noisy_count++] = e;
    }
    for (std::int64_t p = 0; p < points_per_cluster; ++p) {
      std::int64_t const row = p * k + cluster;
      for (std::int64_t e = 0; e < d; ++e) x(row, e) = corner[static_cast<std::size_t>(e)];
      if (points_per_cluster == 1) continue;
      for (int f = 0; f < noisy_count; ++f) {
        // An odd multiple permutes the points modulo a power of two: half of them are raised, and
        // not the same half in every feature.
        std::int64_t const phase = (p * (2 * f + 1) + f) % points_per_cluster;
        if (phase < points_per_cluster / 2) x(row, noisy[f]) += 1;
      }
    }
  }
  return x;
}

// Points and the centroids that a fit starts from.
struct fit_case {
  matrix points;
  matrix centroids;
};

// An exact fit that takes three updates: `gadgets` copies, far from each other, of three groups A,
// B, C of points_per_group (a power of two, at least 2) points at 0, 2 and 10 along the first
// feature, with two centroids at -4 and 7. The first assignment is {A}, {B, C} with means 0 and 6,
// the second {A, B}, {C} with means 1 and 10, the third changes nothing. k = 2 * gadgets, d >= 2.
// The last feature holds noise of +-1 that cancels in every mean. All values are exact as in
// exact_blobs.
inline fit_case exact_moving(std::int64_t gadgets, std::int64_t points_per_group, std::int64_t d,
                             std::uint64_t seed) {
  assert(d >= 2 && points_per_group >= 2 && (points_per_group & (points_per_group - 1)) == 0);
  std::int64_t const digits = d - 1 < 3 ? d - 1 : 3;
  std::int64_t const base = smallest_base(gadgets, digits);
  assert(16 * base <= 240 && "too many gadgets for so few features");
  random_source random(seed);
  fit_case result{matrix(3 * gadgets * points_per_group, d), matrix(2 * gadgets, d)};
  double const group_at[3] = {0, 2, 10};
  double const centroid_at[2] = {-4, 7};
  for (std::int64_t g = 0; g < gadgets; ++g) {
    std::vector<double> corner(static_cast<std::size_t>(d));
    std::int64_t rest = g;
    for (std::int64_t e = 1; e < d; ++e) {
      if (e <= digits) {
        corner[static_cast<std::size_t>(e)] = static_cast<double>(16 * (rest % base - base / 2));
        rest /= base;
      } else {
        corner[static_cast<std::size_t>(e)] = static_cast<double>(random.integer(-3, 3));
      }
    }
    for (std::int64_t p = 0; p < points_per_group; ++p) {
      for (std::int64_t group = 0; group < 3; ++group) {
        // Points of one cluster lie apart in memory, so that the sort has something to do.
        std::int64_t const row = (p * 3 + group) * gadgets + g;
        for (std::int64_t e = 0; e < d; ++e) {
          result.points(row, e) = corner[static_cast<std::size_t>(e)];
        }
        result.points(row, 0) = group_at[group];
        result.points(row, d - 1) += p % 2 == 0 ? 1 : -1;
      }
    }
    for (std::int64_t j = 0; j < 2; ++j) {
      for (std::int64_t e = 0; e < d; ++e) {
        result.centroids(2 * g + j, e) = corner[static_cast<std::size_t>(e)];
      }
      result.centroids(2 * g + j, 0) = centroid_at[j];
    }
  }
  return result;
}

// Centroids for points of small integers, or of this kind, whose scores are exact under every
// metric: entries are 0 or +-s with s a power of two, and 1, 4 or 16 of them are not 0, so the length
// is a power of two and the entries of the unit vector are +-1, +-1/2 or +-1/4. Every eleventh is
// zeros, and lengths differ, so under cosine there are many ties.
inline matrix exact_directions(std::int64_t k, std::int64_t d, std::uint64_t seed) {
  matrix c(k, d);
  random_source random(seed);
  for (std::int64_t j = 0; j < k; ++j) {
    if (j % 11 == 10) continue;
    std::int64_t const most = d >= 16 ? 2 : d >= 4 ? 1 : 0;
    std::int64_t const entries = std::int64_t{1} << 2 * random.integer(0, most);
    double const size = std::ldexp(1.0, static_cast<int>(random.integer(-2, 2)));
    for (std::int64_t placed = 0; placed < entries;) {
      double& entry = c(j, random.integer(0, d - 1));
      if (entry != 0) continue;
      entry = random.integer(0, 1) == 0 ? size : -size;
      ++placed;
    }
  }
  return c;
}

inline matrix take_rows(matrix const& x, std::vector<std::int64_t> const& rows) {
  matrix taken(static_cast<std::int64_t>(rows.size()), x.cols);
  for (std::int64_t i = 0; i < taken.rows; ++i) {
    for (std::int64_t e = 0; e < x.cols; ++e) {
      taken(i, e) = x(rows[static_cast<std::size_t>(i)], e);
    }
  }
  return taken;
}

inline matrix first_rows(matrix const& x, std::int64_t k) {
  assert(k <= x.rows);
  matrix taken(k, x.cols);
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t e = 0; e < x.cols; ++e) taken(i, e) = x(i, e);
  }
  return taken;
}

// One value as T and back. Integers have no NaN; their largest value stands for it.
template <class T>
T element_to_type(double value) {
  if constexpr (std::is_same_v<T, double>) {
    return value;
  } else if constexpr (std::is_integral_v<T>) {
    return std::isnan(value) ? std::numeric_limits<T>::max()
                             : static_cast<T>(static_cast<float>(value));
  } else {
    return static_cast<T>(static_cast<float>(value));
  }
}

template <class T>
double element_from_type(T value) {
  if constexpr (std::is_same_v<T, double>) {
    return value;
  } else {
    return static_cast<double>(static_cast<float>(value));
  }
}

template <class T>
std::vector<T> to_type(matrix const& x) {
  std::vector<T> values;
  values.reserve(x.values.size());
  for (double const value : x.values) values.push_back(element_to_type<T>(value));
  return values;
}

template <class T>
matrix from_type(std::vector<T> const& values, std::int64_t rows, std::int64_t cols) {
  assert(values.size() == static_cast<std::size_t>(rows * cols));
  matrix x(rows, cols);
  for (std::size_t i = 0; i < values.size(); ++i) x.values[i] = element_from_type(values[i]);
  return x;
}

// The matrix as it is once every element went through T.
template <class T>
matrix rounded_to(matrix const& x) {
  return from_type<T>(to_type<T>(x), x.rows, x.cols);
}

}  // namespace testing_support
