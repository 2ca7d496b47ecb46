// Tile sizes of the assignment kernels: plain C++, tested without a GPU.
#pragma once

#include <cstdint>

#include "../math.hpp"

namespace flash_kmeans::detail {

// One step of an assignment kernel: n points against k centroids over d features; `stages` steps
// are in flight.
struct tile {
  int n, k, d, stages;
};

// simt: 256 threads, each n/16 x k/16 products. float (and half, widened to float): 8 x 8, the most
// that registers hold without spills; double: 4 x 4.
inline constexpr tile kSimtTile{128, 128, 16, 1};
inline constexpr tile kSimtTileDouble{64, 64, 16, 1};

// sm80: 4 warps of 64 x 64. Three stages keep the block within 99 KiB (every GPU since Ampere) and
// two blocks on an SM of A100 and H100, so that one block's epilogue runs under the other's
// products.
inline constexpr tile kSm80Tile{128, 128, 64, 3};

// sm90: warpgroups of 64 points each search for the best while others multiply. One piece: three
// of them, tiles of 192 centroids; more pieces (see pieces.cuh) need registers for a second set of
// sums.
template <int Pieces>
inline constexpr int kSm90Groups = Pieces == 1 ? 3 : 2;
template <int Pieces>
inline constexpr int kSm90Points = 64 * kSm90Groups<Pieces>;
template <int Pieces>
inline constexpr int kSm90Centroids = Pieces == 1 ? 192 : 128;
template <int Pieces>
inline constexpr int kSm90Threads = 128 * (1 + kSm90Groups<Pieces>);

// Operands come in chunks of 128 bytes a row. A warpgroup multiplies up to this many before it
// hands the tensor cores over; they make a stage of the ring.
template <int Pieces>
inline constexpr int kSm90TurnChunks = Pieces == 1 ? 2 : 1;

inline constexpr int kSm90ChunkSteps = 4;  // of 32 bytes, the depth of an instruction
// Rows of operands are padded to this: TMA reads rows of 16 bytes, or 48, at half the speed
// (measured on an H100).
inline constexpr int kSm90RowBytes = 32;
template <int Pieces>
inline constexpr int kSm90PointBytes = kSm90Points<Pieces> * 128;
// -|c|^2/2 enters as a product of its own, of rows of 32 bytes: three bfloat16 pieces times one.
inline constexpr int kSm90BiasColumns = 16;
inline constexpr int kSm90BiasRowBytes = kSm90BiasColumns * 2;
inline constexpr int kSm90OnesBytes = 64 * kSm90BiasRowBytes;
inline constexpr int kSm90MaxStages = 6;
inline constexpr int kSm90MaxPointSlots = 6;
inline constexpr int kSm90BarrierBytes = (kSm90MaxStages + kSm90MaxPointSlots + 1) * 16;
inline constexpr int kSm90ScalarBytes = 32;
inline constexpr int kSm90SharedBytes = 227 * 1024;  // that a block of sm_90 can have

// Centroids that a tile of at most `width` multiplies when `left` are still to come: the width of
// its instructions.
FLASH_KMEANS_HOST_DEVICE constexpr std::int32_t sm90_width(std::int32_t left, std::int32_t width) {
  return left >= width ? width : (left + 63) / 64 * 64;
}

// How a shape is laid out in shared memory.
struct sm90_layout {
  std::int32_t chunks;       // of 128 bytes a row
  std::int32_t last_steps;   // of the last chunk
  std::int32_t turn_chunks;  // of a turn on the tensor cores, but for a tile's last one
  std::int32_t width;        // centroids of a tile, but for the last one
  std::int32_t x_slots;      // turns of points that stay
  std::int32_t c_stages;     // turns of centroids, of points that do not stay, and of a tile's bias
  std::int32_t stage_bytes;
  std::int32_t cluster;  // blocks that share centroids
  bool keep_points;      // resident while all centroids pass
  bool keep_centroids;   // resident while the problem lasts

  std::uint32_t bias_units;  // of 16 bytes, from a stage's start to its bias
  std::int32_t point_bytes;  // of a turn of points

  FLASH_KMEANS_HOST_DEVICE constexpr int bytes() const {
    return x_slots * point_bytes + c_stages * stage_bytes + kSm90OnesBytes + kSm90BarrierBytes +
           kSm90ScalarBytes;
  }
};

template <int Pieces>
constexpr sm90_layout sm90_layout_for(std::int64_t d_bytes, std::int64_t k) {
  constexpr int kN = kSm90Centroids<Pieces>, kTurn = kSm90TurnChunks<Pieces>;
  sm90_layout l{};
  l.chunks = static_cast<std::int32_t>((d_bytes + 127) / 128);
  l.last_steps =
      static_cast<std::int32_t>((d_bytes - (l.chunks - 1) * std::int64_t{128} + 31) / 32);
  std::int64_t const k_tiles = (k + kN - 1) / kN;
  l.width = static_cast<std::int32_t>(((k + k_tiles - 1) / k_tiles + 63) / 64 * 64);
  int const most = kSm90SharedBytes - l.bytes();  // for points and stages
  int turns = 0;                                  // of a tile
  auto const take_turns = [&](std::int32_t chunks) {
    l.turn_chunks = l.chunks < chunks ? l.chunks : chunks;
    turns = ceil_div(l.chunks, chunks);
    l.point_bytes = l.turn_chunks * Pieces * kSm90PointBytes<Pieces>;
    l.stage_bytes = l.turn_chunks * Pieces * l.width * 128 + l.width * kSm90BiasRowBytes;
  };
  take_turns(kTurn);
  std::int64_t slots = turns;
  l.keep_points = most - slots * l.point_bytes >= 2 * l.stage_bytes;
  l.cluster = l.keep_points ? 1 : 2;
  if (l.keep_points) {
    // Room for the next tile's points, so far as two turns for each warpgroup remain.
    int const least = turns == 1 && l.turn_chunks == 1 ? 4 : 2;
    std::int64_t const all = 2 * slots;
    while (slots < all && slots < kSm90MaxPointSlots &&
           most - (slots + 1) * l.point_bytes >= least * l.stage_bytes) {
      ++slots;
    }
    l.x_slots = static_cast<std::int32_t>(slots);
  } else {
    take_turns(1);  // more stages
    l.stage_bytes += l.point_bytes;
  }
  l.c_stages = (most - l.x_slots * l.point_bytes) / l.stage_bytes;
  l.bias_units = static_cast<std::uint32_t>(l.stage_bytes - l.width * kSm90BiasRowBytes) / 16;
  if (l.c_stages > kSm90MaxStages) l.c_stages = kSm90MaxStages;
  l.keep_centroids = l.keep_points && k_tiles * turns <= l.c_stages;
  return l;
}

// How the units (point tile, tile of centroids) of a call are divided among `most` clusters of
// blocks.
struct sm90_shares {
  std::int64_t count;
  bool whole_tiles;  // no point tile is shared
};

// Number of thread block clusters that share the units (point tile, centroid tile) of a call. It is
// at_once, the number that the GPU runs at the same time, unless one of them would then have more
// units than the kernel can count in 32 bits.
constexpr std::int64_t sm90_clusters_for(std::int64_t point_tiles, std::int64_t k_tiles,
                                         std::int64_t at_once) {
  constexpr std::int64_t kMostUnits = std::int64_t{1} << 30;
  std::int64_t const fewest = ceil_div(point_tiles * k_tiles, kMostUnits);
  return fewest > at_once ? fewest : at_once;
}

constexpr sm90_shares sm90_shares_for(std::int64_t point_tiles, std::int64_t k_tiles,
                                      std::int64_t most) {
  if (point_tiles < most) {  // every one is cut into as many equal parts
    std::int64_t const parts = most / point_tiles < k_tiles ? most / point_tiles : k_tiles;
    return {point_tiles * parts, parts == 1};
  }
  // Where a tile is shared, its blocks wait for each other about as long as three units take.
  constexpr std::int64_t kCostOfSharing = 3;
  std::int64_t const idle = ceil_div(point_tiles, most) * most - point_tiles;  // tiles, if whole
  return {most, idle * k_tiles < kCostOfSharing * most};
}

// The -|c|^2/2 of a problem are padded to a multiple of this with -inf, so that kernels read them
// in whole tiles (sm90: in multiples of its narrowest) and padded centroids never win.
inline constexpr int kBiasPadding = 128;
inline constexpr int kSm90BiasPadding = 64;
static_assert(kBiasPadding % kSimtTile.k == 0 && kBiasPadding % kSimtTileDouble.k == 0 &&
              kBiasPadding % kSm80Tile.k == 0);

// Size of the assignments of one call: b problems of n points, k centroids, d features.
struct assign_shape {
  std::int64_t b, n, k, d;
};

constexpr std::int64_t tiles_per_problem(assign_shape const& shape, tile const& t) {
  return (shape.n + t.n - 1) / t.n;
}

// Whether a screen (screen_state.cuh) goes before an assignment unasked. Products are worth its
// launches from so many on. Of float it saves five of six, and most of what packing in pieces
// writes, which is worth about 128 products a value. Of double it saves nearly all, each of which
// takes 20 times as long, and has to read and round the points, which is worth 8 a value. The
// batch does not count, so that a problem gets the labels that it gets alone, to the last tie.
constexpr bool screen_pays(std::int64_t n, std::int64_t k, std::int64_t d, int packing,
                           double least) {
  auto const size = [](std::int64_t count) { return static_cast<double>(count); };
  return size(n) * size(d) * (size(k) + packing) >= least;
}
constexpr bool screen_pays_float(std::int64_t n, std::int64_t k, std::int64_t d) {
  return screen_pays(n, k, d, 128, 0x1p31);
}
constexpr bool screen_pays_double(std::int64_t n, std::int64_t k, std::int64_t d) {
  return screen_pays(n, k, d, -8, 0x1p27);
}

// Centroids that a point may ask for at once: two a lane of the warp that sorts them.
inline constexpr int kMaxNearest = 64;

// How a search for several nearest centroids is divided: its blocks, each with lists of its own,
// and parts that the centroids are cut into where there are few points.
struct nearest_j_lists {
  std::int64_t blocks, parts, part_tiles;
};

constexpr nearest_j_lists nearest_j_lists_for(std::int64_t point_tiles, std::int64_t k_tiles,
                                              std::int64_t most) {
  std::int64_t const wanted = most / point_tiles;
  std::int64_t const cut = wanted < 1 ? 1 : wanted < k_tiles ? wanted : k_tiles;
  std::int64_t const part_tiles = ceil_div(k_tiles, cut);
  std::int64_t const parts = ceil_div(k_tiles, part_tiles);
  return {point_tiles * parts < most ? point_tiles * parts : most, parts, part_tiles};
}

}  // namespace flash_kmeans::detail
