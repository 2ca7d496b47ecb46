// The search for the j nearest centroids of each point, instead of the one (kernel_simt.cuh,
// kernel_sm80.cuh).
//
// A point has a list of its best so far, sorted, and room for candidates in shared memory. A score
// that beats the last one of the list becomes a candidate; where the room could overflow, the
// candidates are sorted and merged into the list by one warp. Keys are (score, index), so the result
// does not depend on the order in which candidates arrive. Lists are in global memory, which few
// merges touch: in shared memory 64 nearest of 128 points would leave no space for operands.
//
// A score that is not finite counts as -infinity: it comes last, in order of the index.
#pragma once

#include <cstdint>
#include <limits>

#include "../config.cuh"
#include "argmin.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct nearest_j_params : assign_params<T> {
  // labels: [b][n][j]
  centroid_t<T>* list_scores;  // [blocks][points of a tile][j]
  std::int32_t* list_indices;  // likewise
  std::int32_t j;              // <= kMaxNearest
  std::int32_t parts;       // that the centroids are cut into; if many, lists are left to be merged
  std::int32_t part_width;  // centroids of a part, a multiple of a tile's
};

// A centroid in the order of nearness.
template <class Acc>
struct ranked {
  Acc score;
  std::int32_t index;

  __device__ ranked() : score(-kInfinity<Acc>), index(std::int32_t{0x7fffffff}) {}  // after all
  __device__ ranked(Acc s, std::int32_t i) : score(s), index(i) {}

  __device__ bool before(ranked const& o) const {
    return score > o.score || (score == o.score && index < o.index);
  }
};

// The best of a point, over the lanes of a warp: number `lane` and, if more than 32 are wanted,
// number 32 + lane. All lanes call all functions.
template <class Acc>
class ranking {
 public:
  using entry = ranked<Acc>;

  // The first `count` that were stored; the others are none.
  __device__ void load(Acc const* scores, std::int32_t const* indices, int count) {
    int const lane = threadIdx.x % 32;
    low_ = lane < count ? entry(scores[lane], indices[lane]) : entry();
    high_ = 32 + lane < count ? entry(scores[32 + lane], indices[32 + lane]) : entry();
  }

  __device__ void store(Acc* scores, std::int32_t* indices, int count) const {
    int const lane = threadIdx.x % 32;
    if (lane < count) {
      scores[lane] = low_.score;
      indices[lane] = low_.index;
    }
    if (32 + lane < count) {
      scores[32 + lane] = high_.score;
      indices[32 + lane] = high_.index;
    }
  }

  __device__ void store_indices(std::int32_t* indices, int count) const {
    int const lane = threadIdx.x % 32;
    if (lane < count) indices[lane] = low_.index;
    if (32 + lane < count) indices[32 + lane] = high_.index;
  }

  // Merges one more of each lane; `count` are wanted.
  __device__ void take(entry more, int count) {
    more = sorted(more);
    if (count > 32) {
      // The better half of each pair is bitonic, and holds the best 32 of both.
      high_ = merged(better(high_, reversed(more)));
      entry const rest = reversed(high_);
      high_ = merged(rest.before(low_) ? low_ : rest);
      low_ = merged(better(low_, rest));
    } else {
      low_ = merged(better(low_, reversed(more)));
    }
  }

  // Entry number i, for all lanes.
  __device__ entry at(int i) const {
    entry const of(i < 32 ? low_.score : high_.score, i < 32 ? low_.index : high_.index);
    return {__shfl_sync(0xffffffffu, of.score, i % 32), __shfl_sync(0xffffffffu, of.index, i % 32)};
  }

 private:
  __device__ static entry better(entry const& a, entry const& b) { return b.before(a) ? b : a; }

  __device__ static entry reversed(entry const& e) {
    int const from = 31 - static_cast<int>(threadIdx.x % 32);
    return {__shfl_sync(0xffffffffu, e.score, from), __shfl_sync(0xffffffffu, e.index, from)};
  }

  // Of this lane and the one `step` away, the better one or the other.
  __device__ static entry exchanged(entry const& e, int step, bool keeps_better) {
    entry const other(__shfl_xor_sync(0xffffffffu, e.score, step),
                      __shfl_xor_sync(0xffffffffu, e.index, step));
    return other.before(e) == keeps_better ? other : e;
  }

  // A bitonic sequence in order.
  __device__ static entry merged(entry e) {
    int const lane = threadIdx.x % 32;
    for (int step = 16; step > 0; step /= 2) e = exchanged(e, step, (lane & step) == 0);
    return e;
  }

  // Batcher's bitonic sort.
  __device__ static entry sorted(entry e) {
    int const lane = threadIdx.x % 32;
    for (int size = 2; size < 32; size *= 2) {
      for (int step = size / 2; step > 0; step /= 2) {
        e = exchanged(e, step, ((lane & step) == 0) == ((lane & size) == 0));
      }
    }
    return merged(e);
  }

  entry low_, high_;
};

// The search policy of a kernel whose blocks have `Points` points and `Threads` threads. Room: of
// candidates a point, at most 32, and no less than one step of a tile may bring.
template <class T, int Points, int Threads, int Room>
class nearest_j {
 public:
  using params = nearest_j_params<T>;
  using acc = centroid_t<T>;

  // Candidates that a step brings to a point, see take.
  static constexpr int kStep = 16;
  static_assert(kStep < Room && Room <= 32);

  struct shared {
    acc scores[Points][Room];
    std::int32_t indices[Points][Room];
    acc last_scores[Points];  // of the lists
    std::int32_t last_indices[Points];
    std::int32_t counts[Points];  // of candidates
  };

  __device__ static std::int64_t units(params const& p) { return p.tiles * p.parts; }

  __device__ static search_unit unit(params const& p, std::int64_t number) {
    std::int64_t const tile = number / p.parts;
    std::int32_t const first = static_cast<std::int32_t>(number - tile * p.parts) * p.part_width;
    return {tile, first, p.k - first > p.part_width ? first + p.part_width : p.k};
  }

  // rows: points that there are.
  __device__ nearest_j(params const& p, shared& s, std::int64_t rows)
      : p_(p), s_(s), rows_(rows), list_(std::int64_t{blockIdx.x} * Points * p.j) {
    for (int i = threadIdx.x; i < Points; i += Threads) {
      // What is no point gets no candidates.
      s.last_scores[i] = i < rows ? -kInfinity<acc> : kInfinity<acc>;
      s.last_indices[i] = i < rows ? std::int32_t{0x7fffffff} : -1;
      s.counts[i] = 0;
    }
    for (int i = threadIdx.x; i < Points * p.j; i += Threads) {
      p.list_scores[list_ + i] = -kInfinity<acc>;
      p.list_indices[list_ + i] = std::int32_t{0x7fffffff};
    }
  }

  // The scores of a tile. step(i, visit), i < Steps: calls visit(slot, score, index) for this
  // thread's scores of the i-th part of the centroids, in which a point has at most kStep scores.
  // row(slot): the slot's point. By all threads, after a barrier.
  template <int Steps, int Slots, class Step, class Row>
  __device__ void take(Step&& step, Row&& row) {
    int done = 0;
    while (done < Steps) {
      acc last[Slots];
#pragma unroll
      for (int i = 0; i < Slots; ++i) last[i] = s_.last_scores[row(i)];
      bool full = false;
      // Scores are in registers, so steps are unrolled; the merge, which is long, is not.
#pragma unroll
      for (int i = 0; i < Steps; ++i) {
        if (i == done && !full) {
          bool fills = false;
          step(i, [&](int slot, acc score, std::int32_t index) {
            if (!(score < last[slot])) fills |= offer(row(slot), score, index);
          });
          ++done;
          full = __syncthreads_or(fills) != 0;
        }
      }
      if (full) {
        merge(Room - kStep);
        __syncthreads();
      }
    }
  }

  // After all tiles; problem and point: of the tile. By all threads.
  __device__ void end(std::int64_t problem, std::int64_t point) {
    merge(0);
    if (p_.parts == 1) {
      int const warp = threadIdx.x / 32;
      for (int row = warp * kRows; row < (warp + 1) * kRows && row < rows_; ++row) {
        ranking<acc> list;
        list.load(p_.list_scores + list_ + row * p_.j, p_.list_indices + list_ + row * p_.j, p_.j);
        list.store_indices(p_.labels + (problem * p_.n + point + row) * p_.j, p_.j);
      }
    }
    __syncthreads();
  }

 private:
  static constexpr int kRows = Points / (Threads / 32);  // of a warp
  static_assert(kRows <= 32 && kRows * (Threads / 32) == Points);

  // Makes it a candidate if it beats the list. Returns whether the next step may find no room.
  __device__ bool offer(int row, acc score, std::int32_t index) {
    if (index >= p_.k) return false;
    ranked<acc> const own(score - score == 0 ? score : -kInfinity<acc>, index);
    if (!own.before({s_.last_scores[row], s_.last_indices[row]})) return false;
    int const at = atomicAdd(&s_.counts[row], 1);
    s_.scores[row][at] = own.score;
    s_.indices[row][at] = own.index;
    return at >= Room - kStep;
  }

  // Merges the candidates of points with more than `above` of them.
  __device__ void merge(int above) {
    int const lane = threadIdx.x % 32, first = threadIdx.x / 32 * kRows;
    int const count = lane < kRows ? s_.counts[first + lane] : 0;
    unsigned due = __ballot_sync(0xffffffffu, count > above);
    while (due != 0) {
      int const own = __ffs(static_cast<int>(due)) - 1, row = first + own;
      due &= due - 1;
      bool const candidate = lane < __shfl_sync(0xffffffffu, count, own);
      acc* const scores = p_.list_scores + list_ + row * p_.j;
      std::int32_t* const indices = p_.list_indices + list_ + row * p_.j;
      ranking<acc> list;
      list.load(scores, indices, p_.j);
      list.take(
          candidate ? ranked<acc>(s_.scores[row][lane], s_.indices[row][lane]) : ranked<acc>(),
          p_.j);
      list.store(scores, indices, p_.j);
      ranked<acc> const last = list.at(p_.j - 1);
      __syncwarp();  // all have read the count
      if (lane == 0) {
        s_.last_scores[row] = last.score;
        s_.last_indices[row] = last.index;
        s_.counts[row] = 0;
      }
    }
    __syncwarp();
  }

  params const& p_;
  shared& s_;
  std::int64_t rows_;
  std::int64_t list_;  // of the block's first point
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
