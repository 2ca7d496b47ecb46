// The containers of the CPU backend.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "abi.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// std::allocator under a name of this namespace.
template <class T>
struct allocator {
  using value_type = T;

  allocator() = default;
  template <class U>
  allocator(allocator<U> const&) {}

  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* memory, std::size_t count) { std::allocator<T>().deallocate(memory, count); }

  friend bool operator==(allocator const&, allocator const&) { return true; }
  friend bool operator!=(allocator const&, allocator const&) { return false; }
};

// std::vector, whose members then carry the instruction set in their names (see abi.hpp). Vectors
// that other layers share (fit_call, predict_call) are std::vector.
template <class T>
using vector = std::vector<T, allocator<T>>;

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
