// Launches of k-means||: rounds that each take about k points, measured by the assignment, then
// k-means++ among the points taken.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../assign/dispatch.cuh"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../kernel_sum.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../seeding.hpp"
#include "../workspace.cuh"
#include "kernel_seed_count.cuh"
#include "kernel_seed_fill.cuh"
#include "kernel_seed_fold.cuh"
#include "kernel_seed_rows.cuh"
#include "kernel_seed_take.cuh"
#include "kernel_seed_weigh.cuh"
#include "kernel_seed_weights.cuh"
#include "plus_plus.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class parallel_seeding {
 public:
  using acc = centroid_t<T>;

  parallel_seeding(matrix_view<T const> const& x, acc const* weights, matrix_view<acc> const& c,
                   int candidates, seed_plan const& how, assign_plan const& plan, arena& memory)
      : x_(x),
        c_(c),
        b_(x.batch_count()),
        k_(c.rows),
        weights_(weights),
        capacity_(round_capacity(x.rows, c.rows)),
        most_(most_taken(x.rows, c.rows)),
        draws_(x, weights, 1, 1, how, memory),
        masters_(rows_of<acc>(capacity_, memory)),
        rows_(rows_of<T>(most_, memory)),
        taken_weights_(memory.take<acc>(b_ * most_)),
        assignment_(x, masters_, plan, memory),
        choice_(rows_, taken_weights_, c, candidates, how, memory) {
    taken_ = {memory.take<std::int32_t>(b_ * most_),
              memory.take<std::int32_t>(b_ * (1 + kSeedRounds)), memory.take<std::int32_t>(b_),
              most_};
    counts_ = memory.take<std::int32_t>(draws_.points().count);
    labels_ = memory.take<std::int32_t>(b_ * x.rows);
    owners_ = memory.take<std::int32_t>(b_ * x.rows);
    sums_ = memory.take<unsigned long long>(b_ * most_);
    weight_totals_ = memory.take<double>(b_);
  }

  void prepare() {
    assignment_.prepare();
    choice_.prepare();
  }

  void queue(problem_seeds const& seeds, cudaStream_t stream) const {
    seed_points<T> const& points = draws_.points();
    draws_.queue_start(stream);
    if (weights_ != nullptr) {
      launch(sum_kernel<kSumThreads>, "sum_kernel", grid_for(b_), kSumThreads, stream,
             sum_params{points.block_sums, points.blocks, weight_totals_, 1, b_});
    }
    draws_.queue_pick(masters_, seeds, false, -1, 1, stream);
    queue_fold(-1, stream);
    assignment_.queue_points(stream);
    for (int round = 0; round < kSeedRounds; ++round) {
      seed_round<T> const p{
          points, taken_, counts_, seeds, k_, static_cast<std::int32_t>(capacity_), round};
      launch(seed_count_kernel<T>, "seed_count_kernel", grid_for(points.count), kSeedThreads,
             stream, p);
      launch(seed_take_kernel<T>, "seed_take_kernel", grid_for(points.count), kSeedThreads, stream,
             p);
      // A direction's nearest is the one with the largest product if all have length 1.
      queue_rows(masters_, round, round + 1, points.cosine ? points.norms : nullptr, stream);
      assignment_.queue_centroids(stream);
      assignment_.queue_labels(labels_, nullptr, stream);
      queue_fold(round, stream);
    }
    queue_weights(stream);
    queue_rows(rows_, -1, kSeedRounds, nullptr, stream);
    choice_.queue(seeds, true, taken_.used, stream);
    launch(
        seed_fill_kernel<T>, "seed_fill_kernel", b_, kRandomThreads, stream,
        seed_fill_params<T>{random_draws(x_, c_, seeds), taken_, points.nearest, draws_.cursors()});
  }

 private:
  // Memory of rows that start on 16 bytes.
  template <class Element>
  matrix_view<Element> rows_of(std::int64_t count, arena& memory) const {
    std::int64_t const ld = round_up<std::int64_t>(x_.cols, 16 / sizeof(Element));
    return {memory.take<Element>(b_ * count * ld), count, x_.cols, ld, {b_, 1}, {count * ld, 0}};
  }

  template <class To>
  void queue_rows(matrix_view<To> const& to, int first_round, int last_round, acc const* scales,
                  cudaStream_t stream) const {
    seed_rows_params<T, To> p{};
    p.x = device_matrix<T const>(x_);
    p.taken = taken_;
    p.first_round = first_round;
    p.last_round = last_round;
    p.scales = scales;
    p.to = to.data;
    p.n = x_.rows;
    p.count = to.rows;
    p.ld = to.ld;
    p.rows = b_ * to.rows;
    p.d = static_cast<std::int32_t>(x_.cols);
    launch(seed_rows_kernel<T, To>, "seed_rows_kernel",
           grid_for(ceil_div<std::int64_t>(p.rows, kSeedRowsThreads / 32)), kSeedRowsThreads,
           stream, p);
  }

  void queue_fold(int round, cudaStream_t stream) const {
    launch(seed_fold_kernel<T>, "seed_fold_kernel", grid_for(draws_.points().count), kSeedThreads,
           stream, seed_fold_params<T>{draws_.points(), taken_, round, labels_, owners_});
  }

  void queue_weights(cudaStream_t stream) const {
    std::int64_t const points = b_ * x_.rows, taken = b_ * most_;
    check_cuda(cudaMemsetAsync(sums_, 0, static_cast<std::size_t>(taken) * sizeof(*sums_), stream),
               "cudaMemsetAsync");
    double const* const totals = weights_ == nullptr ? nullptr : weight_totals_;
    launch(seed_weigh_kernel<T>, "seed_weigh_kernel",
           grid_for(ceil_div<std::int64_t>(points, kSeedThreads)), kSeedThreads, stream,
           seed_weigh_params<T>{draws_.points(), owners_, totals, sums_, most_, points});
    launch(seed_weights_kernel<acc>, "seed_weights_kernel",
           grid_for(ceil_div<std::int64_t>(taken, kSeedThreads)), kSeedThreads, stream,
           seed_weights_params<acc>{sums_, totals, taken_weights_, most_, taken});
  }

  matrix_view<T const> x_;
  matrix_view<acc> c_;
  std::int64_t b_, k_;
  acc const* weights_;
  std::int64_t capacity_, most_;
  seed_draws<T> draws_;
  matrix_view<acc> masters_;  // [b][capacity][d], points of a round
  matrix_view<T> rows_;       // [b][most][d], points of all rounds
  acc* taken_weights_;        // [b][most]
  assignment<T> assignment_;
  plus_plus<T> choice_;
  seed_taken taken_{};
  std::int32_t* counts_;
  std::int32_t* labels_;
  std::int32_t* owners_;
  unsigned long long* sums_;
  double* weight_totals_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
