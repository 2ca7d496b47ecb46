// Where the cluster tool computes: on the CPU, here, or on a GPU, in cluster_gpu.cu.
#pragma once

#include <chrono>
#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "cluster_table.hpp"

namespace cluster {

struct run_result {
  flash_kmeans::fit_result fit;
  double seconds = 0;  // of the fit alone, without reading, copying to the GPU and back, writing
};

// Points [n][d], centroids [k][d], labels [n]. Points are float, double or bytes; progress as in
// flash_kmeans::host::execution.
template <class P, class C>
run_result run_on_cpu(std::vector<P> const& points, std::int64_t n, std::int64_t d,
                      std::vector<C>& centroids, std::int64_t k, std::vector<std::int32_t>& labels,
                      flash_kmeans::fit_options const& options,
                      flash_kmeans::host::execution const& exec) {
  flash_kmeans::matrix_view<P const> const x(points.data(), n, d);
  flash_kmeans::matrix_view<C> const c(centroids.data(), k, d);
  auto const start = std::chrono::steady_clock::now();
  run_result result;
  result.fit = flash_kmeans::host::fit(x, c, labels.data(), options, exec);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

struct gpu_status {
  bool works = false;
  std::string name;  // of the device where it works, else why it does not
};

#if defined(FLASH_KMEANS_CLUSTER_GPU)

// Never throws.
gpu_status find_gpu();

// points holds n x d elements of the type; centroids k x d of float, or double for f64, as are
// options.weights, which lie on the host.
run_result run_on_gpu(point_type type, void const* points, std::int64_t n, std::int64_t d,
                      void* centroids, std::int64_t k, std::int32_t* labels,
                      flash_kmeans::fit_options const& options);

#else

inline gpu_status find_gpu() { return {false, "built without CUDA"}; }

inline run_result run_on_gpu(point_type, void const*, std::int64_t, std::int64_t, void*,
                             std::int64_t, std::int32_t*, flash_kmeans::fit_options const&) {
  throw std::logic_error("built without CUDA");
}

#endif

}  // namespace cluster
