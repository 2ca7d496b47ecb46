// Points that are not finite have label -1 inside a fit, so that they count nowhere, and 0 after it.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr std::int32_t kNotFinite = -1;

struct mended_labels {
  std::int32_t* labels = nullptr;  // [b][n], or null: nothing is mended
  fit_status* status = nullptr;    // [b], where they are counted

  // The label of one such point.
  __device__ void mend(std::int64_t b, std::int64_t n, std::int64_t point) const {
    if (labels == nullptr) return;
    labels[b * n + point] = 0;
    static_assert(sizeof(status->non_finite) == sizeof(unsigned long long));
    atomicAdd(reinterpret_cast<unsigned long long*>(&status[b].non_finite), 1ull);
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
