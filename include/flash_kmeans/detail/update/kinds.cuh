// What is added up of the rows of a cluster: a policy of the kernels of segments and finish.
#pragma once

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The rows themselves; a centroid is their mean.
struct sums_of_rows {
  static constexpr bool kScaled = false;
};

// Rows times factors. A centroid is divided by the sum of the factors (weights), or scaled to length 1
// (directions).
struct sums_of_scaled_rows {
  static constexpr bool kScaled = true;
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
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
