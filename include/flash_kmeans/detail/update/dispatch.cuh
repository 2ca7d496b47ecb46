// Launches of an update: sort the points by cluster, add up the segments, finish the centroids.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../assign/operand.cuh"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../outputs.hpp"
#include "../workspace.cuh"
#include "balance.cuh"
#include "changes.cuh"
#include "empty.cuh"
#include "kernel_finish.cuh"
#include "kernel_gather.cuh"
#include "kernel_segments.cuh"
#include "sort.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class centroid_update {
 public:
  using acc = centroid_t<T>;

  // Labels may be outside [0, k), which has a bucket of its own.
  centroid_update(matrix_view<T const> const& x, matrix_view<acc> const& c,
                  update_rules<acc> const& rules, arena& memory)
      : x_(x),
        c_(c),
        scaling_(rules.rows),
        b_(x.batch_count()),
        group_(group_size(b_, x.rows, c.rows + 1)),
        multiprocessors_(multiprocessors()),
        overlaps_(has_clusters(count_kernel<kCountThreads>)),
        sort_(b_, group_, x.rows, c.rows, adds_changes(x, c, rules), multiprocessors_, overlaps_,
              memory),
        balance_(rules.size_ratio, b_, x.rows, c.rows, rules.rows.scales, memory),
        gaps_(rules.empty, b_, x.rows, c.rows, rules.rows.scales, memory) {
    // Halves of clusters are sums with factors.
    if (rules.empty == empty_cluster::split_largest) scaling_.scaled = true;
    vector_ = x.cols % kVector<T> == 0 && rows_aligned(x, kVector<T> * sizeof(T));
    std::int64_t const vectors = x.cols / (vector_ ? kVector<T> : 1);
    lanes_ = std::min<std::int64_t>(vectors, 128);
    column_blocks_ = ceil_div(vectors, lanes_);
    chunks_ = chunks_of(x.rows, c.rows, x.cols);
    constexpr std::int64_t kUnit = 16 / sizeof(acc);
    width_ = round_up(x.cols, kUnit);
    bool const changes = sort_.sorts_changes();
    std::int64_t const most_ld = width_ + (scaling_.scaled ? kUnit : 0);
    auto const take_sums = [&](std::int64_t rows) -> void* {
      if (!changes) return memory.take<acc>(rows * most_ld);
      return memory.take<sums_of_changes::sum<acc>>(rows * most_ld);
    };
    sums_ = take_sums(group_ * c.rows);
    slots_ = take_sums(group_ * chunks_.per_problem * 2);
    run_sums_ = memory.take<double>(group_ * chunks_.runs_per_problem() * most_ld);
    shifts_ = memory.take<double>(b_ * c.rows);
    std::int64_t const of_sort = group_ + point_sort::kOwnCounters;
    std::int64_t const of_segments = of_sort + group_ * sort_.counters();
    std::int64_t const of_changes = of_segments + group_ * chunks_.runs_per_problem() * vectors;
    counter_count_ = of_changes + (changes ? b_ * (c.rows + 1) : 0);
    counters_ = memory.take<std::uint32_t>(counter_count_);
    sort_counters_ = counters_ + group_;
    run_ends_ = counters_ + of_segments;
    if (!changes) return;
    std::uint32_t* const sizes = counters_ + of_changes;
    totals_ = {memory.take<double>(b_ * c.rows * width_), sizes,
               reinterpret_cast<std::int32_t*>(sizes + b_ * c.rows),
               static_cast<std::uint32_t>(c.rows), static_cast<std::int32_t>(width_)};
  }

  // What the host does once, before anything is queued.
  void prepare() { sort_.prepare(); }

  // Whether kernels may be launched so, and in clusters of blocks.
  bool overlaps() const { return overlaps_; }

  // Words in which blocks count how many have ended. Zero before the first update of a call, and
  // every update leaves them so.
  std::uint32_t* counters() const { return counters_; }
  std::int64_t counter_count() const { return counter_count_; }

  // One update of the masters. operand: where they are made ready, in Form, for the next assignment.
  // state: problems that have converged keep their masters, and the others end an iteration.
  // far(distances, wanted, first, problems, stream) computes distances to the own centroids, in a
  // group of problems, for empty clusters that take far points, whose labels change meanwhile
  // (where clusters are balanced, only in a copy).
  template <class Form, class Far>
  void queue(std::int32_t* labels, cluster_index const& index, operand_params<T> const& operand,
             convergence_state const& state, Far&& far, cudaStream_t stream) const {
    if (sort_.sorts_changes() && !wanted(index)) {
      queue_changes<Form>(labels, centroids(operand, state), stream);
      return;
    }
    bool const balances = balance_.wanted();
    std::int32_t* const summed = balances ? balance_.labels() : labels;
    queue_moves<Form>(labels, summed, index, centroids(operand, balance_.watched(state)), stream,
                      [&](sorted_points const& sorted, std::int64_t problems) {
                        fit_status const* const status = state.status;
                        std::int64_t const first = sorted.first;
                        if (balances) {
                          balance_.queue(sorted, problems, labels, state, stream);
                          queue_sort(summed, first, problems, status, balance_.moves(), {}, stream);
                        }
                        gaps_.queue_gaps(sorted, problems, status, stream);
                        if (!gaps_.moves_points()) return;
                        far(gaps_.distances(), gaps_.gaps(), first, problems, stream);
                        gaps_.queue_farthest(summed, first, problems, stream);
                        queue_sort(summed, first, problems, status, gaps_.gaps(), {}, stream);
                      });
    if (!gaps_.moves_points() || balances) return;
    for_each_group([&](std::int64_t first, std::int64_t problems) {
      gaps_.queue_give_back(labels, first, problems, stream);
    });
  }

  // The same where empty clusters keep their centroids.
  template <class Form>
  void queue(std::int32_t const* labels, cluster_index const& index,
             operand_params<T> const& operand, convergence_state const& state,
             cudaStream_t stream) const {
    queue_moves<Form>(labels, labels, index, centroids(operand, state), stream, nothing_between);
  }

  // Sums of the points of every cluster, in place of the masters.
  void queue_sums(std::int32_t const* labels, cudaStream_t stream) const {
    centroid_params<T> sums = centroids({}, {});
    sums.totals = true;
    queue_moves<plain_form<T>>(labels, labels, {}, sums, stream, nothing_between);
  }

  // Only the by-products of these labels.
  void queue_index(std::int32_t const* labels, cluster_index const& index,
                   cudaStream_t stream) const {
    for_each_group([&](std::int64_t first, std::int64_t problems) {
      queue_sort(labels, first, problems, nullptr, nullptr, index, stream);
    });
  }

  // What whoever moves centroids needs to know; `ended` counts for one group.
  centroid_params<T> centroids(operand_params<T> const& operand,
                               convergence_state const& state) const {
    centroid_params<T> p{};
    p.c = device_matrix<acc>(c_);
    p.aligned = rows_aligned(c_, 16);
    p.operand = operand;
    p.state = state;
    p.shifts = shifts_;
    p.ended = counters_;
    p.k = static_cast<std::uint32_t>(c_.rows);
    p.d = static_cast<std::int32_t>(x_.cols);
    return p;
  }

  // [b][k], squared distance that each centroid moved in the last update of a problem that had not
  // converged.
  double const* shifts() const { return shifts_; }

 private:
  // Chunks that fill the GPU, and no more slots than that takes: borders cost time and memory too. A
  // long problem fills it alone; shorter ones mostly come in batches, but a chunk must depend on its
  // problem only, so that a batch changes no sum. Measured on an H200.
  static chunking chunks_of(std::int64_t n, std::int64_t k, std::int64_t d) {
    constexpr std::int64_t kTiny = 1 << 14, kShort = 1 << 15, kLong = 1 << 18;
    constexpr std::int64_t kChunksOfLong = 4096, kElements = 1 << 22;
    constexpr std::int64_t kSlotBytes = 16, kFewBytes = 1 << 20;  // a point, a problem
    constexpr int kLongest = 8;
    int bits = n <= kTiny ? 5 : n < kShort ? 6 : 7;
    if (n >= kLong) {
      bits = std::min(kLongest, bits_for(static_cast<std::uint64_t>(ceil_div(n, kChunksOfLong))));
    }
    auto const count = [&] { return ceil_div(n, std::int64_t{1} << bits); };
    auto const slot_bytes = [&] { return 2 * d * std::int64_t{sizeof(acc)} >> bits; };
    while (count() > std::max<std::int64_t>(1, kElements / d) ||
           (slot_bytes() > kSlotBytes && slot_bytes() * n > kFewBytes && count() > k)) {
      ++bits;
    }
    // A cluster of all points is so many runs, and at both ends chunks, as a run has chunks.
    constexpr std::uint32_t kFewChunks = 64;
    constexpr int kLongestRun = 6, kNoRuns = 31;
    auto const chunks = static_cast<std::uint32_t>(count());
    int const run_bits = std::min(kLongestRun, (bits_for(chunks) + 1) / 2);
    return {bits, chunks, chunks <= kFewChunks ? kNoRuns : run_bits};
  }

  static void nothing_between(sorted_points const&, std::int64_t) {}

  // Positions and clusters of a group are counted in 31 bits: sort and grids hold them.
  static std::int64_t group_size(std::int64_t b, std::int64_t n, std::int64_t buckets) {
    constexpr std::int64_t kMost = 2147483647;
    return std::min({b, kMost / n, std::max<std::int64_t>(1, kMost / buckets)});
  }

  // body(first problem, problems)
  template <class Body>
  void for_each_group(Body&& body) const {
    for (std::int64_t first = 0; first < b_; first += group_) {
      body(first, std::min(group_, b_ - first));
    }
  }

  // Where all that changes from one update to the next is which points are in which cluster, and that
  // pays: points are read again only if they change their cluster, but each label is looked at, and
  // sums of clusters are kept in double. The size of the batch does not count. Measured on an H200.
  static bool adds_changes(matrix_view<T const> const& x, matrix_view<acc> const& c,
                           update_rules<acc> const& rules) {
    constexpr std::int64_t kFewestPoints = 1 << 15, kPointsOfCluster = 32, kFewestBytes = 64;
    constexpr std::int64_t kMostPoints = 1 << 29;  // positions of chunks are counted in 32 bits
    return rules.repeats && std::is_same_v<acc, float> && !rules.rows.scaled &&
           rules.empty == empty_cluster::keep && rules.size_ratio == 0 && x.rows >= kFewestPoints &&
           x.rows <= kMostPoints && x.rows >= kPointsOfCluster * c.rows &&
           x.cols * static_cast<std::int64_t>(sizeof(T)) >= kFewestBytes;
  }

  template <class Form>
  void queue_changes(std::int32_t const* labels, centroid_params<T> const& centroid,
                     cudaStream_t stream) const {
    if constexpr (std::is_same_v<acc, float>) {
      fit_status const* const status = centroid.state.status;
      for_each_group([&](std::int64_t first, std::int64_t problems) {
        sorted_points const sorted = sort_.queue_changes(labels + first * x_.rows, first, problems,
                                                         status, totals_, sort_counters_, stream);
        queue_segments(sums_of_changes{}, sorted, labels, problems, status, stream);
        queue_finish<Form>(sums_of_changes{}, sorted, problems, centroid, stream);
      });
    }
  }

  // sorted_now(points, problems): between the sort and the sums, after which points are sorted by
  // `summed`.
  template <class Form, class Sorted>
  void queue_moves(std::int32_t const* labels, std::int32_t const* summed,
                   cluster_index const& index, centroid_params<T> const& centroid,
                   cudaStream_t stream, Sorted&& sorted_now) const {
    fit_status const* const status = centroid.state.status;
    for_each_group([&](std::int64_t first, std::int64_t problems) {
      // By-products are those of all problems.
      sorted_points const sorted = queue_sort(
          labels, first, problems, wanted(index) ? nullptr : status, nullptr, index, stream);
      sorted_now(sorted, problems);
      with_rows([&](auto rows) {
        queue_segments(rows, sorted, summed, problems, status, stream);
        queue_finish<Form>(rows, sorted, problems, centroid, stream);
      });
    });
  }

  sorted_points queue_sort(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                           fit_status const* status, std::int32_t const* only,
                           cluster_index const& index, cudaStream_t stream) const {
    return sort_.queue(labels + first * x_.rows, first, problems, status, only, index,
                       sort_counters_, stream);
  }

  template <class Rows>
  std::int32_t ld_of(Rows) const {
    return static_cast<std::int32_t>(width_ + (Rows::kScaled ? 16 / sizeof(acc) : 0));
  }

  template <class Rows>
  void queue_segments(Rows rows, sorted_points const& sorted, std::int32_t const* labels,
                      std::int64_t problems, fit_status const* status, cudaStream_t stream) const {
    segments_params<T, Rows> p{};
    p.sorted = sorted;
    p.labels = labels + sorted.first * x_.rows;
    p.x = device_matrix<T const>(x_);
    p.scales = scaling_.scales;
    p.sums = static_cast<decltype(p.sums)>(sums_);
    p.slots = static_cast<decltype(p.slots)>(slots_);
    p.run_sums = run_sums_;
    p.run_ends = run_ends_;
    p.status = status;
    p.chunks = chunks_;
    p.count = static_cast<std::uint32_t>(problems * chunks_.per_problem);
    p.d = static_cast<std::int32_t>(x_.cols);
    p.width = static_cast<std::int32_t>(width_);
    p.ld = ld_of(rows);
    p.lanes = static_cast<std::int32_t>(lanes_);
    p.column_blocks = static_cast<std::int32_t>(column_blocks_);
    p.clusters = sort_.changes().clusters;
    std::int64_t const blocks =
        ceil_div<std::int64_t>(p.count, kSegmentsThreads / lanes_) * column_blocks_;
    launch(vector_ ? segments_kernel<T, kVector<T>, Rows> : segments_kernel<T, 1, Rows>,
           "segments_kernel", blocks, kSegmentsThreads, stream, p, {0, 1, overlaps_});
  }

  template <class Form, class Rows>
  void queue_finish(Rows rows, sorted_points const& sorted, std::int64_t problems,
                    centroid_params<T> const& centroid, cudaStream_t stream) const {
    finish_params<T, Rows> p{};
    p.sorted = sorted;
    p.sums = static_cast<decltype(p.sums)>(sums_);
    p.slots = static_cast<decltype(p.slots)>(slots_);
    p.run_sums = run_sums_;
    p.centroid = centroid;
    p.chunks = chunks_;
    p.width = static_cast<std::int32_t>(width_);
    p.ld = ld_of(rows);
    p.directions = scaling_.directions;
    p.splits = gaps_.splits();
    p.totals = totals_;
    // Clusters of many pieces get a block each. Others are dealt out to as many blocks as run at once.
    constexpr std::uint64_t kManyPieces = 8;
    p.at_once = chunks_.per_problem > kManyPieces * sorted.k ? 1 : kFinishWarps;
    p.blocks = static_cast<std::uint32_t>(std::min<std::int64_t>(
        ceil_div(sorted.k, p.at_once),
        std::max<std::int64_t>(1, kFinishBlocksOfSm * multiprocessors_ / problems)));
    launch(finish_kernel<T, Form, Rows>, "finish_kernel", problems * p.blocks, kFinishThreads,
           stream, p, {0, 1, overlaps_});
  }

  template <class Use>
  void with_rows(Use&& use) const {
    if (scaling_.scaled) {
      use(sums_of_scaled_rows{});
    } else {
      use(sums_of_rows{});
    }
  }

  matrix_view<T const> x_;
  matrix_view<acc> c_;
  row_scaling<acc> scaling_;
  std::int64_t b_;
  std::int64_t group_;  // problems sorted together
  std::int64_t multiprocessors_;
  bool overlaps_;  // kernels may be launched so
  point_sort sort_;
  size_balance<acc> balance_;
  gap_filling<T> gaps_;
  std::int64_t width_;  // of sums
  double* shifts_;
  // [group] of problems' ends, then of the sort, of the segments, and of changes
  std::uint32_t* counters_;
  std::uint32_t* sort_counters_;
  std::uint32_t* run_ends_;
  std::int64_t counter_count_;
  cluster_sums totals_{};
  bool vector_;
  std::int64_t lanes_, column_blocks_;
  chunking chunks_;
  void* sums_;
  void* slots_;
  double* run_sums_;
};

// sorted[b][i] = x[b][order[b][i]]. In the largest pieces that all rows of both consist of.
template <class T>
void queue_gather(matrix_view<T const> const& x, std::int32_t const* order,
                  matrix_view<T> const& sorted, cudaStream_t stream) {
  auto const pieces = [&](auto piece) {
    using Piece = decltype(piece);
    constexpr std::int64_t kElements = sizeof(Piece) / sizeof(T);
    auto const in_pieces = [](auto* data, auto const& view) {
      using Data = std::remove_pointer_t<decltype(data)>;
      return device_matrix<Data>(
          matrix_view<Data>(data, view.rows, view.cols / kElements, view.ld / kElements, view.batch,
                            {view.batch_stride[0] / kElements, view.batch_stride[1] / kElements}));
    };
    gather_params<Piece> p{};
    p.from = in_pieces(reinterpret_cast<Piece const*>(x.data), x);
    p.to = in_pieces(reinterpret_cast<Piece*>(sorted.data), sorted);
    p.order = order;
    p.n = x.rows;
    p.rows = x.batch_count() * x.rows;
    p.width = x.cols / kElements;
    p.lanes = power_of_two_for(p.width, 32);
    launch(gather_kernel<Piece>, "gather_kernel",
           grid_for(ceil_div<std::int64_t>(p.rows, kGatherThreads / p.lanes)), kGatherThreads,
           stream, p);
  };
  auto const fits = [&](std::size_t bytes) {
    return static_cast<std::size_t>(x.cols) * sizeof(T) % bytes == 0 && rows_aligned(x, bytes) &&
           rows_aligned(sorted, bytes);
  };
  if (fits(16)) {
    pieces(uint4{});
  } else if (fits(8)) {
    pieces(std::uint64_t{});
  } else if constexpr (sizeof(T) <= 4) {
    if (fits(4)) {
      pieces(std::uint32_t{});
    } else if constexpr (sizeof(T) <= 2) {
      if (fits(2)) {
        pieces(std::uint16_t{});
      } else if constexpr (sizeof(T) == 1) {
        pieces(std::uint8_t{});
      }
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
