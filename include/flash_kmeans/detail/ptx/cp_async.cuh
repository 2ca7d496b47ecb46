// Asynchronous copies from global to shared memory (sm_80).
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail::ptx {
inline namespace FLASH_KMEANS_ABI {

#if FLASH_KMEANS_HAS_MMA_SYNC

__device__ inline std::uint32_t shared_address(void const* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 bytes; both addresses 16-byte aligned.
__device__ inline void cp_async_16(std::uint32_t shared, void const* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}

__device__ inline void cp_async_4(std::uint32_t shared, void const* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared), "l"(global) : "memory");
}

// 16 bytes from registers, for what cannot be copied whole.
__device__ inline void store_shared_16(std::uint32_t shared, std::uint32_t const (&words)[4]) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(shared), "r"(words[0]),
               "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

__device__ inline float load_shared_4(std::uint32_t shared) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(shared) : "memory");
  return value;
}

__device__ inline uint4 load_shared_16(std::uint32_t shared) {
  uint4 words;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(shared)
               : "memory");
  return words;
}

__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `Pending` of this thread's groups are under way.
template <int Pending>
__device__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail::ptx
