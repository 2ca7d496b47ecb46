// What is added up of the rows of a cluster: a policy of the kernels of segments and finish.
#pragma once

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The rows themselves; a centroid is their mean.
struct sums_of_rows {
  static constexpr bool kScaled = false, kChanges = false;
  template <class Acc>
  using sum = Acc;  // of a run of rows
};

// Rows times factors. A centroid is divided by the sum of the factors (weights), or scaled to length 1
// (directions).
struct sums_of_scaled_rows {
  static constexpr bool kScaled = true, kChanges = false;
  template <class Acc>
  using sum = Acc;
};

// Rows of what changed since the update before (changes.cuh); of points that left, less the rows. They
// are added to the sums that are there, so rounding would add up too, and what large clusters lost to
// it would be much of small ones: sums have twice the bits.
struct sums_of_changes {
  static constexpr bool kScaled = false, kChanges = true;
  template <class Acc>
  using sum = double;
};

// How the rows of a call are scaled.
template <class Acc>
struct row_scaling {
  bool scaled = false;
  Acc const* scales = nullptr;  // [b][n] factors, or null: 1
  bool directions = false;      // centroids are scaled to length 1
};

// What an update does besides means of points.
template <class Acc>
struct update_rules {
  row_scaling<Acc> rows{};
  empty_cluster empty = empty_cluster::keep;
  double size_ratio = 0;  // that clusters are kept to, 0: any size
  bool repeats = false;   // the same points are updated again, as long as an update has a state
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
