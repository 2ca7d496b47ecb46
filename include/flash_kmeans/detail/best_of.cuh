// A fit from several seedings, of which the one with the lowest inertia counts, for each problem by
// itself.
//
// Seedings of small problems run side by side, as problems of one batch over the same points; those
// of larger ones one after the other. After each round the caller gets the centroids of who is best
// by then; one closing assignment to them makes the other outputs.
#pragma once

#include <cstdint>
#include <optional>

#include "../types.hpp"
#include "config.cuh"
#include "convergence/choice.cuh"
#include "launch.cuh"
#include "lloyd.cuh"
#include "points.cuh"
#include "workspace.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
class best_of {
 public:
  using acc = centroid_t<T>;

  // As for lloyd.
  best_of(matrix_view<T const> const& x, matrix_view<acc> const& c, fit_outputs const& out,
          fit_options const& options, assign_plan const& plan, arena& memory)
      : points_(x, memory), b_(x.batch_count()), options_(options) {
    matrix_view<compute_t<T> const> points = points_.view();
    if (options.n_init == 1) {
      fits_.emplace(points, c, out, options, plan, memory);
      return;
    }
    copies_ = copies_of(x, options.n_init);
    if (!fit_choice<acc>::repeat(points, copies_)) copies_ = 1;
    choice_.emplace(c, memory);
    fit_options each = options;
    if (acc const* const weights = options.weights.template get<acc>(); copies_ > 1 && weights) {
      weights_ = weights;
      own_weights_ = memory.take<acc>(copies_ * b_ * x.rows);
      each.weights = own_weights_ == nullptr ? weights : own_weights_;
    }
    std::int64_t const ld = round_up<std::int64_t>(c.cols, 16 / sizeof(acc));
    c_ = {memory.take<acc>(copies_ * b_ * c.rows * ld), c.rows, c.cols, ld, points.batch,
          {points.batch[1] * c.rows * ld, c.rows * ld}};
    n_ = x.rows;
    // The closing assignment follows the fits and takes their memory.
    memory.lend([&] {
      fit_outputs const own{memory.take<std::int32_t>(copies_ * b_ * x.rows)};
      fits_.emplace(points, c_, own, each, plan, memory, copies_);
    });
    closing_.emplace(points_.view(), c, out, options, plan, memory);
  }

  void prepare() {
    fits_->prepare();
    if (closing_) closing_->prepare();
  }

  // As lloyd::queue. stop(0): whether seedings that have not begun may be left out.
  template <class Stop>
  void queue(cudaStream_t stream, fit_unchanged unchanged, Stop&& stop, bool loops = false) const {
    if (!unchanged.points) points_.queue(stream);
    if (!closing_) {
      fits_->queue(stream, unchanged, stop, loops);
      return;
    }
    for (std::int64_t i = 0; own_weights_ != nullptr && i < copies_; ++i) {
      check_cuda(cudaMemcpyAsync(own_weights_ + i * b_ * n_, weights_,
                                 static_cast<std::size_t>(b_ * n_) * sizeof(acc),
                                 cudaMemcpyDeviceToDevice, stream),
                 "copy of the weights");
    }
    // What the fits made of the points is gone when the closing assignment has been there.
    unchanged.points = false;
    for (std::int64_t first = 0; first < options_.n_init; first += copies_) {
      if (first > 0 && stop(0)) break;
      fits_->queue(stream, unchanged, stop, loops,
                   {options_.seed + static_cast<std::uint64_t>(first), b_, options_.first_problem});
      choice_->queue(c_, fits_->status(), copies_, first == 0, stream);
      unchanged.points = true;
    }
    closing_->queue_closing(stream,
                            [&](fit_status* status) { choice_->queue_status(status, stream); });
  }

  fit_options const& options() const { return options_; }
  assign_kernel kernel() const { return fits_->kernel(); }
  fit_status const* status() const { return (closing_ ? closing_ : fits_)->status(); }
  // Of the fits that are at work: how many problems, what became of them, and of how many it is not
  // known yet.
  std::int64_t problems() const { return copies_ * b_; }
  fit_status const* fits_status() const { return fits_->status(); }
  std::int32_t const* running() const { return fits_->running(); }

 private:
  // How many seedings run side by side: a divisor of all, few enough to keep the workspace small.
  static std::int64_t copies_of(matrix_view<T const> const& x, int n_init) {
    constexpr std::int64_t kElements = 1 << 26;  // of points
    std::int64_t const most = kElements / (x.batch_count() * x.rows * x.cols);
    std::int64_t copies = n_init;
    while (copies > 1 && (copies > most || n_init % copies != 0)) --copies;
    return copies;
  }

  point_copy<T> points_;
  std::int64_t b_, n_ = 0, copies_ = 1;
  fit_options options_;
  std::optional<lloyd<compute_t<T>>> fits_, closing_;
  std::optional<fit_choice<acc>> choice_;
  matrix_view<acc> c_;  // of all copies
  acc const* weights_ = nullptr;
  acc* own_weights_ = nullptr;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
