// Ranges on the host's timeline of a profiler (NVTX): a stage is one while it is being queued.
//
// Where the CUDA Toolkit's header is found, and FLASH_KMEANS_NO_NVTX, which has to be the same in
// all of a program, is not defined. Without a profiler a range is two tests of a pointer.
#pragma once

#if !defined(FLASH_KMEANS_NO_NVTX) && defined(__has_include)
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define FLASH_KMEANS_HAS_NVTX 1
#endif
#endif
#if !defined(FLASH_KMEANS_HAS_NVTX)
#define FLASH_KMEANS_HAS_NVTX 0
#endif

namespace flash_kmeans::detail {

// From here to the end of the scope. Ranges of a thread nest.
class profiler_range {
 public:
#if FLASH_KMEANS_HAS_NVTX
  explicit profiler_range(char const* name) { nvtxRangePushA(name); }
  ~profiler_range() { nvtxRangePop(); }
#else
  explicit profiler_range(char const*) {}
  ~profiler_range() {}  // so that a range is never an unused variable
#endif
  profiler_range(profiler_range const&) = delete;
  profiler_range& operator=(profiler_range const&) = delete;
};

}  // namespace flash_kmeans::detail
