// The frame that a screen looks at a problem from: about the mean of its points, a power of two that
// brings their values close to 1, where half has most bits, and how long they usually are. From a
// sample; points open or not may depend on it, labels do not.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"
#include "screen_rows.cuh"
#include "screen_state.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct screen_frame_params {
  device_matrix<T const> x;  // [b][n][d]
  screen_state state;
  std::int64_t b, ld;
  std::int32_t d;
  bool aligned;             // rows of x start on 16 bytes
  bool centred;             // distances do not depend on the origin
  std::uint32_t* counters;  // of the sm90 kernel: set to zero, as it leaves them
  std::int32_t counter_count;
};

inline constexpr int kScreenFrameThreads = 256;
inline constexpr int kScreenSamples = 32;  // as many as a warp has lanes

// Of the values of a warp's lanes, the one that a quarter of them exceed. What is not finite counts
// as 0.
__device__ inline float upper_quartile(float value) {
  if (!is_finite(value)) value = 0;
  int const lane = static_cast<int>(threadIdx.x) % 32;
  int below = 0;
  for (int other = 0; other < 32; ++other) {
    float const of_other = __shfl_sync(0xffffffffu, value, other);
    below += of_other < value || (of_other == value && other < lane) ? 1 : 0;
  }
  std::uint32_t const here = __ballot_sync(0xffffffffu, below == 23);
  return __shfl_sync(0xffffffffu, value, __ffs(static_cast<int>(here)) - 1);
}

// One block a problem.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kScreenFrameThreads)
    screen_frame_kernel(screen_frame_params<T> const p) {
  __shared__ std::uint32_t bits;
  __shared__ screen_lengths lengths[kScreenSamples];
  __shared__ T const* rows[kScreenSamples];
  int const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  auto const samples = static_cast<int>(min(p.state.n, std::int64_t{kScreenSamples}));
  if (blockIdx.x == 0) {
    for (int i = threadIdx.x; i < p.counter_count; i += kScreenFrameThreads) p.counters[i] = 0;
  }
  for (std::int64_t b = blockIdx.x; b < p.b; b += gridDim.x) {
    float* const mean = p.state.mean + b * p.ld;
    if (threadIdx.x == 0) bits = 0;
    if (threadIdx.x < kScreenSamples) {  // with fewer points, some again
      rows[threadIdx.x] = p.x.problem(b) + threadIdx.x % samples * p.state.n / samples * p.x.ld;
    }
    __syncthreads();
    float largest = 0;
    for (std::int64_t f = threadIdx.x; f < p.ld; f += kScreenFrameThreads) {
      float low = kInfinity<float>, high = -kInfinity<float>, sum = 0, count = 0;
#pragma unroll
      for (T const* const row : rows) {
        float const value = f < p.d ? static_cast<float>(row[f]) : 0;
        bool const counts = is_finite(value);
        sum += counts ? value : 0;
        count += counts ? 1 : 0;
        low = fminf(low, counts ? value : low);
        high = fmaxf(high, counts ? value : high);
      }
      float const middle = p.centred && count > 0 && is_finite(sum) ? sum / count : 0;
      mean[f] = middle;
      if (count > 0) largest = fmaxf(largest, fmaxf(high - middle, middle - low));
    }
    atomicMax(&bits, __float_as_uint(largest));  // not negative: ordered as floats are
    __syncthreads();
    // A value of 1 to 2 for the largest, far from where powers of two end.
    int const exponent = max(-100, min(100, static_cast<int>(bits >> 23) - 127));
    float const scale =
        bits == 0 ? 1.0f : __uint_as_float(static_cast<std::uint32_t>(127 - exponent) << 23);
#pragma unroll
    for (int i = warp; i < kScreenSamples; i += kScreenFrameThreads / 32) {
      float lost = 0, left = 0;
      for (std::int64_t f = lane * screened::kVector; f < p.ld; f += 32 * screened::kVector) {
        screened(rows[i], f, p.d, p.aligned, mean, scale).add_squares(lost, left);
      }
      lost = group_sum(lost, 32);
      left = group_sum(left, 32);
      if (lane == 0) lengths[i] = {screen_length(lost), screen_length(left)};
    }
    __syncthreads();
    if (warp == 0) {
      // With some room, so that few points are longer.
      constexpr float kRoom = 1.125f;
      screen_lengths const usual{kRoom * upper_quartile(lengths[lane].lost),
                                 kRoom * upper_quartile(lengths[lane].left)};
      if (lane == 0) p.state.problems[b] = {scale, usual, {0, 0}, 0, 0};
    }
    __syncthreads();
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
