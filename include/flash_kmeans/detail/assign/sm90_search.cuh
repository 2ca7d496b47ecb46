// The search of the sm90 kernel: from the scores that a thread holds to the nearest centroid of its
// two rows.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

#if FLASH_KMEANS_HAS_WGMMA

// The best of this lane's scores but the ones in `own` (and in `score`, where that is another
// lane's), where a screen asks for it.
template <bool Screens>
struct sm90_second {};
template <>
struct sm90_second<true> {
  float second[2];

  __device__ sm90_second() : second{-kInfinity<float>, -kInfinity<float>} {}
};

// What one thread knows of its two rows. Among equal scores the lowest index wins: later ones must
// exceed `score`.
template <bool Screens>
struct sm90_best : sm90_second<Screens> {
  float score[2];         // the best that the four lanes of the row have shared
  float own[2];           // this lane's last score that exceeded it
  std::int32_t index[2];  // and that score's centroid

  __device__ sm90_best()
      : score{-kInfinity<float>, -kInfinity<float>}, own{-kInfinity<float>, -kInfinity<float>} {}

  __device__ void share() {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      score[h] = fmaxf(score[h], __shfl_xor_sync(0xffffffffu, score[h], 1));
      score[h] = fmaxf(score[h], __shfl_xor_sync(0xffffffffu, score[h], 2));
    }
  }

  // Index of the row's best, `none` where that is not finite. After share().
  __device__ std::int32_t nearest(int h, std::int32_t none) const {
    std::int32_t lowest = own[h] == score[h] ? index[h] : 0x7fffffff;
    lowest = min(lowest, __shfl_xor_sync(0xffffffffu, lowest, 1));
    lowest = min(lowest, __shfl_xor_sync(0xffffffffu, lowest, 2));
    return fabsf(score[h]) < kInfinity<float> ? lowest : none;
  }

  // The row's second best, the same as the best if two centroids have that. After share().
  __device__ float runner_up(int h) const {
    bool const mine = own[h] == score[h];
    float value = mine ? this->second[h] : fmaxf(this->second[h], own[h]);
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
    std::uint32_t const all = __ballot_sync(0xffffffffu, mine);
    return __popc(all >> (threadIdx.x % 32 / 4 * 4) & 0xfu) > 1 ? score[h] : value;
  }
};

// The search through one tile: maxima of groups of 4 scores, and of those. Only where the tile's
// exceeds the best so far is its index looked for. column: the thread's first one.
template <int N>
__device__ __forceinline__ void sm90_search(sm90_best<false>& best, float const (&scores)[N / 2],
                                            std::int32_t column) {
  constexpr int kGroups = N / 16;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float most[kGroups], all;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      float const* const v = scores + 8 * g + 2 * h;
      most[g] = fmaxf(fmaxf(v[0], v[1]), fmaxf(v[4], v[5]));
      all = g == 0 ? most[0] : fmaxf(all, most[g]);
    }
    if (all > best.score[h]) {
      best.score[h] = best.own[h] = all;
      float v[3];
      std::int32_t first = 0;
#pragma unroll
      for (int g = kGroups - 1; g >= 0; --g) {  // the first of equals comes last
        if (most[g] == all) {
          first = 16 * g;
          v[0] = scores[8 * g + 2 * h];
          v[1] = scores[8 * g + 2 * h + 1];
          v[2] = scores[8 * g + 2 * h + 4];
        }
      }
      best.index[h] = column + first + (v[0] == all ? 0 : v[1] == all ? 1 : v[2] == all ? 8 : 9);
    }
  }
}

// The same with the second best, by groups of 8: the second best of the groups' maxima and, where
// the tile's best is the best so far, of its group. Of equals any has the index, since then neither is
// beyond doubt.
template <int N>
__device__ __forceinline__ void sm90_search(sm90_best<true>& best, float const (&scores)[N / 2],
                                            std::int32_t column) {
  constexpr int kGroups = N / 32;
  auto const place = [](int i) { return i / 2 * 4 + i % 2; };  // of score i of a group
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float most[kGroups], all, next = -kInfinity<float>;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      float const* const v = scores + 16 * g + 2 * h;
      most[g] = fmaxf(fmaxf(fmaxf(v[0], v[1]), fmaxf(v[4], v[5])),
                      fmaxf(fmaxf(v[8], v[9]), fmaxf(v[12], v[13])));
      if (g > 0) next = fmaxf(next, fminf(all, most[g]));
      all = g == 0 ? most[0] : fmaxf(all, most[g]);
    }
    if (all > best.score[h]) {
      float v[8];
      std::int32_t index = 0;
#pragma unroll
      for (int g = 0; g < kGroups; ++g) {
        if (g == 0 || most[g] == all) {
          index = 32 * g;
#pragma unroll
          for (int i = 0; i < 8; ++i) v[i] = scores[16 * g + 2 * h + place(i)];
        }
      }
      float lower = -kInfinity<float>, upper = v[0];
#pragma unroll
      for (int i = 1; i < 8; ++i) {
        lower = fmaxf(lower, fminf(upper, v[i]));
        upper = fmaxf(upper, v[i]);
      }
#pragma unroll
      for (int i = 1; i < 8; ++i) {
        if (v[i] == all) best.index[h] = column + index + place(i) * 2 - i % 2;
      }
      if (v[0] == all) best.index[h] = column + index;
      best.second[h] = fmaxf(fmaxf(best.second[h], best.own[h]), fmaxf(lower, next));
      best.score[h] = best.own[h] = all;
    } else {
      best.second[h] = fmaxf(best.second[h], all);
    }
  }
}

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
