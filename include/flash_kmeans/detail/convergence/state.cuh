// What the device remembers of a fit between iterations.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Whether problem b stays as it is. status: [b], or null where none ever does.
__device__ inline bool has_converged(fit_status const* status, std::int64_t b) {
  return status != nullptr && status[b].converged != 0;
}

struct convergence_state {
  double const* thresholds;  // [b] shift at which a problem counts as converged
  fit_status* status;        // [b], or null: nothing is remembered
  std::int32_t* running;     // problems that have not converged

  // Ends iterations of a problem that had not converged; shift: of the last one. By one thread.
  __device__ void step(std::int64_t b, double shift, std::int32_t iterations = 1) const {
    fit_status& own = status[b];
    own.shift = shift;
    own.iterations += iterations;
    if (shift <= thresholds[b]) {
      own.converged = 1;
      atomicSub(running, 1);
    }
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
