// The GPU side of the cluster tool: find a device, copy there, fit, copy back.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <flash_kmeans/flash_kmeans.cuh>
#include <string>

#include "cluster_run.hpp"
#include "device_buffer.hpp"

namespace cluster {
namespace {

using device_support::device_buffer;

template <class P>
run_result run(void const* points, std::int64_t n, std::int64_t d, void* centroids, std::int64_t k,
               std::int32_t* labels, flash_kmeans::fit_options options) {
  namespace fk = flash_kmeans;
  using centroid = fk::centroid_t<P>;
  auto const size = [](std::int64_t rows, std::int64_t columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  };
  device_buffer<P> d_x(size(n, d));
  device_buffer<centroid> d_c(size(k, d));
  device_buffer<std::int32_t> d_labels(size(n, 1));
  device_buffer<centroid> d_weights(options.weights ? size(n, 1) : 0);
  d_x.upload(static_cast<P const*>(points));
  d_c.upload(static_cast<centroid const*>(centroids));
  if (options.weights) {
    d_weights.upload(options.weights.get<centroid>());
    options.weights = d_weights.data();
  }
  fk::matrix_view<P const> const x(d_x.data(), n, d);
  fk::matrix_view<centroid> const c(d_c.data(), k, d);

  // The driver loads kernels when they are first used; a short run on a few points takes that out
  // of the measured time.
  fk::matrix_view<P const> const few(d_x.data(), std::min(n, std::max(k, std::int64_t{4096})), d);
  fk::fit_options once = options;
  once.max_iterations = 1;
  once.n_init = 1;

  fk::execution exec;
  exec.workspace_bytes =
      std::max(fk::fit_workspace_bytes(x, c, options), fk::fit_workspace_bytes(few, c, once));
  device_buffer<std::byte> workspace(exec.workspace_bytes);
  exec.workspace = workspace.data();

  fk::fit(few, c, d_labels.data(), once, exec);
  d_c.upload(static_cast<centroid const*>(centroids));

  device_support::cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  auto const start = std::chrono::steady_clock::now();
  run_result result;
  result.fit = fk::fit(x, c, d_labels.data(), options, exec);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  d_c.download(static_cast<centroid*>(centroids), 0, d_c.size());
  d_labels.download(labels, 0, d_labels.size());
  return result;
}

// Has an image for a device exactly where the library's kernels do.
__global__ void probe() {}

}  // namespace

gpu_status find_gpu() {
  int device = 0;
  cudaDeviceProp properties;
  cudaFuncAttributes attributes;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) status = cudaGetDeviceProperties(&properties, device);
  if (status == cudaSuccess) status = cudaFuncGetAttributes(&attributes, probe);
  if (status != cudaSuccess) {
    cudaGetLastError();  // not to be found by a later call
    return {false, cudaGetErrorString(status)};
  }
  return {true, properties.name};
}

run_result run_on_gpu(point_type type, void const* points, std::int64_t n, std::int64_t d,
                      void* centroids, std::int64_t k, std::int32_t* labels,
                      flash_kmeans::fit_options const& options) {
  try {
    switch (type) {
      case point_type::f16: return run<__half>(points, n, d, centroids, k, labels, options);
      case point_type::bf16: return run<__nv_bfloat16>(points, n, d, centroids, k, labels, options);
      case point_type::f64: return run<double>(points, n, d, centroids, k, labels, options);
      default: return run<float>(points, n, d, centroids, k, labels, options);
    }
  } catch (device_support::cuda_failure const& failure) {
    throw user_error("GPU: " + std::string(failure.what()) + "; --device cpu works without it");
  }
}

}  // namespace cluster
