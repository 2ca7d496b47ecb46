// Whether the loop of a graph goes on.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

struct look_params {
  std::int32_t const* running;  // problems that have not converged
  std::int32_t* rounds;         // that the loop has gone, this one not counted
  std::int32_t most_rounds;
  unsigned long long loop;  // the handle
};

// One thread, the last kernel of a round.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) look_kernel(look_params const p) {
#if CUDART_VERSION >= 13000
  bool const ends = ++*p.rounds >= p.most_rounds || *p.running <= 0;
  cudaGraphSetConditional(p.loop, ends ? 0 : 1);
#endif
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
