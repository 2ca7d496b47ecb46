// Votes of a warp.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail::ptx {
inline namespace FLASH_KMEANS_ABI {

// Of `lanes`, those whose value has the same bit as this lane's. All lanes call.
__device__ inline std::uint32_t keep_same_bit(std::uint32_t lanes, std::uint32_t value, int bit) {
  asm volatile(
      "{\n"
      ".reg .pred set;\n"
      ".reg .b32 votes;\n"
      "and.b32 votes, %1, %2;\n"
      "setp.ne.u32 set, votes, 0;\n"
      "vote.sync.ballot.b32 votes, set, 0xffffffff;\n"
      "@!set not.b32 votes, votes;\n"
      "and.b32 %0, %0, votes;\n"
      "}"
      : "+r"(lanes)
      : "r"(value), "r"(1u << bit)
      : "memory");
  return lanes;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail::ptx
