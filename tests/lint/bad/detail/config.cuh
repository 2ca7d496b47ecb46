// Keeps to the rules: this is the one file that may read __CUDA_ARCH__.
#pragma once

#if defined(__CUDA_ARCH__)
#define FLASH_KMEANS_ON_DEVICE 1
#endif
