// Operands of the tensor cores: how a value is rounded to one, or split into several that add up to
// it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Nearest value with 10 bits of mantissa, ties away from zero; infinity is not reached.
__device__ inline float round_to_tf32(float value) {
  constexpr std::uint32_t kLargest = 0x7f7fe000u;  // of tf32
  std::uint32_t const bits = __float_as_uint(value), magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) return value;
  std::uint32_t const rounded = (magnitude + 0x1000u) & 0xffffe000u;
  return __uint_as_float((bits & 0x80000000u) | (rounded < kLargest ? rounded : kLargest));
}

// Writes the pieces of a value, `stride` elements apart, and returns what they add up to.
//
// One piece: half and bfloat16 rounded to nearest, tf32 for float. Three bfloat16 pieces hold a
// float's 24 bits exactly (8 + 8 + 8), unless the last ones fall below the smallest bfloat16,
// 2^-133.
template <class Operand, int Pieces, class Acc>
__device__ Acc split(Acc value, Operand* to, std::int64_t stride) {
  if constexpr (Pieces == 1) {
    if constexpr (std::is_same_v<Operand, float>) {
      return *to = round_to_tf32(value);
    } else {
      return widen<Acc>(*to = narrow<Operand>(value));
    }
  } else {
    Acc rest = value, sum = 0;
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece) {
      Operand const part = narrow<Operand>(rest);
      to[piece * stride] = part;
      rest -= widen<Acc>(part);
      sum += widen<Acc>(part);
    }
    return sum;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
