// Clusters without points, and what fills them.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The empty clusters of every problem.
struct gap_lists {
  std::int32_t* counts;    // [b], or null: nobody asks
  std::int32_t* clusters;  // [b][k], the empty ones first, ascending
};

// Which sums a centroid is made of where clusters were split: those of `root`, times (1 + e)^taken
// (1 - e)^given in even features and (1 - e)^taken (1 + e)^given in odd ones.
struct split_cluster {
  static constexpr double kStep = 1.0 / 1024;

  std::int32_t root, taken, given;

  // Of an even feature, or of an odd one.
  __device__ double factor(bool odd) const {
    return power(1 + kStep, odd ? given : taken) * power(1 - kStep, odd ? taken : given);
  }

 private:
  static __device__ double power(double base, std::int32_t exponent) {
    double all = 1;
    for (; exponent > 0; exponent /= 2, base *= base) {
      if (exponent % 2 != 0) all *= base;
    }
    return all;
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
