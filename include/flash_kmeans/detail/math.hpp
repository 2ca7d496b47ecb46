// Small arithmetic that host and device share.
#pragma once

#include <cstdint>

#include "host/abi.hpp"

#if defined(__CUDACC__)
#define FLASH_KMEANS_HOST_DEVICE __host__ __device__
#else
#define FLASH_KMEANS_HOST_DEVICE
#endif

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI_HOST {

template <class I>
FLASH_KMEANS_HOST_DEVICE constexpr I ceil_div(I a, I b) {
  return (a + b - 1) / b;
}

template <class I>
FLASH_KMEANS_HOST_DEVICE constexpr I round_up(I a, I multiple) {
  return ceil_div(a, multiple) * multiple;
}

// Smallest power of two that is at least count, but no more than most (a power of two itself).
FLASH_KMEANS_HOST_DEVICE constexpr std::int32_t power_of_two_for(std::int64_t count,
                                                                 std::int32_t most) {
  std::int32_t power = 1;
  while (power < most && power < count) power *= 2;
  return power;
}

// Bits that hold every value of [0, count).
FLASH_KMEANS_HOST_DEVICE constexpr int bits_for(std::uint64_t count) {
  int bits = 0;
  while (bits < 64 && (std::uint64_t{1} << bits) < count) ++bits;
  return bits;
}

// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
// 2014).
FLASH_KMEANS_HOST_DEVICE constexpr std::uint64_t mix64(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Entry i of a pseudo-random permutation of [0, n), for 0 <= i < n: a Feistel network over the
// smallest even number of bits that holds n, walked until it lands inside (Black, Rogaway: Ciphers
// with Arbitrary Finite Domains, 2002). The first k entries are k draws without replacement, each
// in O(1) and without memory.
FLASH_KMEANS_HOST_DEVICE constexpr std::uint64_t random_permutation(std::uint64_t i,
                                                                    std::uint64_t n,
                                                                    std::uint64_t seed) {
  int const half = (bits_for(n) + 1) / 2;
  std::uint64_t const mask = (std::uint64_t{1} << half) - 1;
  constexpr int kRounds = 12;
  do {
    std::uint64_t left = i >> half, right = i & mask;
    for (int round = 0; round < kRounds; ++round) {
      std::uint64_t const next = left ^ (mix64(mix64(seed + round) ^ right) & mask);
      left = right;
      right = next;
    }
    i = (left << half) | right;
  } while (i >= n);
  return i;
}

// What a problem of a batch draws with.
FLASH_KMEANS_HOST_DEVICE constexpr std::uint64_t random_key(std::uint64_t seed,
                                                            std::int64_t problem) {
  return mix64(seed) ^ mix64(static_cast<std::uint64_t>(~problem));
}

// What problems of a batch draw with that holds several copies of `problems` problems, each of which
// has a seed of its own: copy i has seed + i. Problems have numbers from `first` on.
struct problem_seeds {
  std::uint64_t seed;
  std::int64_t problems;
  std::int64_t first;

  FLASH_KMEANS_HOST_DEVICE constexpr std::uint64_t key(std::int64_t b) const {
    // Of all copies together there are fewer than 2^31.
    auto const copy = static_cast<std::uint32_t>(b) / static_cast<std::uint32_t>(problems);
    return random_key(seed + copy, first + (b - copy * problems));
  }
};

// Draw number `counter` of a key, uniform in [0, 1), with 53 bits.
FLASH_KMEANS_HOST_DEVICE constexpr double random_unit(std::uint64_t key, std::uint64_t counter) {
  return static_cast<double>(mix64(mix64(key) ^ counter) >> 11) * (1.0 / 9007199254740992.0);
}

// The point that is draw j of init_method::random.
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t random_point(std::int64_t j, std::int64_t n,
                                                             std::uint64_t key) {
  return static_cast<std::int64_t>(
      random_permutation(static_cast<std::uint64_t>(j), static_cast<std::uint64_t>(n), key));
}
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t random_centroid(std::int64_t j, std::int64_t n,
                                                                std::int64_t problem,
                                                                std::uint64_t seed) {
  return random_point(j, n, random_key(seed, problem));
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail
