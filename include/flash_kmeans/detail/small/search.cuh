// Nearest centroids where points and centroids lie in shared memory.
#pragma once

#include <cstdint>

#include "../assign/argmin.cuh"
#include "../assign/mended_labels.cuh"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../ptx/cp_async.cuh"
#include "../ptx/mma_sync.cuh"
#include "layout.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Whether searches multiply on the tensor cores.
template <class T>
inline constexpr bool kSmallTensorCores = FLASH_KMEANS_HAS_MMA_SYNC == 1 && is_half_v<T>;

#if FLASH_KMEANS_HAS_MMA_SYNC

// found(point, its nearest centroid) for every point of the block, with mma.sync. A warp takes
// kSmallTile points and walks over the centroids, as many at a time.
template <class T, class Found>
__device__ void search_tensor_cores(small_layout const& l, unsigned char const* memory,
                                    std::uint32_t points, std::uint32_t k, std::int32_t d,
                                    Found&& found) {
  constexpr int kRows = kSmallTile / 16, kColumns = kSmallTile / 8;  // blocks of one product
  std::uint32_t const lane = threadIdx.x % 32, warps = blockDim.x / 32;
  auto const* const bias = reinterpret_cast<float const*>(memory + l.bias);
  // As in kernel_sm80.cuh: which row and 16 bytes this lane names to ldmatrix.
  std::uint32_t const xs = ptx::shared_address(memory) + lane % 16 * l.row_bytes + (lane >> 4) * 16;
  std::uint32_t const cs = ptx::shared_address(memory + l.centroids) +
                           ((lane & 7) + ((lane >> 4) << 3)) * l.row_bytes + ((lane >> 3) & 1) * 16;
  for (std::uint32_t first = threadIdx.x / 32 * kSmallTile; first < points;
       first += kSmallTile * warps) {
    best_score<float> best[kRows][2];
    for (std::uint32_t at = 0; at < k; at += kSmallTile) {
      float dot[kRows][kColumns][4] = {};
#pragma unroll 2
      for (std::int32_t f = 0; f < d; f += 16) {
        std::uint32_t a[kRows][4], w[kColumns / 2][4];
#pragma unroll
        for (int m = 0; m < kRows; ++m) {
          ptx::ldmatrix_x4(a[m], xs + (first + m * 16) * l.row_bytes + f * 2);
        }
#pragma unroll
        for (int h = 0; h < kColumns / 2; ++h) {
          ptx::ldmatrix_x4(w[h], cs + (at + h * 16) * l.row_bytes + f * 2);
        }
#pragma unroll
        for (int m = 0; m < kRows; ++m) {
#pragma unroll
          for (int j = 0; j < kColumns; ++j) {
            ptx::mma_m16n8k16<T>(dot[m][j], a[m], w[j / 2][(j % 2) * 2], w[j / 2][(j % 2) * 2 + 1]);
          }
        }
      }
      // A lane holds columns 2 (lane % 4) + {0, 1} of every 8, of rows lane / 4 and 8 + lane / 4.
      std::uint32_t const column = at + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        float2 const minus_half_norm = *reinterpret_cast<float2 const*>(bias + column + j * 8);
        auto const index = static_cast<std::int32_t>(column + j * 8);
#pragma unroll
        for (int m = 0; m < kRows; ++m) {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            best[m][h].offer(dot[m][j][2 * h] + minus_half_norm.x, index);
            best[m][h].offer(dot[m][j][2 * h + 1] + minus_half_norm.y, index + 1);
          }
        }
      }
    }
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        best[m][h].merge_lanes(4);
        std::uint32_t const point = first + m * 16 + h * 8 + lane / 4;
        if (lane % 4 == 0 && point < points) found(point, best[m][h].label(kNotFinite));
      }
    }
  }
}

#endif

// The same for every type. A lane takes a few points and centroids at a time; l.searchers
// neighbouring lanes share their points.
template <class T, class Found>
__device__ void search_simt(small_layout const& l, unsigned char const* memory,
                            std::uint32_t points, std::uint32_t k, Found&& found) {
  using acc = centroid_t<T>;
  constexpr int V = 16 / sizeof(T), kPoints = kSearchedPoints;
  constexpr int kCentroids = searched_centroids(sizeof(acc));
  using unit = pack<T, V>;
  auto const* const bias = reinterpret_cast<acc const*>(memory + l.bias);
  std::uint32_t const lane = threadIdx.x % 32, searcher = lane % l.searchers;
  std::uint32_t const step = 32 / l.searchers, tile = step * kPoints;
  for (std::uint32_t first = threadIdx.x / 32 * tile; first < points;
       first += blockDim.x / 32 * tile) {
    auto const point = [&](int i) { return first + i * step + lane / l.searchers; };
    best_score<acc> best[kPoints];
    for (std::uint32_t at = searcher; at < k; at += l.searchers * kCentroids) {
      acc dot[kPoints][kCentroids] = {};
#pragma unroll 1
      for (std::uint32_t u = 0; u < l.lanes; ++u) {
        unit x[kPoints];
#pragma unroll
        for (int i = 0; i < kPoints; ++i) {
          x[i] = *reinterpret_cast<unit const*>(memory + min(point(i), points - 1) * l.row_bytes +
                                                u * 16);
        }
#pragma unroll
        for (int j = 0; j < kCentroids; ++j) {
          unit const c = *reinterpret_cast<unit const*>(
              memory + l.centroids + min(at + j * l.searchers, k - 1) * l.row_bytes + u * 16);
#pragma unroll
          for (int i = 0; i < kPoints; ++i) {
#pragma unroll
            for (int v = 0; v < V; ++v) {
              dot[i][j] += widen<acc>(x[i].values[v]) * widen<acc>(c.values[v]);
            }
          }
        }
      }
#pragma unroll
      for (int j = 0; j < kCentroids; ++j) {
        std::uint32_t const index = at + j * l.searchers;
        if (index >= k) break;
#pragma unroll
        for (int i = 0; i < kPoints; ++i) {
          best[i].offer(dot[i][j] + bias[index], static_cast<std::int32_t>(index));
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kPoints; ++i) {
      best[i].merge_lanes(static_cast<int>(l.searchers));
      if (searcher == 0 && point(i) < points) found(point(i), best[i].label(kNotFinite));
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
