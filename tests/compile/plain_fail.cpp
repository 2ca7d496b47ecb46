// A CUDA header in a C++ source must say that it needs nvcc. FLASH_KMEANS_CASE 0 is correct.
#if FLASH_KMEANS_CASE == 0
#include <flash_kmeans/host.hpp>
#else
#include <flash_kmeans/detail/config.cuh>
#endif
