// Launches of greedy k-means++: two kernels a centroid, each started while the one before it ends.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../seeding.hpp"
#include "../workspace.cuh"
#include "kernel_seed_measure.cuh"
#include "kernel_seed_pick.cuh"
#include "kernel_seed_start.cuh"
#include "seed_fma.cuh"
#include "seed_mma.cuh"
#include "seed_points.cuh"

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

  // most: candidates of a draw.
  seed_draws(matrix_view<T const> const& x, acc const* weights, std::int32_t most,
             seed_plan const& plan, arena& memory)
      : b_(x.batch_count()), tensor_cores_(plan.tensor_cores) {
    points_.x = device_matrix<T const>(x);
    points_.weights = weights;
    points_.n = x.rows;
    points_.d = static_cast<std::int32_t>(x.cols);
    points_.columns = most;
    points_.aligned = rows_aligned(x, 16);
    points_.cosine = plan.cosine;
    points_.block = seed_block(x.rows);
    points_.blocks = ceil_div(x.rows, points_.block);
    points_.spans = ceil_div<std::int64_t>(x.rows, kSeedSpan);
    points_.count = b_ * points_.blocks;
    points_.norms = memory.take<acc>(b_ * x.rows);
    points_.nearest = memory.take<acc>(b_ * x.rows);
    points_.span_sums = memory.take<double>(b_ * points_.spans * most);
    points_.block_sums = memory.take<double>(b_ * points_.blocks * most);
    drawn_ = memory.take<std::int32_t>(b_ * (1 + most));
    cursors_ = memory.take<std::int32_t>(b_);
    overlaps_ = has_clusters(seed_pick_kernel<T, fma_products<T>>);
  }

  seed_points<T> const& points() const { return points_; }

  // [b][1 + candidates]: the last centroid of every problem, then what the last draw gave.
  std::int32_t const* drawn() const { return drawn_; }
  // [b], see seed_pick_params.
  std::int32_t const* cursors() const { return cursors_; }

  // Before anything is drawn. Sums of weights lie where those of the first candidate lie later.
  void queue_start(cudaStream_t stream) const {
    with_products<1>([&](auto products) {
      launch(seed_start_kernel<T, decltype(products)>, "seed_start_kernel", grid_for(points_.count),
             kSeedThreads, stream, seed_start_params<T>{points_, cursors_});
    });
  }

  // What potentials the candidates would leave; folds: after the last centroid is taken in. used:
  // [b] or null, points from there on weigh nothing.
  void queue_measure(std::int32_t candidates, bool folds, std::int32_t const* used,
                     cudaStream_t stream) const {
    with_products<2>([&](auto products) {
      launch(seed_measure_kernel<T, decltype(products)>, "seed_measure_kernel",
             grid_for(points_.count), kSeedThreads, stream,
             seed_measure_params<T>{points_, drawn_, candidates, folds, used}, {0, 1, overlaps_});
    });
  }

  // The best of the measured candidates becomes centroid `step`, or none for -1, and others are
  // drawn for the next.
  void queue_pick(matrix_view<acc> const& c, problem_seeds const& seeds, bool among_taken,
                  std::int64_t step, std::int32_t candidates, std::int32_t draws,
                  cudaStream_t stream) const {
    seed_pick_params<T> p{};
    p.points = points_;
    p.c = device_matrix<acc>(c);
    p.drawn = drawn_;
    p.cursors = cursors_;
    p.seeds = seeds;
    p.among_taken = among_taken;
    p.step = static_cast<std::int32_t>(step);
    p.candidates = candidates;
    p.draws = draws;
    p.b = b_;
    with_products<1>([&](auto products) {
      launch(seed_pick_kernel<T, decltype(products)>, "seed_pick_kernel", grid_for(b_),
             kSeedPickThreads, stream, p, {0, 1, overlaps_});
    });
  }

 private:
  template <int Blocks, class Use>
  void with_products(Use&& use) const {
    if constexpr (is_half_v<T>) {
      if (tensor_cores_) {
        use(mma_products<T, Blocks>{});
        return;
      }
    }
    use(fma_products<T>{});
  }

  std::int64_t b_;
  bool tensor_cores_;
  bool overlaps_;
  seed_points<T> points_{};
  std::int32_t* drawn_;
  std::int32_t* cursors_;
};

template <class T>
class plus_plus {
 public:
  using acc = centroid_t<T>;

  plus_plus(matrix_view<T const> const& x, acc const* weights, matrix_view<acc> const& c,
            int candidates, seed_plan const& plan, arena& memory)
      : c_(c),
        candidates_(seed_candidates(candidates, c.rows)),
        draws_(x, weights, candidates_, plan, memory) {}

  // among_taken: the points are those that k-means|| took, as many as `used` says.
  void queue(problem_seeds const& seeds, bool among_taken, std::int32_t const* used,
             cudaStream_t stream) const {
    draws_.queue_start(stream);
    draws_.queue_pick(c_, seeds, among_taken, -1, 1, 1, stream);
    for (std::int64_t step = 0; step < c_.rows; ++step) {
      std::int32_t const candidates = step == 0 ? 1 : candidates_;
      draws_.queue_measure(candidates, step > 0, used, stream);
      draws_.queue_pick(c_, seeds, among_taken, step, candidates,
                        step + 1 < c_.rows ? candidates_ : 0, stream);
    }
  }

 private:
  matrix_view<acc> c_;
  std::int32_t candidates_;
  seed_draws<T> draws_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
