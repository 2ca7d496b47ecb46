// All iterations of small problems in one launch: one cluster of blocks a problem, whose points and
// centroids stay in shared memory (layout.hpp). In every iteration
//   1. a block searches the nearest centroids of its points,
//   2. sorts its points by cluster,
//   3. adds them up in pieces of neighbours of one cluster, and the pieces of a cluster in order,
//      and writes the sums into the inbox of the block that owns the cluster;
//   4. owners add up the blocks' sums in order, move their centroids and write them to all blocks.
// After 3 and 4 the blocks wait for each other. All blocks add up the shifts in the same order, and
// so agree on whether the problem has converged.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../assign/mended_labels.cuh"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../math.hpp"
#include "../ptx/cluster.cuh"
#include "../ptx/cp_async.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "../update/centroid.cuh"
#include "../update/counting.cuh"
#include "layout.hpp"
#include "memory.cuh"
#include "search.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct small_params {
  device_matrix<T const> x;  // [b][n][d]
  bool aligned;              // rows of x start on 16 bytes
  std::int32_t* labels;      // [b][n], of the last iteration
  mended_labels mended;      // the same, or nothing
  centroid_params<T> centroid;
  small_layout layout;
  std::uint32_t n;
  std::int32_t iterations;  // at most
  std::int64_t first;       // problem that the launch begins with
};

template <class T>
class small_block : small_memory {
 public:
  using acc = centroid_t<T>;

  __device__ explicit small_block(small_params<T> const& p)
      : small_memory(p.layout),
        p_(p),
        b_(p.first + blockIdx.x / p.layout.blocks),
        rank_(blockIdx.x % p.layout.blocks),
        begin_(min(rank_ * p.layout.span, p.n)),
        points_(min(p.layout.span, p.n - begin_)),
        of_warp_(max(round_up(ceil_div(points_, warps()), 32u), 32u)),
        warps_used_(ceil_div(points_, of_warp_)),
        k_(p.centroid.k) {}

  __device__ void fit() {
    double const threshold = p_.centroid.state.thresholds[b_];
    load_points();
    load_centroids();
    wait_for_points();
    ptx::cluster_sync();
    double shift = 0;
    std::int32_t i = 0;
    while (i < p_.iterations) {
      search();
      sort();
      add_up();
      ptx::cluster_sync();
      move();
      ptx::cluster_sync();
      shift = 0;
      for (std::uint32_t j = lane(); j < k_; j += 32) shift += shifts()[j];
      shift = group_sum(shift, 32);
      ++i;
      if (shift <= threshold) break;
    }
    if (rank_ == 0 && threadIdx.x == 0) p_.centroid.state.step(b_, shift, i);
    if (p_.mended.labels != nullptr) mend();
  }

 private:
  static constexpr std::uint32_t kAll = 0xffffffffu;
  static constexpr int V = 16 / sizeof(T);  // elements of a point's row at once
  static constexpr int kQuad = centroid_move<T, plain_form<T>>::V;  // of a sum
  using quad = pack<acc, kQuad>;

  // The points are here after wait_for_points.
  __device__ void load_points() {
    T const* const x = p_.x.problem(b_) + begin_ * p_.x.ld;
    std::uint32_t const units = l_.row_bytes / 16;
    for (std::uint32_t i = threadIdx.x; i < points_ * units; i += blockDim.x) {
      std::uint32_t const row = i / units, unit = i - row * units;
      T const* const from = x + row * p_.x.ld;
      auto* const to = at<pack<T, V>>(row * l_.row_bytes + unit * 16);
#if FLASH_KMEANS_HAS_MMA_SYNC
      if (p_.aligned && static_cast<std::int32_t>(unit + 1) * V <= p_.centroid.d) {
        ptx::cp_async_16(ptx::shared_address(to), from + unit * V);
        continue;
      }
#endif
      *to = load_padded<V>(from, unit * V, p_.centroid.d, false);
    }
  }

  __device__ void wait_for_points() {
#if FLASH_KMEANS_HAS_MMA_SYNC
    ptx::cp_async_commit();
    ptx::cp_async_wait<0>();
#endif
  }

  __device__ void load_centroids() {
    std::uint32_t const quads = l_.row_bytes / sizeof(T) / kQuad;
    auto const copy = [&](auto load) {
#pragma unroll 4
      for (std::uint32_t at = threadIdx.x; at < k_ * quads; at += blockDim.x) {
        std::uint32_t const j = at / quads, i = (at - j * quads) * kQuad;
        quad const values = load(p_.centroid.row(b_, j), static_cast<std::int32_t>(i));
        *centroid_at(j, i) = narrowed<T>(values);
        if (owner(j) == rank_ && i < l_.ld) *master_at(j, i) = values;
      }
    };
    std::int32_t const d = p_.centroid.d;
    if (p_.centroid.aligned && d % kQuad == 0) {  // no branch between reads
      copy([&](acc const* row, std::int32_t i) {
        quad values{};
        if (i < d) values = *reinterpret_cast<quad const*>(row + i);
        return values;
      });
    } else {
      copy([&](acc const* row, std::int32_t i) { return load_padded<kQuad>(row, i, d, false); });
    }
    __syncthreads();
    for (std::uint32_t j = warp(); j < k_; j += warps()) {
      double squares = 0;
      for (std::uint32_t i = lane() * kQuad; i < l_.ld; i += 32 * kQuad) {
        pack<T, kQuad> const values = *centroid_at(j, i);
        quad multiplied;
#pragma unroll
        for (int v = 0; v < kQuad; ++v) multiplied.values[v] = widen<acc>(values.values[v]);
        add_squares(squares, multiplied);
      }
      squares = group_sum(squares, 32);
      if (lane() == 0) bias()[j] = static_cast<acc>(-0.5 * squares);
    }
    for (std::uint32_t j = k_ + threadIdx.x; j < round_up(k_, kSmallTile); j += blockDim.x) {
      bias()[j] = -kInfinity<acc>;
    }
  }

  // Labels of points that are not finite, after the last iteration.
  __device__ void mend() {
    for (std::uint32_t i = threadIdx.x; i < points_; i += blockDim.x) {
      if (labels()[i] >= k_) p_.mended.mend(b_, p_.n, begin_ + i);
    }
  }

  // Step 1.
  __device__ void search() {
    std::int32_t* const labels = p_.labels + b_ * p_.n + begin_;
    auto const found = [&](std::uint32_t point, std::int32_t label) {
      this->labels()[point] = static_cast<std::uint16_t>(label);  // kNotFinite is above all others
      labels[point] = label;
    };
#if FLASH_KMEANS_HAS_MMA_SYNC
    if constexpr (kSmallTensorCores<T>) {
      search_tensor_cores<T>(l_, memory(), points_, k_, p_.centroid.d, found);
      return;
    }
#endif
    search_simt<T>(l_, memory(), points_, k_, found);
  }

  // Step 2. Warps take neighbouring points, 32 at a time, and count those of each cluster.
  __device__ void sort() {
    std::uint32_t const from = warp() * of_warp_;
    std::uint16_t* const own = counts() + warp() * k_;
    for (std::uint32_t j = lane(); j < k_; j += 32) own[j] = 0;
    __syncthreads();  // labels are known
    int const bits = bits_for(k_);
    std::uint32_t picks[kSmallRounds];  // cluster << 16 | earlier points of this warp in it
#pragma unroll
    for (std::uint32_t r = 0; r < kSmallRounds; ++r) {
      if (r * 32 >= of_warp_) break;
      std::uint32_t const i = from + r * 32 + lane();
      std::uint32_t const label = i < points_ ? labels()[i] : k_;
      bool const inside = label < k_;
      std::uint32_t const j = inside ? label : 0;
      std::uint32_t const earlier = count_points(own, j, inside, bits);
      picks[r] = inside ? j << 16 | earlier : kAll;
    }
    __syncthreads();
    for (std::uint32_t j = threadIdx.x; j < k_; j += blockDim.x) {
      std::uint32_t const count = sums_before<4>(counts(), j, k_, warps_used_, 0);
      places()[j].at = static_cast<std::uint16_t>(count);
    }
    __syncthreads();
    if (warp() == 0) place_clusters();
    __syncthreads();
#pragma unroll
    for (std::uint32_t r = 0; r < kSmallRounds; ++r) {
      if (r * 32 >= of_warp_) break;
      if (picks[r] == kAll) continue;
      std::uint32_t const j = picks[r] >> 16, earlier = picks[r] & 0xffffu;
      list()[places()[j].at + own[j] + earlier] =
          static_cast<std::uint16_t>(from + r * 32 + lane());
    }
    for (std::uint32_t j = threadIdx.x; j < k_; j += blockDim.x) {
      small_place const place = places()[j], next = places()[j + 1];
      for (std::uint32_t q = place.piece; q < next.piece; ++q) {
        pieces()[q] = static_cast<std::uint16_t>(j);
      }
      ptx::of_block(owner(j), inbox_points())[rank_ * l_.owned + among_owned(j)] =
          next.at - place.at;
    }
    __syncthreads();
  }

  // From how many points clusters have to where they begin. By one warp, whose lanes take
  // neighbouring clusters.
  __device__ void place_clusters() {
    std::uint32_t const of_lane = k_ / 32 + 1, first = lane() * of_lane;
    // A place as one number; no part of it overflows.
    auto const size_of = [&](std::uint32_t j) {
      std::uint32_t const count = j < k_ ? places()[j].at : 0;
      std::uint32_t const pieces = (count + (1u << l_.piece_bits) - 1) >> l_.piece_bits;
      return std::uint64_t{pieces > 1 ? pieces : 0} << 32 | pieces << 16 | count;
    };
    std::uint64_t size = 0;
    for (std::uint32_t i = 0; i < of_lane; ++i) size += size_of(first + i);
    std::uint64_t place = warp_inclusive_sum(size) - size;
    for (std::uint32_t j = first; j < first + of_lane && j <= k_; ++j) {
      std::uint64_t const own = size_of(j);
      places()[j] = {static_cast<std::uint16_t>(place), static_cast<std::uint16_t>(place >> 16),
                     static_cast<std::uint16_t>(place >> 32), 0};
      place += own;
    }
  }

  // Step 3.
  __device__ void add_up() {
    constexpr std::uint32_t kRows = 4;  // reads in flight
    std::uint32_t const workers = blockDim.x / l_.lanes, worker = threadIdx.x / l_.lanes;
    std::uint32_t const column = (threadIdx.x - worker * l_.lanes) * V;
    T const* const x = at<T>(0) + column;
    std::uint32_t const ld = l_.row_bytes / sizeof(T);
    std::uint32_t const pieces = worker < workers ? places()[k_].piece : 0;
    for (std::uint32_t q = worker; q < pieces; q += workers) {
      std::uint32_t const j = this->pieces()[q];
      small_place const place = places()[j], next = places()[j + 1];
      std::uint32_t i = place.at + ((q - place.piece) << l_.piece_bits);
      std::uint32_t const end = min(i + (1u << l_.piece_bits), std::uint32_t{next.at});
      acc sum[V] = {};
      auto const add = [&](pack<T, V> const& values) {
#pragma unroll
        for (int v = 0; v < V; ++v) sum[v] += widen<acc>(values.values[v]);
      };
      auto const row = [&](std::uint32_t of) {
        return *reinterpret_cast<pack<T, V> const*>(x + list()[of] * ld);
      };
      for (; i + kRows <= end; i += kRows) {
        pack<T, V> rows[kRows];
#pragma unroll
        for (std::uint32_t r = 0; r < kRows; ++r) rows[r] = row(i + r);
#pragma unroll
        for (std::uint32_t r = 0; r < kRows; ++r) add(rows[r]);
      }
      for (; i < end; ++i) add(row(i));
      acc* const to =
          (next.piece - place.piece == 1 ? inbox_of(j)
                                         : sums() + (place.row + q - place.piece) * l_.ld) +
          column;
#pragma unroll
      for (int v = 0; v < V; v += kQuad) {
        quad values;
#pragma unroll
        for (int u = 0; u < kQuad; ++u) values.values[u] = sum[v + u];
        if (column + v < l_.ld) *reinterpret_cast<quad*>(to + v) = values;
      }
    }
    if (places()[k_].row == 0) return;
    __syncthreads();
    for (std::uint32_t j = warp(); j < k_; j += warps()) {
      small_place const place = places()[j], next = places()[j + 1];
      std::uint32_t const rows = next.row - place.row;
      for (std::uint32_t i = lane() * kQuad; rows > 0 && i < l_.ld; i += 32 * kQuad) {
        double total[kQuad] = {};
        add_rows(total, sums() + place.row * l_.ld + i, rows, l_.ld);
        quad sum;
#pragma unroll
        for (int v = 0; v < kQuad; ++v) sum.values[v] = static_cast<acc>(total[v]);
        *reinterpret_cast<quad*>(inbox_of(j) + i) = sum;
      }
    }
  }

  // Step 4. A warp moves a centroid.
  __device__ void move() {
    for (std::uint32_t of_owned = warp(); of_owned * l_.blocks + rank_ < k_; of_owned += warps()) {
      std::uint32_t const j = of_owned * l_.blocks + rank_;
      std::uint32_t const count =
          lane() < l_.blocks ? inbox_points()[lane() * l_.owned + of_owned] : 0;
      std::uint32_t const points = group_sum(count, 32);
      double moved = 0;
      if (points > 0) {
        centroid_move<T, plain_form<T>> centroid(p_.centroid, b_, j, points);
        for (std::uint32_t base = 0; base < l_.ld; base += 32 * kQuad) {
          std::uint32_t const i = base + lane() * kQuad;
          bool const inside = i < l_.ld;
          double sum[kQuad] = {};
          constexpr std::uint32_t kRead = 4;  // at once; what has no points is not there
          for (std::uint32_t s = 0; s < l_.blocks; s += kRead) {
            quad of[kRead];
#pragma unroll
            for (std::uint32_t u = 0; u < kRead; ++u) {
              bool const sent = __shfl_sync(kAll, count, s + u) != 0;
              of[u] = {};
              if (sent && inside) {
                of[u] = *reinterpret_cast<quad const*>(inbox() +
                                                       ((s + u) * l_.owned + of_owned) * l_.ld + i);
              }
            }
#pragma unroll
            for (std::uint32_t u = 0; u < kRead; ++u) {
#pragma unroll
              for (int v = 0; v < kQuad; ++v) sum[v] += static_cast<double>(of[u].values[v]);
            }
          }
          quad const old = inside ? *master_at(j, i) : quad{};
          auto const to = centroid.move(static_cast<std::int32_t>(i), old, sum);
          if (!inside) continue;
          *master_at(j, i) = to.mean;
          auto const multiplied = narrowed<T>(to.multiplied);
          for (std::uint32_t s = 0; s < l_.blocks; ++s) {
            *ptx::of_block(s, centroid_at(j, i)) = multiplied;
          }
        }
        auto const end = centroid.end();
        moved = end.moved;
        if (lane() < l_.blocks) {
          ptx::of_block(lane(), bias())[j] = static_cast<acc>(-0.5 * end.squares);
        }
      } else {
        p_.centroid.leave(b_, j);
      }
      if (lane() < l_.blocks) ptx::of_block(lane(), shifts())[j] = moved;
    }
  }

  static __device__ void add_rows(double (&total)[kQuad], acc const* from, std::uint32_t rows,
                                  std::uint32_t ld) {
#pragma unroll 2
    for (std::uint32_t r = 0; r < rows; ++r) {
      quad const values = *reinterpret_cast<quad const*>(from + r * ld);
#pragma unroll
      for (int v = 0; v < kQuad; ++v) total[v] += static_cast<double>(values.values[v]);
    }
  }

  __device__ pack<T, kQuad>* centroid_at(std::uint32_t j, std::uint32_t i) const {
    return at<pack<T, kQuad>>(l_.centroids + j * l_.row_bytes + i * sizeof(T));
  }
  __device__ quad* master_at(std::uint32_t j, std::uint32_t i) const {
    return at<quad>(l_.masters + (among_owned(j) * l_.ld + i) * sizeof(acc));
  }
  __device__ acc* inbox() const { return at<acc>(l_.inbox); }
  // Where this block's sum of cluster j goes.
  __device__ acc* inbox_of(std::uint32_t j) const {
    return ptx::of_block(owner(j), inbox()) + (rank_ * l_.owned + among_owned(j)) * l_.ld;
  }
  __device__ acc* sums() const { return at<acc>(l_.sums); }
  __device__ acc* bias() const { return at<acc>(l_.bias); }

  small_params<T> const& p_;
  std::int64_t b_;
  std::uint32_t rank_, begin_, points_;
  std::uint32_t of_warp_, warps_used_;  // points that a warp sorts; warps that have any
  std::uint32_t k_;
};

// Blocks of the fewest threads that a multiprocessor's registers have to last for: as many as spill
// none. Six take a tenth less time than the four that there would be (measured on an H100).
inline constexpr int kSmallestBlocksOfSm = FLASH_KMEANS_HAS_CLUSTERS ? 6 : 5;

// Threads: of a block, at most.
template <class T, std::uint32_t Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads,
                                           Threads > kSmallFewestThreads ? 1 : kSmallestBlocksOfSm)
    small_kernel(small_params<T> const p) {
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  small_block<T>(p).fit();
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
