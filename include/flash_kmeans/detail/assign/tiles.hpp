// Tile sizes of the assignment kernels: plain C++, tested without a GPU.
#pragma once

#include <cstdint>

namespace flash_kmeans::detail {

// One step of an assignment kernel: n points against k centroids over d features; `stages` steps are
// in flight.
struct tile {
  int n, k, d, stages;
};

// simt: 256 threads, each n/16 x k/16 products. float (and half, widened to float): 8 x 8, the most
// that registers hold without spills; double: 4 x 4.
inline constexpr tile kSimtTile{128, 128, 16, 1};
inline constexpr tile kSimtTileDouble{64, 64, 16, 1};

// sm80: 4 warps of 64 x 64. Three stages keep the block within 99 KiB (every GPU since Ampere) and
// two blocks on an SM of A100 and H100, so that one block's epilogue runs under the other's products.
inline constexpr tile kSm80Tile{128, 128, 64, 3};

// The -|c|^2/2 of a problem are padded to a multiple of this with -inf, so that kernels read them in
// whole tiles and padded centroids never win.
inline constexpr int kBiasPadding = 128;
static_assert(kBiasPadding % kSimtTile.k == 0 && kBiasPadding % kSimtTileDouble.k == 0 &&
              kBiasPadding % kSm80Tile.k == 0);

// Size of the assignments of one call: b problems of n points, k centroids, d features.
struct assign_shape {
  std::int64_t b, n, k, d;
};

constexpr std::int64_t tiles_per_problem(assign_shape const& shape, tile const& t) {
  return (shape.n + t.n - 1) / t.n;
}

}  // namespace flash_kmeans::detail
