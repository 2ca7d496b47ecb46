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

  std::size_t used() const { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

// The block itself. The caller's is checked before anything is queued; our own is freed on the
// stream.
class workspace {
 public:
  workspace(execution const& exec, std::size_t bytes) : stream_(exec.stream) {
    if (exec.workspace != nullptr) {
      if (exec.workspace_bytes < bytes) {
        throw_invalid("execution.workspace_bytes", exec.workspace_bytes,
                      "must be at least " + std::to_string(bytes) + " for this call");
      }
      if (reinterpret_cast<std::uintptr_t>(exec.workspace) % kWorkspaceAlignment != 0) {
        throw_invalid("execution.workspace", exec.workspace, "must be aligned to 256 bytes");
      }
      base_ = exec.workspace;
    } else if (bytes > 0) {
      check_cuda(cudaMallocAsync(&base_, bytes, stream_), "cudaMallocAsync of the workspace");
      owned_ = true;
    }
  }
  ~workspace() {
    if (owned_) cudaFreeAsync(base_, stream_);
  }
  workspace(workspace const&) = delete;
  workspace& operator=(workspace const&) = delete;

  void* data() const { return base_; }

 private:
  cudaStream_t stream_;
  void* base_ = nullptr;
  bool owned_ = false;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
