#pragma once

#include "config.cuh"

inline void* scratch(cudaStream_t stream) {
  void* memory = nullptr;
  cudaMallocAsync(&memory, 256, stream);
  return memory;
}
