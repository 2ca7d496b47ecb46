// The inner loops of an assignment: points x centroids, and the best of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "abi.hpp"
#include "scratch.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// What a lane of scores counts blocks of centroids in: as wide as a score.
template <class C>
using lane_index = std::conditional_t<sizeof(C) == 8, std::int64_t, std::int32_t>;

// The two inner loops:
//   add_dots:  adds to sums[r * kLanes + l] the sum over depth features f of
//              x[r * d + f] * c[f * kLanes + l], for kRows points and kLanes centroids;
//   keep_best: where sums[l] - bias[l] > best[l], it and block replace best and best_block.
// Compilers vectorise the plain form along the wrong loop or not at all, depending on the
// optimisation level; with vector types there is nothing to guess. Lanes are never added to one
// another, so the width of the vectors changes no result.
#if defined(__GNUC__) && !defined(FLASH_KMEANS_PLAIN_LOOPS)

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class C>
struct vector_of;
template <>
struct vector_of<float> {
  typedef float values __attribute__((vector_size(kVectorBytes)));
  typedef std::int32_t indices __attribute__((vector_size(kVectorBytes)));
};
template <>
struct vector_of<double> {
  typedef double values __attribute__((vector_size(kVectorBytes)));
  typedef std::int64_t indices __attribute__((vector_size(kVectorBytes)));
};

template <class C>
inline constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(C));

template <class Vector, class T>
Vector load(T const* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// The loops over points and vectors are folds, since accumulators stay in registers only where they
// are unrolled, and GCC leaves loops at -O2.
template <class C, std::size_t... R, std::size_t... V>
void add_dots(C const* x, std::int64_t d, C const* c, std::int64_t depth, C* sums,
              std::index_sequence<R...>, std::index_sequence<V...>) {
  using values = typename vector_of<C>::values;
  values dots[sizeof...(V)][sizeof...(R)] = {};
  for (std::int64_t f = 0; f < depth; ++f) {
    auto add = [&](values const& centroids, values* to) {
      ((to[R] += x[static_cast<std::int64_t>(R) * d + f] * centroids), ...);
    };
    (add(load<values>(c + f * kLanes + V * kWidth<C>), dots[V]), ...);
  }
  auto store = [](values const& dot, C* to) {
    values const total = load<values>(to) + dot;
    std::memcpy(to, &total, sizeof total);
  };
  for (std::size_t v = 0; v < sizeof...(V); ++v) {
    (store(dots[v][R], sums + R * kLanes + v * kWidth<C>), ...);
  }
}

template <class C>
void add_dots(C const* x, std::int64_t d, C const* c, std::int64_t depth, C* sums) {
  // Three points x four vectors, what is multiplied and one product fill 16 registers.
  constexpr int kVectors = std::min(4, kLanes / kWidth<C>);
  static_assert(kLanes % (kVectors * kWidth<C>) == 0);
  for (int lane = 0; lane < kLanes; lane += kVectors * kWidth<C>) {
    add_dots(x, d, c + lane, depth, sums + lane, std::make_index_sequence<kRows>{},
             std::make_index_sequence<kVectors>{});
  }
}

template <class C>
void keep_best(C const* sums, C const* bias, lane_index<C> block, C* best,
               lane_index<C>* best_block) {
  using values = typename vector_of<C>::values;
  using indices = typename vector_of<C>::indices;
  for (int lane = 0; lane < kLanes; lane += kWidth<C>) {
    values const score = load<values>(sums + lane) - load<values>(bias + lane);
    values const old = load<values>(best + lane);
    indices const old_block = load<indices>(best_block + lane);
    indices const wins = score > old;
    values const kept = wins ? score : old;
    indices const kept_block = wins ? indices{} + block : old_block;
    std::memcpy(best + lane, &kept, sizeof kept);
    std::memcpy(best_block + lane, &kept_block, sizeof kept_block);
  }
}

#else

template <class C>
void add_dots(C const* x, std::int64_t d, C const* c, std::int64_t depth, C* sums) {
  C dots[kRows][kLanes] = {};
  for (std::int64_t f = 0; f < depth; ++f) {
    for (int r = 0; r < kRows; ++r) {
      C const value = x[r * d + f];
      for (int l = 0; l < kLanes; ++l) dots[r][l] += value * c[f * kLanes + l];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int l = 0; l < kLanes; ++l) sums[r * kLanes + l] += dots[r][l];
  }
}

template <class C>
void keep_best(C const* sums, C const* bias, lane_index<C> block, C* best,
               lane_index<C>* best_block) {
  for (int l = 0; l < kLanes; ++l) {
    C const score = sums[l] - bias[l];
    bool const wins = score > best[l];
    best[l] = wins ? score : best[l];
    best_block[l] = wins ? block : best_block[l];
  }
}

#endif

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
