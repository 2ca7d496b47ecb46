// What the tests of the CPU backend share: point types, memory of any layout, by-products by their
// definition, whole fits.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <flash_kmeans/host.hpp>
#include <limits>
#include <ostream>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#if __has_include(<cuda_fp16.h>)
#include <cuda_fp16.h>
#endif

#include "data.hpp"
#include "reference.hpp"

namespace testing_support {

namespace fk = flash_kmeans;
using labels_vector = std::vector<std::int32_t>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// A 16-bit float that is neither __half nor __nv_bfloat16: the upper half of a float. All that the
// backend may ask of a point type is static_cast to float.
class short_float {
 public:
  short_float() = default;
  explicit short_float(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits_ = static_cast<std::uint16_t>(bits >> 16);
  }
  explicit operator float() const {
    std::uint32_t const bits = std::uint32_t{bits_} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

 private:
  std::uint16_t bits_ = 0;
};

// ---- Memory ----

enum class layout { contiguous, padded, interleaved };

// The problems of a batch in one piece of memory, as the layout says; what lies between rows and
// problems is poison that must be neither used nor written.
template <class T>
class stored {
 public:
  stored(std::vector<matrix> const& problems, layout as = layout::contiguous)
      : rows_(problems[0].rows), cols_(problems[0].cols) {
    auto const b = static_cast<std::int64_t>(problems.size());
    std::int64_t ld = cols_, stride = rows_ * cols_;
    if (as == layout::padded) {
      ld = cols_ + 3;
      stride = rows_ * ld + 5;
    } else if (as == layout::interleaved) {  // [n][b][d]
      ld = b * cols_;
      stride = cols_;
    }
    // Two batch dimensions wherever the number of problems allows it.
    std::int64_t const inner = b % 2 == 0 ? 2 : 1;
    memory_.assign(at(b * std::max(stride, rows_ * ld) + 7), poison());
    view_ = {memory_.data(), rows_, cols_, ld, {b / inner, inner}, {stride * inner, stride}};
    for (std::int64_t i = 0; i < b; ++i) {
      for (std::int64_t r = 0; r < rows_; ++r) {
        for (std::int64_t f = 0; f < cols_; ++f) {
          memory_[offset(i, r, f)] = element_to_type<T>(problems[at(i)](r, f));
        }
      }
    }
  }
  stored(matrix const& problem, layout as = layout::contiguous)
      : stored(std::vector<matrix>{problem}, as) {}
  stored(stored const&) = delete;

  fk::matrix_view<T> view() { return view_; }
  fk::matrix_view<T const> const_view() const { return view_; }

  matrix get(std::int64_t i = 0) const {
    matrix m(rows_, cols_);
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t f = 0; f < cols_; ++f)
        m(r, f) = element_from_type(memory_[offset(i, r, f)]);
    }
    return m;
  }

  std::vector<matrix> get_all() const {
    std::vector<matrix> all;
    for (std::int64_t i = 0; i < view_.batch_count(); ++i) all.push_back(get(i));
    return all;
  }

  bool poison_is_untouched() const {
    std::vector<bool> used(memory_.size(), false);
    for (std::int64_t i = 0; i < view_.batch_count(); ++i) {
      for (std::int64_t r = 0; r < rows_; ++r) {
        for (std::int64_t f = 0; f < cols_; ++f) used[offset(i, r, f)] = true;
      }
    }
    T const expected = poison();
    for (std::size_t e = 0; e < memory_.size(); ++e) {
      if (!used[e] && std::memcmp(&memory_[e], &expected, sizeof(T)) != 0) return false;
    }
    return true;
  }

 private:
  static T poison() {
    if constexpr (std::is_integral_v<T>) {
      return T(113);
    } else {
      return element_to_type<T>(kNan);
    }
  }

  std::size_t offset(std::int64_t i, std::int64_t r, std::int64_t f) const {
    return at(view_.problem_offset(i) + r * view_.ld + f);
  }

  std::int64_t rows_, cols_;
  std::vector<T> memory_;
  fk::matrix_view<T> view_;
};

// Points of one feature.
inline matrix column(std::vector<double> const& values) {
  matrix m(static_cast<std::int64_t>(values.size()), 1);
  m.values = values;
  return m;
}

// Bell-shaped within [-2, 2], with all the bits of a double; normal_points have 19.
inline matrix real_points(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  matrix x = testing_support::normal_points(n, d, seed);
  for (double& value : x.values) value /= 3;
  return x;
}

// Bit for bit, NaN included.
template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

struct index_memory {
  labels_vector counts, offsets, order, inverse;

  index_memory(std::int64_t b, std::int64_t n, std::int64_t k)
      : counts(at(b * k), -9),
        offsets(at(b * (k + 1)), -9),
        order(at(b * n), -9),
        inverse(at(b * n), -9) {}
  fk::cluster_index view() { return {counts.data(), offsets.data(), order.data(), inverse.data()}; }
};

// The by-products that the definition gives for labels [b][n].
inline index_memory expected_index(labels_vector const& labels, std::int64_t b, std::int64_t n,
                                   std::int64_t k) {
  index_memory index(b, n, k);
  for (std::int64_t i = 0; i < b; ++i) {
    std::int32_t position = 0;
    auto place = [&](std::int64_t j) {  // j == k: labels that belong to no cluster
      for (std::int64_t p = 0; p < n; ++p) {
        std::int64_t const label = labels[at(i * n + p)];
        if (j < k ? label != j : label >= 0 && label < k) continue;
        index.inverse[at(i * n + p)] = position;
        index.order[at(i * n + position)] = static_cast<std::int32_t>(p);
        ++position;
      }
    };
    for (std::int64_t j = 0; j < k; ++j) {
      index.offsets[at(i * (k + 1) + j)] = position;
      place(j);
      index.counts[at(i * k + j)] = position - index.offsets[at(i * (k + 1) + j)];
    }
    index.offsets[at(i * (k + 1) + k)] = position;
    place(k);
  }
  return index;
}

inline void expect_index(index_memory const& index, labels_vector const& labels, std::int64_t b,
                         std::int64_t n, std::int64_t k) {
  index_memory const expected = expected_index(labels, b, n, k);
  EXPECT_EQ(index.counts, expected.counts);
  EXPECT_EQ(index.offsets, expected.offsets);
  EXPECT_EQ(index.order, expected.order);
  EXPECT_EQ(index.inverse, expected.inverse);
}

// ---- Shapes ----

struct shape {
  std::int64_t n, k, d;
};

inline std::ostream& operator<<(std::ostream& out, shape const& s) {
  return out << "n " << s.n << ", k " << s.k << ", d " << s.d;
}

template <class T>
std::string text(T const& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

struct type_names {
  template <class T>
  static std::string GetName(int) {
    if (std::is_same_v<T, float>) return "float";
    if (std::is_same_v<T, double>) return "double";
    if (std::is_same_v<T, std::uint8_t>) return "uint8";
    if (std::is_same_v<T, std::int8_t>) return "int8";
    return std::is_same_v<T, short_float> ? "short_float" : "half";
  }
};

// __half needs a CUDA header, but no CUDA compiler.
#if __has_include(<cuda_fp16.h>)
using point_types = ::testing::Types<float, double, std::uint8_t, std::int8_t, short_float, __half>;
using float_types = ::testing::Types<float, double, short_float, __half>;
#else
using point_types = ::testing::Types<float, double, std::uint8_t, std::int8_t, short_float>;
using float_types = ::testing::Types<float, double, short_float>;
#endif

// Integers that T holds.
template <class T>
matrix integers(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  return std::is_unsigned_v<T> ? integer_points(n, d, seed, 0, 8) : integer_points(n, d, seed);
}

// ---- Float: whatever the order of the additions, a sum of m products has an error of at most
// g(m) sum |products| with g(m) = m u / (1 - m u) and u the unit roundoff (Higham: Accuracy and
// Stability of Numerical Algorithms, section 3.1). ----

template <class T>
constexpr double kUnit = std::is_same_v<T, double> ? 0x1p-53 : 0x1p-24;

inline double growth(std::int64_t m, double unit) {
  double const mu = static_cast<double>(m) * unit;
  return mu / (1 - mu);
}

struct fitted {
  std::vector<matrix> centroids;
  labels_vector labels;
  std::vector<fk::fit_status> status;
  index_memory index;
  fk::fit_result result;
};

template <class T>
fitted run_fit(std::vector<matrix> const& xs, std::vector<matrix> const& cs,
               fk::fit_options const& options, fk::host::execution const& exec = {},
               layout as = layout::contiguous) {
  using centroid = fk::centroid_t<T>;
  auto const b = static_cast<std::int64_t>(xs.size());
  std::int64_t const n = xs[0].rows, k = cs[0].rows;
  stored<T> points(xs, as);
  stored<centroid> centroids(cs, as);
  fitted f{{},
           labels_vector(at(b * n), -9),
           std::vector<fk::fit_status>(at(b)),
           index_memory(b, n, k),
           {}};
  f.result = fk::host::fit(points.const_view(), centroids.view(),
                           {f.labels.data(), f.index.view(), f.status.data()}, options, exec);
  f.centroids = centroids.get_all();
  return f;
}

inline void expect_same_bits(fitted const& a, fitted const& b) {
  ASSERT_EQ(a.centroids.size(), b.centroids.size());
  for (std::size_t i = 0; i < a.centroids.size(); ++i) {
    EXPECT_TRUE(same_bits(a.centroids[i].values, b.centroids[i].values)) << "problem " << i;
  }
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_TRUE(same_bits(a.status, b.status));
  EXPECT_EQ(a.index.counts, b.index.counts);
  EXPECT_EQ(a.index.offsets, b.index.offsets);
  EXPECT_EQ(a.index.order, b.index.order);
  EXPECT_EQ(a.index.inverse, b.index.inverse);
  EXPECT_EQ(a.result.iterations, b.result.iterations);
  EXPECT_EQ(a.result.converged, b.result.converged);
  EXPECT_TRUE(same_bits<double>({a.result.inertia}, {b.result.inertia}));
}

}  // namespace testing_support
