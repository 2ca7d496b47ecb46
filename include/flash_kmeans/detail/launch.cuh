// How kernels are launched and how failures of CUDA calls are reported.
#pragma once

#include <cstdint>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../types.hpp"
#include "config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline void check_cuda(cudaError_t status, char const* what) {
  if (status != cudaSuccess) {
    throw cuda_error(static_cast<int>(status), std::string("flash_kmeans: ") + what + ": " +
                                                   cudaGetErrorName(status) + ": " +
                                                   cudaGetErrorString(status));
  }
}

// Shared memory that a kernel with dynamic shared memory may declare besides.
inline constexpr std::int64_t kDeclaredSharedBytes = 1024;

// Of the current device.
inline std::int64_t device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

inline std::int64_t multiprocessors() { return device_attribute(cudaDevAttrMultiProcessorCount); }

// Dynamic shared memory that a block may ask for.
inline std::int64_t most_shared_bytes() {
  return device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) - kDeclaredSharedBytes;
}

// What a launch may ask for besides its grid.
struct launch_options {
  std::size_t shared_bytes = 0;  // dynamic
  int cluster = 1;  // blocks that are placed together; their number is a multiple of it
  // The kernel may start while the one before it in the stream still runs, and waits for it with
  // ptx::wait_for_grid_before. Only for kernels that can, see has_clusters.
  bool overlaps = false;
  // All blocks run at once, so that they may wait for each other; see resident_blocks.
  bool resident = false;
};

// Lets the kernel have all shared memory that there is, once in a process: setting it takes longer
// than a launch. All of it, since calls of other threads and plans share the setting, and what one
// needs must not take from another. (A cudaDeviceReset undoes it; a process that resets its device
// cannot go on with this library.)
inline void allow_all_shared_bytes(void const* kernel, char const* name) {
  static std::mutex mutex;
  static std::set<std::pair<void const*, int>> allowed;
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  std::lock_guard<std::mutex> const lock(mutex);
  if (allowed.count({kernel, device}) != 0) return;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(most_shared_bytes())),
             name);
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                  cudaSharedmemCarveoutMaxShared),
             name);
  allowed.emplace(kernel, device);
}

// Lets the kernel have so much dynamic shared memory. Called where the kernel is launched, with the
// same pointer, and not once before: every translation unit of a program has the kernel for itself,
// with a setting of its own, but the linker keeps one copy of each function of the host, of
// whichever unit, so two functions need not mean the same kernel.
template <class Params>
void allow_shared_bytes(void (*kernel)(Params), char const* name, std::size_t bytes) {
  constexpr std::size_t kAlwaysAllowed = 48 * 1024 - kDeclaredSharedBytes;
  if (bytes > kAlwaysAllowed) allow_all_shared_bytes(reinterpret_cast<void const*>(kernel), name);
}

// Queues kernel(params) and reports a launch that was refused. The status of the launch itself is
// used, so an error that the caller's own code left behind is neither reported nor cleared here.
template <class Params>
void launch(void (*kernel)(Params), char const* name, std::int64_t blocks, int threads,
            cudaStream_t stream, Params const& params, launch_options const& options = {}) {
  allow_shared_bytes(kernel, name, options.shared_bytes);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = options.shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attributes[3]{};
  config.attrs = attributes;
  if (options.cluster > 1) {
    cudaLaunchAttribute& shape = attributes[config.numAttrs++];
    shape.id = cudaLaunchAttributeClusterDimension;
    shape.val.clusterDim = {static_cast<unsigned>(options.cluster), 1, 1};
  }
  // Graphs can say so since 12.3; where nothing is said, a kernel starts when the one before it has
  // ended.
  if (options.overlaps && CUDART_VERSION >= 12030) {
    cudaLaunchAttribute& order = attributes[config.numAttrs++];
    order.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    order.val.programmaticStreamSerializationAllowed = 1;
  }
  if (options.resident) {
    cudaLaunchAttribute& together = attributes[config.numAttrs++];
    together.id = cudaLaunchAttributeCooperative;
    together.val.cooperative = 1;
  }
  check_cuda(cudaLaunchKernelEx(&config, kernel, params), name);
}

// Blocks of the kernel that the current device runs at once.
template <class Params>
std::int64_t resident_blocks(void (*kernel)(Params), char const* name, int threads,
                             std::size_t shared_bytes) {
  allow_shared_bytes(kernel, name, shared_bytes);
  int of_multiprocessor = 0;
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_multiprocessor, kernel, threads,
                                                           shared_bytes),
             name);
  return of_multiprocessor * multiprocessors();
}

// Copies from the device and waits for the stream.
template <class Value>
void fetch(Value* to, Value const* from, std::size_t count, cudaStream_t stream, char const* what) {
  check_cuda(cudaMemcpyAsync(to, from, count * sizeof(Value), cudaMemcpyDeviceToHost, stream),
             what);
  check_cuda(cudaStreamSynchronize(stream), what);
}

inline double fetch_sum(double const* values, std::int64_t count, cudaStream_t stream,
                        char const* what) {
  std::vector<double> fetched(static_cast<std::size_t>(count));
  fetch(fetched.data(), values, fetched.size(), stream, what);
  return std::accumulate(fetched.begin(), fetched.end(), 0.0);
}

// Blocks for `work` pieces of work when the kernel strides over the grid.
inline std::int64_t grid_for(std::int64_t work) {
  constexpr std::int64_t kMaxBlocks = 2147483647;
  return work < kMaxBlocks ? work : kMaxBlocks;
}

// Whether the image of the kernel that this device runs holds the kernel's body: without the
// instructions it needs, a kernel is compiled empty and with a smaller launch bound.
template <class Params>
bool runs_here(void (*kernel)(Params), int threads) {
  cudaFuncAttributes attributes{};
  check_cuda(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
  return attributes.maxThreadsPerBlock >= threads;
}

// Whether the image that this device runs was compiled with clusters of blocks and overlapping
// grids (FLASH_KMEANS_HAS_CLUSTERS). One kernel tells for all of a translation unit.
template <class Params>
bool has_clusters(void (*kernel)(Params)) {
  cudaFuncAttributes attributes{};
  check_cuda(cudaFuncGetAttributes(&attributes, kernel), "cudaFuncGetAttributes");
  return attributes.ptxVersion >= 90;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
