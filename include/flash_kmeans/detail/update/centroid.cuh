// From the sum of a cluster's points to the centroid of the next iteration, and from the last
// centroid of a problem to the end of its iteration.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../assign/operand.cuh"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct centroid_params {
  using acc = centroid_t<T>;
  device_matrix<acc> c;  // [b][k][d], updated
  bool aligned;          // rows of c start on 16 bytes
  operand_params<T> operand;
  bool totals;              // c gets sums and not means, and zero where there are no points
  convergence_state state;  // problems that have converged stay as they are
  double* shifts;           // [b][k], squared distance that each centroid moved
  std::uint32_t* ended;     // [problems] blocks that have ended, zero between launches
  std::uint32_t k;
  std::int32_t d;

  __device__ acc* row(std::int64_t b, std::uint32_t label) const {
    return c.problem(b) + label * c.ld;
  }

  // A cluster without points. By one warp.
  __device__ void leave(std::int64_t b, std::uint32_t label) const {
    std::uint32_t const lane = threadIdx.x % 32;
    if (lane == 0) shifts[b * k + label] = 0;
    acc* const to = row(b, label);
    for (std::int32_t i = static_cast<std::int32_t>(lane); totals && i < d; i += 32) to[i] = 0;
  }

  // Once the block has left or moved its centroids: the last of a problem's blocks adds up the
  // shifts and decides whether the problem has converged. problem: of the group. By all threads.
  __device__ void end_iteration(std::int64_t b, std::uint32_t problem, std::uint32_t blocks) const {
    if (state.status == nullptr || !is_last_block(ended + problem, blocks)) return;
    double const shift = block_strided_sum(shifts + b * k, k);
    if (threadIdx.x == 0) state.step(b, shift);
  }
};

// Rounded once, whatever the compiler is told of floating point.
__device__ inline float quotient(float a, float b) { return __fdiv_rn(a, b); }
__device__ inline double quotient(double a, double b) { return __ddiv_rn(a, b); }

// sum / count rounded once. inverse: 1 / count rounded; a correctly rounded quotient follows from it
// in three steps (P. Markstein, Computation of elementary functions on the IBM RISC System/6000
// processor, 1990).
template <class Acc>
__device__ Acc mean_of(double sum, double count, double inverse) {
  if constexpr (std::is_same_v<Acc, double>) return quotient(sum, count);
  double const near = sum * inverse;
  double const exact = fma(fma(-near, count, sum), inverse, near);
  return static_cast<Acc>(near - near == 0 ? exact : near);
}

// Moves one centroid to the mean of its points. By one warp, whose lanes hold V features each.
template <class T, class Form>
class centroid_move {
 public:
  using acc = centroid_t<T>;
  static constexpr int V = 16 / sizeof(acc);

  __device__ centroid_move(centroid_params<T> const& p, std::int64_t b, std::uint32_t label,
                           double divisor)
      : p_(p),
        b_(b),
        label_(label),
        row_(p.row(b, label)),
        divisor_(p.totals ? 1 : divisor),
        inverse_(1 / divisor_) {}

  // Features [i, i + V) of where it is.
  __device__ pack<acc, V> old(std::int32_t i) const {
    if (p_.totals) return {};
    return load_padded<V>(row_, i, p_.d, p_.aligned);
  }

  // Moves these features and returns where to, and what is multiplied of it. sum: over all points.
  struct moved_features {
    pack<acc, V> mean, multiplied;
  };
  __device__ moved_features move(std::int32_t i, pack<acc, V> const& old, double const (&sum)[V]) {
    pack<acc, V> mean;
#pragma unroll
    for (int v = 0; v < V; ++v) mean.values[v] = mean_of<acc>(sum[v], divisor_, inverse_);
    return move_to(i, old, mean);
  }
  // The same of a sum that has not been added to others, over fewer than 2^24 points: then acc holds
  // both operands, and rounding once more on the way through double would change nothing.
  __device__ moved_features move(std::int32_t i, pack<acc, V> const& old, pack<acc, V> const& sum) {
    pack<acc, V> mean;
    auto const divisor = static_cast<acc>(divisor_);
#pragma unroll
    for (int v = 0; v < V; ++v) mean.values[v] = quotient(sum.values[v], divisor);
    return move_to(i, old, mean);
  }

  // After all features. Returns the squared distance that it moved, and |c|^2 as it is multiplied.
  struct moved_centroid {
    double moved, squares;
  };
  __device__ moved_centroid end() {
    double const moved = group_sum(moved_, 32), squares = group_sum(squares_, 32);
    if (threadIdx.x % 32 == 0) {
      p_.shifts[b_ * p_.k + label_] = moved;
      p_.operand.write_bias(b_, label_, squares);
    }
    return {moved, squares};
  }

 private:
  __device__ moved_features move_to(std::int32_t i, pack<acc, V> const& old, pack<acc, V> mean) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      if (i + v >= p_.d) mean.values[v] = 0;
      // Subtracted in acc, since conversions to double are what this waits for; squared in double,
      // since a square in acc may vanish.
      double const difference = i + v < p_.d ? mean.values[v] - old.values[v] : acc{0};
      moved_ += difference * difference;
    }
    store_padded<V>(mean, row_, i, p_.d, p_.aligned);
    pack<acc, V> const multiplied = p_.operand.template write<Form>(b_, label_, i, mean);
    add_squares(squares_, multiplied);
    return {mean, multiplied};
  }

  centroid_params<T> const& p_;
  std::int64_t b_;
  std::uint32_t label_;
  acc* row_;
  double divisor_, inverse_;
  double moved_ = 0, squares_ = 0;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
