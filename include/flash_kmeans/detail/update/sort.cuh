// Stable sort of points by cluster: by counting all clusters at once, or digit by digit where they
// are too many.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "changes.cuh"
#include "counting.cuh"
#include "kernel_count.cuh"
#include "kernel_count_changes.cuh"
#include "kernel_radix.cuh"
#include "kernel_sort.cuh"
#include "kernel_sort_changes.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

class point_sort {
 public:
  // For groups of up to `problems` of b problems of n points in k clusters. changes: what changed
  // is to be sorted, where that is possible (see sorts_changes). overlaps: kernels may be launched
  // so.
  point_sort(std::int64_t b, std::int64_t problems, std::int64_t n, std::int64_t k, bool changes,
             std::int64_t multiprocessors, bool overlaps, arena& memory)
      : n_(static_cast<std::uint32_t>(n)),
        k_(static_cast<std::uint32_t>(k)),
        buckets_(static_cast<std::uint32_t>(k + 1)),
        overlaps_(overlaps) {
    std::int64_t const count = problems * n;
    order_[0] = memory.take<std::uint32_t>(count);
    offsets_ = memory.take<std::uint32_t>(problems * (buckets_ + 1));
    std::int64_t const shared = most_shared_bytes();
    counted_ = buckets_;
    if (!fits_at_once(shared)) {
      int const bits = bits_for(buckets_);
      digits_ = bits <= 2 * kDigitMostBits ? 2 : 3;
      digit_bits_ = ceil_div(bits, digits_);
      counted_ = (1u << digit_bits_) + 1;
      order_[1] = memory.take<std::uint32_t>(count);
      for (std::uint32_t*& of : bucket_) of = memory.take<std::uint32_t>(count);
    }
    sorts_changes_ = changes && digits_ == 0;
    cut_into_spans(kSortBlocksOfSm * multiprocessors / problems, shared);
    if (!together_) groups_ = ceil_div(spans_, kSpansOfGroup);
    auto const take_counts = [&](std::int64_t rows) {
      return memory.take<std::uint32_t>(problems * rows * stride());
    };
    counts_ = take_counts(spans_);
    group_counts_ = take_counts(groups_);
    if (!sorts_changes_) return;
    changes_.before = memory.take<std::uint32_t>(b * n);
    changes_.entries = memory.take<change_entry>(problems * spans_ * 2 * span_);
    changes_.lengths = memory.take<std::uint32_t>(problems * spans_);
    changes_.order = memory.take<std::uint32_t>(2 * count);
    changes_.clusters = memory.take<std::uint32_t>(2 * count);
  }

  // Whether queue_changes may be called.
  bool sorts_changes() const { return sorts_changes_; }

  // What the host does once, before anything is queued.
  void prepare() {
    if (digits_ == 0) return;
    resident_ = blocks_of_multiprocessor(radix_kernel_of_bits(), "radix_kernel", 32 * warps_,
                                         static_cast<std::size_t>(shared_bytes()));
  }

  // Words that have to be zero before the first sort: so many for each problem, and kOwnCounters.
  std::int64_t counters() const { return groups_; }
  static constexpr std::int64_t kOwnCounters = 1;

  // Sorts problems [first, first + problems) by their labels ([problems][n], of the group). status:
  // problems that have converged may keep the order that they have; or, where there is a `wanted`
  // ([b]), those that have a 0 there. index: by-products.
  sorted_points queue(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                      fit_status const* status, std::int32_t const* wanted,
                      cluster_index const& index, std::uint32_t* counters,
                      cudaStream_t stream) const {
    counting_params p = params(labels, first, status, counters);
    p.wanted = wanted;
    p.index = index;
    if (digits_ > 0) {
      queue_digits(p, problems, counters, stream);
    } else {
      queue_counting(p, problems, stream);
    }
    return sorted(first);
  }

  // Sorts what changed since the last call for these problems, by changes() and what clusters were.
  // status: which problems have converged, and whether this is the first update of a fit.
  sorted_points queue_changes(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                              fit_status const* status, cluster_sums const& clusters,
                              std::uint32_t* counters, cudaStream_t stream) const {
    counting_params const p = params(labels, first, status, counters);
    launch(count_changes_kernel<kCountThreads>, "count_changes_kernel", problems * spans_,
           kCountThreads, stream, count_changes_params{p, changes_, clusters},
           {2 * buckets_ * sizeof(std::uint32_t), 1, overlaps_});
    launch(sort_changes_kernel_of_bits(), "sort_changes_kernel", problems * spans_, 32 * warps_,
           stream, sort_changes_params{p, changes_},
           {static_cast<std::size_t>(shared_bytes()), 1, overlaps_});
    return {changes_.order, offsets_, 2 * n_, k_, first};
  }
  point_changes const& changes() const { return changes_; }

 private:
  counting_params params(std::int32_t const* labels, std::int64_t first, fit_status const* status,
                         std::uint32_t* counters) const {
    counting_params p{};
    p.labels = labels;
    p.status = status;
    p.counts = counts_;
    p.group_counts = group_counts_;
    p.counted_spans = counters + kOwnCounters;
    p.offsets = offsets_;
    p.order = order_[0];
    p.n = n_;
    p.k = k_;
    p.buckets = counted_;
    p.stride = stride();
    p.span = span_;
    p.spans = spans_;
    p.tile = tile_;
    p.first = first;
    return p;
  }
  sorted_points sorted(std::int64_t first) const { return {order_[0], offsets_, n_, k_, first}; }

  // Whether one counting sort is the better one (measured on an H200) and fits: shared memory has to
  // hold counts of kFewestWarps at least.
  bool fits_at_once(std::int64_t shared) const {
    constexpr std::int64_t kMostClusters = 2048, kFewestWarps = 4;
    static_assert(kMostClusters <= 1 << change_entry::kClusterBits);
    return k_ <= kMostClusters && shared_bytes_of(kFewestWarps) <= shared;
  }
  std::uint32_t stride() const { return round_up(counted_, 2u); }
  std::int64_t shared_bytes_of(std::int64_t warps) const {
    return sort_shared_bytes(counted_, warps, tile_of(warps), item_bytes());
  }
  static constexpr std::int64_t kSortBlocksOfSm = 2;  // that registers leave room for
  std::int64_t tile_of(std::int64_t warps) const {
    return warps * 32 * (digits_ > 0 ? digit_points<true>::kRounds : counted_points::kRounds);
  }

  // wanted: spans of a problem that make one wave of blocks.
  void cut_into_spans(std::int64_t wanted, std::int64_t shared) {
    constexpr std::int64_t kMostTogether = 8;  // blocks of a cluster, on any GPU
    constexpr std::int64_t kShortTogether = 1024, kShort = 2048;
    constexpr std::int64_t kLongestSpan = std::int64_t{1} << change_entry::kPlaceBits;
    std::int64_t warps = kSortWarps;
    while (shared_bytes_of(warps) > shared) warps /= 2;
    std::int64_t const tiles = ceil_div<std::int64_t>(n_, tile_of(warps));
    together_ = digits_ == 0 && !sorts_changes_ && tiles <= (overlaps_ ? kMostTogether : 1);
    std::int64_t spans = 1;
    if (!together_) {
      spans = std::clamp<std::int64_t>(wanted, 1, ceil_div<std::int64_t>(n_, kShort));
      if (sorts_changes_) spans = std::max(spans, ceil_div<std::int64_t>(n_, kLongestSpan));
    } else if (overlaps_) {
      spans = std::min({wanted, kMostTogether, ceil_div<std::int64_t>(n_, kShortTogether)});
      spans = std::max(spans, tiles);
    }
    span_ = ceil_div<std::uint32_t>(n_, static_cast<std::uint32_t>(spans));
    spans_ = together_ ? static_cast<std::uint32_t>(spans) : ceil_div(n_, span_);
    std::uint32_t const pieces =
        ceil_div<std::uint32_t>(span_, static_cast<std::uint32_t>(tile_of(warps)));
    tile_ = ceil_div(span_, pieces);
    // Every warp has its own counts to clear and to add up: a few rounds must pay for them.
    constexpr std::int64_t kFewRounds = 4;
    while (warps > 1 && tile_ <= kFewRounds * 32 * warps / 2) warps /= 2;
    warps_ = static_cast<int>(warps);
  }

  void queue_counting(counting_params const& p, std::int64_t problems, cudaStream_t stream) const {
    if (!together_) {
      launch(count_kernel<kCountThreads>, "count_kernel", problems * spans_, kCountThreads, stream,
             p, {buckets_ * sizeof(std::uint32_t), 1, overlaps_});
    }
    launch(sort_kernel_of_bits(), "sort_kernel", problems * spans_, 32 * warps_, stream, p,
           {static_cast<std::size_t>(shared_bytes()), together_ ? static_cast<int>(spans_) : 1,
            overlaps_});
  }

  void queue_digits(counting_params const& digit, std::int64_t problems, std::uint32_t* arrived,
                    cudaStream_t stream) const {
    radix_params p{};
    p.digit = digit;
    for (int i = 0; i < 2; ++i) {
      p.order[i] = order_[i];
      p.bucket[i] = bucket_[i];
    }
    p.offsets = offsets_;
    p.arrived = arrived;
    p.problems = static_cast<std::uint32_t>(problems);
    p.buckets = buckets_;
    p.digits = digits_;
    p.digit_bits = digit_bits_;
    launch_options options{};
    options.shared_bytes = static_cast<std::size_t>(shared_bytes());
    options.resident = true;
    // The number of blocks changes no bit.
    launch(radix_kernel_of_bits(), "radix_kernel",
           std::min(problems * spans_, resident_ * multiprocessors_of(stream)), 32 * warps_, stream,
           p, options);
  }

  std::int64_t item_bytes() const {
    return digits_ > 0 ? sizeof(digit_points<true>::item) : sizeof(counted_points::item);
  }
  std::int64_t shared_bytes() const {
    return sort_shared_bytes(counted_, warps_, tile_, item_bytes());
  }

  auto sort_kernel_of_bits() const -> void (*)(counting_params) {
    auto const of = [&](auto bits) {
      constexpr int kBits = decltype(bits)::value, kThreads = 32 * kSortWarps;
      return together_ ? sort_kernel<kThreads, kBits, true> : sort_kernel<kThreads, kBits, false>;
    };
    int const bits = bits_for(buckets_);
    if (bits <= 8) return of(std::integral_constant<int, 8>{});
    if (bits <= 10) return of(std::integral_constant<int, 10>{});
    if (bits <= 11) return of(std::integral_constant<int, 11>{});
    return of(std::integral_constant<int, 12>{});
  }

  auto sort_changes_kernel_of_bits() const -> void (*)(sort_changes_params) {
    constexpr int kThreads = 32 * kSortWarps;
    return bits_for(buckets_) <= 10 ? sort_changes_kernel<kThreads, 10>
                                    : sort_changes_kernel<kThreads, 12>;
  }

  auto radix_kernel_of_bits() const -> void (*)(radix_params) {
    constexpr int kThreads = 32 * kSortWarps;
    return digit_bits_ <= 6   ? radix_kernel<kThreads, 6>
           : digit_bits_ <= 8 ? radix_kernel<kThreads, 8>
                              : radix_kernel<kThreads, 11>;
  }

  std::uint32_t n_, k_, buckets_;
  bool overlaps_;
  std::uint32_t* order_[2] = {};
  std::uint32_t* offsets_;
  int warps_ = 0;  // of a block
  bool sorts_changes_ = false;
  bool together_ = false;  // spans of a problem are one cluster of blocks
  std::uint32_t counted_;  // buckets that are counted at once: all, or those of a digit
  std::uint32_t span_ = 0, spans_ = 0, tile_ = 0, groups_ = 0;
  std::uint32_t* counts_ = nullptr;
  std::uint32_t* group_counts_ = nullptr;
  point_changes changes_{};
  // more clusters than can be counted at once
  int digits_ = 0, digit_bits_ = 0;
  std::uint32_t* bucket_[2] = {};
  std::int64_t resident_ = 0;  // blocks of a multiprocessor
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
