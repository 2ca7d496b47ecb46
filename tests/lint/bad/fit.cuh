// A comment may name cudaMalloc( and <cub/cub.cuh>, the code below may not.
#pragma once

#include <cub/device/device_radix_sort.cuh>
#include <flash_kmeans/flash_kmeans.cuh>

#include "detail/launch.cuh"
#include "missing.cuh"

template <class T>
__global__ void fill(T* out) {
  *out = T{};
}

inline void fill_one(int* out) { fill<<<1, 1>>>(out); }
