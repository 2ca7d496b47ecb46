// Launches of what queries need around an assignment.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../error.hpp"
#include "../launch.cuh"
#include "../math.hpp"
#include "../points.cuh"
#include "../workspace.cuh"
#include "dispatch.cuh"
#include "kernel_merge_lists.cuh"
#include "kernel_transform.cuh"
#include "kernel_unit.cuh"
#include "nearest_j.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Scales centroids to length 1; `to` may be where they are.
template <class Acc>
void queue_unit(matrix_view<Acc const> const& c, matrix_view<Acc> const& to, cudaStream_t stream) {
  unit_params<Acc> p{};
  p.c = device_matrix<Acc const>(c);
  p.to = device_matrix<Acc>(to);
  p.aligned = rows_aligned(c, 16) && rows_aligned(to, 16);
  p.rows = c.batch_count() * c.rows;
  p.k = static_cast<std::int32_t>(c.rows);
  p.d = static_cast<std::int32_t>(c.cols);
  launch(unit_kernel<Acc>, "unit_kernel",
         grid_for(ceil_div<std::int64_t>(p.rows, kUnitThreads / 32)), kUnitThreads, stream, p);
}

// The masters of a query: the caller's, or under cosine a copy of length 1.
template <class Acc>
class query_masters {
 public:
  query_masters(matrix_view<Acc const> const& c, metric of, arena& memory)
      : given_(c), scales_(of == metric::cosine) {
    if (!scales_) return;
    std::int64_t const ld = round_up<std::int64_t>(c.cols, 16 / sizeof(Acc));
    scaled_ = {memory.take<Acc>(c.batch_count() * c.rows * ld), c.rows, c.cols, ld, c.batch,
               {c.batch[1] * c.rows * ld, c.rows * ld}};
  }

  matrix_view<Acc const> view() const { return scales_ ? matrix_view<Acc const>(scaled_) : given_; }

  void queue(cudaStream_t stream) const {
    if (scales_) queue_unit(given_, scaled_, stream);
  }

 private:
  matrix_view<Acc const> given_;
  matrix_view<Acc> scaled_;
  bool scales_;
};

// An assignment of points to the centroids of a query.
template <class T>
class query {
 public:
  using acc = centroid_t<T>;

  query(matrix_view<T const> const& x, matrix_view<acc const> const& c, metric of,
        assign_plan const& plan, arena& memory)
      : points_(x, memory),
        masters_(c, of, memory),
        assignment_(points_.view(), masters_.view(), plan, memory, of) {}

  // What the host does once, before anything is queued.
  void prepare() { assignment_.prepare(); }

  // Makes points and centroids ready.
  void start(cudaStream_t stream) const {
    points_.queue(stream);
    masters_.queue(stream);
    assignment_.queue_points(stream);
    assignment_.queue_centroids(stream);
  }

  matrix_view<compute_t<T> const> points() const { return points_.view(); }
  assignment<compute_t<T>> const& search() const { return assignment_; }

 private:
  point_copy<T> points_;
  query_masters<acc> masters_;
  assignment<compute_t<T>> assignment_;
};

// The j nearest centroids of each point of a query.
template <class T>
class nearest_j_search {
 public:
  using acc = centroid_t<T>;

  nearest_j_search(matrix_view<T const> const& x, std::int64_t k, std::int32_t j,
                   assign_plan const& plan, arena& memory)
      : sm80_(plan.kernel == assign_kernel::sm80),
        aligned_(rows_aligned(x, 16)),
        b_(x.batch_count()),
        n_(x.rows),
        d_(static_cast<std::int32_t>(x.cols)),
        j_(j) {
    tile const t = sm80_ ? kSm80Tile : simt_tile_v<T>;
    tile_points_ = t.n;
    tiles_per_problem_ = tiles_per_problem({b_, n_, k, x.cols}, t);
    lists_ = nearest_j_lists_for(b_ * tiles_per_problem_, ceil_div<std::int64_t>(k, t.k),
                                 kBlocksPerMultiprocessor * multiprocessors());
    part_width_ = static_cast<std::int32_t>(lists_.part_tiles * t.k);
    std::int64_t const entries = lists_.blocks * tile_points_ * j_;
    scores_ = memory.take<acc>(entries);
    indices_ = memory.take<std::int32_t>(entries);
  }

  // labels[b][n][j] among prepared centroids.
  void queue(assign_params<T> const& products, std::int32_t* labels, cudaStream_t stream) const {
    nearest_j_params<T> p{};
    static_cast<assign_params<T>&>(p) = products;
    p.labels = labels;
    p.list_scores = scores_;
    p.list_indices = indices_;
    p.j = j_;
    p.parts = static_cast<std::int32_t>(lists_.parts);
    p.part_width = part_width_;
    p.tiles_per_problem = tiles_per_problem_;
    p.tiles = b_ * tiles_per_problem_;
    if (sm80_) {
      if constexpr (is_half_v<T>) {
        std::size_t const bytes = sm80_shared_bytes<sm80_nearest_j<T>>(d_);
        launch(sm80_of_points(), "sm80_kernel", lists_.blocks, kSm80Threads, stream, p, {bytes});
      }
    } else {
      launch(simt_kernel<T, simt_nearest_j_of<T>>, "simt_kernel", lists_.blocks, kSimtThreads,
             stream, p);
    }
    if (lists_.parts == 1) return;
    merge_lists_params<acc> m{};
    m.scores = scores_;
    m.indices = indices_;
    m.labels = labels;
    m.n = n_;
    m.points = b_ * n_;
    m.tiles_per_problem = tiles_per_problem_;
    m.tile_points = tile_points_;
    m.parts = p.parts;
    m.j = j_;
    launch(merge_lists_kernel<acc>, "merge_lists_kernel",
           grid_for(ceil_div<std::int64_t>(m.points, kMergeListsThreads / 32)), kMergeListsThreads,
           stream, m);
  }

 private:
  // That are at work at once.
  static constexpr std::int64_t kBlocksPerMultiprocessor = 2;

  auto sm80_of_points() const {
    using search = sm80_nearest_j<T>;
    return aligned_ ? sm80_kernel<T, true, search> : sm80_kernel<T, false, search>;
  }

  bool sm80_, aligned_;
  std::int64_t b_, n_;
  std::int32_t d_, j_;
  std::int32_t tile_points_ = 0, part_width_ = 0;
  std::int64_t tiles_per_problem_ = 0;
  nearest_j_lists lists_{};
  acc* scores_ = nullptr;
  std::int32_t* indices_ = nullptr;
};

// The kernel that such a search runs on.
template <class T>
assign_plan plan_nearest_j(execution const& exec) {
  assign_kernel const best = is_half_v<T> ? assign_kernel::sm80 : assign_kernel::simt;
  execution own = exec;
  own.screening = screening::off;  // which finds one only
  if (exec.kernel == assign_kernel::automatic) {
    own.kernel = kernel_runs<T>(best) ? best : assign_kernel::simt;
    if (!kernel_runs<T>(own.kernel)) throw_no_image();
  } else if (exec.kernel == assign_kernel::sm90) {
    throw_invalid("execution.kernel", to_string(exec.kernel),
                  "which top_k does not run on: it takes simt and, for half and bfloat16, sm80");
  }
  return plan_assignment<T>(own);
}

// distances[b][n][k] of points and masters.
template <class T>
void queue_transform(matrix_view<T const> const& x, matrix_view<centroid_t<T> const> const& c,
                     matrix_view<centroid_t<T>> const& distances, metric of, cudaStream_t stream) {
  using acc = centroid_t<T>;
  constexpr tile t = simt_tile_v<T>;
  transform_params<T> p{};
  p.x = device_matrix<T const>(x);
  p.c = device_matrix<acc const>(c);
  p.distances = device_matrix<acc>(distances);
  p.aligned = rows_aligned(distances, 16);
  p.n = x.rows;
  p.k = static_cast<std::int32_t>(c.rows);
  p.d = static_cast<std::int32_t>(x.cols);
  p.k_tiles = ceil_div<std::int64_t>(p.k, t.k);
  p.tiles_per_problem = p.k_tiles * ceil_div<std::int64_t>(p.n, t.n);
  p.tiles = x.batch_count() * p.tiles_per_problem;
  with_terms(of, [&](auto terms) {
    launch(transform_kernel<T, decltype(terms)>, "transform_kernel", grid_for(p.tiles),
           kSimtThreads, stream, p);
  });
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
