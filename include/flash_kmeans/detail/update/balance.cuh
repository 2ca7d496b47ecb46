// Launches that keep clusters from becoming too large, between the sort of an update and its sums.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_balance.cuh"
#include "kernel_relabel.cuh"
#include "moved_centroids.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class Acc>
class size_balance {
 public:
  // ratio: that clusters are kept to, or 0: nothing is done, and nothing must be queued here. scales:
  // [b][n] factors of rows, or null.
  size_balance(double ratio, std::int64_t b, std::int64_t n, std::int64_t k, Acc const* scales,
               arena& memory)
      : ratio_(ratio), n_(n), scales_(scales) {
    if (!wanted()) return;
    labels_ = memory.take<std::int32_t>(b * n);
    thresholds_ = memory.take<double>(b);
    moves_.counts = memory.take<std::int32_t>(b);
    moves_.dealt = memory.take<std::uint32_t>(b * k);
    moves_.clusters = memory.take<std::int32_t>(b * k);
    moves_.moves = memory.take<std::uint8_t>(b * k);
  }

  bool wanted() const { return ratio_ > 0; }

  // After queue: [b] centroids that move, and the labels [b][n] that points are summed by.
  std::int32_t const* moves() const { return moves_.counts; }
  std::int32_t* labels() const { return labels_; }

  // What decides on convergence, which is not now where centroids move.
  convergence_state watched(convergence_state state) const {
    if (wanted()) state.thresholds = thresholds_;
    return state;
  }

  // labels: [b][n], that the points are sorted by.
  void queue(sorted_points const& sorted, std::int64_t problems, std::int32_t const* labels,
             convergence_state const& state, cudaStream_t stream) const {
    launch(balance_kernel<Acc>, "balance_kernel", problems, kBalanceThreads, stream,
           balance_params<Acc>{sorted, scales_, state, thresholds_, moves_, ratio_});
    constexpr std::int64_t kRows = 4096;
    std::int64_t const blocks = ceil_div(n_, kRows);
    launch(relabel_kernel<kRelabelThreads>, "relabel_kernel", grid_for(problems * blocks),
           kRelabelThreads, stream,
           relabel_params{sorted, labels, labels_, state.status, moves_, kRows, blocks,
                          problems * blocks});
  }

 private:
  double ratio_;
  std::int64_t n_;
  Acc const* scales_;
  std::int32_t* labels_ = nullptr;
  double* thresholds_ = nullptr;
  moved_centroids moves_{};
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
