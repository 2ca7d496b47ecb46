// Matrices and element types as kernels see them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "../types.hpp"
#include "config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
inline constexpr bool is_half_v = std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;

// Types of one byte, every value of which __half holds exactly.
template <class T>
inline constexpr bool is_narrow_v =
    std::is_same_v<T, std::int8_t> || std::is_same_v<T, std::uint8_t> ||
    std::is_same_v<T, __nv_fp8_e4m3>;

// Types that points may have on the GPU.
template <class T>
inline constexpr bool is_point_v =
    is_half_v<T> || is_narrow_v<T> || std::is_same_v<T, float> || std::is_same_v<T, double>;

template <class T>
constexpr void check_point_type() {
  static_assert(is_point_v<T>,
                "flash_kmeans: points are __half, __nv_bfloat16, float, double, std::int8_t, "
                "std::uint8_t or __nv_fp8_e4m3");
}

// The type that kernels read points of type T in, see point_copy.
template <class T>
using compute_t = std::conditional_t<is_narrow_v<T>, __half, T>;

// A constant, since the functions of std::numeric_limits are host code.
template <class Acc>
inline constexpr Acc kInfinity = std::numeric_limits<Acc>::infinity();
template <class Acc>
inline constexpr Acc kNaN = std::numeric_limits<Acc>::quiet_NaN();

template <class Acc>
__device__ bool is_finite(Acc value) {
  return value - value == 0;
}

// [batch][rows][cols] with the strides of a matrix_view; rows and cols travel apart.
template <class T>
struct device_matrix {
  T* data;
  std::int64_t ld;
  std::int64_t outer_stride;
  std::int64_t inner_stride;
  std::int64_t inner_batch;

  device_matrix() = default;
  template <class U>
  explicit device_matrix(matrix_view<U> const& v)
      : data(v.data),
        ld(v.ld),
        outer_stride(v.batch_stride[0]),
        inner_stride(v.batch_stride[1]),
        inner_batch(v.batch[1]) {}
  // Contiguous problems, `stride` elements apart.
  device_matrix(T* data_, std::int64_t ld_, std::int64_t stride)
      : data(data_), ld(ld_), outer_stride(stride), inner_stride(0), inner_batch(1) {}

  __device__ T* problem(std::int64_t b) const {
    if (inner_batch == 1) return data + b * outer_stride;
    std::int64_t const outer = b / inner_batch;
    return data + outer * outer_stride + (b - outer * inner_batch) * inner_stride;
  }
};

// Whether every row of every problem starts on a multiple of `bytes`.
template <class T>
bool rows_aligned(matrix_view<T> const& v, std::size_t bytes) {
  auto multiple = [&](std::int64_t elements) {
    return static_cast<std::size_t>(elements) * sizeof(T) % bytes == 0;
  };
  return reinterpret_cast<std::uintptr_t>(v.data) % bytes == 0 && (v.rows == 1 || multiple(v.ld)) &&
         (v.batch[0] == 1 || multiple(v.batch_stride[0])) &&
         (v.batch[1] == 1 || multiple(v.batch_stride[1]));
}

// A view for sizing a workspace. Null data becomes the address that needs the largest workspace: a
// multiple of the element's size and of nothing more, which is never read.
template <class T>
matrix_view<T> placed_for_sizing(matrix_view<T> v) {
  if (v.data == nullptr) v.data = reinterpret_cast<T*>(sizeof(T));
  return v;
}

template <class Acc, class T>
__device__ Acc widen(T value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half2float(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __bfloat162float(value);
  } else {
    return static_cast<Acc>(value);
  }
}

// Rounds a centroid's coordinate to the type of the points; beyond the type's range the largest
// finite value stands in, so that no infinity enters a product.
template <class T, class Acc>
__device__ T narrow(Acc value) {
  if constexpr (std::is_same_v<T, __half>) {
    float const largest = 65504.0f;
    return __float2half_rn(value > largest ? largest : value < -largest ? -largest : value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    float const largest = 3.38953139e38f;
    return __float2bfloat16_rn(value > largest ? largest : value < -largest ? -largest : value);
  } else {
    return value;
  }
}

// V neighbouring elements, read in one access.
template <class T, int V>
struct alignas(sizeof(T) * V) pack {
  T values[V];
};

template <class T, class Acc, int V>
__device__ pack<T, V> narrowed(pack<Acc, V> const& values) {
  pack<T, V> to;
#pragma unroll
  for (int v = 0; v < V; ++v) to.values[v] = narrow<T>(values.values[v]);
  return to;
}

// Elements [first, first + V) of a row of `cols`, zeros beyond it. aligned: rows start on 16 bytes,
// and first is a multiple of V.
template <int V, class T>
__device__ pack<T, V> load_padded(T const* row, std::int64_t first, std::int32_t cols,
                                  bool aligned) {
  if (aligned && first + V <= cols) return *reinterpret_cast<pack<T, V> const*>(row + first);
  pack<T, V> loaded;
#pragma unroll
  for (int i = 0; i < V; ++i) loaded.values[i] = first + i < cols ? row[first + i] : T(0.0f);
  return loaded;
}

// Writes those of V elements that lie inside a row of `cols`, as load_padded reads them.
template <int V, class T>
__device__ void store_padded(pack<T, V> const& values, T* row, std::int64_t first,
                             std::int32_t cols, bool aligned) {
  if (aligned && first + V <= cols) {
    *reinterpret_cast<pack<T, V>*>(row + first) = values;
    return;
  }
#pragma unroll
  for (int i = 0; i < V; ++i) {
    if (first + i < cols) row[first + i] = values.values[i];
  }
}

// Elements of a row that one lane reads at once: 8 bytes of half, 16 bytes of float and double.
template <class T>
inline constexpr int kVector = sizeof(T) == 8 ? 2 : 4;

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
