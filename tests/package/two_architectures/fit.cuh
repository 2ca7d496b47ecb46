// The body of both fits; static, so that each translation unit keeps its own.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <flash_kmeans/flash_kmeans.cuh>
#include <stdexcept>
#include <vector>

#include "fit.hpp"

static void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

static outcome run_fit(std::vector<float> const& x, std::int64_t n, std::int64_t d,
                       std::int64_t k) {
  outcome out{0, std::vector<float>(k * d), std::vector<std::int32_t>(n)};
  std::size_t const x_bytes = sizeof(float) * x.size();
  std::size_t const c_bytes = sizeof(float) * out.centroids.size();
  std::size_t const label_bytes = sizeof(std::int32_t) * out.labels.size();
  float *d_x = nullptr, *d_c = nullptr;
  std::int32_t* d_labels = nullptr;
  check(cudaMalloc(&d_x, x_bytes));
  check(cudaMalloc(&d_c, c_bytes));
  check(cudaMalloc(&d_labels, label_bytes));
  check(cudaMemcpy(d_x, x.data(), x_bytes, cudaMemcpyHostToDevice));
  out.inertia = flash_kmeans::fit(flash_kmeans::matrix_view<float const>(d_x, n, d),
                                  flash_kmeans::matrix_view<float>(d_c, k, d), d_labels)
                    .inertia;
  check(cudaMemcpy(out.centroids.data(), d_c, c_bytes, cudaMemcpyDeviceToHost));
  check(cudaMemcpy(out.labels.data(), d_labels, label_bytes, cudaMemcpyDeviceToHost));
  check(cudaFree(d_x));
  check(cudaFree(d_c));
  check(cudaFree(d_labels));
  return out;
}
