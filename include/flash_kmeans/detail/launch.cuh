// How kernels are launched and how failures of CUDA calls are reported.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

#include <algorithm>
#include <atomic>
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

// Whether a call failed because the program holds no code for the current device.
inline bool lacks_image(cudaError_t status) {
  return status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction;
}

[[noreturn]] inline void throw_no_image() {
  throw cuda_error(static_cast<int>(cudaErrorNoKernelImageForDevice),
                   "flash_kmeans: the program holds no kernel that this device can run; compile it "
                   "for the device's architecture (CMAKE_CUDA_ARCHITECTURES)");
}

// Throws cuda_error for a call that failed. The runtime remembers a failure until it is read; it is
// read here, so the caller's next cudaGetLastError does not report what the exception has reported.
// (A fault of the device stays: the context is lost.)
inline void check_cuda(cudaError_t status, char const* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  if (lacks_image(status)) throw_no_image();
  throw cuda_error(static_cast<int>(status), std::string("flash_kmeans: ") + what + ": " +
                                                 cudaGetErrorName(status) + ": " +
                                                 cudaGetErrorString(status));
}

// Shared memory that a kernel with dynamic shared memory may declare besides.
inline constexpr std::int64_t kDeclaredSharedBytes = 1024;

inline int current_device() {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

// Makes a device current for as long as the object lives.
class device_scope {
 public:
  explicit device_scope(int device) : before_(current_device()), changed_(device != before_) {
    if (changed_) check_cuda(cudaSetDevice(device), "cudaSetDevice");
  }
  ~device_scope() {
    if (changed_ && cudaSetDevice(before_) != cudaSuccess) cudaGetLastError();
  }
  device_scope(device_scope const&) = delete;
  device_scope& operator=(device_scope const&) = delete;

 private:
  int before_;
  bool changed_;
};

// Of the current device.
inline std::int64_t device_attribute(cudaDeviceAttr attribute) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, attribute, current_device()), "cudaDeviceGetAttribute");
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
  // All blocks run at the same time, so that they may wait for each other: no more than
  // blocks_of_multiprocessor x multiprocessors_of(stream).
  bool resident = false;
};

// A function of the driver, found at run time so that programs need not link libcuda; null where
// the driver has none. version: of CUDA, in which the function has this signature.
template <class Function>
Function driver_function(char const* name, [[maybe_unused]] int version) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  cudaError_t const status =
      cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &found);
#else
  cudaError_t const status = cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found);
#endif
  if (status != cudaSuccess) cudaGetLastError();
  bool const usable = status == cudaSuccess && found == cudaDriverEntryPointSuccess;
  return reinterpret_cast<Function>(usable ? function : nullptr);
}

// Identifies the current context for as long as the process runs: one that is made after
// cudaDeviceReset has another number.
inline unsigned long long context_number() {
  static auto const get = driver_function<PFN_cuCtxGetId_v12000>("cuCtxGetId", 12000);
  unsigned long long number = 0;
  if (get == nullptr || get(nullptr, &number) == CUDA_SUCCESS) return number;
  check_cuda(cudaSetDevice(current_device()), "cudaSetDevice");  // makes its context current
  return get(nullptr, &number) == CUDA_SUCCESS ? number : 0;
}

// Lets the kernel have all shared memory that there is, once in a context: setting it takes longer
// than a launch. All of it, since calls of other threads and plans share the setting, and what one
// needs must not take from another.
inline void allow_all_shared_bytes(void const* kernel, char const* name) {
  static std::mutex mutex;
  static std::set<std::pair<void const*, unsigned long long>> allowed;
  unsigned long long const context = context_number();
  std::lock_guard<std::mutex> const lock(mutex);
  if (allowed.count({kernel, context}) != 0) return;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(most_shared_bytes())),
             name);
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                  cudaSharedmemCarveoutMaxShared),
             name);
  allowed.emplace(kernel, context);
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

// Whether kernels may be launched with programmatic dependent launch, in the whole program. Tests
// turn it off: results must not depend on it.
inline std::atomic<bool> programmatic_launch_enabled{true};

inline constexpr std::int64_t kMostBlocks = 2147483647;

// Queues kernel(params) and reports a launch that was refused. The status of the launch itself is
// used, so an error that the caller's own code left behind is not reported here.
template <class Params>
void launch(void (*kernel)(Params), char const* name, std::int64_t blocks, int threads,
            cudaStream_t stream, Params const& params, launch_options const& options = {}) {
  if (blocks < 1 || blocks > kMostBlocks) {
    throw cuda_error(static_cast<int>(cudaErrorInvalidConfiguration),
                     std::string("flash_kmeans: ") + name + ": a grid of " +
                         std::to_string(blocks) + " blocks, must be from 1 to 2147483647");
  }
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
  if (options.overlaps && CUDART_VERSION >= 12030 && programmatic_launch_enabled) {
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

// Blocks of the kernel that a multiprocessor of the current device runs at the same time.
template <class Params>
std::int64_t blocks_of_multiprocessor(void (*kernel)(Params), char const* name, int threads,
                                      std::size_t shared_bytes) {
  allow_shared_bytes(kernel, name, shared_bytes);
  int of_multiprocessor = 0;
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_multiprocessor, kernel, threads,
                                                           shared_bytes),
             name);
  return of_multiprocessor;
}

// Multiprocessors that run what is launched into a stream now, or captured from it: those of its
// green context if it has one. The attribute of the device does not tell (it does tell of a limit
// of MPS), and a cooperative launch that is too large for a green context is refused when it is
// launched but never ends when it was captured.
inline std::int64_t multiprocessors_of([[maybe_unused]] cudaStream_t stream) {
#if CUDART_VERSION >= 12040
  static auto const context_of = driver_function<PFN_cuStreamGetCtx_v9020>("cuStreamGetCtx", 9020);
  static auto const resource_of =
      driver_function<PFN_cuCtxGetDevResource_v12040>("cuCtxGetDevResource", 12040);
  CUcontext context = nullptr;
  CUdevResource found{};
  if (context_of != nullptr && resource_of != nullptr &&
      context_of(stream, &context) == CUDA_SUCCESS &&
      resource_of(context, &found, CU_DEV_RESOURCE_TYPE_SM) == CUDA_SUCCESS) {
    return found.sm.smCount;
  }
#endif
  return multiprocessors();
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
inline std::int64_t grid_for(std::int64_t work) { return std::min(work, kMostBlocks); }

// The attributes of the kernel's image for the current device; false where there is no image.
inline bool find_image(void const* kernel, cudaFuncAttributes& attributes) {
  cudaError_t const status = cudaFuncGetAttributes(&attributes, kernel);
  if (lacks_image(status)) {
    cudaGetLastError();
    return false;
  }
  check_cuda(status, "cudaFuncGetAttributes");
  return true;
}

// Whether the image of the kernel that this device runs holds the kernel's body: without the
// instructions it needs, a kernel is compiled empty and with a smaller launch bound.
template <class Params>
bool runs_here(void (*kernel)(Params), int threads) {
  cudaFuncAttributes attributes{};
  return find_image(reinterpret_cast<void const*>(kernel), attributes) &&
         attributes.maxThreadsPerBlock >= threads;
}

// Whether the image that this device runs was compiled with clusters of blocks and overlapping
// grids (FLASH_KMEANS_HAS_CLUSTERS). One kernel tells for all of a translation unit. Throws where
// there is no image.
template <class Params>
bool has_clusters(void (*kernel)(Params)) {
  cudaFuncAttributes attributes{};
  if (!find_image(reinterpret_cast<void const*>(kernel), attributes)) throw_no_image();
  return attributes.ptxVersion >= 90;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
