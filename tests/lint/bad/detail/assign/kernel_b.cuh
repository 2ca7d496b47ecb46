#pragma once

#include "../config.cuh"

#if __CUDA_ARCH__ >= 800
inline void copy(cudaStream_t stream);
#endif
