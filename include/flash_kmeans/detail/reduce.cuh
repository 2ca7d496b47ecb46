// Sums in a fixed order, so that the same input gives the same bits.
#pragma once

#include <cstdint>

#include "config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Sum over a power-of-two group of lanes; every lane of the group gets it.
template <class Value>
__device__ Value group_sum(Value value, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, step);
  }
  return value;
}

// Adds up arrays of the lanes, in groups of Step * 2 lanes that lie Step apart at most, each lane left
// with its share of the sums in front: lane i of the group has those of [i N / 2 Step, ...).
// Lanes that differ in lower bits than `Last` are groups of their own.
template <int Step, int Last = 1, class Value, int N>
__device__ void scatter_sums(Value (&values)[N]) {
  static_assert(N % (2 * Step / Last) == 0);
#pragma unroll
  for (int step = Step, half = N / 2; step >= Last; step /= 2, half /= 2) {
    bool const upper = (threadIdx.x & step) != 0;
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      if (i < half) {
        Value const kept = upper ? values[i + half] : values[i];
        Value const passed = upper ? values[i] : values[i + half];
        values[i] = kept + __shfl_xor_sync(0xffffffffu, passed, step);
      }
    }
  }
}

// Sum of the warp's values up to and with this lane's.
template <class Value>
__device__ Value warp_inclusive_sum(Value value) {
  for (int step = 1; step < 32; step *= 2) {
    Value const other = __shfl_up_sync(0xffffffffu, value, step);
    if (static_cast<int>(threadIdx.x % 32) >= step) value += other;
  }
  return value;
}

// Sum of the values of the block's threads before this one; `all` is the sum of all of them. All
// threads of a block of whole warps call it.
__device__ inline std::uint32_t block_exclusive_sum(std::uint32_t value, std::uint32_t& all) {
  __shared__ std::uint32_t warp_sums[32];
  std::uint32_t const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  std::uint32_t const through = warp_inclusive_sum(value);
  __syncthreads();  // an earlier call's sums have been read
  if (lane == 31) warp_sums[warp] = through;
  __syncthreads();
  std::uint32_t const of_warp = lane < blockDim.x / 32 ? warp_sums[lane] : 0;
  std::uint32_t const warps_through = warp_inclusive_sum(of_warp);
  all = __shfl_sync(0xffffffffu, warps_through, 31);
  return __shfl_sync(0xffffffffu, warps_through - of_warp, static_cast<int>(warp)) + through -
         value;
}

// Sum over the block; thread 0 gets it. All threads of a block of whole warps call it.
__device__ inline double block_sum(double value) {
  __shared__ double warp_sums[32];
  int const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  value = group_sum(value, 32);
  __syncthreads();  // an earlier call's result has been read
  if (lane == 0) warp_sums[warp] = value;
  __syncthreads();
  double total = 0;
  if (threadIdx.x == 0) {
    for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) total += warp_sums[w];
  }
  return total;
}

// Sum of values[0..count); thread 0 gets it. Depends on the number of threads.
__device__ inline double block_strided_sum(double const* values, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += __ldcg(values + i);
  return block_sum(sum);
}

// Whether this block is the last one of `blocks` to come here, which then sees all that the others
// have written. *ended counts them and is zero between launches. All threads call it.
__device__ inline bool is_last_block(std::uint32_t* ended, std::uint32_t blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = blocks == 1 || atomicAdd(ended, 1) == blocks - 1;
    if (last && blocks > 1) *ended = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// Blocks of a grid that all run at once (launch_options::resident) wait for each other; what each
// wrote before, all see after. *arrived: zero before the first of an even number of barriers, and
// after the last. All threads call it.
__device__ inline void grid_barrier(std::uint32_t* arrived) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    // All blocks together add 2^31: the top bit turns when the last one comes.
    constexpr std::uint32_t kTop = 0x80000000u;
    std::uint32_t const before = atomicAdd(arrived, blockIdx.x == 0 ? kTop - (gridDim.x - 1) : 1);
    while (((*static_cast<std::uint32_t volatile*>(arrived) ^ before) & kTop) == 0) {
    }
    __threadfence();
  }
  __syncthreads();
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
