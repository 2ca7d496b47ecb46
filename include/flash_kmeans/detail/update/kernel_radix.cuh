// Stable radix sort of the points of every problem by cluster, where there are too many clusters to
// count each of them: buckets are sorted by digits, the lowest first, each by counting
// (count_span.cuh, sort_span.cuh). One launch, whose blocks wait for each other in between.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../lower_bound.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "count_span.cuh"
#include "counting.cuh"
#include "sort_span.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kDigitMostBits = 11;

struct radix_params {
  counting_params digit;     // of every digit; its buckets are the values of one, and an empty rest
  std::uint32_t* order[2];   // [problems][n] points; after the last digit the first is right
  std::uint32_t* bucket[2];  // [problems][n] of those points
  std::uint32_t* offsets;    // [problems][buckets + 1]
  std::uint32_t* arrived;    // blocks at a barrier; zero between launches
  std::uint32_t problems, buckets;
  int digits, digit_bits;
};

// The points of a problem before and after the sort by one digit of their buckets. First: the lowest
// digit, before which points are in the order of their numbers.
template <bool First>
class digit_points {
 public:
  static constexpr int kRounds = 8;  // items are on their way in registers
  static constexpr bool kRest = false;

  // What is sorted: bucket and point.
  using item = uint2;

  __device__ digit_points(radix_params const& p, std::uint32_t problem, int digit)
      : p_(p), problem_(problem), digit_(digit) {}

  __device__ std::uint32_t bucket_of(item of) const { return digit_of(of.x); }

  __device__ std::uint32_t first(std::uint32_t span) const { return p_.digit.span_begin(span); }
  __device__ std::uint32_t last(std::uint32_t span) const { return p_.digit.span_end(span); }

  __device__ auto buckets() const {
    return [this, whole = wholes()](std::uint32_t i) { return digit_of(whole(i)); };
  }

  __device__ auto items(std::uint32_t begin) const {
    return [begin, whole = wholes(),
            order = of_problem(after(digit_ - 1) ? p_.order[1] : p_.order[0])](std::uint32_t,
                                                                               std::uint32_t i) {
      return item{whole(begin + i), First ? begin + i : order[begin + i]};
    };
  }

  __device__ auto puts(std::uint32_t) const {
    bool const second = after(digit_);
    return
        [this, order = of_problem(second ? p_.order[1] : p_.order[0]),
         buckets = of_problem(second ? p_.bucket[1] : p_.bucket[0])](item of, std::uint32_t place) {
          buckets[place] = of.x;
          order[place] = of.y;
          if (First || digit_ + 1 < p_.digits) return;
          counting_params const& q = p_.digit;
          std::int64_t const begin = (q.first + problem_) * q.n;
          if (q.index.order != nullptr) {
            q.index.order[begin + place] = static_cast<std::int32_t>(of.y);
          }
          if (q.index.inverse != nullptr) {
            q.index.inverse[begin + of.y] = static_cast<std::int32_t>(place);
          }
        };
  }

  // Of a digit's values nobody needs to know.
  __device__ auto begins() const {
    return [](std::uint32_t, std::uint32_t, std::uint32_t) {};
  }
  __device__ void end() const {}

 private:
  // Whether a digit leaves the points in the second of the arrays.
  __device__ bool after(int digit) const { return (p_.digits - 1 - digit) % 2 != 0; }
  template <class Value>
  __device__ Value* of_problem(Value* of_all) const {
    return of_all + std::int64_t{problem_} * p_.digit.n;
  }
  __device__ std::uint32_t digit_of(std::uint32_t bucket) const {
    return bucket >> digit_ * p_.digit_bits & (p_.digit.buckets - 2);  // values less one
  }
  __device__ auto wholes() const {
    if constexpr (First) {
      return [this, labels = of_problem(p_.digit.labels)](std::uint32_t i) {
        return p_.digit.bucket(labels[i]);
      };
    } else {
      return [buckets = of_problem(after(digit_ - 1) ? p_.bucket[1] : p_.bucket[0])](
                 std::uint32_t i) { return buckets[i]; };
    }
  }

  radix_params const& p_;
  std::uint32_t problem_;
  int digit_;
};

// As many blocks as run at once. Shared memory: of sort_span.cuh. Bits: at least digit_bits.
template <int MostThreads, int Bits>
FLASH_KMEANS_KERNEL void __launch_bounds__(MostThreads, kSortBlocks)
    radix_kernel(radix_params const p) {
  extern __shared__ std::uint32_t radix_words[];
  counting_params const& q = p.digit;
  if (p.problems == 1 && q.skips(0)) return;
  auto const for_each_span = [&](auto&& body) {
    for (std::uint32_t unit = blockIdx.x; unit < p.problems * q.spans; unit += gridDim.x) {
      std::uint32_t const problem = unit / q.spans;
      if (q.skips(problem)) continue;
      __syncthreads();  // the span before is done with shared memory
      body(problem, unit - problem * q.spans);
    }
    grid_barrier(p.arrived);
  };
  auto const sort_by = [&](int digit, auto first) {
    using points_type = digit_points<decltype(first)::value>;
    for_each_span([&](std::uint32_t problem, std::uint32_t span) {
      count_span(q, points_type(p, problem, digit), problem, span, blockDim.x, radix_words);
    });
    for_each_span([&](std::uint32_t problem, std::uint32_t span) {
      points_type const points(p, problem, digit);
      sort_span<Bits, false, points_type>(q, points, problem, span).sort();
    });
  };
  sort_by(0, std::true_type{});
  for (int digit = 1; digit < p.digits; ++digit) sort_by(digit, std::false_type{});
  ptx::let_next_grid_start();

  std::int64_t const begins = std::int64_t{p.problems} * (p.buckets + 1);
  std::int64_t const step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < begins;
       i += step) {
    auto const problem = static_cast<std::uint32_t>(i / (p.buckets + 1));
    auto const j = static_cast<std::uint32_t>(i - std::int64_t{problem} * (p.buckets + 1));
    if (q.skips(problem)) continue;
    std::uint32_t const* const sorted = p.bucket[0] + std::int64_t{problem} * q.n;
    std::int64_t const b = q.first + problem;
    std::uint32_t const begin = j < p.buckets ? lower_bound(sorted, q.n, j) : q.n;
    p.offsets[i] = begin;
    if (q.index.offsets != nullptr && j <= q.k) q.index.offsets[b * (q.k + 1) + j] = begin;
    if (q.index.counts != nullptr && j < q.k) {
      std::uint32_t const end = j + 1 < p.buckets ? lower_bound(sorted, q.n, j + 1) : q.n;
      q.index.counts[b * q.k + j] = static_cast<std::int32_t>(end - begin);
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
