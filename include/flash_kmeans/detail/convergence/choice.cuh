// Launches that keep the best of several fits.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_choose.cuh"
#include "kernel_status.cuh"
#include "kernel_take.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class Acc>
class fit_choice {
 public:
  // c: where the best centroids go.
  fit_choice(matrix_view<Acc> const& c, arena& memory)
      : c_(c),
        best_(memory.take<fit_status>(c.batch_count())),
        chosen_(memory.take<std::int32_t>(c.batch_count())) {}

  // After a round of fits: of `copies` times as many problems, their centroids and status.
  void queue(matrix_view<Acc const> const& of, fit_status const* status, std::int64_t copies,
             bool first, cudaStream_t stream) const {
    std::int64_t const problems = c_.batch_count();
    launch(choose_kernel<kChooseThreads>, "choose_kernel",
           ceil_div<std::int64_t>(problems, kChooseThreads), kChooseThreads, stream,
           choose_params{status, best_, chosen_, problems, copies, first});
    take_params<Acc> p{};
    p.from = device_matrix<Acc const>(of);
    p.to = device_matrix<Acc>(c_);
    p.chosen = chosen_;
    p.problems = problems;
    p.rows = problems * c_.rows;
    p.k = static_cast<std::int32_t>(c_.rows);
    p.d = static_cast<std::int32_t>(c_.cols);
    launch(take_kernel<Acc>, "take_kernel",
           grid_for(ceil_div<std::int64_t>(p.rows, kTakeThreads / 32)), kTakeThreads, stream, p);
  }

  // How the best fits ended, but for what closing assignments say.
  void queue_status(fit_status* to, cudaStream_t stream) const {
    std::int64_t const problems = c_.batch_count();
    launch(status_kernel<kStatusThreads>, "status_kernel",
           ceil_div<std::int64_t>(problems, kStatusThreads), kStatusThreads, stream,
           status_params{best_, to, problems});
  }

  // Every problem of [batch] `copies` times, one after the other, if strides can say so.
  template <class P>
  static bool repeat(matrix_view<P>& x, std::int64_t copies) {
    std::int64_t const outer = x.batch[0], inner = x.batch[1];
    std::int64_t stride = x.batch_stride[1];
    if (inner == 1) {
      stride = x.batch_stride[0];
    } else if (outer > 1 && x.batch_stride[0] != inner * stride) {
      return false;
    }
    x.batch = {copies, outer * inner};
    x.batch_stride = {0, stride};
    return true;
  }

 private:
  matrix_view<Acc> c_;
  fit_status* best_;
  std::int32_t* chosen_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
