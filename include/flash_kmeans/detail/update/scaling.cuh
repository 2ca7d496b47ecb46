// Factors of the points' rows in sums: weights, directions, or none.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_directions.cuh"
#include "kinds.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class point_scaling {
 public:
  using acc = centroid_t<T>;

  // weights: [b][n] or null.
  point_scaling(matrix_view<T const> const& x, metric of, acc const* weights, arena& memory)
      : x_(x), weights_(weights), directions_(of == metric::cosine) {
    if (!directions_) return;
    std::int64_t const points = x.batch_count() * x.rows;
    inverses_ = memory.take<acc>(points);
    scales_ = weights != nullptr ? memory.take<acc>(points) : inverses_;
  }

  // Directions cost one pass over the points.
  void queue(cudaStream_t stream) const {
    if (!directions_) return;
    directions_params<T> p{};
    p.x = device_matrix<T const>(x_);
    p.weights = weights_;
    p.inverses = inverses_;
    p.scales = scales_;
    p.n = x_.rows;
    p.rows = x_.batch_count() * x_.rows;
    p.d = static_cast<std::int32_t>(x_.cols);
    p.lanes = power_of_two_for(ceil_div<std::int64_t>(x_.cols, 16 / sizeof(T)), 32);
    p.aligned = rows_aligned(x_, 16);
    launch(directions_kernel<T>, "directions_kernel",
           grid_for(ceil_div<std::int64_t>(p.rows, kDirectionsThreads / p.lanes)),
           kDirectionsThreads, stream, p);
  }

  row_scaling<acc> rows() const {
    return {directions_ || weights_ != nullptr, directions_ ? scales_ : weights_, directions_};
  }

  // [b][n], 1 / |x|, or null where points count as they are.
  acc const* inverses() const { return inverses_; }

 private:
  matrix_view<T const> x_;
  acc const* weights_;
  bool directions_;
  acc* inverses_ = nullptr;
  acc* scales_ = nullptr;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
