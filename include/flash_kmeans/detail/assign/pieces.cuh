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

// The pairs of pieces that matter of a product of values.
template <int Pieces>
inline constexpr int kPiecePairs = Pieces*(Pieces + 1) / 2;

// Calls use(pair, piece of the point, piece of the centroid) for each, the smallest products first, so
// that little is rounded away.
template <int Pieces, class Use>
__device__ __forceinline__ void for_piece_pairs(Use&& use) {
  int pair = 0;
#pragma unroll
  for (int sum = Pieces - 1; sum >= 0; --sum) {
#pragma unroll
    for (int of_point = 0; of_point <= sum; ++of_point) use(pair++, of_point, sum - of_point);
  }
}

// Writes the pieces of a value, `stride` elements apart, and returns what they add up to.
//
// One piece: half and bfloat16 rounded to nearest, tf32 for float. Three bfloat16 pieces hold a
// float's 24 bits exactly (8 + 8 + 8), unless the last ones fall below the smallest bfloat16,
// 2^-133.
//
// Error of a dot product of float in three pieces, u = 2^-24 the unit roundoff of fp32, S = sum
// |x c|. A piece is at most 2^-9 of the one before, so the pairs that are left out, (2,3) (3,2)
// (3,3), add up to less than 2^-25 |x c| a product, and together to less than u S / 2. The other
// six products are exact in fp32. Tensor cores truncate: each of the 16 products and the
// accumulator that one instruction adds loses at most 2 u of the largest. An accumulator takes 64
// features, the small pairs first, so the bound of a turn does not grow with d: 4 instructions at
// full size lose at most 4 x 17 x 2 u of the turn's part of S, and the 20 before them, at 2^-7 of
// it, less than 6 u. ceil(d / 64) - 1 rounded additions join the turns. Together below (143 + d /
// 64) u S, and for d < 64, where padding loses nothing, below (2.3 d + 8) u S. For a plain fp32 dot
// product d u S is the bound; what both really lose is compared against fp64 in the tests. Where
// pairs are features of their own (operand.cuh), at most three instructions hold products of full
// size, d of them and up to 15 small ones, and the five before them small ones only: below (2 d + 40)
// u S.
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
