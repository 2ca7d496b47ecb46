// The batches that a call consists of, one after the other: one, or a ragged call's sequences. Made
// and checked the same for the GPU and the CPU verbs.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "../types.hpp"
#include "checks.hpp"
#include "error.hpp"
#include "host/abi.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI_HOST {

// A batch to be fitted.
template <class P, class C>
struct fit_call {
  matrix_view<P> x;
  matrix_view<C> centroids;
  fit_outputs out;
  fit_options options;
  std::int64_t first = 0;          // problem of the whole call
  std::int32_t first_cluster = 0;  // what the labels of the first centroid are
};

// A batch whose points look for their centroids.
template <class P, class C>
struct predict_call {
  matrix_view<P> x;
  matrix_view<C> centroids;
  predict_outputs<centroid_t<P>> out;
};

// Offsets, heads and strides of a ragged matrix, without the pointer to its rows.
template <class T>
void check_ragged(ragged_view<T> const& v, std::string const& name) {
  auto const at_least = [&](char const* member, std::int64_t value, std::int64_t least) {
    if (value < least)
      throw_invalid(name + member, value, "must be at least " + std::to_string(least));
  };
  at_least(".sequences", v.sequences, 1);
  at_least(".heads", v.heads, 1);
  at_least(".head_stride", v.head_stride, 0);
  if (v.sequences > kMaxRows / v.heads) {
    throw_invalid(name + ".sequences",
                  std::to_string(v.sequences) + " of " + std::to_string(v.heads) + " heads",
                  "must be at most 2147483647 problems");
  }
  check_pointer(v.offsets, name + ".offsets");
  auto const element = [&](std::int64_t i) { return name + ".offsets[" + std::to_string(i) + "]"; };
  if (v.offsets[0] < 0) throw_invalid(element(0), v.offsets[0], "must not be negative");
  for (std::int64_t i = 0; i < v.sequences; ++i) {
    if (v.offsets[i + 1] > v.offsets[i]) continue;
    throw_invalid(element(i + 1), v.offsets[i + 1],
                  "must be greater than " + element(i) + " (" + std::to_string(v.offsets[i]) +
                      "), since a sequence has rows");
  }
}

// Points and centroids of one ragged call.
template <class P, class C>
void check_ragged_shapes(ragged_view<P> const& x, ragged_view<C> const& c) {
  check_ragged(x, "x");
  check_ragged(c, "centroids");
  auto const same = [](char const* what, std::int64_t own, std::int64_t other) {
    if (own == other) return;
    throw_invalid(std::string("centroids.") + what, own,
                  std::string("must equal x.") + what + " (" + std::to_string(other) + ")");
  };
  same("sequences", c.sequences, x.sequences);
  same("heads", c.heads, x.heads);
  for (std::int64_t i = 0; i < x.sequences; ++i) check_shapes(x.sequence(i), c.sequence(i));
}

inline void check_k_at_most_n(std::int64_t sequence, std::int64_t k, std::int64_t n) {
  if (k <= n) return;
  throw_invalid("k of sequence " + std::to_string(sequence), k,
                "must be at most its n = " + std::to_string(n));
}

// Rows of all sequences are written: no two may share memory, of different sequences either.
template <class C>
void check_ragged_written(ragged_view<C> const& c) {
  check_written(matrix_view<C>(c.data, c.offsets[c.sequences] - c.offsets[0], c.cols, c.ld,
                               {1, c.heads}, {0, c.head_stride}));
}

template <class Value>
Value* advanced(Value* pointer, std::int64_t by) {
  return pointer == nullptr ? nullptr : pointer + by;
}

// Problems, points and clusters of the sequences before one, over all heads.
template <class P, class C>
struct ragged_position {
  std::int64_t problems, points, clusters;

  ragged_position(ragged_view<P> const& x, ragged_view<C> const& c, std::int64_t sequence)
      : problems(sequence * x.heads),
        points((x.offsets[sequence] - x.offsets[0]) * x.heads),
        clusters((c.offsets[sequence] - c.offsets[0]) * x.heads) {}
};

// The fits of a ragged call, unchecked but for its shapes.
template <class P, class C>
std::vector<fit_call<P, C>> fits_of(ragged_view<P> const& x, ragged_view<C> const& c,
                                    fit_outputs const& out, fit_options const& options) {
  check_ragged_shapes(x, c);
  std::vector<fit_call<P, C>> calls;
  for (std::int64_t i = 0; i < x.sequences; ++i) {
    check_k_at_most_n(i, c.sequence(i).rows, x.sequence(i).rows);
    ragged_position const at(x, c, i);
    fit_call<P, C> call{x.sequence(i), c.sequence(i), out, options, at.problems};
    call.out.labels = advanced(out.labels, at.points);
    call.out.index.counts = advanced(out.index.counts, at.clusters);
    call.out.index.offsets = advanced(out.index.offsets, at.clusters + at.problems);
    call.out.index.order = advanced(out.index.order, at.points);
    call.out.index.inverse = advanced(out.index.inverse, at.points);
    call.out.status = advanced(out.status, at.problems);
    call.out.records = advanced(out.records, at.problems * options.max_iterations);
    if (options.weights.template get<C>() != nullptr) {
      call.options.weights = options.weights.template get<C>() + at.points;
    }
    call.options.first_problem += at.problems;
    calls.push_back(call);
  }
  return calls;
}

template <class P, class C>
void check_ragged_fit(ragged_view<C> const& c, std::vector<fit_call<P, C>> const& calls) {
  check_ragged_written(c);
  for (auto const& call : calls) check_fit(call.x, call.centroids, call.out, call.options);
}

// The queries of a ragged call, unchecked but for its shapes.
template <class P, class C>
std::vector<predict_call<P, C>> queries_of(ragged_view<P> const& x, ragged_view<C> const& c,
                                           predict_outputs<centroid_t<P>> const& out) {
  check_ragged_shapes(x, c);
  std::vector<predict_call<P, C>> calls;
  for (std::int64_t i = 0; i < x.sequences; ++i) {
    ragged_position const at(x, c, i);
    calls.push_back({x.sequence(i),
                     c.sequence(i),
                     {advanced(out.labels, at.points), advanced(out.distances, at.points)}});
  }
  return calls;
}

// A fit of the centroids from row `first` on, which are those that are added.
template <class P, class C>
fit_call<P, C> append_call(matrix_view<P> const& x, matrix_view<C> const& c, std::int64_t first,
                           fit_outputs const& out, fit_options const& options) {
  check_shapes(x, c);
  if (first < 0) throw_invalid("first", first, "must not be negative");
  if (first >= c.rows) {
    throw_invalid("first", first,
                  "must be less than centroids.rows (" + std::to_string(c.rows) +
                      "), since the rows from there on are fitted");
  }
  matrix_view<C> added = c;
  added.data = advanced(c.data, first * c.ld);
  added.rows = c.rows - first;
  if (added.rows > x.rows) {
    throw_invalid("centroids.rows - first", added.rows,
                  "must be at most x.rows (n = " + std::to_string(x.rows) + ")");
  }
  return {x, added, out, options, 0, static_cast<std::int32_t>(first)};
}

template <class P, class C>
fit_call<P, C> checked_append(matrix_view<P> const& x, matrix_view<C> const& c, std::int64_t first,
                              fit_outputs const& out, fit_options const& options) {
  check_views(x, c);
  check_written(c);
  fit_call<P, C> const call = append_call(x, c, first, out, options);
  check_fit(call.x, call.centroids, call.out, call.options);
  return call;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail
