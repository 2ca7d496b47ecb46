// Launches that fill empty clusters, between the sort of an update and its sums.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../workspace.cuh"
#include "gaps.cuh"
#include "kernel_farthest.cuh"
#include "kernel_gaps.cuh"
#include "kernel_give_back.cuh"
#include "kernel_split.cuh"
#include "moved_points.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class gap_filling {
 public:
  using acc = centroid_t<T>;

  gap_filling(empty_cluster what, std::int64_t b, std::int64_t n, std::int64_t k, acc const* scales,
              arena& memory)
      : what_(what), n_(n), k_(k), scales_(scales) {
    if (what_ == empty_cluster::keep) return;
    gaps_.counts = memory.take<std::int32_t>(b);
    gaps_.clusters = memory.take<std::int32_t>(b * k);
    if (what_ == empty_cluster::split_largest) {
      counts_ = memory.take<std::int32_t>(b * k);
      splits_ = memory.take<split_cluster>(b * k);
    } else {
      distances_ = memory.take<acc>(b * n);
      points_ = memory.take<std::int32_t>(b * k);
      origins_ = memory.take<std::int32_t>(b * k);
    }
  }

  bool moves_points() const { return what_ == empty_cluster::farthest_point; }

  // [b] gaps of each problem, after queue_gaps.
  std::int32_t const* gaps() const { return gaps_.counts; }
  // [b][k], or null.
  split_cluster const* splits() const { return splits_; }
  // [b][n], where distances to the own centroids of problems with gaps have to be before
  // queue_farthest.
  acc* distances() const { return distances_; }

  void queue_gaps(sorted_points const& sorted, std::int64_t problems, fit_status const* status,
                  cudaStream_t stream) const {
    if (what_ == empty_cluster::keep) return;
    launch(gaps_kernel<acc>, "gaps_kernel", problems, kGapsThreads, stream,
           gaps_params<acc>{sorted, scales_, status, gaps_});
    if (what_ != empty_cluster::split_largest) return;
    launch(split_kernel<kSplitThreads>, "split_kernel", problems, kSplitThreads, stream,
           split_params{sorted, gaps_, counts_, splits_});
  }

  void queue_farthest(std::int32_t* labels, std::int64_t first, std::int64_t problems,
                      cudaStream_t stream) const {
    launch(farthest_kernel<acc>, "farthest_kernel", problems, kFarthestThreads, stream,
           farthest(labels, first));
  }

  // After the sums: labels as they were.
  void queue_give_back(std::int32_t* labels, std::int64_t first, std::int64_t problems,
                       cudaStream_t stream) const {
    launch(give_back_kernel<acc>, "give_back_kernel", problems, kFarthestThreads, stream,
           farthest(labels, first));
  }

 private:
  farthest_params<acc> farthest(std::int32_t* labels, std::int64_t first) const {
    return {distances_, scales_, labels, gaps_, points_, origins_, n_, k_, first};
  }

  empty_cluster what_;
  std::int64_t n_, k_;
  acc const* scales_;
  gap_lists gaps_{};
  std::int32_t* counts_ = nullptr;
  split_cluster* splits_ = nullptr;
  acc* distances_ = nullptr;
  std::int32_t* points_ = nullptr;
  std::int32_t* origins_ = nullptr;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
