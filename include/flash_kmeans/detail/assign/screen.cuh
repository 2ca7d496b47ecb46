// Launches of a screen: what comes before the exact kernel's search among the points that it leaves
// open (screen_state.cuh).
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_screen_centroids.cuh"
#include "kernel_screen_frame.cuh"
#include "kernel_screen_gather.cuh"
#include "kernel_screen_points.cuh"
#include "operand.cuh"
#include "packing.cuh"
#include "screen_rows.cuh"
#include "screen_state.cuh"
#include "sm90_launch.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class screen {
 public:
  // Whether this device has the kernel that searches.
  static bool runs() {
    return runs_here(sm90_kernel<__half, 1, true>, kSm90Threads<1>) &&
           tensor_map_encoder() != nullptr;
  }

  // capacity: points of a problem that gathered open ones have room for.
  void lay_out(assign_shape const& shape, std::int64_t capacity, arena& memory) {
    shape_ = shape;
    state_.capacity = capacity;
    ld_ = round_up<std::int64_t>(shape.d, kSm90RowBytes / sizeof(__half));
    bias_stride_ = round_up<std::int64_t>(shape.k, kSm90BiasPadding);
    points_ = memory.take<__half>(shape.b * shape.n * ld_);
    centroids_ = memory.take<__half>(shape.b * shape.k * ld_);
    bias_ = memory.take<__nv_bfloat16>(shape.b * bias_stride_ * kSm90BiasColumns);
    state_.problems = memory.take<screen_problem>(shape.b);
    state_.mean = memory.take<float>(shape.b * ld_);
    state_.points = memory.take<screen_lengths>(shape.b * shape.n);
    state_.centroids = memory.take<screen_lengths>(shape.b * shape.k);
    state_.gaps = memory.take<float>(shape.b * shape.n);
    state_.open = memory.take<std::int32_t>(shape.b * shape.n);
    state_.n = shape.n;
    state_.k = shape.k;
    state_.rounding = screen_rounding(shape.d);
    search_.template lay_out<1, true>(shape, shape.d * std::int64_t{sizeof(__half)}, memory);
  }

  void prepare() {
    search_.template prepare<__half, 1>(sm90_points<__half>::packed(points_, shape_, ld_, 1),
                                        {centroids_, ld_, bias_, bias_stride_}, state_);
  }

  screen_state const& state() const { return state_; }

  // Makes points ready, once for all assignments.
  void queue_points(matrix_view<T const> const& x, metric of, cudaStream_t stream) const {
    device_matrix<T const> const points(x);
    auto const d = static_cast<std::int32_t>(shape_.d);
    screen_frame_params<T> frame{};
    frame.x = points;
    frame.state = state_;
    frame.b = shape_.b;
    frame.ld = ld_;
    frame.d = d;
    frame.aligned = rows_aligned(x, 16);
    frame.centred = of == metric::euclidean;
    frame.counters = search_.counters();
    frame.counter_count = search_.counter_count();
    launch(screen_frame_kernel<T>, "screen_frame_kernel", grid_for(shape_.b), kScreenFrameThreads,
           stream, frame);
    screen_points_params<T> p{};
    p.x = points;
    p.to = points_;
    p.state = state_;
    p.ld = ld_;
    p.d = d;
    p.lanes = power_of_two_for(ld_ / screened::kVector, 32);
    p.parts = ceil_div<std::int64_t>(shape_.n, kScreenPointsThreads / p.lanes);
    p.aligned = rows_aligned(x, 16);
    launch(screen_points_kernel<T>, "screen_points_kernel", shape_.b * p.parts,
           kScreenPointsThreads, stream, p);
  }

  // Labels of points whose nearest centroid is beyond doubt; the others are listed and gathered for
  // the exact kernel. to: where, and how they lie there.
  template <class Operand, int Pieces>
  void queue(matrix_view<T const> const& c, double bias_of_squares,
             pack_params<T, Operand> const& to, std::int32_t* labels, fit_status const* status,
             std::int32_t none, cudaStream_t stream) const {
    screen_centroids_params<T> made{};
    made.c = device_matrix<T const>(c);
    made.to = {centroids_,
               ld_,
               nullptr,
               bias_,
               bias_stride_,
               static_cast<std::int32_t>(shape_.k),
               static_cast<std::int32_t>(shape_.d),
               bias_of_squares};
    made.state = state_;
    made.rows = shape_.b * bias_stride_;
    made.aligned = rows_aligned(c, 16);
    launch(screen_centroids_kernel<T>, "screen_centroids_kernel",
           grid_for(ceil_div<std::int64_t>(made.rows, kScreenCentroidsThreads / 32)),
           kScreenCentroidsThreads, stream, made, {0, 1, /*overlaps=*/true});
    search_.template queue<__half, 1, true>(labels, status, none, /*overlaps=*/true, stream);
    screen_gather_params<T, Operand> open{};
    open.pack = to;
    open.state = state_;
    open.labels = labels;
    open.status = status;
    open.parts = ceil_div<std::int64_t>(shape_.n, kPackThreads);
    launch(screen_gather_kernel<T, Operand, Pieces>, "screen_gather_kernel", shape_.b * open.parts,
           kPackThreads, stream, open, {0, 1, /*overlaps=*/true});
  }

 private:
  assign_shape shape_{};
  std::int64_t ld_ = 0, bias_stride_ = 0;
  __half* points_ = nullptr;
  __half* centroids_ = nullptr;
  __nv_bfloat16* bias_ = nullptr;
  screen_state state_{};
  sm90_launch search_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
