// Distances from points to masters, a struct a metric: what a feature adds and what the sums end as.
// The policy of distances_kernel and transform_kernel.
//
// A distance that is not finite is NaN: the point (or centroid) holds a value that is not, or its
// sums overflow.
#pragma once

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The value itself, or NaN for an infinity.
template <class Acc>
__device__ Acc finite_or_nan(Acc value) {
  return value - value == 0 ? value : value - value;
}

// |x - c|^2. Differences are formed first and squared then, so nothing cancels.
struct euclidean_terms {
  static constexpr bool kLengths = false;  // whether distance needs |x|^2

  template <class Acc>
  __device__ static void add(Acc& sum, Acc x, Acc c) {
    Acc const difference = x - c;
    sum += difference * difference;
  }
  template <class Acc>
  __device__ static Acc distance(Acc sum, Acc) {
    return finite_or_nan(sum);
  }
};

// 1 - x.c / |x| of centroids that have length 1 or are zeros (kernel_unit.cuh).
struct cosine_terms {
  static constexpr bool kLengths = true;

  template <class Acc>
  __device__ static void add(Acc& sum, Acc x, Acc c) {
    sum += x * c;
  }
  template <class Acc>
  __device__ static Acc distance(Acc sum, Acc squares) {
    if (squares == 0) return 1;
    Acc const value = 1 - sum / sqrt(squares);
    if (!(squares - squares == 0)) return squares - squares;
    return value < 0 ? 0 : value;  // by rounding
  }
};

// -x.c
struct inner_product_terms {
  static constexpr bool kLengths = false;

  template <class Acc>
  __device__ static void add(Acc& sum, Acc x, Acc c) {
    sum += x * c;
  }
  template <class Acc>
  __device__ static Acc distance(Acc sum, Acc) {
    return finite_or_nan(-sum);
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
