// Sorts by cluster what kernel_count_changes.cuh listed.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "changes.cuh"
#include "counting.cuh"
#include "sort_span.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

struct sort_changes_params {
  counting_params counting;
  point_changes changes;
};

// The entries of a span as a sort finds them and leaves them; see counted_points.
class changed_points {
 public:
  static constexpr int kRounds = counted_points::kRounds;
  static constexpr bool kRest = false;

  // What is sorted: bucket << 16 | place in the tile.
  using item = std::uint32_t;
  static __device__ std::uint32_t bucket_of(item of) { return of >> 16; }

  __device__ changed_points(sort_changes_params const& p, std::uint32_t problem, std::uint32_t span)
      : p_(p), problem_(problem), span_(span) {}

  __device__ std::uint32_t first(std::uint32_t) const { return 0; }
  __device__ std::uint32_t last(std::uint32_t) const { return p_.changes.lengths[at_span()]; }

  __device__ auto buckets() const {
    return [entries = entries()](std::uint32_t i) { return entries[i].cluster(); };
  }
  __device__ auto items(std::uint32_t) const {
    return [](std::uint32_t bucket, std::uint32_t i) { return bucket | i; };
  }
  __device__ auto puts(std::uint32_t begin) const {
    return [this, begin, entries = entries(), first = p_.counting.span_begin(span_),
            base = std::int64_t{problem_} * 2 * p_.counting.n](item of, std::uint32_t place) {
      change_entry const entry = entries[begin + (of & 0xffffu)];
      p_.changes.order[base + place] = first + entry.place();
      p_.changes.clusters[base + place] = bucket_of(of) | (entry.leaves() ? kLeaves : 0);
    };
  }
  __device__ auto begins() const {
    return [offsets = offsets(), k = p_.counting.k](std::uint32_t j, std::uint32_t offset,
                                                    std::uint32_t count) {
      offsets[j] = offset;
      // Of the rest, which holds nothing, nobody may tell.
      if (j + 1 == k) offsets[k] = offset + count;
    };
  }
  __device__ void end() const {}

 private:
  __device__ std::uint32_t at_span() const { return problem_ * p_.counting.spans + span_; }
  __device__ change_entry const* entries() const {
    return p_.changes.entries + std::int64_t{at_span()} * 2 * p_.counting.span;
  }
  __device__ std::uint32_t* offsets() const {
    return p_.counting.offsets + std::int64_t{problem_} * (p_.counting.buckets + 1);
  }

  sort_changes_params const& p_;
  std::uint32_t problem_, span_;
};

// One block a span.
template <int MostThreads, int Bits>
FLASH_KMEANS_KERNEL void __launch_bounds__(MostThreads, kSortBlocks)
    sort_changes_kernel(sort_changes_params const params) {
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  counting_params const& p = params.counting;
  std::uint32_t const problem = blockIdx.x / p.spans, span = blockIdx.x - problem * p.spans;
  if (p.skips(problem)) return;
  changed_points const points(params, problem, span);
  sort_span<Bits, false, changed_points>(p, points, problem, span).sort();
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
