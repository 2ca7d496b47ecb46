// What lies where in the shared memory of a block (layout.hpp), as far as the points' type does not
// matter.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "layout.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

class small_memory {
 protected:
  __device__ explicit small_memory(small_layout const& l) : l_(l) {}

  static __device__ std::uint32_t lane() { return threadIdx.x % 32; }
  static __device__ std::uint32_t warp() { return threadIdx.x / 32; }
  static __device__ std::uint32_t warps() { return blockDim.x / 32; }
  __device__ std::uint32_t owner(std::uint32_t j) const { return j & (l_.blocks - 1); }
  __device__ std::uint32_t among_owned(std::uint32_t j) const { return j >> l_.block_bits; }

  static __device__ unsigned char* memory() {
    extern __shared__ __align__(16) unsigned char small_bytes[];
    return small_bytes;
  }
  template <class Value>
  static __device__ Value* at(std::uint32_t byte) {
    return reinterpret_cast<Value*>(memory() + byte);
  }
  __device__ double* shifts() const { return at<double>(l_.shifts); }
  __device__ small_place* places() const { return at<small_place>(l_.places); }
  __device__ std::uint32_t* inbox_points() const { return at<std::uint32_t>(l_.inbox_points); }
  __device__ std::uint16_t* pieces() const { return at<std::uint16_t>(l_.pieces); }
  __device__ std::uint16_t* list() const { return at<std::uint16_t>(l_.list); }
  __device__ std::uint16_t* labels() const { return at<std::uint16_t>(l_.labels); }
  __device__ std::uint16_t* counts() const { return at<std::uint16_t>(l_.counts); }

  small_layout const& l_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
