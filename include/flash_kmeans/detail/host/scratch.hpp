// Sizes of the blocks that work is cut into, and the memory that calls share.
#pragma once

#include <cstdint>

#include "abi.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Centroids are packed in blocks of kLanes, features outermost, so that one load brings the same
// feature of neighbouring centroids; kRows points x kLanes centroids is what registers hold.
inline constexpr int kLanes = 16;
inline constexpr int kRows = 3;
// Points that are converted at a time, and features that are summed up before the next block of
// them: together they keep a block of centroids and a tile of points in the caches. Each block of
// features has a sum of its own, which also keeps rounding errors small at large d.
inline constexpr int kTileRows = 48;
inline constexpr int kDepth = 256;
static_assert(kTileRows % kRows == 0);
// Points whose distances are one term of the inertia, and points whose sum is one term of a
// cluster's sum. Fixed, because they settle the order of additions.
inline constexpr int kPointBlock = 10 * kTileRows;
inline constexpr int kPieceRows = 1024;

// Memory that calls inside one another's loops share.
template <class C>
struct scratch {
  vector<C> packed;              // [k / kLanes][d][kLanes], zero beyond k
  vector<C> bias;                // [k / kLanes][kLanes], infinite beyond k
  vector<std::int32_t> offsets;  // [k + 1]
  vector<std::int32_t> order;    // [n]
  vector<std::int32_t> histograms;
  vector<double> partials;
  vector<double> shifts;        // [k]
  vector<std::int32_t> labels;  // [n], where they differ from those that the caller sees
  // of balance_clusters
  std::int64_t moved_centroids = 0;
  vector<std::int32_t> balanced;  // [n] labels
};

// Calls visit(team, scratch, i) for i in [0, count): many or small problems side by side, a thread
// each; few large ones one after the other, with all threads inside each. cost is that of one.
template <class C, class Visit>
void for_each_problem(team& workers, scratch<C>& s, std::int64_t count, double cost,
                      Visit const& visit) {
  bool const side_by_side =
      count >= 4 * std::int64_t{workers.size()} || cost < kWorthAThread * workers.size();
  if (count == 1 || workers.size() == 1 || !side_by_side) {
    for (std::int64_t i = 0; i < count; ++i) visit(workers, s, i);
    return;
  }
  workers.for_ranges(count, cost, [&](std::int64_t begin, std::int64_t end) {
    team alone(1);
    scratch<C> own;
    for (std::int64_t i = begin; i < end; ++i) visit(alone, own, i);
  });
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
