// Launches that record what happens in every iteration of a fit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "counts.cuh"
#include "kernel_record.cuh"
#include "kernel_track.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class Acc>
class telemetry {
 public:
  // records: [b][most], or null: nothing is recorded, and nothing must be queued here. scales:
  // [b][n] factors of rows in sums, or null.
  telemetry(std::int64_t b, std::int64_t n, std::int64_t k, Acc const* scales,
            iteration_record* records, std::int64_t most, arena& memory)
      : b_(b), n_(n), k_(k), most_(most), scales_(scales), records_(records) {
    if (records_ == nullptr) return;
    previous_ = memory.take<std::int32_t>(b * n);
    marks_ = memory.take<std::int32_t>(b * k);
    counts_ = memory.take<iteration_counts>(b);
  }

  bool wanted() const { return records_ != nullptr; }

  void queue_start(cudaStream_t stream) const {
    set(previous_, b_ * n_, 0xFF, stream);  // no label
    set(marks_, b_ * k_, 0, stream);
    set(counts_, b_, 0, stream);
  }

  // Where the inertia of an iteration has to be before its record is written, kStride doubles from
  // one problem to the next.
  static constexpr std::int64_t kStride = sizeof(iteration_counts) / sizeof(double);
  double* inertias() const { return &counts_->inertia; }

  // Between an assignment and its update.
  void queue_track(std::int32_t const* labels, fit_status const* status,
                   cudaStream_t stream) const {
    constexpr std::int64_t kRows = 4096;
    std::int64_t const blocks = ceil_div(n_, kRows);
    launch(track_kernel<Acc>, "track_kernel", grid_for(b_ * blocks), kTrackThreads, stream,
           track_params<Acc>{labels, previous_, scales_, status, marks_, counts_, n_, k_, kRows,
                             blocks, b_ * blocks});
  }

  // After the update.
  void queue_record(fit_status const* status, cudaStream_t stream) const {
    launch(record_kernel<kRecordThreads>, "record_kernel", grid_for(b_), kRecordThreads, stream,
           record_params{status, marks_, counts_, records_, b_, k_, most_});
  }

 private:
  template <class Value>
  static void set(Value* values, std::int64_t count, int byte, cudaStream_t stream) {
    check_cuda(
        cudaMemsetAsync(values, byte, static_cast<std::size_t>(count) * sizeof(Value), stream),
        "cudaMemsetAsync");
  }

  std::int64_t b_, n_, k_, most_;
  Acc const* scales_;
  iteration_record* records_;
  std::int32_t* previous_ = nullptr;
  std::int32_t* marks_ = nullptr;
  iteration_counts* counts_ = nullptr;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
