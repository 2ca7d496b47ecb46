// The scratch memory of one call: cut from the caller's workspace, else from one stream-ordered
// allocation.
#pragma once

#include <cstdint>
#include <string>

#include "../types.hpp"
#include "config.cuh"
#include "error.hpp"
#include "launch.cuh"
#include "math.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr std::size_t kWorkspaceAlignment = 256;

// Hands out aligned pieces of a block of memory. Over a null base it only counts, so that one
// function both sizes a workspace and cuts it up.
class arena {
 public:
  explicit arena(void* base = nullptr) : base_(static_cast<char*>(base)) {}

  template <class T>
  T* take(std::int64_t count) {
    std::size_t const offset = used_;
    used_ += round_up(static_cast<std::size_t>(count) * sizeof(T), kWorkspaceAlignment);
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + offset);
  }

  // What make() takes is taken again by what comes after it.
  template <class Make>
  void lend(Make&& make) {
    std::size_t const begin = used_;
    make();
    most_ = used();
    used_ = begin;
  }

  std::size_t used() const { return used_ > most_ ? used_ : most_; }

 private:
  char* base_;
  std::size_t used_ = 0, most_ = 0;
};

// The block itself, while a call needs it: the caller's, or our own, which is freed on the stream.
class workspace {
 public:
  explicit workspace(execution const& exec) : exec_(exec) {}
  ~workspace() {
    if (owned_ != nullptr && cudaFreeAsync(owned_, exec_.stream) != cudaSuccess) cudaGetLastError();
  }
  workspace(workspace const&) = delete;
  workspace& operator=(workspace const&) = delete;

  // What make(arena&) builds over the block; it must not touch the memory. A caller's block is
  // checked before anything is queued.
  template <class Make>
  auto lay_out(Make&& make) {
    if (exec_.workspace != nullptr) {
      arena memory(exec_.workspace);
      auto pieces = make(memory);
      check_size(memory.used());
      return pieces;
    }
    arena sizing;
    make(sizing);
    if (sizing.used() > 0) {
      check_cuda(cudaMallocAsync(&owned_, sizing.used(), exec_.stream),
                 "cudaMallocAsync of the workspace");
    }
    arena memory(owned_);
    return make(memory);
  }

 private:
  void check_size(std::size_t bytes) const {
    if (exec_.workspace_bytes < bytes) {
      throw_invalid("execution.workspace_bytes", exec_.workspace_bytes,
                    "must be at least " + std::to_string(bytes) + " for this call");
    }
    if (reinterpret_cast<std::uintptr_t>(exec_.workspace) % kWorkspaceAlignment != 0) {
      throw_invalid("execution.workspace", exec_.workspace, "must be aligned to 256 bytes");
    }
  }

  execution exec_;
  void* owned_ = nullptr;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
