// Launches of greedy k-means++: two kernels a centroid, each started while the one before it ends.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../seeding.hpp"
#include "../workspace.cuh"
#include "kernel_seed_measure.cuh"
#include "kernel_seed_pairs.cuh"
#include "kernel_seed_pick.cuh"
#include "kernel_seed_start.cuh"
#include "seed_fma.cuh"
#include "seed_mma.cuh"
#include "seed_points.cuh"
#include "seed_stream.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// How a call's seedings are computed.
struct seed_plan {
  bool cosine;
  bool tensor_cores;  // of half and bfloat16
};

// Draws points of every problem one after the other.
template <class T>
class seed_draws {
 public:
  using acc = centroid_t<T>;

  // steps: centroids that are drawn one after the other. most: candidates of a draw.
  seed_draws(matrix_view<T const> const& x, acc const* weights, std::int64_t steps,
             std::int32_t most, seed_plan const& plan, arena& memory)
      : b_(x.batch_count()), tensor_cores_(plan.tensor_cores) {
    points_.x = device_matrix<T const>(x);
    points_.weights = weights;
    points_.n = x.rows;
    points_.d = static_cast<std::int32_t>(x.cols);
    points_.most = most;
    // Pairs have sums of their own.
    pairs_ = is_half_v<T> && tensor_cores_ && proposes(1, steps, most);
    points_.columns = pairs_ ? most + most * most : most;
    points_.aligned = rows_aligned(x, 16);
    points_.cosine = plan.cosine;
    points_.block = seed_block(x.rows);
    points_.blocks = ceil_div(x.rows, points_.block);
    points_.spans = ceil_div<std::int64_t>(x.rows, kSeedSpan);
    points_.count = b_ * points_.blocks;
    points_.norms = memory.take<acc>(b_ * x.rows);
    points_.nearest = memory.take<acc>(b_ * x.rows);
    points_.span_sums = memory.take<double>(b_ * points_.spans * points_.columns);
    points_.block_sums = memory.take<double>(b_ * points_.blocks * points_.columns);
    points_.drawn = memory.take<std::int32_t>(b_ * (2 + 2 * most));
    points_.chosen = memory.take<std::int32_t>(b_);
    cursors_ = memory.take<std::int32_t>(b_);
    overlaps_ = has_clusters(seed_measure_kernel<T>);
  }

  seed_points<T> const& points() const { return points_; }

  // [b], see seed_pick_params.
  std::int32_t const* cursors() const { return cursors_; }

  // What the host does once, before anything is queued.
  void prepare() {
    if constexpr (is_half_v<T>) {
      if (tensor_cores_) {
        pairs_grid_ = blocks_of_multiprocessor(seed_pairs_kernel<T>, "seed_pairs_kernel",
                                               kSeedThreads, seed_pairs_bytes(points_.d)) *
                      multiprocessors();
      }
    }
  }

  // Before anything is drawn. Sums of weights lie where those of the first candidate lie later.
  void queue_start(cudaStream_t stream) const {
    with_products([&](auto products) {
      launch(seed_start_kernel<T, decltype(products)>, "seed_start_kernel", grid_for(points_.count),
             kSeedThreads, stream, seed_start_params<T>{points_, cursors_});
    });
  }

  // What potentials the candidates of a step would leave, after the centroids before it are taken
  // in. used: [b] or null, points from there on weigh nothing.
  void queue_measure(std::int64_t step, std::int64_t k, std::int32_t const* used,
                     cudaStream_t stream) const {
    std::int32_t const candidates = step == 0 ? 1 : points_.most;
    if constexpr (is_half_v<T>) {
      if (tensor_cores_) {
        std::int64_t const share = ceil_div(points_.count, std::min(points_.count, pairs_grid_));
        seed_pairs_params<T> const p{points_,
                                     used,
                                     static_cast<std::int32_t>(step),
                                     candidates,
                                     static_cast<std::uint32_t>(share),
                                     pairs_ && proposes(step, k, points_.most)};
        launch(seed_pairs_kernel<T>, "seed_pairs_kernel", ceil_div(points_.count, share),
               kSeedThreads, stream, p, {seed_pairs_bytes(points_.d), 1, overlaps_});
        return;
      }
    }
    launch(seed_measure_kernel<T>, "seed_measure_kernel", grid_for(points_.count), kSeedThreads,
           stream, seed_measure_params<T>{points_, candidates, step > 0, used}, {0, 1, overlaps_});
  }

  // The best of the measured candidates becomes centroid `step` of k, or none for -1, and others are
  // drawn for the next.
  void queue_pick(matrix_view<acc> const& c, problem_seeds const& seeds, bool among_taken,
                  std::int64_t step, std::int64_t k, cudaStream_t stream) const {
    seed_pick_params<T> p{};
    p.points = points_;
    p.c = device_matrix<acc>(c);
    p.cursors = cursors_;
    p.seeds = seeds;
    p.among_taken = among_taken;
    p.pairs = pairs_;
    p.step = static_cast<std::int32_t>(step);
    p.k = static_cast<std::int32_t>(k);
    p.b = b_;
    with_products([&](auto products) {
      launch(seed_pick_kernel<T, decltype(products)>, "seed_pick_kernel", grid_for(b_),
             kSeedPickThreads, stream, p, {0, 1, overlaps_});
    });
  }

 private:
  template <class Use>
  void with_products(Use&& use) const {
    if constexpr (is_half_v<T>) {
      if (tensor_cores_) {
        use(mma_products<T>{});
        return;
      }
    }
    use(fma_products<T>{});
  }

  std::int64_t b_;
  bool tensor_cores_;
  bool overlaps_;
  bool pairs_;  // two steps may share a pass
  std::int64_t pairs_grid_ = 1;
  seed_points<T> points_{};
  std::int32_t* cursors_;
};

template <class T>
class plus_plus {
 public:
  using acc = centroid_t<T>;

  plus_plus(matrix_view<T const> const& x, acc const* weights, matrix_view<acc> const& c,
            int candidates, seed_plan const& plan, arena& memory)
      : c_(c), draws_(x, weights, c.rows, seed_candidates(candidates, c.rows), plan, memory) {}

  void prepare() { draws_.prepare(); }

  // among_taken: the points are those that k-means|| took, as many as `used` says.
  void queue(problem_seeds const& seeds, bool among_taken, std::int32_t const* used,
             cudaStream_t stream) const {
    draws_.queue_start(stream);
    draws_.queue_pick(c_, seeds, among_taken, -1, c_.rows, stream);
    for (std::int64_t step = 0; step < c_.rows; ++step) {
      draws_.queue_measure(step, c_.rows, used, stream);
      draws_.queue_pick(c_, seeds, among_taken, step, c_.rows, stream);
    }
  }

 private:
  matrix_view<acc> c_;
  seed_draws<T> draws_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
