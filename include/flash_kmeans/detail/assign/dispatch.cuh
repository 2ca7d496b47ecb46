// Launches of an assignment and of what surrounds it: preparing centroids, labels, distances.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../error.hpp"
#include "../kernel_sum.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "argmin.cuh"
#include "kernel_distances.cuh"
#include "kernel_simt.cuh"
#include "kernel_sm80.cuh"
#include "norms.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The kernels from the most to the least specialised; a new one is one file and one entry here, in
// kernel_runs and in queue_labels.
inline constexpr assign_kernel kAssignKernels[] = {assign_kernel::sm80, assign_kernel::simt};

template <class T>
bool kernel_runs(assign_kernel kernel) {
  switch (kernel) {
    case assign_kernel::sm80:
      if constexpr (is_half_v<T>) return runs_here(sm80_kernel<T, true>, kSm80Threads);
      return false;
    case assign_kernel::simt: return runs_here(simt_kernel<T>, kSimtThreads);
    default: return false;
  }
}

// The kernel that a call will run on. Throws std::invalid_argument when a forced one cannot.
template <class T>
assign_kernel choose_kernel(assign_kernel forced) {
  if (forced != assign_kernel::automatic) {
    if (!kernel_runs<T>(forced)) {
      throw_invalid("execution.kernel", to_string(forced),
                    "which cannot run on this device with points of this type");
    }
    return forced;
  }
  for (assign_kernel const kernel : kAssignKernels) {
    if (kernel_runs<T>(kernel)) return kernel;
  }
  throw cuda_error(static_cast<int>(cudaErrorNoKernelImageForDevice),
                   "flash_kmeans: the program holds no kernel that this device can run");
}

// Everything that an assignment needs besides points, masters and labels, and the launches over it.
template <class T>
class assignment {
 public:
  using acc = centroid_t<T>;

  assignment(matrix_view<T const> const& x, matrix_view<acc const> const& c, assign_kernel kernel,
             arena& memory)
      : x_(x), c_(c), shape_{x.batch_count(), x.rows, c.rows, x.cols}, kernel_(kernel) {
    bias_stride_ = round_up<std::int64_t>(shape_.k, kBiasPadding);
    bias_ = memory.take<acc>(shape_.b * bias_stride_);
    if constexpr (is_half_v<T>) {
      operand_ld_ = round_up<std::int64_t>(shape_.d, 8);
      operand_ = memory.take<T>(shape_.b * shape_.k * operand_ld_);
    }
    // Enough blocks to fill a GPU however large the problem, and few enough partial sums to add in
    // one block.
    constexpr std::int64_t kRowsPerBlock = 256, kBlocksPerProblem = 2048;
    rows_per_block_ = ceil_div(shape_.n, kBlocksPerProblem);
    if (rows_per_block_ < kRowsPerBlock) rows_per_block_ = kRowsPerBlock;
    blocks_per_problem_ = ceil_div(shape_.n, rows_per_block_);
    partials_ = memory.take<double>(shape_.b * blocks_per_problem_);
  }

  // Makes the masters' current values ready to be multiplied.
  void queue_centroids(cudaStream_t stream) const {
    norms_params<T> p{};
    p.c = device_matrix<acc const>(c_);
    p.operand = operand_;
    p.operand_ld = operand_ld_;
    p.bias = bias_;
    p.bias_stride = bias_stride_;
    p.rows = shape_.b * bias_stride_;
    p.k = static_cast<std::int32_t>(shape_.k);
    p.d = static_cast<std::int32_t>(shape_.d);
    launch(norms_kernel<T>, "norms_kernel",
           grid_for(ceil_div<std::int64_t>(p.rows, kNormsThreads / 32)), kNormsThreads, stream, p);
  }

  // labels[b][n] of the prepared centroids. status: problems that have converged keep their labels.
  void queue_labels(std::int32_t* labels, fit_status const* status, cudaStream_t stream) const {
    assign_params<T> p{};
    p.x = device_matrix<T const>(x_);
    if constexpr (is_half_v<T>) {
      p.c = device_matrix<T const>(operand_, operand_ld_, shape_.k * operand_ld_);
    } else {
      p.c = device_matrix<T const>(c_);
    }
    p.bias = bias_;
    p.bias_stride = bias_stride_;
    p.labels = labels;
    p.status = status;
    p.n = shape_.n;
    p.k = static_cast<std::int32_t>(shape_.k);
    p.d = static_cast<std::int32_t>(shape_.d);
    auto run = [&](void (*kernel)(assign_params<T>), char const* name, tile const& t, int threads,
                   std::size_t shared_bytes) {
      p.tiles_per_problem = tiles_per_problem(shape_, t);
      p.tiles = shape_.b * p.tiles_per_problem;
      launch(kernel, name, grid_for(p.tiles), threads, stream, p, shared_bytes);
    };
    if (kernel_ == assign_kernel::sm80) {
      if constexpr (is_half_v<T>) {
        auto const kernel = rows_aligned(x_, 16) ? sm80_kernel<T, true> : sm80_kernel<T, false>;
        run(kernel, "sm80_kernel", kSm80Tile, kSm80Threads, sm80_shared::bytes(p.d));
      }
    } else {
      run(simt_kernel<T>, "simt_kernel", simt_tile_v<T>, kSimtThreads, 0);
    }
  }

  // Squared distances to the labelled masters, each [b][n] or null, and their sums, one per problem
  // and inertia_stride doubles apart, or null.
  void queue_distances(std::int32_t const* labels, acc* distances, double* inertia,
                       std::int64_t inertia_stride, cudaStream_t stream) const {
    distances_params<T> p{};
    p.x = device_matrix<T const>(x_);
    p.c = device_matrix<acc const>(c_);
    p.labels = labels;
    p.distances = distances;
    p.partials = inertia == nullptr ? nullptr : partials_;
    p.n = shape_.n;
    p.d = static_cast<std::int32_t>(shape_.d);
    constexpr int V = kVector<T>;
    bool const aligned = shape_.d % V == 0 && rows_aligned(x_, V * sizeof(T));
    p.lanes = power_of_two_for(ceil_div<std::int64_t>(shape_.d, V), 32);
    p.rows_per_block = rows_per_block_;
    p.blocks_per_problem = blocks_per_problem_;
    p.blocks = shape_.b * blocks_per_problem_;
    launch(aligned ? distances_kernel<T, true> : distances_kernel<T, false>, "distances_kernel",
           grid_for(p.blocks), kDistancesThreads, stream, p);
    if (inertia == nullptr) return;
    launch(sum_kernel<kSumThreads>, "sum_kernel", grid_for(shape_.b), kSumThreads, stream,
           sum_params{partials_, blocks_per_problem_, inertia, inertia_stride, shape_.b});
  }

 private:
  matrix_view<T const> x_;
  matrix_view<acc const> c_;
  assign_shape shape_;
  assign_kernel kernel_;
  T* operand_ = nullptr;
  std::int64_t operand_ld_ = 0;
  acc* bias_ = nullptr;
  std::int64_t bias_stride_ = 0;
  double* partials_ = nullptr;
  std::int64_t rows_per_block_ = 0, blocks_per_problem_ = 0;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
