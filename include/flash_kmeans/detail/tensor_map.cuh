// Descriptions of matrices for the tensor memory accelerator.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

#include "config.cuh"
#include "launch.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The driver's encoder; null where the driver has none.
inline PFN_cuTensorMapEncodeTiled_v12000 tensor_map_encoder() {
  static auto const encoder =
      driver_function<PFN_cuTensorMapEncodeTiled_v12000>("cuTensorMapEncodeTiled", 12000);
  return encoder;
}

// A tensor of rank 4: extents from the innermost (contiguous) dimension outwards, and the strides
// of the outer three in elements. Boxes of box_rows rows of box_bytes, 32 or 128, arrive swizzled
// by as much. Data and strides must be multiples of 16 bytes; the stride of a dimension of extent 1
// is ignored.
template <class T>
CUtensorMap make_tensor_map(T const* data, std::array<std::int64_t, 4> const& extents,
                            std::array<std::int64_t, 3> const& strides, int box_rows,
                            int box_bytes = 128) {
  constexpr CUtensorMapDataType kType = std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                        : std::is_same_v<T, __nv_bfloat16>
                                            ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                            : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  cuuint64_t sizes[4], pitches[3];
  for (std::size_t i = 0; i < 4; ++i) sizes[i] = static_cast<cuuint64_t>(extents[i]);
  for (std::size_t i = 0; i < 3; ++i) {
    pitches[i] = extents[i + 1] == 1 ? 16 : static_cast<cuuint64_t>(strides[i]) * sizeof(T);
  }
  cuuint32_t const box[4] = {static_cast<cuuint32_t>(box_bytes / sizeof(T)),
                             static_cast<cuuint32_t>(box_rows), 1, 1};
  cuuint32_t const steps[4] = {1, 1, 1, 1};
  CUtensorMap map;
  CUresult const status = tensor_map_encoder()(
      &map, kType, 4, const_cast<std::remove_const_t<T>*>(data), sizes, pitches, box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE,
      box_bytes == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_32B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw cuda_error(static_cast<int>(cudaErrorInvalidValue),
                     "flash_kmeans: cuTensorMapEncodeTiled: CUresult " +
                         std::to_string(static_cast<int>(status)));
  }
  return map;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
