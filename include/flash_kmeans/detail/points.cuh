// Points as kernels read them: where they lie, or a copy in half of those that have one byte a
// value.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "../types.hpp"
#include "config.cuh"
#include "device_matrix.cuh"
#include "kernel_convert.cuh"
#include "launch.cuh"
#include "math.hpp"
#include "workspace.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Takes memory and queues work for narrow types only.
template <class T>
class point_copy {
 public:
  using type = compute_t<T>;

  point_copy(matrix_view<T const> const& x, arena& memory) : x_(x) {
    if constexpr (is_narrow_v<T>) {
      ld_ = round_up<std::int64_t>(x.cols, kConvertStore);
      to_ = memory.take<type>(x.batch_count() * x.rows * ld_);
    }
  }

  // To work on.
  matrix_view<type const> view() const {
    if constexpr (is_narrow_v<T>) {
      return {to_, x_.rows, x_.cols, ld_, x_.batch, {x_.batch[1] * x_.rows * ld_, x_.rows * ld_}};
    } else {
      return x_;
    }
  }

  // Makes the view hold what the points are now.
  void queue([[maybe_unused]] cudaStream_t stream) const {
    if constexpr (is_narrow_v<T>) {
      convert_params<T> p{};
      p.x = device_matrix<T const>(x_);
      p.to = to_;
      p.n = x_.rows;
      p.ld = ld_;
      p.d = static_cast<std::int32_t>(x_.cols);
      p.rows = x_.batch_count() * x_.rows;
      p.lanes = power_of_two_for(ceil_div<std::int64_t>(ld_, kConvertLoad), 32);
      p.aligned = rows_aligned(x_, 16);
      launch(convert_kernel<T>, "convert_kernel",
             grid_for(ceil_div<std::int64_t>(p.rows, kConvertThreads / p.lanes)), kConvertThreads,
             stream, p);
    }
  }

 private:
  matrix_view<T const> x_;
  type* to_ = nullptr;  // [b][n][ld]
  std::int64_t ld_ = 0;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
