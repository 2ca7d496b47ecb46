// Points of a group of problems, sorted by cluster: what the update's kernels read.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// A group is as many problems as 32-bit positions allow; usually it is the whole batch. Problem g
// of the group is problem `first` + g of the call. Bucket j holds the points of cluster j; bucket
// k those whose label is outside [0, k), which count nowhere.
struct sorted_points {
  std::uint32_t const* order;    // [problems][n] points, ascending inside a bucket
  std::uint32_t const* offsets;  // [problems][k + 2] where buckets begin in order; the last is n
  std::uint32_t n;
  std::uint32_t k;
  std::int64_t first;

  __device__ std::uint32_t const* order_of(std::uint32_t problem) const {
    return order + std::int64_t{problem} * n;
  }
  __device__ std::uint32_t const* offsets_of(std::uint32_t problem) const {
    return offsets + std::int64_t{problem} * (k + 2);
  }
};

// The sorted points of every problem are cut into chunks, so that a problem is summed in the same
// pieces whatever else is in its batch. Where a cluster covers a whole run of chunks, these are added
// up before the cluster is finished, so that nobody has a long row to add.
struct chunking {
  int chunk_bits;             // 2^ sorted points are a chunk; a problem's last one may be shorter
  std::uint32_t per_problem;  // chunks
  int run_bits;               // 2^ chunks are a run

  __host__ __device__ std::uint32_t chunk() const { return 1u << chunk_bits; }
  __host__ __device__ std::uint32_t run() const { return 1u << run_bits; }
  __host__ __device__ std::uint32_t runs_per_problem() const { return per_problem >> run_bits; }

  // The same of another number of rows: no more chunks, and these as short as that allows.
  __device__ chunking of(std::uint32_t rows) const {
    constexpr int kShortest = 4;
    chunking other = *this;
    other.chunk_bits = kShortest;
    while (rows > std::uint64_t{per_problem} << other.chunk_bits) ++other.chunk_bits;
    return other;
  }
};

// The rows that add up to a cluster: slots of chunks up to a run's border (head), whole runs, slots of
// the chunks that are left (tail). Chunks and runs count inside the problem. The last chunk may end in
// another cluster, so it belongs to no run.
struct cluster_pieces {
  std::uint32_t first_chunk, head, first_run, runs, tail_chunk, tail;

  __device__ cluster_pieces(chunking const& chunks, std::uint32_t begin, std::uint32_t points) {
    first_chunk = begin >> chunks.chunk_bits;
    std::uint32_t const last_chunk = (begin + points - 1) >> chunks.chunk_bits;
    std::uint32_t const last_run = last_chunk >> chunks.run_bits;
    first_run = (first_chunk >> chunks.run_bits) + 1;
    runs = last_run > first_run ? last_run - first_run : 0;
    head = (runs > 0 ? first_run << chunks.run_bits : last_chunk + 1) - first_chunk;
    tail_chunk = last_run << chunks.run_bits;
    tail = runs > 0 ? last_chunk + 1 - tail_chunk : 0;
  }

  __device__ std::uint32_t count() const { return head + runs + tail; }
  __device__ bool has_run(std::uint32_t run) const {
    return run >= first_run && run < first_run + runs;
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
