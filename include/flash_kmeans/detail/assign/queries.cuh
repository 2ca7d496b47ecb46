// Launches of what queries need around an assignment.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "dispatch.cuh"
#include "kernel_unit.cuh"

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
      : masters_(c, of, memory), assignment_(x, masters_.view(), plan, memory, of) {}

  // Makes points and centroids ready.
  void start(cudaStream_t stream) {
    assignment_.prepare();
    masters_.queue(stream);
    assignment_.queue_points(stream);
    assignment_.queue_centroids(stream);
  }

  assignment<T> const& search() const { return assignment_; }

 private:
  query_masters<acc> masters_;
  assignment<T> assignment_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
