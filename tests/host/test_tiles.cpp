// Tile sizes: tiles cover every point exactly once, and the blocks that they describe exist.
#include <gtest/gtest.h>

#include <cstdint>
#include <flash_kmeans/detail/assign/tiles.hpp>

namespace {

using flash_kmeans::detail::assign_shape;
using flash_kmeans::detail::kBiasPadding;
using flash_kmeans::detail::kSimtTile;
using flash_kmeans::detail::kSimtTileDouble;
using flash_kmeans::detail::kSm80Tile;
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

}  // namespace
