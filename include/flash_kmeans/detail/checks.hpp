// Argument checks, the same for the GPU and the CPU verbs. Each throws std::invalid_argument.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "../types.hpp"
#include "error.hpp"
#include "host/abi.hpp"
#include "seeding.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI_HOST {

inline constexpr std::int64_t kMaxRows = std::numeric_limits<std::int32_t>::max();
// Kernels count features in 32 bits, in steps of up to 4096.
inline constexpr std::int64_t kMaxCols = kMaxRows - 4095;
// Kernels count centroids in 32 bits, in steps of up to 256.
inline constexpr std::int64_t kMaxCentroids = kMaxRows - 255;

template <class T>
void check_pointer(T const* pointer, std::string const& argument) {
  if (pointer == nullptr) throw_invalid(argument, "null", "must point to memory");
  if (reinterpret_cast<std::uintptr_t>(pointer) % alignof(T) != 0) {
    throw_invalid(argument, static_cast<void const*>(pointer),
                  "must be aligned to its element type (" + std::to_string(alignof(T)) + " bytes)");
  }
}

// For memory that may be left out.
template <class T>
void check_optional(T const* pointer, char const* argument) {
  if (pointer != nullptr) check_pointer(pointer, argument);
}

// Shape and strides, without the pointer.
template <class T>
void check_shape(matrix_view<T> const& v, std::string const& name, std::string const& rows,
                 std::string const& cols) {
  auto at_least = [](std::string const& argument, std::int64_t value, std::int64_t least) {
    if (value < least) throw_invalid(argument, value, "must be at least " + std::to_string(least));
  };
  at_least(name + ".rows (" + rows + ")", v.rows, 1);
  at_least(name + ".cols (" + cols + ")", v.cols, 1);
  if (v.rows > kMaxRows)
    throw_invalid(name + ".rows (" + rows + ")", v.rows, "must be at most 2147483647");
  if (v.cols > kMaxCols)
    throw_invalid(name + ".cols (" + cols + ")", v.cols, "must be at most 2147479552");
  if (v.ld < v.cols) {
    throw_invalid(name + ".ld", v.ld,
                  "must be at least " + name + ".cols (" + std::to_string(v.cols) + ")");
  }
  for (int i = 0; i < 2; ++i) {
    std::string const at = "[" + std::to_string(i) + "]";
    at_least(name + ".batch" + at, v.batch[i], 1);
    at_least(name + ".batch_stride" + at, v.batch_stride[i], 0);
  }
  if (v.batch[0] > kMaxRows / v.batch[1]) {
    throw_invalid(name + ".batch", std::to_string(v.batch[0]) + " x " + std::to_string(v.batch[1]),
                  "must be at most 2147483647 problems");
  }
}

// Points and centroids of one call (or whatever else has a row for each of them): their own shapes,
// the same d and the same batch.
template <class P, class C>
void check_shapes(matrix_view<P> const& x, matrix_view<C> const& c,
                  std::string const& name = "centroids", std::string const& rows = "k") {
  check_shape(x, "x", "n", "d");
  check_shape(c, name, rows, "d");
  if (rows == "k" && c.rows > kMaxCentroids)
    throw_invalid(name + ".rows (k)", c.rows, "must be at most 2147483392");
  if (c.cols != x.cols) {
    throw_invalid(name + ".cols (d)", c.cols, "must equal x.cols (" + std::to_string(x.cols) + ")");
  }
  if (c.batch != x.batch) {
    throw_invalid(name + ".batch", std::to_string(c.batch[0]) + " x " + std::to_string(c.batch[1]),
                  "must equal x.batch (" + std::to_string(x.batch[0]) + " x " +
                      std::to_string(x.batch[1]) + ")");
  }
}

// The types of points and centroids that go together. Verbs ask this before anything that would fail
// to compile with a longer message.
template <class P, class C>
constexpr void check_centroid_type() {
  static_assert(std::is_same_v<std::remove_const_t<C>, centroid_t<P>>,
                "flash_kmeans: centroids are double for double points and float for all others");
}

template <class P, class C>
constexpr void check_written_type() {
  check_centroid_type<P, C>();
  static_assert(!std::is_const_v<C>,
                "flash_kmeans: centroids are written, their view must not be const");
}

template <class P, class C>
void check_views(matrix_view<P> const& x, matrix_view<C> const& c,
                 std::string const& name = "centroids") {
  check_centroid_type<P, C>();
  check_shapes(x, c, name);
  check_pointer(x.data, "x.data");
  check_pointer(c.data, name + ".data");
}

// A matrix that is written: no two rows may share memory. Taken from the smallest stride up,
// every dimension has to step over all that the ones before it span.
template <class C>
void check_written(matrix_view<C> const& c, std::string const& name = "centroids") {
  struct dimension {
    std::int64_t count, stride;
    char const* name;
  };
  std::array<dimension, 3> dimensions{dimension{c.rows, c.ld, ".ld"},
                                      dimension{c.batch[0], c.batch_stride[0], ".batch_stride[0]"},
                                      dimension{c.batch[1], c.batch_stride[1], ".batch_stride[1]"}};
  std::stable_sort(dimensions.begin(), dimensions.end(),
                   [](dimension const& a, dimension const& b) { return a.stride < b.stride; });
  std::int64_t span = c.cols;
  for (dimension const& by : dimensions) {
    if (by.count == 1) continue;
    if (by.stride < span) {
      throw_invalid(name + by.name, by.stride,
                    "must be at least " + std::to_string(span) + ", since " + name +
                        " are written and must not overlap");
    }
    if (by.stride > (std::numeric_limits<std::int64_t>::max() - span) / (by.count - 1)) {
      throw_invalid(name + by.name, by.stride, "must keep all " + name + " within 2^63 elements");
    }
    span += by.stride * (by.count - 1);
  }
}

// Where distances of all points to all centroids go.
template <class P, class C>
void check_distances(matrix_view<C> const& distances, matrix_view<P> const& x, std::int64_t k) {
  check_shape(distances, "distances", "n", "k");
  if (distances.rows != x.rows) {
    throw_invalid("distances.rows (n)", distances.rows,
                  "must equal x.rows (" + std::to_string(x.rows) + ")");
  }
  if (distances.cols != k) {
    throw_invalid("distances.cols (k)", distances.cols,
                  "must equal centroids.rows (" + std::to_string(k) + ")");
  }
  if (distances.batch != x.batch) {
    throw_invalid("distances.batch",
                  std::to_string(distances.batch[0]) + " x " + std::to_string(distances.batch[1]),
                  "must equal x.batch (" + std::to_string(x.batch[0]) + " x " +
                      std::to_string(x.batch[1]) + ")");
  }
  check_pointer(distances.data, "distances.data");
  check_written(distances, "distances");
}

// Centroids that top_k is asked for.
inline void check_j(int j, std::int64_t k, int most) {
  if (j < 1) throw_invalid("j", j, "must be at least 1");
  if (j > most) throw_invalid("j", j, "must be at most " + std::to_string(most));
  if (j > k)
    throw_invalid("j", j, "must be at most centroids.rows (k = " + std::to_string(k) + ")");
}

inline void check_k_at_most_n(std::int64_t k, std::int64_t n) {
  if (k > n)
    throw_invalid("centroids.rows (k)", k,
                  "must be at most x.rows (n = " + std::to_string(n) + ")");
}

inline void check_init(init_method init) {
  if (init != init_method::random && init != init_method::kmeans_plus_plus &&
      init != init_method::kmeans_parallel && init != init_method::given) {
    throw_invalid("options.init", static_cast<int>(init),
                  "must be random, kmeans_plus_plus, kmeans_parallel or given");
  }
}

inline void check_metric(metric value) {
  if (value != metric::euclidean && value != metric::cosine && value != metric::inner_product) {
    throw_invalid("options.metric", static_cast<int>(value),
                  "must be euclidean, cosine or inner_product");
  }
}

// Weights of points whose centroids are of type C.
template <class C>
void check_weights(sample_weights const& weights) {
  if (weights && weights.get<C>() == nullptr) {
    constexpr bool kDouble = std::is_same_v<C, double>;
    throw_invalid("options.weights", kDouble ? "float" : "double",
                  kDouble ? "must be double for double points"
                          : "must be float for points of every type but double");
  }
  check_optional(weights.get<C>(), "options.weights");
}

inline void check_empty_cluster(empty_cluster value) {
  if (value != empty_cluster::keep && value != empty_cluster::farthest_point &&
      value != empty_cluster::split_largest) {
    throw_invalid("options.empty_cluster", static_cast<int>(value),
                  "must be keep, farthest_point or split_largest");
  }
}

inline void check_max_size_ratio(double ratio) {
  require(ratio == 0 || (std::isfinite(ratio) && ratio >= 1), "options.max_size_ratio", ratio,
          "must be 0 or finite and at least 1");
}

inline void check_candidates(int candidates) {
  require(candidates >= 0 && candidates <= kMostCandidates, "options.candidates", candidates,
          "must be between 0 and 64");
}

inline void check_first_problem(std::int64_t first) {
  require(first >= 0, "options.first_problem", first, "must not be negative");
}

// k-means|| numbers the points that it takes.
inline void check_taken(fit_options const& options, std::int64_t n, std::int64_t k) {
  if (options.init == init_method::kmeans_parallel && most_taken(n, k) > kMaxRows) {
    throw_invalid("centroids.rows (k)", k, "must be at most 286331110 for kmeans_parallel");
  }
}

// What init_centroids reads.
template <class C>
void check_seeding(fit_options const& options, std::int64_t n, std::int64_t k) {
  check_init(options.init);
  check_first_problem(options.first_problem);
  check_taken(options, n, k);
  check_metric(options.metric);
  check_candidates(options.candidates);
  check_weights<std::remove_const_t<C>>(options.weights);
}

template <class C>
void check_query(query_options const& options) {
  check_metric(options.metric);
  check_weights<C>(options.weights);
}

// All that predict is given.
template <class P, class C>
void check_predict(matrix_view<P> const& x, matrix_view<C> const& c,
                   predict_outputs<centroid_t<P>> const& out, query_options const& options) {
  check_views(x, c);
  check_pointer(out.labels, "labels");
  check_optional(out.distances, "distances");
  check_query<centroid_t<P>>(options);
}

inline void check_options(fit_options const& options) {
  require(options.max_iterations >= 1, "options.max_iterations", options.max_iterations,
          "must be at least 1");
  require(std::isfinite(options.tolerance) && options.tolerance >= 0, "options.tolerance",
          options.tolerance, "must be finite and not negative");
  check_init(options.init);
  check_first_problem(options.first_problem);
  check_metric(options.metric);
  check_empty_cluster(options.empty_cluster);
  check_max_size_ratio(options.max_size_ratio);
  require(options.n_init >= 1, "options.n_init", options.n_init, "must be at least 1");
  check_candidates(options.candidates);
  if (options.n_init == 1) return;
  require(options.init != init_method::given, "options.n_init", options.n_init,
          "must be 1 where options.init is given");
  require(options.closing_assignment, "options.n_init", options.n_init,
          "must be 1 without options.closing_assignment, whose inertia chooses");
}

// What only a verb that waits for the device can do.
inline void check_does_not_wait(fit_options const& options) {
  require(!options.check_input, "options.check_input", "true", "needs a verb that waits: fit");
  require(!options.progress, "options.progress", "a function", "needs a verb that waits: fit");
}

// Of a row with a value that is not finite; value(f) is that of a feature.
template <class Value>
void throw_not_finite(std::int64_t problem, std::int64_t row, std::int64_t d, Value const& value) {
  std::int64_t f = 0;
  while (f + 1 < d && std::isfinite(value(f))) ++f;
  throw_invalid("x of problem " + std::to_string(problem) + ", row " + std::to_string(row) +
                    ", feature " + std::to_string(f),
                value(f), "must be finite (options.check_input)");
}

inline void check_index(cluster_index const& index) {
  check_optional(index.counts, "index.counts");
  check_optional(index.offsets, "index.offsets");
  check_optional(index.order, "index.order");
  check_optional(index.inverse, "index.inverse");
}

// All that fit is given.
template <class P, class C>
void check_fit(matrix_view<P> const& x, matrix_view<C> const& c, fit_outputs const& out,
               fit_options const& options) {
  check_views(x, c);
  check_written(c);
  check_k_at_most_n(c.rows, x.rows);
  check_pointer(out.labels, "labels");
  check_index(out.index);
  check_optional(out.status, "status");
  check_optional(out.records, "records");
  check_options(options);
  require(out.records == nullptr || options.n_init == 1, "options.n_init", options.n_init,
          "must be 1 where records are asked for");
  check_weights<std::remove_const_t<C>>(options.weights);
  check_taken(options, x.rows, c.rows);
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail
