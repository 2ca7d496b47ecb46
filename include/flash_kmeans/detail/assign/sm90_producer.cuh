// The two threads of the sm90 kernel that keep its rings of tiles filled.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "../ptx/mbarrier.cuh"
#include "../ptx/tma.cuh"
#include "sm90_work.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

#if FLASH_KMEANS_HAS_WGMMA

// A block's point tile as TMA counts. A row beyond 2^31 is negative: outside the tensor as well.
template <int Pieces>
struct sm90_point_tile {
  std::int32_t row, outer, inner;

  __device__ sm90_point_tile(sm90_params const& p, sm90_work const& work, std::int32_t rank)
      : row(static_cast<std::int32_t>(sm90_row<Pieces>(p, work, rank))),
        outer(work.problem / p.x_inner),
        inner(work.problem - outer * p.x_inner) {}

  // One chunk of one piece.
  __device__ void load(std::uint32_t shared, sm90_params const& p, int feature, int piece,
                       std::uint32_t full) const {
    ptx::tma_load(shared, &p.x, feature, row, Pieces == 1 ? inner : piece, outer, full);
  }
};

// The producer's thread for points that stay: one turn a slot.
template <class Operand, int Pieces, bool Screens>
__device__ void sm90_load_points(sm90_params const& p, sm90_shared const& shared, sm90_work work,
                                 std::int32_t rank) {
  constexpr int kFeatures = 128 / sizeof(Operand);
  sm90_layout const& l = p.layout;
  sm90_ring ring;
  for (; work.any(); work.next<Pieces, Screens>(p)) {
    sm90_point_tile<Pieces> const tile(p, work, rank);
    for (int first = 0; first < l.chunks; first += l.turn_chunks) {
      int const chunks = min(l.chunks - first, l.turn_chunks);
      ptx::mbarrier_wait(shared.points_empty(ring.slot), ring.parity ^ 1);
      std::uint32_t const full = shared.points_full(ring.slot);
      ptx::mbarrier_arrive_expect(full, chunks * Pieces * kSm90PointBytes<Pieces>);
      std::uint32_t const slot = shared.points + ring.slot * l.point_bytes;
      for (int i = 0; i < chunks * Pieces; ++i) {
        tile.load(slot + i * kSm90PointBytes<Pieces>, p, (first + i / Pieces) * kFeatures,
                  i % Pieces, full);
      }
      ring.advance(1, l.x_slots);
    }
  }
}

// The producer's thread for centroids, their bias, and points that do not stay: one turn a stage,
// the bias of a tile with its first turn.
template <class Operand, int Pieces, bool Screens>
__device__ void sm90_load_stages(sm90_params const& p, sm90_shared const& shared, sm90_work work,
                                 std::int32_t rank) {
  constexpr int kFeatures = 128 / sizeof(Operand);
  sm90_layout const& l = p.layout;
  auto const everyone = static_cast<std::uint16_t>((1 << l.cluster) - 1);
  std::uint32_t const piece_bytes = l.width * 128;
  std::uint32_t const chunk_bytes =
      Pieces * (piece_bytes + (l.keep_points ? 0 : kSm90PointBytes<Pieces>));
  int const rows = l.width / l.cluster;  // that this block loads
  sm90_ring ring;
  ptx::wait_for_grid_before();  // which prepares the centroids
  std::uint32_t const bias_bytes = l.width * kSm90BiasRowBytes;
  std::int32_t loaded = -1;
  for (; work.any(); work.next<Pieces, Screens>(p)) {
    if (l.keep_centroids && work.problem == loaded) continue;
    loaded = work.problem;
    sm90_point_tile<Pieces> const tile(p, work, rank);
    std::int32_t const to = l.keep_centroids ? p.k_tiles : work.to(p);
    for (std::int32_t k_tile = l.keep_centroids ? 0 : work.from; k_tile < to; ++k_tile) {
      std::int32_t const k0 = k_tile * l.width;
      for (int first = 0; first < l.chunks; first += l.turn_chunks) {
        int const chunks = min(l.chunks - first, l.turn_chunks);
        ptx::mbarrier_wait(shared.stage_empty(ring.slot), ring.parity ^ 1);
        std::uint32_t const full = shared.stage_full(ring.slot);
        std::uint32_t const stage = shared.stages + ring.slot * l.stage_bytes;
        ptx::mbarrier_arrive_expect(full, chunks * chunk_bytes + (first == 0 ? bias_bytes : 0));
        if (first == 0) {
          ptx::tma_load(stage + l.bias_units * 16, &p.bias, 0, k0, 0, work.problem, full);
        }
        for (int i = 0; i < chunks * Pieces; ++i) {
          int const feature = (first + i / Pieces) * kFeatures, piece = i % Pieces;
          std::uint32_t const at = stage + i * piece_bytes;
          if (l.cluster == 1) {
            ptx::tma_load(at, &p.c, feature, k0, piece, work.problem, full);
          } else {
            ptx::tma_load_multicast(at + rank * rows * 128, &p.c, feature, k0 + rank * rows, piece,
                                    work.problem, full, everyone);
          }
          if (!l.keep_points) {
            tile.load(stage + l.turn_chunks * Pieces * piece_bytes + i * kSm90PointBytes<Pieces>, p,
                      feature, piece, full);
          }
        }
        ring.advance(1, l.c_stages);
      }
    }
  }
}

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
