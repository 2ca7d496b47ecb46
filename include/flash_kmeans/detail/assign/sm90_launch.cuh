// One use of the sm90 kernel: how it is laid out, its memory besides the operands, its launch.
#pragma once

#include <array>
#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../tensor_map.cuh"
#include "../workspace.cuh"
#include "kernel_sm90.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Points as TMA counts them: extents from the features outwards and strides in elements, as of
// make_tensor_map.
template <class Operand>
struct sm90_points {
  Operand const* data;
  std::array<std::int64_t, 4> extents;  // {features, n, matrices or inner batch, outer batch}
  std::array<std::int64_t, 3> strides;
  std::int64_t inner = 1;  // problems along the third dimension

  // [b][matrices][n][ld]
  static sm90_points packed(Operand const* data, assign_shape const& shape, std::int64_t ld,
                            std::int64_t matrices) {
    return {data, {ld, shape.n, matrices, shape.b}, {ld, shape.n * ld, matrices * shape.n * ld}};
  }
};

// Centroids likewise: [b][matrices][k][ld], and their bias [b][bias_stride][kSm90BiasColumns].
template <class Operand>
struct sm90_centroids {
  Operand const* data;
  std::int64_t ld;
  __nv_bfloat16 const* bias;
  std::int64_t bias_stride;
};

class sm90_launch {
 public:
  // row_bytes: of an operand, as far as it is multiplied.
  template <int Matrices, bool Screens = false>
  void lay_out(assign_shape const& shape, std::int64_t row_bytes, arena& memory) {
    shape_ = shape;
    layout_ = sm90_layout_for<Matrices>(row_bytes, shape.k);
    std::int64_t const point_tiles =
        shape.b * ceil_div<std::int64_t>(shape.n, kSm90Points<Matrices> * layout_.cluster);
    blocks_ = layout_.cluster * sm90_clusters_for(point_tiles,
                                                  ceil_div<std::int64_t>(shape.k, layout_.width),
                                                  multiprocessors() / layout_.cluster);
    partials_ = memory.take<sm90_partial<Screens>>(2 * blocks_ * kSm90Points<Matrices>);
    counter_count_ = kSm90Groups<Matrices> * blocks_;
    counters_ = memory.take<std::uint32_t>(counter_count_);
  }

  // What the host does once. screen: what this launch is or follows.
  template <class Operand, int Matrices>
  void prepare(sm90_points<Operand> const& x, sm90_centroids<Operand> const& c,
               screen_state const& screen = {}) {
    params_.x = make_tensor_map(x.data, x.extents, x.strides, kSm90Points<Matrices>);
    params_.x_inner = static_cast<std::int32_t>(x.inner);
    params_.c = make_tensor_map(c.data, {c.ld, shape_.k, Matrices, shape_.b},
                                {c.ld, shape_.k * c.ld, Matrices * shape_.k * c.ld},
                                static_cast<int>(layout_.width / layout_.cluster));
    params_.bias = make_tensor_map<__nv_bfloat16>(
        c.bias, {kSm90BiasColumns, c.bias_stride, 1, shape_.b},
        {kSm90BiasColumns, 0, c.bias_stride * kSm90BiasColumns}, layout_.width, kSm90BiasRowBytes);
    params_.partials = partials_;
    params_.counters = counters_;
    params_.b = shape_.b;
    params_.n = shape_.n;
    params_.k = static_cast<std::int32_t>(shape_.k);
    params_.k_tiles = static_cast<std::int32_t>(ceil_div<std::int64_t>(shape_.k, layout_.width));
    params_.layout = layout_;
    params_.tiles_per_problem =
        ceil_div<std::int64_t>(shape_.n, kSm90Points<Matrices> * layout_.cluster);
    params_.screen = screen;
    std::int64_t const clusters = blocks_ / layout_.cluster;
    // Where a screen went before, the device knows how many points there are.
    shares_ = {clusters, false};
    if (Matrices == 1 || screen.problems == nullptr) {
      shares_ = sm90_shares_for(shape_.b * params_.tiles_per_problem, params_.k_tiles, clusters);
    }
    params_.whole_tiles = shares_.whole_tiles;
  }

  // labels[b][n]; status and none as of assignment::queue_labels. overlaps: nothing but centroids is
  // made ready by the launch before.
  template <class Operand, int Matrices, bool Screens = false>
  void queue(std::int32_t* labels, fit_status const* status, std::int32_t none, bool overlaps,
             cudaStream_t stream) const {
    sm90_params p = params_;
    p.labels = labels;
    p.none = none;
    p.status = status;
    launch(sm90_kernel<Operand, Matrices, Screens>, "sm90_kernel", shares_.count * layout_.cluster,
           kSm90Threads<Matrices>, stream, p,
           {static_cast<std::size_t>(layout_.bytes()), layout_.cluster, overlaps});
  }

  // Zero between launches; whoever makes centroids or points ready first sets them so.
  std::uint32_t* counters() const { return counters_; }
  std::int32_t counter_count() const { return counter_count_; }

 private:
  assign_shape shape_{};
  sm90_layout layout_{};
  sm90_shares shares_{};
  std::int64_t blocks_ = 0;
  std::int32_t counter_count_ = 0;
  void* partials_ = nullptr;
  std::uint32_t* counters_ = nullptr;
  sm90_params params_{};
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
