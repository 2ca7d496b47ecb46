// Points on their way to one warp's tensor cores, half and bfloat16: 16 rows and 128 features at a
// time, copied to shared memory while those before are multiplied, and what is known of the rows
// with the first of these. Every lane copies the features that it will read itself, and the warp
// whole rows one after the other: in pieces of 64 bytes the memory gave half of its rate.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../config.cuh"
#include "../math.hpp"
#include "../ptx/cp_async.cuh"
#include "seed_mma.cuh"
#include "seed_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr unsigned kSeedStages = 2;           // one of them is being read
inline constexpr int kSeedTile = 16;                 // rows of a warp
inline constexpr int kSeedChunks = 4;                // of 32 features, in a stage
inline constexpr unsigned kSeedSlotBytes = 32 * 16;  // of a row and a chunk of each lane
inline constexpr unsigned kSeedStageBytes = kSeedTile / 8 * kSeedChunks * kSeedSlotBytes;
inline constexpr unsigned kSeedFactBytes = 2 * kSeedTile * 4;  // distances and norms of the rows
inline constexpr unsigned kSeedWarpBytes = kSeedStages * (kSeedStageBytes + kSeedFactBytes);
inline constexpr unsigned kSeedStreamBytes = kSeedThreads / 32 * kSeedWarpBytes;

// Neighbouring points of one problem that a thread block takes: whole blocks of points, of which
// those from `end` on weigh nothing.
struct seed_piece {
  std::uint32_t problem;
  std::uint32_t begin, end;  // points
};

// The piece of a thread block that begins with block `next` of the points of all problems, the first
// of a problem for which the step is not done; next moves on to the piece after it. Whether there is
// one.
template <class Params>
__device__ bool take_piece(seed_piece& piece, std::uint32_t& next, Params const& params) {
  auto const blocks = static_cast<std::uint32_t>(params.points.blocks);
  auto const count = static_cast<std::uint32_t>(params.points.count);
  std::uint32_t const last = min(blockIdx.x * params.share + params.share, count);
  while (next < last) {
    piece.problem = next / blocks;
    std::uint32_t const block = next - piece.problem * blocks;
    std::uint32_t const taken = min(blocks - block, last - next);
    next += taken;
    if (params.is_done(piece.problem)) continue;
    std::int64_t const begin = block * params.points.block;
    piece.begin = static_cast<std::uint32_t>(begin);
    piece.end = static_cast<std::uint32_t>(
        min(begin + taken * params.points.block, params.end(piece.problem)));
    return true;
  }
  return false;
}

#if FLASH_KMEANS_HAS_MMA_SYNC

// A warp's rows of all pieces of its thread block, each `times` over.
template <class T>
class seed_stream {
 public:
  using products = mma_products<T>;
  static constexpr int kRows = kSeedTile / 8;  // of a lane

  template <class Params>
  __device__ seed_stream(Params const& params, unsigned char* shared)
      : next_(blockIdx.x * params.share) {
    slots_ =
        ptx::shared_address(shared) + threadIdx.x / 32 * kSeedWarpBytes + threadIdx.x % 32 * 16;
    next_piece(params);
    for (unsigned stage = 0; stage + 1 < kSeedStages; ++stage) advance(params);
  }

  // Where the next stage lies, [chunks][rows] of this lane: the last row again where there are no
  // more, and zeros beyond the last feature. The stream moves on by one.
  template <class Params>
  __device__ std::uint32_t take(Params const& params) {
    ptx::cp_async_wait<static_cast<int>(kSeedStages) - 2>();
    advance(params);
    return slots_ + copied_ * kSeedStageBytes;
  }

  // Distances and norms of this lane's rows, once all stages of their tile have been taken.
  __device__ void take_facts(float (&near)[kRows], float (&norms)[kRows]) {
    std::uint32_t const from = facts(facts_taken_) + products::row(0) * 4;
    __syncwarp();  // each lane has waited for its own
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      near[i] = ptx::load_shared_4(from + i * 8 * 4);
      norms[i] = ptx::load_shared_4(from + (kSeedTile + i * 8) * 4);
    }
    __syncwarp();  // before they are replaced
    facts_taken_ = (facts_taken_ + 1) % kSeedStages;
  }

  // Tiles of a warp: those of a span, then of the span that the warp has next.
  __device__ static std::uint32_t next_tile(std::uint32_t first) {
    first += kSeedTile;
    return first % kSeedSpan != 0 ? first : first + (kSeedThreads / 32 - 1) * kSeedSpan;
  }

 private:
  // Of tiles as of stages, since a tile has a stage or more.
  __device__ std::uint32_t facts(unsigned tile) const {
    return slots_ - threadIdx.x % 32 * 16 + kSeedStages * kSeedStageBytes + tile * kSeedFactBytes;
  }

  // Copies the next stage, if there is one.
  template <class Params>
  __device__ void advance(Params const& params) {
    seed_points<T> const& p = params.points;
    if (first_ < end_) {
      if (feature_ == 0) {
        // Half of the lanes a row's distance, the others its norm.
        std::uint32_t const lane = threadIdx.x % 32;
        std::int64_t const own = piece_.problem * p.n + min(first_ + lane % kSeedTile, end_ - 1);
        ptx::cp_async_4(facts(facts_copied_) + lane * 4,
                        (lane < kSeedTile ? p.nearest : p.norms) + own);
        facts_copied_ = (facts_copied_ + 1) % kSeedStages;
      }
      std::uint32_t const to = slots_ + copied_ * kSeedStageBytes;
      std::int32_t const left = p.d - feature_;
      if (p.aligned && first_ + kSeedTile <= end_ &&
          (left >= kSeedChunks * products::kChunk || left % products::kChunk == 0)) {
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          T const* const from = rows_ + feature_ + i * 8 * p.x.ld;
#pragma unroll
          for (int chunk = 0; chunk < kSeedChunks; ++chunk) {
            if (chunk * products::kChunk < left) {
              ptx::cp_async_16(to + (chunk * kRows + i) * kSeedSlotBytes,
                               from + chunk * products::kChunk);
            }
          }
        }
      } else {
        // One piece of code for all.
#pragma unroll 1
        for (int slot = 0; slot < kRows * kSeedChunks; ++slot) {
          int const i = slot % kRows;
          std::int32_t const at = feature_ + slot / kRows * products::kChunk;
          if (at >= p.d) break;
          std::uint32_t const row = first_ + products::row(i);
          std::int64_t const ahead = row < end_ ? 8 * i : std::int64_t{end_} - 1 - row + 8 * i;
          uint4 const bits =
              products::padded(rows_ - own_feature() + ahead * p.x.ld, at + own_feature(), p);
          ptx::store_shared_16(to + slot * kSeedSlotBytes, {bits.x, bits.y, bits.z, bits.w});
        }
      }
      feature_ += kSeedChunks * products::kChunk;
      if (feature_ >= p.d) {
        feature_ = 0;
        std::uint32_t const before = first_;
        first_ = next_tile(first_);
        rows_ += (first_ - before) * p.x.ld;
        if (first_ >= end_) {
          if (++time_ < params.times()) {
            enter(params);
          } else {
            next_piece(params);
          }
        }
      }
    }
    ptx::cp_async_commit();
    copied_ = (copied_ + 1) % kSeedStages;
  }

  template <class Params>
  __device__ void next_piece(Params const& params) {
    time_ = 0;
    do {
      if (!take_piece(piece_, next_, params)) {
        end_ = 0;
        return;
      }
      enter(params);
    } while (first_ >= end_);
  }

  template <class Params>
  __device__ void enter(Params const& params) {
    seed_points<T> const& p = params.points;
    first_ = piece_.begin + threadIdx.x / 32 * kSeedSpan;
    end_ = piece_.end;
    rows_ = p.x.problem(piece_.problem) + (first_ + products::row(0)) * p.x.ld + own_feature();
  }

  __device__ static std::int32_t own_feature() {
    return threadIdx.x % products::kLanes * products::V;
  }

  std::uint32_t next_;  // block of points, see take_piece
  seed_piece piece_;
  T const* rows_;  // this lane's first row of the tile at first_, and first feature of a stage
  std::uint32_t first_ = 0, end_ = 0;  // points
  std::uint32_t slots_;                // this lane's
  std::int32_t feature_ = 0;
  int time_ = 0;
  // The stage that is copied to next. After that it is the one to read, since copies are one stage
  // less ahead than there are stages.
  unsigned copied_ = 0;
  unsigned facts_copied_ = 0, facts_taken_ = 0;
};

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
