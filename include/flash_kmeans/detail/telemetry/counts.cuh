// What is gathered of an iteration before its record is written.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Of one problem.
struct iteration_counts {
  double inertia;
  unsigned long long moved;  // points, zero between iterations
  std::int64_t written;      // records
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
