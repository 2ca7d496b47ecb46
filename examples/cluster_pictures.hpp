// The pictures that the cluster tool draws: its centroids side by side, and a photograph repainted.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cluster_table.hpp"

namespace cluster {

struct picture {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  // [height][width][3]
};

// How the d features of a centroid make up a small picture.
struct tile_shape {
  int height = 0, width = 0, channels = 1;
};

// The grid of k such pictures, enlarged so that small ones can be seen.
struct grid_layout {
  static constexpr int kGap = 4;              // pixels between tiles and around them
  static constexpr int kWantedSide = 96;      // pixels of an enlarged tile's longer side, about
  static constexpr int kLargestSide = 16384;  // pixels of the whole

  int columns = 1, rows = 1, scale = 1, width = 0, height = 0;

  grid_layout(tile_shape const& tile, std::int64_t k) {
    // As square as it gets without an unfinished last row, else just square.
    auto const root = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(k))));
    std::int64_t across = root;
    while (across < 2 * root && k % across != 0) ++across;
    if (k % across != 0) across = root;
    std::int64_t const down = (k + across - 1) / across;
    auto const side = [&](std::int64_t count, std::int64_t pixels) {
      return count * (pixels * scale + kGap) + kGap;
    };
    auto const largest = [&] {
      return std::max(side(across, tile.width), side(down, tile.height));
    };
    scale = std::max(1, kWantedSide / std::max(tile.height, tile.width));
    while (scale > 1 && largest() > kLargestSide) --scale;
    if (largest() > kLargestSide) {
      throw user_error("centroids.png would be " + std::to_string(side(across, tile.width)) +
                       " x " + std::to_string(side(down, tile.height)) + " pixels, at most " +
                       std::to_string(kLargestSide) + " either way are drawn");
    }
    columns = static_cast<int>(across);
    rows = static_cast<int>(down);
    width = static_cast<int>(side(across, tile.width));
    height = static_cast<int>(side(down, tile.height));
  }
};

inline std::uint8_t to_byte(double value) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
}

// Centroids row by row in the order of their labels. The smallest value of all centroids becomes
// black, the largest white.
template <class C>
picture draw_centroids(std::vector<C> const& centroids, std::int64_t k, tile_shape const& tile) {
  grid_layout const grid(tile, k);
  auto const [low, high] = std::minmax_element(centroids.begin(), centroids.end());
  double const black = *low;
  double const range = std::max(*high - black, std::numeric_limits<double>::min());
  picture p{grid.width, grid.height, {}};
  constexpr std::uint8_t kBackground = 128;
  p.pixels.assign(std::size_t{3} * p.width * p.height, kBackground);

  auto const at = [&](std::int64_t j, int y, int x, int channel) {
    std::int64_t const pixel = (j * tile.height + y) * tile.width + x;
    return to_byte((centroids[pixel * tile.channels + channel] - black) / range * 255);
  };
  for (std::int64_t j = 0; j < k; ++j) {
    auto const down = static_cast<int>(j / grid.columns);
    auto const across = static_cast<int>(j % grid.columns);
    int const top = grid_layout::kGap + down * (tile.height * grid.scale + grid_layout::kGap);
    int const left = grid_layout::kGap + across * (tile.width * grid.scale + grid_layout::kGap);
    for (int y = 0; y < tile.height * grid.scale; ++y) {
      for (int x = 0; x < tile.width * grid.scale; ++x) {
        std::uint8_t* const to =
            p.pixels.data() + 3 * (static_cast<std::size_t>(top + y) * p.width + left + x);
        for (int channel = 0; channel < 3; ++channel) {
          to[channel] = at(j, y / grid.scale, x / grid.scale, channel % tile.channels);
        }
      }
    }
  }
  return p;
}

// Every pixel in the colour of its centroid.
template <class C>
picture repaint(image_size const& size, std::vector<C> const& centroids,
                std::vector<std::int32_t> const& labels) {
  std::vector<std::uint8_t> colours(centroids.size());
  std::transform(centroids.begin(), centroids.end(), colours.begin(), to_byte);
  picture p{size.width, size.height, {}};
  p.pixels.resize(3 * labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::copy_n(colours.data() + std::size_t{3} * labels[i], 3, p.pixels.data() + 3 * i);
  }
  return p;
}

}  // namespace cluster
