// How a small problem lies in the shared memory of one cluster of blocks: plain C++, tested without a
// GPU.
#pragma once

#include <cstdint>

#include "../math.hpp"

namespace flash_kmeans::detail {

inline constexpr std::uint32_t kSmallThreads = 512;        // of a block, at most
inline constexpr std::uint32_t kSmallFewestThreads = 128;  // at least
inline constexpr std::uint32_t kSmallBlocks = 8;  // of a cluster, at most: what every GPU places
inline constexpr std::uint32_t kSmallRounds = 8;  // points of a block are at most so many a thread
inline constexpr std::uint32_t kSmallTile = 32;   // points, centroids that a warp searches at once

// What a lane searches at once without tensor cores: points, and centroids of some bytes a value.
inline constexpr int kSearchedPoints = 4;
FLASH_KMEANS_HOST_DEVICE constexpr int searched_centroids(std::int64_t bytes) {
  return static_cast<int>(32 / bytes);
}

// Each block holds one span of the points and, besides its own copy of all centroids, what it needs
// to move those that it owns: cluster j belongs to block j % blocks. Depends on n, k and d alone.
struct small_layout {
  std::uint32_t blocks;      // of a problem, a power of two
  std::uint32_t block_bits;  // its logarithm
  std::uint32_t span;        // points of a block; the last ones may have fewer or none
  std::uint32_t threads;     // of a block
  std::uint32_t owned;       // centroids of a block
  std::uint32_t piece_bits;  // 2^ points of a cluster are added up by one worker
  std::uint32_t lanes;  // that add up a row together, and 16 bytes of the points' type a row has
  std::uint32_t searchers;  // lanes that search for one point together, without tensor cores
  std::uint32_t row_bytes;  // of points and centroids: an odd number of 16 bytes, so that rows
                            // below each other are in other banks
  std::uint32_t ld;         // of sums, elements: whole 16 bytes
  // Where things lie, in bytes.
  std::uint32_t centroids;     // [k rounded up to tiles][row_bytes], from 0 on are the points
  std::uint32_t inbox;         // [blocks][owned][ld] acc, sums of every block's points
  std::uint32_t masters;       // [owned][ld] acc
  std::uint32_t sums;          // [rows][ld] acc, of pieces, of clusters that have several
  std::uint32_t shifts;        // [k] double, squared distance that each centroid moved
  std::uint32_t places;        // [k + 1] small_place, where the points of a cluster are
  std::uint32_t pieces;        // [pieces] u16, their clusters
  std::uint32_t bias;          // [k rounded up to tiles] acc, -|c|^2/2, -inf from k on
  std::uint32_t inbox_points;  // [blocks][owned] u32, how many points these sums are of
  std::uint32_t list;          // [span] u16, points sorted by cluster
  std::uint32_t labels;        // [span] u16
  std::uint32_t counts;        // [warps][k] u16, of a warp's points
  std::uint32_t bytes;
};

// Where the points of a cluster begin in the list, their pieces among all pieces of the block, and
// those among the rows of sums. A cluster of one piece has no row.
struct alignas(8) small_place {
  std::uint16_t at, piece, row, unused;
};

// element, acc: sizes of the points' type and of the masters'. most_blocks: of a cluster, on this
// device. Without blocks if there are more points, clusters or features than the kernel takes;
// whether the bytes are there is for the caller to say.
inline small_layout small_layout_for(std::int64_t n, std::int64_t k, std::int64_t d,
                                     std::int64_t element, std::int64_t acc, bool tensor_cores,
                                     std::int64_t most_blocks) {
  constexpr std::int64_t kSpan = 256, kMostClusters = 1024, kMostWidth = 4096;
  constexpr std::int64_t kLeastPieceBits = 4, kFewPieces = 8;
  auto const u32 = [](std::int64_t value) { return static_cast<std::uint32_t>(value); };
  small_layout l{};
  if (n > std::int64_t{kSmallBlocks} * kSmallRounds * kSmallThreads || k > kMostClusters ||
      d * element > kMostWidth) {
    return l;
  }
  std::int64_t const blocks =
      power_of_two_for(ceil_div(n, kSpan), static_cast<std::int32_t>(most_blocks));
  std::int64_t const span = ceil_div(n, blocks);
  if (span > std::int64_t{kSmallRounds} * kSmallThreads) return l;
  l.blocks = u32(blocks);
  l.block_bits = u32(bits_for(static_cast<std::uint64_t>(blocks)));
  l.span = u32(span);
  std::int64_t const units = ceil_div(d * element, std::int64_t{16});
  l.threads = u32(power_of_two_for(span > units ? span : units, kSmallThreads));
  if (l.threads < kSmallFewestThreads) l.threads = kSmallFewestThreads;
  l.owned = ceil_div(u32(k), l.blocks);
  l.piece_bits = u32(kLeastPieceBits);
  std::int64_t const workers = l.threads / units;
  while (span >> l.piece_bits > (workers > 4 * kFewPieces ? workers / 4 : kFewPieces)) {
    ++l.piece_bits;
  }
  l.lanes = u32(units);
  l.searchers = 1;
  while (l.searchers < 32 && l.searchers * searched_centroids(acc) < k &&
         ceil_div<std::int64_t>(l.searchers * span, 32 * kSearchedPoints) < l.threads / 32) {
    l.searchers *= 2;
  }
  // Tensor cores take 32 bytes of a row at a time.
  l.row_bytes = u32(16 * ((tensor_cores ? round_up<std::int64_t>(units, 2) : units) | 1));
  l.ld = u32(round_up<std::int64_t>(d, 16 / acc));

  std::int64_t used = round_up<std::int64_t>(span, kSmallTile) * l.row_bytes;
  auto const take = [&](std::int64_t bytes) {
    std::int64_t const at = used;
    used = round_up<std::int64_t>(used + bytes, 16);
    return u32(at);
  };
  std::int64_t const padded_k = round_up<std::int64_t>(k, kSmallTile), row = l.ld * acc;
  l.centroids = take(padded_k * l.row_bytes);
  l.inbox = take(blocks * l.owned * row);
  l.masters = take(l.owned * row);
  l.sums = take(2 * (span >> l.piece_bits) * row);
  l.shifts = take(k * 8);
  l.places = take((k + 1) * 8);
  l.pieces = take((k + (span >> l.piece_bits)) * 2);
  l.bias = take(padded_k * acc);
  l.inbox_points = take(blocks * l.owned * 4);
  l.list = take(span * 2);
  l.labels = take(span * 2);
  l.counts = take(l.threads / 32 * k * 2);
  l.bytes = u32(used);
  return l;
}

}  // namespace flash_kmeans::detail
