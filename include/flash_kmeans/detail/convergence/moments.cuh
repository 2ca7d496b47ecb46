// What the two kernels of the variance exchange.
#pragma once

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Mean and sum of squared deviations of some rows of one column.
struct column_moments {
  double mean;
  double deviations;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
