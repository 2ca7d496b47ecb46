// Which kernel the assignments of a call run on.
#pragma once

#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../error.hpp"
#include "../launch.cuh"
#include "../tensor_map.cuh"
#include "kernel_simt.cuh"
#include "kernel_sm80.cuh"
#include "kernel_sm90.cuh"
#include "operand.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The kernels from the most to the least specialised; a new one is one file and one entry here, in
// kernel_runs and in class assignment (dispatch.cuh).
inline constexpr assign_kernel kAssignKernels[] = {assign_kernel::sm90, assign_kernel::sm80,
                                                   assign_kernel::simt};

// What the sm90 kernel multiplies for points of type T.
template <class T>
using sm90_operand_t = std::conditional_t<is_half_v<T>, T, __nv_bfloat16>;
template <class T>
inline constexpr int kSm90Pieces = is_half_v<T> ? 1 : 3;

template <class T>
bool kernel_runs(assign_kernel kernel) {
  switch (kernel) {
    case assign_kernel::sm90:
      if constexpr (!std::is_same_v<T, double>) {
        return runs_here(sm90_kernel<sm90_operand_t<T>, kSm90Pieces<T>>,
                         kSm90Threads<kSm90Pieces<T>>) &&
               tensor_map_encoder() != nullptr;
      }
      return false;
    case assign_kernel::sm80:
      if constexpr (is_half_v<T>)
        return runs_here(sm80_kernel<T, true, sm80_nearest<T>>, kSm80Threads);
      return false;
    case assign_kernel::simt: return runs_here(simt_kernel<T, simt_nearest_of<T>>, kSimtThreads);
    default: return false;
  }
}

// How a call's assignments are computed.
struct assign_plan {
  assign_kernel kernel;
  precision multiply;
  bool forced;  // the caller named the kernel
  flash_kmeans::screening screen;

  // Whether points of this shape are screened, where they can be.
  template <class T>
  bool screens(assign_shape const& s) const {
    bool const pays = std::is_same_v<T, double> ? screen_pays_double(s.n, s.k, s.d)
                                                : screen_pays_float(s.n, s.k, s.d);
    return screen == flash_kmeans::screening::on ||
           (screen == flash_kmeans::screening::automatic && pays);
  }
};

// Throws std::invalid_argument when a forced kernel cannot run.
template <class T>
assign_plan plan_assignment(execution const& exec) {
  if (exec.kernel != assign_kernel::automatic) {
    if (!kernel_runs<T>(exec.kernel)) {
      throw_invalid("execution.kernel", to_string(exec.kernel),
                    "which cannot run on this device with points of this type");
    }
    return {exec.kernel, exec.precision, true, exec.screening};
  }
  for (assign_kernel const kernel : kAssignKernels) {
    if (kernel_runs<T>(kernel)) return {kernel, exec.precision, false, exec.screening};
  }
  throw_no_image();
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
