// Tile sizes: tiles cover every point exactly once, and the blocks that they describe exist.
#include <gtest/gtest.h>

#include <cstdint>
#include <flash_kmeans/detail/assign/tiles.hpp>
#include <flash_kmeans/detail/small/layout.hpp>
#include <string>
#include <vector>

namespace {

using flash_kmeans::detail::assign_shape;
using flash_kmeans::detail::kBiasPadding;
using flash_kmeans::detail::kSimtTile;
using flash_kmeans::detail::kSimtTileDouble;
using flash_kmeans::detail::kSm80Tile;
using flash_kmeans::detail::kSm90BarrierBytes;
using flash_kmeans::detail::kSm90BiasRowBytes;
using flash_kmeans::detail::kSm90Centroids;
using flash_kmeans::detail::kSm90MaxPointSlots;
using flash_kmeans::detail::kSm90MaxStages;
using flash_kmeans::detail::kSm90OnesBytes;
using flash_kmeans::detail::kSm90Points;
using flash_kmeans::detail::kSm90ScalarBytes;
using flash_kmeans::detail::kSm90TurnChunks;
using flash_kmeans::detail::screen_pays_double;
using flash_kmeans::detail::screen_pays_float;
using flash_kmeans::detail::sm90_clusters_for;
using flash_kmeans::detail::sm90_layout;
using flash_kmeans::detail::sm90_layout_for;
using flash_kmeans::detail::sm90_shares;
using flash_kmeans::detail::sm90_shares_for;
using flash_kmeans::detail::sm90_width;
using flash_kmeans::detail::small_layout;
using flash_kmeans::detail::small_layout_for;
using flash_kmeans::detail::tile;
using flash_kmeans::detail::tiles_per_problem;

constexpr tile kTiles[] = {kSimtTile, kSimtTileDouble, kSm80Tile};

TEST(tiles, cover_every_point_once) {
  for (tile const& t : kTiles) {
    for (std::int64_t const n :
         {std::int64_t{1}, std::int64_t{63}, std::int64_t{64}, std::int64_t{65}, std::int64_t{127},
          std::int64_t{128}, std::int64_t{129}, std::int64_t{37440}, std::int64_t{2147483647}}) {
      std::int64_t const tiles = tiles_per_problem(assign_shape{3, n, 5, 7}, t);
      EXPECT_GE(tiles * t.n, n) << "n = " << n << ", tile of " << t.n;
      EXPECT_LT((tiles - 1) * t.n, n) << "n = " << n << ", tile of " << t.n;
    }
  }
}

// A padded row of biases is read in whole tiles by every kernel.
TEST(tiles, divide_the_padding_of_the_bias) {
  for (tile const& t : kTiles) EXPECT_EQ(kBiasPadding % t.k, 0) << "tile of " << t.k;
}

// simt: 16 x 16 threads, each with runs of 4 points and 4 centroids.
TEST(tiles, of_simt_are_whole_runs_of_its_threads) {
  for (tile const& t : {kSimtTile, kSimtTileDouble}) {
    EXPECT_EQ(t.n % 64, 0);
    EXPECT_EQ(t.k % 64, 0);
    EXPECT_EQ(256 % t.d, 0);
  }
}

// sm80: 2 x 2 warps of 64 x 64, and rows of 128 bytes.
TEST(tiles, of_sm80_are_what_its_warps_hold) {
  EXPECT_EQ(kSm80Tile.n, 128);
  EXPECT_EQ(kSm80Tile.k, 128);
  EXPECT_EQ(kSm80Tile.d * 2, 128);
  EXPECT_GE(kSm80Tile.stages, 2);
}

// sm90: what is wrong with a layout for rows of d_bytes and k centroids; empty when nothing is. All
// sizes are worked out anew from what a slot and a stage hold.
template <int Pieces>
std::string flaw(sm90_layout const& l, std::int64_t d_bytes, std::int64_t k) {
  std::int64_t const width = l.width, chunks = l.chunks;
  std::int64_t const k_tiles = width > 0 ? (k + width - 1) / width : 0;
  if (width <= 0 || width % 64 != 0 || width > kSm90Centroids<Pieces>) return "width";
  if (width * k_tiles < k) return "tiles leave centroids out";
  // A box of a tensor map has at most 256 rows, and swizzled rows come in groups of 8.
  if (l.cluster < 1 || width % (8 * l.cluster) != 0) return "cluster";

  if (chunks * 128 < d_bytes || (chunks - 1) * 128 >= d_bytes) return "chunks";
  std::int64_t const steps = (chunks - 1) * 4 + l.last_steps;
  if (l.last_steps < 1 || l.last_steps > 4 || steps * 32 < d_bytes || (steps - 1) * 32 >= d_bytes) {
    return "steps of the last chunk";
  }

  std::int64_t const turn_chunks = l.turn_chunks;
  if (turn_chunks < 1 || turn_chunks > chunks || turn_chunks > kSm90TurnChunks<Pieces>) {
    return "chunks of a turn";
  }
  std::int64_t const turns = (chunks + turn_chunks - 1) / turn_chunks;
  std::int64_t const point_bytes = turn_chunks * Pieces * kSm90Points<Pieces> * 128;
  if (l.point_bytes != point_bytes) return "bytes of a slot";
  std::int64_t const bias_at =
      turn_chunks * Pieces * width * 128 + (l.keep_points ? 0 : point_bytes);
  std::int64_t const bias_bytes = width * kSm90BiasRowBytes;
  if (l.stage_bytes < bias_at + bias_bytes) return "bytes of a stage";
  if (l.stage_bytes % 1024 != 0) return "stages off their alignment";
  // 32-byte swizzling repeats every 256 bytes.
  if (l.bias_units * std::int64_t{16} < bias_at || l.bias_units % 16 != 0 ||
      l.bias_units * std::int64_t{16} + bias_bytes > l.stage_bytes) {
    return "place of the bias";
  }

  if (l.c_stages < 2 || l.c_stages > kSm90MaxStages) return "number of stages";
  if (l.x_slots < 0 || l.x_slots > kSm90MaxPointSlots) return "number of slots";
  if (l.keep_points ? l.x_slots < turns : l.x_slots != 0) return "slots of a tile";
  if (l.keep_centroids && !l.keep_points) return "centroids stay, and points pass";
  if (l.keep_centroids && k_tiles * turns > l.c_stages) return "centroids do not fit";
  std::int64_t const bytes = l.x_slots * std::int64_t{l.point_bytes} +
                             l.c_stages * std::int64_t{l.stage_bytes} + kSm90OnesBytes +
                             kSm90BarrierBytes + kSm90ScalarBytes;
  if (l.bytes() != bytes) return "bytes() is another sum";
  if (bytes > 227 * 1024) return "too large for shared memory";
  return "";
}

constexpr std::int64_t kSm90Widths[] = {1, 64, 65, 192, 193, 1000, 100000};

template <int Pieces>
void expect_sound_layouts(std::int64_t element_bytes) {
  for (std::int64_t d = 1; d <= 5000; ++d) {
    for (std::int64_t const k : kSm90Widths) {
      sm90_layout const l = sm90_layout_for<Pieces>(d * element_bytes, k);
      ASSERT_EQ(flaw<Pieces>(l, d * element_bytes, k), "") << "d = " << d << ", k = " << k;
    }
  }
}

TEST(tiles, of_sm90_fit_for_half) { expect_sound_layouts<1>(2); }

TEST(tiles, of_sm90_fit_for_tf32) { expect_sound_layouts<1>(4); }

TEST(tiles, of_sm90_fit_for_float_in_pieces) { expect_sound_layouts<3>(2); }

// Both ways to keep, and to let pass, are among them.
TEST(tiles, of_sm90_keep_what_fits) {
  EXPECT_TRUE(sm90_layout_for<1>(128 * 2, 100).keep_centroids);
  EXPECT_TRUE(sm90_layout_for<1>(128 * 2, 100000).keep_points);
  EXPECT_FALSE(sm90_layout_for<1>(128 * 2, 100000).keep_centroids);
  EXPECT_FALSE(sm90_layout_for<1>(4096 * 2, 100).keep_points);
  EXPECT_TRUE(sm90_layout_for<3>(64 * 2, 100).keep_points);
  EXPECT_FALSE(sm90_layout_for<3>(1536 * 2, 100).keep_points);
}

// flaw() notices each thing that it looks for.
TEST(tiles, of_sm90_a_bad_layout_is_noticed) {
  std::int64_t const d_bytes = 128 * 2, k = 1000;
  sm90_layout const good = sm90_layout_for<1>(d_bytes, k);
  ASSERT_EQ(flaw<1>(good, d_bytes, k), "");
  auto const with = [&](auto change) {
    sm90_layout bad = good;
    change(bad);
    return flaw<1>(bad, d_bytes, k);
  };
  EXPECT_EQ(with([](sm90_layout& l) { l.width = 0; }), "width");
  EXPECT_EQ(with([](sm90_layout& l) { l.width += 8; }), "width");
  EXPECT_EQ(with([](sm90_layout& l) { l.width = 256; }), "width");
  EXPECT_EQ(with([](sm90_layout& l) { l.cluster = 0; }), "cluster");
  EXPECT_EQ(with([](sm90_layout& l) { l.cluster = 5; }), "cluster");
  EXPECT_EQ(with([](sm90_layout& l) { --l.chunks; }), "chunks");
  EXPECT_EQ(with([](sm90_layout& l) { ++l.chunks; }), "chunks");
  EXPECT_EQ(with([](sm90_layout& l) { --l.last_steps; }), "steps of the last chunk");
  EXPECT_EQ(with([](sm90_layout& l) { l.turn_chunks = 0; }), "chunks of a turn");
  EXPECT_EQ(with([](sm90_layout& l) { ++l.turn_chunks; }), "chunks of a turn");
  EXPECT_EQ(with([](sm90_layout& l) { l.point_bytes -= 1024; }), "bytes of a slot");
  EXPECT_EQ(with([](sm90_layout& l) { l.stage_bytes -= 1024; }), "bytes of a stage");
  EXPECT_EQ(with([](sm90_layout& l) { l.stage_bytes += 512; }), "stages off their alignment");
  EXPECT_EQ(with([](sm90_layout& l) { l.bias_units -= 16; }), "place of the bias");
  EXPECT_EQ(with([](sm90_layout& l) { l.bias_units += 16; }), "place of the bias");
  EXPECT_EQ(with([](sm90_layout& l) { l.c_stages = 1; }), "number of stages");
  EXPECT_EQ(with([](sm90_layout& l) { l.c_stages = kSm90MaxStages + 1; }), "number of stages");
  EXPECT_EQ(with([](sm90_layout& l) { l.x_slots = kSm90MaxPointSlots + 1; }), "number of slots");
  EXPECT_EQ(with([](sm90_layout& l) { l.x_slots = 0; }), "slots of a tile");
  EXPECT_EQ(with([](sm90_layout& l) { l.keep_centroids = true; }), "centroids do not fit");
  EXPECT_EQ(with([](sm90_layout& l) { l.c_stages = kSm90MaxStages; }),
            "too large for shared memory");

  // Points that pass need room in the stages.
  sm90_layout const passing = sm90_layout_for<1>(4096 * 2, k);
  ASSERT_EQ(flaw<1>(passing, 4096 * 2, k), "");
  sm90_layout bad = passing;
  bad.stage_bytes -= bad.point_bytes;
  EXPECT_EQ(flaw<1>(bad, 4096 * 2, k), "bytes of a stage");
  bad = passing;
  bad.keep_centroids = true;
  EXPECT_EQ(flaw<1>(bad, 4096 * 2, k), "centroids stay, and points pass");
  bad = passing;
  bad.x_slots = 1;
  EXPECT_EQ(flaw<1>(bad, 4096 * 2, k), "slots of a tile");
}

// The last tile of a problem is as wide as its centroids need.
TEST(tiles, of_sm90_narrow_to_what_is_left) {
  for (std::int32_t left = 1; left <= 400; ++left) {
    std::int32_t const width = sm90_width(left, 192);
    EXPECT_EQ(width % 64, 0) << left;
    EXPECT_GE(width, left < 192 ? left : 192) << left;
    EXPECT_LE(width, 192) << left;
    EXPECT_LT(width - left, 64) << left;
  }
}

// Shares of sm90: cluster c of `count` begins at unit floor(units c / count), counted in whole
// point tiles where none is shared.
TEST(tiles, of_sm90_are_shared_evenly) {
  for (std::int64_t const most : {1, 66, 132}) {
    for (std::int64_t tiles = 1; tiles <= 1000; ++tiles) {
      for (std::int64_t const k_tiles : {1, 2, 6, 22, 342}) {
        sm90_shares const shares = sm90_shares_for(tiles, k_tiles, most);
        ASSERT_GE(shares.count, 1);
        ASSERT_LE(shares.count, most);
        ASSERT_LE(shares.count, tiles * k_tiles);
        std::int64_t const largest = shares.whole_tiles
                                         ? (tiles + shares.count - 1) / shares.count * k_tiles
                                         : (tiles * k_tiles + shares.count - 1) / shares.count;
        std::int64_t const idle = largest * shares.count - tiles * k_tiles;
        if (tiles >= most) {
          ASSERT_LT(idle, (shares.whole_tiles ? 3 : 1) * shares.count);
        } else {
          ASSERT_EQ(shares.count % tiles, 0);
          ASSERT_TRUE(shares.count + tiles > most || shares.count == tiles * k_tiles);
        }
      }
    }
  }
}

// Shares are counted in 32 bits, however large a call is; usual calls have a share for each cluster
// that runs.
TEST(tiles, shares_of_enormous_calls_fit_32_bits) {
  std::int64_t const at_once = 132;
  EXPECT_EQ(sm90_clusters_for(1, 1, at_once), at_once);
  EXPECT_EQ(sm90_clusters_for(1 << 20, 342, at_once), at_once);
  for (std::int64_t const point_tiles : {std::int64_t{11184811}, std::int64_t{1} << 34}) {
    for (std::int64_t const k_tiles : {std::int64_t{32768}, std::int64_t{8388608}}) {
      std::int64_t const clusters = sm90_clusters_for(point_tiles, k_tiles, at_once);
      sm90_shares const shares = sm90_shares_for(point_tiles, k_tiles, clusters);
      std::int64_t const largest = shares.whole_tiles
                                       ? (point_tiles + shares.count - 1) / shares.count * k_tiles
                                       : (point_tiles * k_tiles + shares.count - 1) / shares.count;
      EXPECT_LE(largest, std::int64_t{2147483647}) << point_tiles << " x " << k_tiles;
    }
  }
}

// n d (k + 128) >= 2^31 and n d (k - 8) >= 2^27, without overflow for the largest shapes.
TEST(tiles, screens_go_before_large_assignments) {
  EXPECT_TRUE(screen_pays_float(1 << 20, 1024, 128));
  EXPECT_TRUE(screen_pays_float(1 << 20, 16, 128));  // packing less is worth it alone
  EXPECT_FALSE(screen_pays_float(8192, 1024, 128));
  EXPECT_TRUE(screen_pays_float(1 << 20, 2048 - 128, 1));
  EXPECT_FALSE(screen_pays_float(1 << 20, 2048 - 129, 1));
  EXPECT_TRUE(screen_pays_float(0x7fffffff, 0x7fffffff, 1 << 20));
  EXPECT_TRUE(screen_pays_double(1 << 20, 128 + 8, 1));
  EXPECT_FALSE(screen_pays_double(1 << 20, 128 + 7, 1));
  EXPECT_FALSE(screen_pays_double(0x7fffffff, 8, 1 << 20));  // rounding the points takes longer
  EXPECT_TRUE(screen_pays_double(0x7fffffff, 0x7fffffff, 1 << 20));
}

// Small problems: all points and all centroids have a block, shared memory is cut into regions that
// follow each other, and rows below each other lie in other banks.
TEST(small_layout, holds_every_point_and_centroid) {
  struct {
    std::int64_t n, k, d;
  } const shapes[] = {{1, 1, 1},      {64, 8, 16},     {257, 257, 3},  {1024, 64, 128},
                      {1797, 10, 64}, {4096, 256, 64}, {32768, 16, 8}, {300, 4, 2000}};
  for (auto const& s : shapes) {
    for (std::int64_t const element : {2, 4, 8}) {
      for (std::int64_t const blocks : {1, 8}) {
        SCOPED_TRACE("n " + std::to_string(s.n) + ", k " + std::to_string(s.k) + ", d " +
                     std::to_string(s.d) + ", " + std::to_string(element) + " bytes, at most " +
                     std::to_string(blocks) + " blocks");
        std::int64_t const acc = element == 8 ? 8 : 4;
        small_layout const l = small_layout_for(s.n, s.k, s.d, element, acc, element == 2, blocks);
        if (s.d * element > 4096 || s.n > blocks * 4096) {
          EXPECT_EQ(l.blocks, 0);
          continue;
        }
        ASSERT_GE(l.blocks, 1);
        EXPECT_LE(l.blocks, blocks);
        EXPECT_EQ(l.blocks, 1u << l.block_bits);
        EXPECT_GE(std::int64_t{l.blocks} * l.span, s.n);
        EXPECT_GE(std::int64_t{l.blocks} * l.owned, s.k);
        EXPECT_GE(l.threads, l.lanes);
        EXPECT_LE(l.span, 8 * l.threads);
        EXPECT_EQ(32 % l.searchers, 0);
        EXPECT_GE(l.row_bytes, s.d * element);
        EXPECT_EQ(l.row_bytes / 16 % 2, 1);
        EXPECT_EQ(l.row_bytes % 16, 0);
        std::int64_t const row = l.ld * acc, pieces = l.span >> l.piece_bits;
        std::int64_t const tiles = (s.k + 31) / 32 * 32;
        std::vector<std::int64_t> const begins{
            l.centroids, l.inbox,        l.masters, l.sums,   l.shifts, l.places, l.pieces,
            l.bias,      l.inbox_points, l.list,    l.labels, l.counts, l.bytes};
        std::vector<std::int64_t> const sizes{tiles * l.row_bytes,
                                              std::int64_t{l.blocks} * l.owned * row,
                                              l.owned * row,
                                              2 * pieces * row,
                                              8 * s.k,
                                              8 * (s.k + 1),
                                              2 * (s.k + pieces),
                                              tiles * acc,
                                              std::int64_t{4} * l.blocks * l.owned,
                                              std::int64_t{2} * l.span,
                                              std::int64_t{2} * l.span,
                                              l.threads / 32 * 2 * s.k};
        EXPECT_GE(begins[0], (l.span + 31) / 32 * 32 * std::int64_t{l.row_bytes});
        for (std::size_t i = 0; i < sizes.size(); ++i) {
          EXPECT_EQ(begins[i] % 16, 0) << "region " << i;
          EXPECT_GE(begins[i + 1] - begins[i], sizes[i]) << "region " << i;
        }
      }
    }
  }
}

}  // namespace
