// Queries that look at several centroids of a point: the nearest j, and all.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "../../types.hpp"
#include "../math.hpp"
#include "abi.hpp"
#include "assign.hpp"
#include "distance.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

inline constexpr int kMostNearest = 64;

// The best scores of a point so far, best first, ties in ascending order of their index. Scores that
// beat nothing, NaN for one, are never kept.
template <class C>
class best_scores {
 public:
  void start(int j) {
    count_ = 0;
    room_ = j;
  }

  // In ascending order of index.
  void offer(C score, std::int32_t index) {
    if (!(score > (count_ == room_ ? scores_[count_ - 1] : -std::numeric_limits<C>::infinity()))) {
      return;
    }
    int at = count_ < room_ ? count_++ : count_ - 1;
    for (; at > 0 && score > scores_[at - 1]; --at) {
      scores_[at] = scores_[at - 1];
      indices_[at] = indices_[at - 1];
    }
    scores_[at] = score;
    indices_[at] = index;
  }

  // Fills up with the lowest indices that are not among them.
  void write(std::int32_t* labels) const {
    std::copy_n(indices_, count_, labels);
    int count = count_;
    for (std::int32_t index = 0; count < room_; ++index) {
      if (std::find(indices_, indices_ + count_, index) == indices_ + count_) {
        labels[count++] = index;
      }
    }
  }

 private:
  int count_ = 0, room_ = 0;
  C scores_[kMostNearest];
  std::int32_t indices_[kMostNearest];
};

// The j nearest centroids of each point of a problem into labels [n][j], and their distances into
// distances [n][j] unless they are null.
template <class P, class C, class Centroid>
void nearest_centroids(team& workers, scratch<C>& s, matrix_view<P> const& x,
                       matrix_view<Centroid> const& c, metric by, int j, std::int32_t* labels,
                       C* distances) {
  pack(workers, s, c, by);
  std::int64_t const tiles = ceil_div<std::int64_t>(x.rows, kTileRows);
  double const cost = static_cast<double>(kTileRows) * static_cast<double>(x.cols) *
                      (static_cast<double>(s.bias.size()) + (distances != nullptr ? 3 * j : 0));
  workers.for_ranges(tiles, cost, [&](std::int64_t begin, std::int64_t end) {
    vector<C> memory(static_cast<std::size_t>(kTileRows * x.cols));
    vector<best_scores<C>> best(kTileRows);
    std::array<bool, kTileRows> finite;
    for (std::int64_t t = begin; t < end; ++t) {
      std::int64_t const first = t * kTileRows;
      std::int64_t const count = std::min<std::int64_t>(kTileRows, x.rows - first);
      read_tile(x, first, count, memory.data(), finite.data());
      for (best_scores<C>& own : best) own.start(j);
      for_products(s, x.cols, memory.data(), count,
                   [&](std::int64_t block, std::int64_t r, C const* sums, C const* bias) {
                     auto const at = static_cast<std::size_t>(r);
                     if (!finite[at]) return;
                     for (int l = 0; l < kLanes; ++l) {
                       best[at].offer(sums[l] - bias[l],
                                      static_cast<std::int32_t>(block * kLanes + l));
                     }
                   });
      for (std::int64_t r = 0; r < count; ++r) {
        std::int64_t const i = first + r;
        best[static_cast<std::size_t>(r)].write(labels + i * j);
        if (distances == nullptr) continue;
        for (int l = 0; l < j; ++l) {
          distances[i * j + l] =
              stored_distance<C>(by, row(x, i), row(c, labels[i * j + l]), x.cols);
        }
      }
    }
  });
}

// Distances of all points of a problem to all centroids.
template <class P, class C, class Centroid>
void all_distances(team& workers, matrix_view<P> const& x, matrix_view<Centroid> const& c,
                   metric by, matrix_view<C> const& distances) {
  double const cost = 3 * static_cast<double>(x.cols) * static_cast<double>(c.rows);
  workers.for_ranges(x.rows, cost, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      C* const to = row(distances, i);
      for (std::int64_t j = 0; j < c.rows; ++j) {
        to[j] = stored_distance<C>(by, row(x, i), row(c, j), x.cols);
      }
    }
  });
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
