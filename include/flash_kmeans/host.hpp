// The CPU backend: the verbs of the library over host memory. Plain C++17 and std::thread, no CUDA.
//
// The algorithm, options, semantics and results are those of the GPU verbs, so that code which uses
// the library can be built, run and tested where there is no GPU. Points may be float, double,
// std::uint8_t, std::int8_t, __half, __nv_bfloat16, or anything else that static_cast turns into a
// float. Centroids are double for double points and float for all others, and so are the scores of
// an assignment; sums, means and inertia are accumulated in double.
//
// Determinism: the same input and options give the same bits, whatever the number of threads and
// however a batch is split among them.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "detail/checks.hpp"
#include "detail/error.hpp"
#include "detail/math.hpp"
#include "detail/outputs.hpp"
#include "types.hpp"

namespace flash_kmeans::detail::cpu {

// ---- Threads ----

// Multiply-adds that take about as long as it takes to wake a thread.
inline constexpr double kWorthAThread = 1e5;

// The calling thread and up to threads - 1 others. They start when the first region that is worth
// them does, sleep between regions and are joined by the destructor.
class team {
 public:
  // 0: as many as the machine runs at once.
  explicit team(int threads)
      : size_(threads > 0 ? threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {}

  team(team const&) = delete;
  team& operator=(team const&) = delete;

  ~team() {
    {
      std::lock_guard<std::mutex> const lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int size() const { return size_; }

  // Calls body(begin, end) for disjoint ranges that cover [0, count), concurrently. cost is that of
  // one item in multiply-adds. Which thread gets which range, and where ranges end, is left open:
  // what body writes must not depend on it. The first exception that body throws ends the region
  // and is rethrown.
  template <class Body>
  void for_ranges(std::int64_t count, double cost, Body const& body) {
    if (count <= 0) return;
    double const worth = static_cast<double>(count) * cost / kWorthAThread;
    std::int64_t const most = std::min<std::int64_t>(size_, count);
    std::int64_t const workers =
        worth < static_cast<double>(most) ? static_cast<std::int64_t>(worth) : most;
    if (workers <= 1) {
      body(std::int64_t{0}, count);
      return;
    }
    // Small enough ranges that a thread which starts late or is held up costs little.
    std::int64_t const grain = std::max<std::int64_t>(1, count / (workers * 8));
    std::atomic<std::int64_t> next{0};
    run(static_cast<std::size_t>(workers - 1), [&] {
      try {
        for (;;) {
          std::int64_t const begin = next.fetch_add(grain);
          if (begin >= count) return;
          body(begin, std::min(begin + grain, count));
        }
      } catch (...) {
        next = count;
        throw;
      }
    });
  }

 private:
  // Runs job here and on up to helpers threads; returns when all that took it up are done.
  void run(std::size_t helpers, std::function<void()> const& job) {
    start(helpers);
    {
      std::lock_guard<std::mutex> const lock(mutex_);
      job_ = &job;
      seats_ = std::min(helpers, threads_.size());
    }
    wake_.notify_all();
    take_part(job);
    std::exception_ptr error;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      seats_ = 0;  // what is not taken up by now is done
      done_.wait(lock, [&] { return active_ == 0; });
      job_ = nullptr;
      std::swap(error, error_);
    }
    if (error) std::rethrow_exception(error);
  }

  void start(std::size_t helpers) {
    try {
      threads_.reserve(helpers);
      while (threads_.size() < helpers) threads_.emplace_back([this] { serve(); });
    } catch (std::system_error const&) {
      // The system gives no more threads: those that there are do the work.
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || seats_ > 0; });
      if (stopping_) return;
      --seats_;
      ++active_;
      std::function<void()> const& job = *job_;
      lock.unlock();
      take_part(job);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  void take_part(std::function<void()> const& job) noexcept {
    try {
      job();
    } catch (...) {
      std::lock_guard<std::mutex> const lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  int const size_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::function<void()> const* job_ = nullptr;
  std::size_t seats_ = 0;   // helpers that the running job still takes
  std::size_t active_ = 0;  // helpers inside it
  std::exception_ptr error_;
  bool stopping_ = false;
};

// ---- Blocks ----

// Centroids are packed in blocks of kLanes, features outermost, so that one load brings the same
// feature of neighbouring centroids; kRows points x kLanes centroids is what registers hold.
inline constexpr int kLanes = 16;
inline constexpr int kRows = 3;
// Points that are converted at a time, and features that are summed up before the next block of
// them: together they keep a block of centroids and a tile of points in the caches. Each block of
// features has a sum of its own, which also keeps rounding errors small at large d.
inline constexpr int kTileRows = 48;
inline constexpr int kDepth = 256;
static_assert(kTileRows % kRows == 0);
// Points whose distances are one term of the inertia, and points whose sum is one term of a
// cluster's sum. Fixed, because they settle the order of additions.
inline constexpr int kPointBlock = 10 * kTileRows;
inline constexpr int kPieceRows = 1024;

// Memory that calls inside one another's loops share.
template <class C>
struct scratch {
  std::vector<C> packed;              // [k / kLanes][d][kLanes], zero beyond k
  std::vector<C> half_norms;          // [k / kLanes][kLanes], |c|^2 / 2, infinite beyond k
  std::vector<std::int32_t> offsets;  // [k + 1]
  std::vector<std::int32_t> order;    // [n]
  std::vector<std::int32_t> histograms;
  std::vector<double> partials;
  std::vector<double> shifts;  // [k]
};

template <class T>
matrix_view<T> problem(matrix_view<T> const& v, std::int64_t i) {
  return {v.data + v.problem_offset(i), v.rows, v.cols, v.ld};
}

template <class T>
T* row(matrix_view<T> const& v, std::int64_t i) {
  return v.data + i * v.ld;
}

// By way of the compute type: the half types convert to float only.
template <class P>
double as_double(P value) {
  return static_cast<double>(static_cast<centroid_t<P>>(value));
}

inline double sum_in_order(std::vector<double> const& terms) {
  double sum = 0;
  for (double const term : terms) sum += term;
  return sum;
}

// |a - b|^2 in double.
template <class A, class B>
double squared_distance(A const* a, B const* b, std::int64_t d) {
  double sums[8] = {};
  auto add = [&](std::int64_t f, std::int64_t lane) {
    double const difference = as_double(a[f]) - as_double(b[f]);
    sums[lane] += difference * difference;
  };
  std::int64_t f = 0;
  for (; f + 8 <= d; f += 8) {
    for (std::int64_t lane = 0; lane < 8; ++lane) add(f + lane, lane);
  }
  for (std::int64_t lane = 0; f + lane < d; ++lane) add(f + lane, lane);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// ---- Assignment ----

template <class C, class Centroid>
void pack(team& workers, scratch<C>& s, matrix_view<Centroid> const& c) {
  std::int64_t const d = c.cols;
  std::int64_t const blocks = ceil_div<std::int64_t>(c.rows, kLanes);
  s.packed.assign(static_cast<std::size_t>(blocks * d * kLanes), C(0));
  s.half_norms.assign(static_cast<std::size_t>(blocks * kLanes),
                      std::numeric_limits<C>::infinity());
  workers.for_ranges(blocks, 2.0 * kLanes * static_cast<double>(d), [&](auto begin, auto end) {
    for (std::int64_t block = begin; block < end; ++block) {
      std::int64_t const lanes = std::min<std::int64_t>(kLanes, c.rows - block * kLanes);
      C* const to = s.packed.data() + block * d * kLanes;
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        C const* const from = row(c, block * kLanes + lane);
        double norm = 0;
        for (std::int64_t f = 0; f < d; ++f) {
          to[f * kLanes + lane] = from[f];
          norm += static_cast<double>(from[f]) * static_cast<double>(from[f]);
        }
        s.half_norms[static_cast<std::size_t>(block * kLanes + lane)] = static_cast<C>(norm / 2);
      }
    }
  });
}

// What a lane of scores counts blocks of centroids in: as wide as a score.
template <class C>
using lane_index = std::conditional_t<sizeof(C) == 8, std::int64_t, std::int32_t>;

// The two inner loops:
//   add_dots:  adds to sums[r * kLanes + l] the sum over depth features f of
//              x[r * d + f] * c[f * kLanes + l], for kRows points and kLanes centroids;
//   keep_best: where sums[l] - half_norms[l] > best[l], it and block replace best and best_block.
// Compilers vectorise the plain form along the wrong loop or not at all, depending on the
// optimisation level; with vector types there is nothing to guess. Lanes are never added to one
// another, so the width of the vectors changes no result.
#if defined(__GNUC__) && !defined(FLASH_KMEANS_PLAIN_LOOPS)

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class C>
struct vector_of;
template <>
struct vector_of<float> {
  typedef float values __attribute__((vector_size(kVectorBytes)));
  typedef std::int32_t indices __attribute__((vector_size(kVectorBytes)));
};
template <>
struct vector_of<double> {
  typedef double values __attribute__((vector_size(kVectorBytes)));
  typedef std::int64_t indices __attribute__((vector_size(kVectorBytes)));
};

template <class C>
inline constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(C));

template <class Vector, class T>
Vector load(T const* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// The loops over points and vectors are folds, since accumulators stay in registers only where they
// are unrolled, and GCC leaves loops at -O2.
template <class C, std::size_t... R, std::size_t... V>
void add_dots(C const* x, std::int64_t d, C const* c, std::int64_t depth, C* sums,
              std::index_sequence<R...>, std::index_sequence<V...>) {
  using values = typename vector_of<C>::values;
  values dots[sizeof...(V)][sizeof...(R)] = {};
  for (std::int64_t f = 0; f < depth; ++f) {
    auto add = [&](values const& centroids, values* to) {
      ((to[R] += x[static_cast<std::int64_t>(R) * d + f] * centroids), ...);
    };
    (add(load<values>(c + f * kLanes + V * kWidth<C>), dots[V]), ...);
  }
  auto store = [](values const& dot, C* to) {
    values const total = load<values>(to) + dot;
    std::memcpy(to, &total, sizeof total);
  };
  for (std::size_t v = 0; v < sizeof...(V); ++v) {
    (store(dots[v][R], sums + R * kLanes + v * kWidth<C>), ...);
  }
}

template <class C>
void add_dots(C const* x, std::int64_t d, C const* c, std::int64_t depth, C* sums) {
  // Three points x four vectors, what is multiplied and one product fill 16 registers.
  constexpr int kVectors = std::min(4, kLanes / kWidth<C>);
  static_assert(kLanes % (kVectors * kWidth<C>) == 0);
  for (int lane = 0; lane < kLanes; lane += kVectors * kWidth<C>) {
    add_dots(x, d, c + lane, depth, sums + lane, std::make_index_sequence<kRows>{},
             std::make_index_sequence<kVectors>{});
  }
}

template <class C>
void keep_best(C const* sums, C const* half_norms, lane_index<C> block, C* best,
               lane_index<C>* best_block) {
  using values = typename vector_of<C>::values;
  using indices = typename vector_of<C>::indices;
  for (int lane = 0; lane < kLanes; lane += kWidth<C>) {
    values const score = load<values>(sums + lane) - load<values>(half_norms + lane);
    values const old = load<values>(best + lane);
    indices const old_block = load<indices>(best_block + lane);
    indices const wins = score > old;
    values const kept = wins ? score : old;
    indices const kept_block = wins ? indices{} + block : old_block;
    std::memcpy(best + lane, &kept, sizeof kept);
    std::memcpy(best_block + lane, &kept_block, sizeof kept_block);
  }
}

#else

template <class C>
void add_dots(C const* x, std::int64_t d, C const* c, std::int64_t depth, C* sums) {
  C dots[kRows][kLanes] = {};
  for (std::int64_t f = 0; f < depth; ++f) {
    for (int r = 0; r < kRows; ++r) {
      C const value = x[r * d + f];
      for (int l = 0; l < kLanes; ++l) dots[r][l] += value * c[f * kLanes + l];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int l = 0; l < kLanes; ++l) sums[r * kLanes + l] += dots[r][l];
  }
}

template <class C>
void keep_best(C const* sums, C const* half_norms, lane_index<C> block, C* best,
               lane_index<C>* best_block) {
  for (int l = 0; l < kLanes; ++l) {
    C const score = sums[l] - half_norms[l];
    bool const wins = score > best[l];
    best[l] = wins ? score : best[l];
    best_block[l] = wins ? block : best_block[l];
  }
}

#endif

// Labels of rows [first, first + count) of x, count <= kTileRows; tile is [kTileRows][d]. Every
// point takes the same instructions wherever it lies in a tile, so that its label does not depend
// on it.
template <class P, class C>
void assign_tile(matrix_view<P> const& x, scratch<C> const& s, std::int64_t first,
                 std::int64_t count, C* tile, std::int32_t* labels) {
  std::int64_t const d = x.cols;
  std::int64_t const rows = round_up<std::int64_t>(count, kRows);
  for (std::int64_t r = 0; r < count; ++r) {
    P const* const from = row(x, first + r);
    for (std::int64_t f = 0; f < d; ++f) tile[r * d + f] = static_cast<C>(from[f]);
  }
  std::fill(tile + count * d, tile + rows * d, C(0));

  // The best score so far of every lane, and the block of centroids that it is from.
  C best[kTileRows][kLanes];
  lane_index<C> best_block[kTileRows][kLanes] = {};
  std::fill(&best[0][0], &best[0][0] + kTileRows * kLanes, -std::numeric_limits<C>::infinity());
  auto const blocks = static_cast<std::int64_t>(s.half_norms.size() / kLanes);
  for (std::int64_t block = 0; block < blocks; ++block) {
    C sums[kTileRows * kLanes] = {};
    for (std::int64_t f = 0; f < d; f += kDepth) {
      C const* const c = s.packed.data() + (block * d + f) * kLanes;
      std::int64_t const depth = std::min<std::int64_t>(kDepth, d - f);
      for (std::int64_t r = 0; r < rows; r += kRows) {
        add_dots(tile + r * d + f, d, c, depth, sums + r * kLanes);
      }
    }
    C const* const half_norms = s.half_norms.data() + block * kLanes;
    for (std::int64_t r = 0; r < rows; ++r) {
      keep_best(sums + r * kLanes, half_norms, static_cast<lane_index<C>>(block), best[r],
                best_block[r]);
    }
  }

  for (std::int64_t r = 0; r < count; ++r) {
    C top = -std::numeric_limits<C>::infinity();
    std::int64_t label = 0;
    for (int l = 0; l < kLanes; ++l) {
      std::int64_t const j = static_cast<std::int64_t>(best_block[r][l]) * kLanes + l;
      if (best[r][l] > top || (best[r][l] == top && j < label)) {
        top = best[r][l];
        label = j;
      }
    }
    labels[r] = static_cast<std::int32_t>(label);
  }
}

// The nearest centroid of each point of a problem: into labels [n] and distances [n] unless they
// are null. Returns the inertia if it is wanted, else 0.
template <class P, class C, class Centroid>
double assign_points(team& workers, scratch<C>& s, matrix_view<P> const& x,
                     matrix_view<Centroid> const& c, std::int32_t* labels, C* distances,
                     bool inertia) {
  pack(workers, s, c);
  std::int64_t const blocks = ceil_div<std::int64_t>(x.rows, kPointBlock);
  s.partials.assign(inertia ? static_cast<std::size_t>(blocks) : 0, 0.0);
  double const cost =
      static_cast<double>(kPointBlock) * static_cast<double>(x.cols) *
      (static_cast<double>(s.half_norms.size()) + (inertia || distances != nullptr ? 2 : 0));
  workers.for_ranges(blocks, cost, [&](std::int64_t begin, std::int64_t end) {
    std::vector<C> tile(static_cast<std::size_t>(kTileRows * x.cols));
    std::array<std::int32_t, kPointBlock> nobody_asked;
    for (std::int64_t block = begin; block < end; ++block) {
      std::int64_t const first = block * kPointBlock;
      std::int64_t const count = std::min<std::int64_t>(kPointBlock, x.rows - first);
      std::int32_t* const own = labels != nullptr ? labels + first : nobody_asked.data();
      for (std::int64_t i = 0; i < count; i += kTileRows) {
        assign_tile(x, s, first + i, std::min<std::int64_t>(kTileRows, count - i), tile.data(),
                    own + i);
      }
      if (distances == nullptr && !inertia) continue;
      double sum = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        double const distance = squared_distance(row(x, first + i), row(c, own[i]), x.cols);
        if (distances != nullptr) distances[first + i] = static_cast<C>(distance);
        sum += distance;
      }
      if (inertia) s.partials[static_cast<std::size_t>(block)] = sum;
    }
  });
  return sum_in_order(s.partials);
}

// ---- Update ----

// Stable counting sort of the points by label into s.order and s.offsets. Labels outside [0, k)
// come last, from s.offsets[k] on.
template <class C>
void sort_points(team& workers, scratch<C>& s, std::int32_t const* labels, std::int64_t n,
                 std::int64_t k) {
  s.order.resize(static_cast<std::size_t>(n));
  s.offsets.resize(static_cast<std::size_t>(k + 1));
  // As many parts as there are threads, unless their histograms would outgrow the points.
  std::int64_t const parts =
      std::clamp<std::int64_t>(4 * n / (k + 1), 1, std::min<std::int64_t>(workers.size(), n));
  std::int64_t const bins = k + 1;
  s.histograms.assign(static_cast<std::size_t>(parts * bins), 0);
  auto bin = [&](std::int64_t i) {
    return labels[i] >= 0 && labels[i] < k ? std::int64_t{labels[i]} : k;
  };
  auto for_parts = [&](auto const& visit) {
    double const cost = 4 * static_cast<double>(n) / static_cast<double>(parts);
    workers.for_ranges(parts, cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t part = begin; part < end; ++part) {
        std::int32_t* const histogram = s.histograms.data() + part * bins;
        std::int64_t const last = (part + 1) * n / parts;
        for (std::int64_t i = part * n / parts; i < last; ++i) visit(histogram[bin(i)], i);
      }
    });
  };
  for_parts([](std::int32_t& count, std::int64_t) { ++count; });
  std::int32_t position = 0;
  for (std::int64_t j = 0; j < bins; ++j) {
    s.offsets[static_cast<std::size_t>(j)] = position;
    for (std::int64_t part = 0; part < parts; ++part) {
      std::int32_t& entry = s.histograms[static_cast<std::size_t>(part * bins + j)];
      std::int32_t const count = entry;
      entry = position;
      position += count;
    }
  }
  for_parts([&](std::int32_t& to, std::int64_t i) {
    s.order[static_cast<std::size_t>(to++)] = static_cast<std::int32_t>(i);
  });
}

// Hands out what sort_points found, for problem number i.
template <class C>
void write_index(scratch<C> const& s, cluster_index const& index, std::int64_t i) {
  auto const n = static_cast<std::int64_t>(s.order.size());
  auto const k = static_cast<std::int64_t>(s.offsets.size()) - 1;
  if (index.counts != nullptr) {
    for (std::int64_t j = 0; j < k; ++j) {
      auto const at = static_cast<std::size_t>(j);
      index.counts[i * k + j] = s.offsets[at + 1] - s.offsets[at];
    }
  }
  if (index.offsets != nullptr) std::copy_n(s.offsets.data(), k + 1, index.offsets + i * (k + 1));
  if (index.order != nullptr) std::copy_n(s.order.data(), n, index.order + i * n);
  if (index.inverse != nullptr) {
    for (std::int64_t p = 0; p < n; ++p) {
      index.inverse[i * n + s.order[static_cast<std::size_t>(p)]] = static_cast<std::int32_t>(p);
    }
  }
}

// sums[d] = sum of the rows row_of(begin) ... row_of(end - 1) of x, in this order.
template <class P, class RowOf>
void sum_rows(matrix_view<P> const& x, std::int64_t begin, std::int64_t end, RowOf const& row_of,
              double* sums) {
  std::int64_t f = 0;
  for (; f + kLanes <= x.cols; f += kLanes) {
    double strip[kLanes] = {};
    for (std::int64_t p = begin; p < end; ++p) {
      P const* const from = row(x, row_of(p)) + f;
      for (int l = 0; l < kLanes; ++l) strip[l] += as_double(from[l]);
    }
    std::copy_n(strip, kLanes, sums + f);
  }
  if (f == x.cols) return;
  std::fill(sums + f, sums + x.cols, 0.0);
  for (std::int64_t p = begin; p < end; ++p) {
    P const* const from = row(x, row_of(p));
    for (std::int64_t rest = f; rest < x.cols; ++rest) sums[rest] += as_double(from[rest]);
  }
}

// Moves each centroid to the mean of its points, as sort_points left them. Returns the sum of the
// squared distances that centroids moved.
//
// A cluster's points are summed in pieces of kPieceRows, so that one huge cluster keeps every
// thread busy; the sums of the pieces are added in ascending order.
template <class P, class C>
double move_centroids(team& workers, scratch<C>& s, matrix_view<P> const& x,
                      matrix_view<C> const& c) {
  struct piece {
    std::int64_t cluster, begin, end;
    std::int64_t slot;  // of its sum in partials; -1 when it is all of its cluster
  };
  struct split {
    std::int64_t cluster, slot, pieces;
  };
  std::int64_t const k = c.rows, d = c.cols;
  std::vector<piece> pieces;
  std::vector<split> splits;
  std::int64_t slots = 0;
  for (std::int64_t j = 0; j < k; ++j) {
    std::int64_t const begin = s.offsets[static_cast<std::size_t>(j)];
    std::int64_t const end = s.offsets[static_cast<std::size_t>(j + 1)];
    if (begin == end) continue;
    if (end - begin <= kPieceRows) {
      pieces.push_back({j, begin, end, -1});
      continue;
    }
    splits.push_back({j, slots, ceil_div<std::int64_t>(end - begin, kPieceRows)});
    for (std::int64_t at = begin; at < end; at += kPieceRows) {
      pieces.push_back({j, at, std::min(at + kPieceRows, end), slots++});
    }
  }
  s.partials.resize(static_cast<std::size_t>(slots * d));
  s.shifts.assign(static_cast<std::size_t>(k), 0.0);

  auto finish = [&](std::int64_t j, double const* sums) {
    auto const at = static_cast<std::size_t>(j);
    double const count = s.offsets[at + 1] - s.offsets[at];
    C* const centroid = row(c, j);
    double shift = 0;
    for (std::int64_t f = 0; f < d; ++f) {
      C const mean = static_cast<C>(sums[f] / count);
      double const moved = static_cast<double>(mean) - static_cast<double>(centroid[f]);
      shift += moved * moved;
      centroid[f] = mean;
    }
    s.shifts[at] = shift;
  };

  auto const points = static_cast<double>(s.offsets[static_cast<std::size_t>(k)]);
  auto const piece_count = static_cast<std::int64_t>(pieces.size());
  double const cost = points * static_cast<double>(d) / static_cast<double>(pieces.size() + 1);
  workers.for_ranges(piece_count, cost, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> sums(static_cast<std::size_t>(d));
    for (std::int64_t i = begin; i < end; ++i) {
      piece const& part = pieces[static_cast<std::size_t>(i)];
      double* const to = part.slot < 0 ? sums.data() : s.partials.data() + part.slot * d;
      sum_rows(
          x, part.begin, part.end,
          [&](std::int64_t p) { return s.order[static_cast<std::size_t>(p)]; }, to);
      if (part.slot < 0) finish(part.cluster, to);
    }
  });
  double const fold_cost =
      static_cast<double>(slots) * static_cast<double>(d) / static_cast<double>(splits.size() + 1);
  workers.for_ranges(static_cast<std::int64_t>(splits.size()), fold_cost,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         split const& whole = splits[static_cast<std::size_t>(i)];
                         double* const sums = s.partials.data() + whole.slot * d;
                         for (std::int64_t part = 1; part < whole.pieces; ++part) {
                           for (std::int64_t f = 0; f < d; ++f) sums[f] += sums[part * d + f];
                         }
                         finish(whole.cluster, sums);
                       }
                     });
  return sum_in_order(s.shifts);
}

// ---- Fit ----

// Mean over the features of the variance of the points: means first, then squared deviations, so
// that a large offset of the data cancels nothing.
template <class P, class C>
double mean_variance(team& workers, scratch<C>& s, matrix_view<P> const& x) {
  std::int64_t const n = x.rows, d = x.cols;
  std::int64_t const blocks = ceil_div<std::int64_t>(n, kPieceRows);
  double const cost = static_cast<double>(kPieceRows) * static_cast<double>(d);
  auto for_blocks = [&](auto const& visit) {
    workers.for_ranges(blocks, cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        visit(block, block * kPieceRows, std::min<std::int64_t>((block + 1) * kPieceRows, n));
      }
    });
  };
  s.partials.resize(static_cast<std::size_t>(blocks * d));
  for_blocks([&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    sum_rows(
        x, begin, end, [](std::int64_t i) { return i; }, s.partials.data() + block * d);
  });
  std::vector<double> means(static_cast<std::size_t>(d), 0.0);
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t f = 0; f < d; ++f) {
      means[static_cast<std::size_t>(f)] += s.partials[static_cast<std::size_t>(block * d + f)];
    }
  }
  for (double& mean : means) mean /= static_cast<double>(n);
  s.partials.assign(static_cast<std::size_t>(blocks), 0.0);
  for_blocks([&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t i = begin; i < end; ++i) sum += squared_distance(row(x, i), means.data(), d);
    s.partials[static_cast<std::size_t>(block)] = sum;
  });
  return sum_in_order(s.partials) / static_cast<double>(n) / static_cast<double>(d);
}

// Rows of x that init_method::random picks for problem number i.
template <class P, class C>
void draw_centroids(matrix_view<P> const& x, matrix_view<C> const& c, std::int64_t i,
                    std::uint64_t seed) {
  for (std::int64_t j = 0; j < c.rows; ++j) {
    P const* const from = row(x, random_centroid(j, x.rows, i, seed));
    C* const to = row(c, j);
    for (std::int64_t f = 0; f < c.cols; ++f) to[f] = static_cast<C>(from[f]);
  }
}

// Calls visit(team, scratch, i) for i in [0, count): many or small problems side by side, a thread
// each; few large ones one after the other, with all threads inside each. cost is that of one.
template <class C, class Visit>
void for_each_problem(team& workers, scratch<C>& s, std::int64_t count, double cost,
                      Visit const& visit) {
  bool const side_by_side =
      count >= 4 * std::int64_t{workers.size()} || cost < kWorthAThread * workers.size();
  if (count == 1 || workers.size() == 1 || !side_by_side) {
    for (std::int64_t i = 0; i < count; ++i) visit(workers, s, i);
    return;
  }
  workers.for_ranges(count, cost, [&](std::int64_t begin, std::int64_t end) {
    team alone(1);
    scratch<C> own;
    for (std::int64_t i = begin; i < end; ++i) visit(alone, own, i);
  });
}

template <class P, class C>
double assignment_cost(matrix_view<P> const& x, matrix_view<C> const& c) {
  return static_cast<double>(x.rows) * static_cast<double>(x.cols) *
         static_cast<double>(round_up<std::int64_t>(c.rows, kLanes));
}

inline void check_threads(int threads) {
  require(threads >= 0, "execution.threads", threads, "must not be negative");
}

}  // namespace flash_kmeans::detail::cpu

/// The same verbs on the CPU, threaded, in plain C++17: same options, same results.
namespace flash_kmeans::host {

/// How a call runs on the CPU.
struct execution {
  /// Threads, the calling one included; >= 0, and 0 is as many as the machine runs at once. A call
  /// uses fewer where the work is too small or the system gives no more, and joins all that it
  /// started before it returns or throws. Results do not depend on it.
  int threads = 0;
  /// fit only, optional: called on the calling thread after each update, with the number of updates
  /// so far (from 1) and the sum of the squared distances that centroids moved in it, over the
  /// problems of the batch that had not converged before. An exception that it throws ends the fit
  /// and reaches the caller; the outputs then hold unfinished values.
  std::function<void(int iteration, double shift)> progress{};
};

/// First centroids of a fit: for init_method::random, centroid j of problem i is a copy of the row
/// of x that the j-th draw without replacement picks; for init_method::given, what is there stays.
///
/// @param[in] x host [b][n][d], any point type, n >= k
/// @param[out] centroids host [b][k][d], float (double for double points); in for
///     init_method::given
/// @param[in] options only init and seed are read; default random, seed 0
/// @param[in] exec threads >= 0, default 0 (all); the work is a copy and runs on one
///
/// Cost: reads and writes b k d elements; no memory of its own.
/// Synchronises: returns when done.
/// Determinism: the draw depends on n, i and seed only, and is that of the GPU's init_centroids.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, k > n, an unknown init, a negative number of threads.
template <class P, class C>
void init_centroids(matrix_view<P> x, matrix_view<C> centroids, fit_options const& options = {},
                    execution const& exec = {}) {
  detail::check_written_type<P, C>();
  detail::check_views(x, centroids);
  detail::check_written(centroids);
  detail::check_k_at_most_n(centroids.rows, x.rows);
  detail::check_init(options.init);
  detail::cpu::check_threads(exec.threads);
  if (options.init != init_method::random) return;
  for (std::int64_t i = 0; i < x.batch_count(); ++i) {
    detail::cpu::draw_centroids(detail::cpu::problem(x, i), detail::cpu::problem(centroids, i), i,
                                options.seed);
  }
}

/// The nearest centroid of each point, by euclidean distance: the j with the largest x.c_j -
/// |c_j|^2 / 2, computed in float (double for double points); ties go to the lowest j. NaN never
/// wins, so a point that holds NaN gets label 0. Centroids are taken as they are for every point
/// type; the GPU rounds them to half and bfloat16 points' type for this comparison.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[out] out labels: host [b][n] int32, contiguous, required (a plain pointer converts);
///     distances: host [b][n], type of the centroids, optional, default null: squared distance to
///     that centroid, from the differences in double, rounded once
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 2 b n k d FLOPs; reads x once and writes 4 to 12 bytes a point; memory: a copy of a
/// problem's centroids, and 48 d elements a thread.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, a negative number of threads; std::bad_alloc.
template <class P, class C>
void predict(matrix_view<P> x, matrix_view<C> centroids, predict_outputs<centroid_t<P>> const& out,
             execution const& exec = {}) {
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_pointer(out.labels, "labels");
  detail::check_optional(out.distances, "distances");
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  cpu::for_each_problem(workers, shared, x.batch_count(), cpu::assignment_cost(x, centroids),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          compute* const distances =
                              out.distances != nullptr ? out.distances + i * x.rows : nullptr;
                          cpu::assign_points(t, s, cpu::problem(x, i), cpu::problem(centroids, i),
                                             out.labels + i * x.rows, distances, false);
                        });
}

/// Sum over the points of the squared distance to the nearest centroid (chosen as by predict), from
/// the differences in double; summed over the batch. NaN where a point or its centroid holds NaN.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 2 b n k d + 3 b n d FLOPs; reads x once; memory as predict, and b doubles. Synchronises:
/// returns when done.
/// Determinism: same bits for any number of threads (blocks of 480 points, added in order). Throws:
/// std::invalid_argument for null or misaligned pointers, shapes or strides out of range or not
/// matching, a negative number of threads; std::bad_alloc.
template <class P, class C>
double inertia(matrix_view<P> x, matrix_view<C> centroids, execution const& exec = {}) {
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  std::vector<double> sums(static_cast<std::size_t>(x.batch_count()), 0.0);
  cpu::for_each_problem(workers, shared, x.batch_count(), cpu::assignment_cost(x, centroids),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          sums[static_cast<std::size_t>(i)] = cpu::assign_points<P, compute>(
                              t, s, cpu::problem(x, i), cpu::problem(centroids, i), nullptr,
                              nullptr, true);
                        });
  return cpu::sum_in_order(sums);
}

/// One update: each centroid becomes the mean of the points that carry its label. A cluster without
/// points keeps its centroid; a point whose label is outside [0, k) counts for no cluster.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] labels host [b][n] int32, contiguous
/// @param[in,out] centroids host [b][k][d], float (double for double points); sums and quotients
///     are double, rounded once; k may exceed n
/// @param[out] out index: optional by-products, default none; points that count for no cluster come
///     last in order, and offsets[k] is the number of those that count; shift: host [b], optional,
///     default null: sum of the squared distances that the centroids of each problem moved
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Returns the shifts summed over the batch, in squared units of the features.
/// Cost: b n d FLOPs; reads x once and labels twice; memory: 4 n + 48 k bytes, at most 16 n more to
/// sort on several threads, and d doubles for every 1024 points of clusters larger than that; once
/// for each thread where problems are updated side by side.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads (sums of 1024 points of a cluster, in ascending
/// order, added in order).
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, a negative number of threads; std::bad_alloc.
template <class P, class C>
double update_centroids(matrix_view<P> x, std::int32_t const* labels, matrix_view<C> centroids,
                        update_outputs const& out = {}, execution const& exec = {}) {
  detail::check_written_type<P, C>();
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_written(centroids);
  detail::check_pointer(labels, "labels");
  detail::check_index(out.index);
  detail::check_optional(out.shift, "shift");
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  std::vector<double> shifts(static_cast<std::size_t>(x.batch_count()), 0.0);
  double const cost = static_cast<double>(x.rows) * static_cast<double>(x.cols + 8);
  cpu::for_each_problem(workers, shared, x.batch_count(), cost,
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          cpu::sort_points(t, s, labels + i * x.rows, x.rows, centroids.rows);
                          cpu::write_index(s, out.index, i);
                          shifts[static_cast<std::size_t>(i)] = cpu::move_centroids(
                              t, s, cpu::problem(x, i), cpu::problem(centroids, i));
                        });
  if (out.shift != nullptr) std::copy(shifts.begin(), shifts.end(), out.shift);
  return cpu::sum_in_order(shifts);
}

/// Exact k-means (Lloyd: Least Squares Quantization in PCM, 1982): the first centroids, then assign
/// and update until the centroids of a problem moved, in one update, by squared distances that sum
/// to no more than options.tolerance x the mean over features of the variance of its points, or
/// until options.max_iterations updates are done. Each problem of a batch stops by itself and stays
/// as it is from then on. Last, unless options.closing_assignment is false, one more assignment
/// makes labels, index and inertia belong to the returned centroids.
///
/// @param[in] x host [b][n][d], any point type, n >= k
/// @param[in,out] centroids host [b][k][d], float (double for double points); in for
///     init_method::given
/// @param[out] out labels: host [b][n] int32, contiguous, required (a plain pointer converts);
///     index, status: optional, default none; status is host [b]
/// @param[in] options default: at most 300 updates, tolerance 1e-4, random, seed 0, closing
///     assignment
/// @param[in] exec threads >= 0, default 0 (all); progress, default none
///
/// Returns most iterations over the problems, whether all converged, inertia summed over the batch
/// (NaN without the closing assignment) and assign_kernel::host.
/// Cost: 2 b n k d FLOPs an iteration and for the closing assignment; reads x twice an iteration,
/// and twice more for the variance unless tolerance is 0; memory as predict and update_centroids.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, k > n, max_iterations < 1, a tolerance that is negative or
/// not finite, an unknown init, a negative number of threads; std::bad_alloc; whatever progress
/// throws.
///
/// @code{.cpp}
/// std::vector<float> points = ..., centroids(k * d);
/// std::vector<std::int32_t> labels(n);
/// flash_kmeans::matrix_view<float const> x{points.data(), n, d};
/// flash_kmeans::matrix_view<float> c{centroids.data(), k, d};
/// flash_kmeans::fit_result r = flash_kmeans::host::fit(x, c, labels.data());
/// @endcode
template <class P, class C>
fit_result fit(matrix_view<P> x, matrix_view<C> centroids, fit_outputs const& out,
               fit_options const& options = {}, execution const& exec = {}) {
  detail::check_written_type<P, C>();
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_fit(x, centroids, out, options);
  cpu::check_threads(exec.threads);
  std::int64_t const b = x.batch_count(), n = x.rows;
  double const cost = cpu::assignment_cost(x, centroids);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  std::vector<fit_status> status(static_cast<std::size_t>(b));
  std::vector<double> bounds(status.size(), 0.0);
  std::vector<std::int64_t> running(status.size());  // problems that have not converged
  auto at = [](auto& values, std::int64_t i) -> auto& {
    return values[static_cast<std::size_t>(i)];
  };

  cpu::for_each_problem(workers, shared, b, static_cast<double>(n) * static_cast<double>(x.cols),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          auto const points = cpu::problem(x, i);
                          if (options.init == init_method::random) {
                            cpu::draw_centroids(points, cpu::problem(centroids, i), i,
                                                options.seed);
                          }
                          if (options.tolerance > 0) {
                            at(bounds, i) = options.tolerance * cpu::mean_variance(t, s, points);
                          }
                          at(running, i) = i;
                        });

  for (int iteration = 1; iteration <= options.max_iterations && !running.empty(); ++iteration) {
    cpu::for_each_problem(workers, shared, static_cast<std::int64_t>(running.size()), cost,
                          [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t r) {
                            std::int64_t const i = at(running, r);
                            auto const points = cpu::problem(x, i);
                            auto const means = cpu::problem(centroids, i);
                            std::int32_t* const labels = out.labels + i * n;
                            cpu::assign_points<P, compute>(t, s, points, means, labels, nullptr,
                                                           false);
                            cpu::sort_points(t, s, labels, n, means.rows);
                            fit_status& own = at(status, i);
                            own.shift = cpu::move_centroids(t, s, points, means);
                            own.iterations = iteration;
                            own.converged = own.shift <= at(bounds, i) ? 1 : 0;
                          });
    double shift = 0;
    for (std::int64_t const i : running) shift += at(status, i).shift;
    running.erase(std::remove_if(running.begin(), running.end(),
                                 [&](std::int64_t i) { return at(status, i).converged != 0; }),
                  running.end());
    if (exec.progress) exec.progress(iteration, shift);
  }

  cpu::for_each_problem(
      workers, shared, b, cost, [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
        std::int32_t* const labels = out.labels + i * n;
        at(status, i).inertia =
            options.closing_assignment
                ? cpu::assign_points<P, compute>(t, s, cpu::problem(x, i),
                                                 cpu::problem(centroids, i), labels, nullptr, true)
                : std::numeric_limits<double>::quiet_NaN();
        if (detail::wanted(out.index)) {
          cpu::sort_points(t, s, labels, n, centroids.rows);
          cpu::write_index(s, out.index, i);
        }
      });

  if (out.status != nullptr) std::copy(status.begin(), status.end(), out.status);
  return detail::summary(status, assign_kernel::host);
}

}  // namespace flash_kmeans::host
