// Launches of an assignment and of what surrounds it: preparing centroids, labels, distances.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../kernel_sum.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "argmin.cuh"
#include "kernel_distances.cuh"
#include "kernel_mend.cuh"
#include "kernel_norms.cuh"
#include "kernel_pack.cuh"
#include "kernel_simt.cuh"
#include "kernel_sm80.cuh"
#include "metrics.cuh"
#include "operand.cuh"
#include "plan.cuh"
#include "screen.cuh"
#include "sm90_launch.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Calls use(terms) with what distances of the metric are made of.
template <class Use>
void with_terms(metric of, Use&& use) {
  switch (of) {
    case metric::euclidean: return use(euclidean_terms{});
    case metric::cosine: return use(cosine_terms{});
    case metric::inner_product: return use(inner_product_terms{});
  }
}

// Everything that an assignment needs besides points, masters and labels, and the launches over it.
template <class T>
class assignment {
 public:
  using acc = centroid_t<T>;

  // c: masters; of the cosine metric, of length 1 or zeros (queries.cuh).
  assignment(matrix_view<T const> const& x, matrix_view<acc const> const& c,
             assign_plan const& plan, arena& memory, metric of = metric::euclidean)
      : x_(x), c_(c), shape_{x.batch_count(), x.rows, c.rows, x.cols}, plan_(plan), metric_(of) {
    bool const sm90 = plan_.kernel == assign_kernel::sm90;
    bias_stride_ = round_up<std::int64_t>(shape_.k, sm90 ? kSm90BiasPadding : kBiasPadding);
    if (sm90) {
      bias_pieces_ = memory.take<__nv_bfloat16>(shape_.b * bias_stride_ * kSm90BiasColumns);
    } else {
      bias_ = memory.take<acc>(shape_.b * bias_stride_);
    }
    with_form([&](auto form) {
      using Form = decltype(form);
      if constexpr (Form::copied) {
        using Operand = typename Form::operand;
        constexpr int kMatrices = Form::matrices;
        std::int64_t const width = Form::width(shape_.d);
        operand_ld_ = round_up<std::int64_t>(width, (sm90 ? kSm90RowBytes : 16) / sizeof(Operand));
        operand_ = memory.take<Operand>(shape_.b * kMatrices * shape_.k * operand_ld_);
        if (sm90) {
          packs_ = Form::pieces > 1 || !rows_aligned(x_, 16);
          if (packs_) packed_ = memory.take<Operand>(shape_.b * kMatrices * shape_.n * operand_ld_);
          sm90_.template lay_out<kMatrices>(shape_, width * std::int64_t{sizeof(Operand)}, memory);
        }
      }
    });
    if constexpr (kMayScreen) {
      screens_ = plan_.template screens<T>(shape_) && may_screen();
      if (screens_) {
        std::int64_t capacity = shape_.n;
        if (!sm90) {  // open points are copied as they are, if no more than half
          capacity = ceil_div<std::int64_t>(shape_.n, 2);
          operand_ld_ = round_up<std::int64_t>(shape_.d, kPackVector<T>);
          packed_ = memory.take<T>(shape_.b * capacity * operand_ld_);
        }
        screen_.lay_out(shape_, capacity, memory);
      }
    }
    // Enough blocks to fill a GPU however large the problem, and few enough partial sums to add in
    // one block.
    constexpr std::int64_t kBlocksPerProblem = 2048;
    rows_per_block_ = ceil_div(shape_.n, kBlocksPerProblem);
    if (rows_per_block_ < kDistanceRows) rows_per_block_ = kDistanceRows;
    blocks_per_problem_ = ceil_div(shape_.n, rows_per_block_);
    partials_ = memory.take<double>(shape_.b * blocks_per_problem_);
  }

  // What the host does once, before anything is queued.
  void prepare() {
    if constexpr (kMayScreen) {
      if (screens_) screen_.prepare();
    }
    if (plan_.kernel == assign_kernel::sm90) {
      with_form([&](auto form) {
        using Form = decltype(form);
        if constexpr (Form::copied) prepare_sm90<Form>();
      });
    }
  }

  // Makes the points ready to be multiplied, once for all assignments: the sm90 kernel wants rows
  // that start on 16 bytes, and float in pieces or their pairs; a screen wants half.
  void queue_points(cudaStream_t stream) const {
    if constexpr (kMayScreen) {
      if (screens_) return screen_.queue_points(x_, metric_, stream);
    }
    if (!packs_) return;
    with_form([&](auto form) {
      using Form = decltype(form);
      if constexpr (Form::paired) {
        using Operand = typename Form::operand;
        pack_pairs_params<T, Operand> p{};
        p.x = device_matrix<T const>(x_);
        p.to = static_cast<Operand*>(packed_);
        p.n = shape_.n;
        p.ld = static_cast<std::int32_t>(operand_ld_);
        p.d = static_cast<std::int32_t>(shape_.d);
        p.rows = kPackBytes / static_cast<std::int32_t>(sizeof(Operand)) / p.ld;
        p.of_problem = static_cast<std::uint32_t>(ceil_div<std::int64_t>(shape_.n, p.rows));
        p.groups = static_cast<std::uint32_t>(shape_.b * p.of_problem);
        launch(pack_pairs_kernel<T, Operand, Form::pieces>, "pack_pairs_kernel", grid_for(p.groups),
               kPackThreads, stream, p);
      } else if constexpr (Form::copied) {
        using Operand = typename Form::operand;
        pack_params<T, Operand> const p = packing<Operand>();
        launch(pack_kernel<T, Operand, Form::pieces>, "pack_kernel",
               grid_for(ceil_div<std::int64_t>(p.rows, kPackThreads / p.lanes)), kPackThreads,
               stream, p);
      }
    });
  }

  // Makes the masters' current values ready to be multiplied.
  void queue_centroids(cudaStream_t stream) const {
    norms_params<T> p{};
    p.c = device_matrix<acc const>(c_);
    p.aligned = rows_aligned(c_, 16);
    p.to = operand();
    p.rows = shape_.b * bias_stride_;
    p.d = static_cast<std::int32_t>(shape_.d);
    p.counters = sm90_.counters();
    p.counter_count = sm90_.counter_count();
    with_form([&](auto form) {
      launch(norms_kernel<T, decltype(form)>, "norms_kernel",
             grid_for(ceil_div<std::int64_t>(p.rows, kNormsThreads / 32)), kNormsThreads, stream,
             p);
    });
  }

  // Where and in which form whoever moves a centroid makes it ready for the next assignment.
  operand_params<T> operand() const {
    return {operand_,
            operand_ld_,
            bias_,
            bias_pieces_,
            bias_stride_,
            static_cast<std::int32_t>(shape_.k),
            static_cast<std::int32_t>(shape_.d),
            bias_of_squares()};
  }

  // Calls use(assign_form) with what the kernel multiplies.
  template <class Use>
  void with_form(Use&& use) const {
    if constexpr (std::is_same_v<T, float>) {
      if (plan_.kernel == assign_kernel::sm90) {
        if (plan_.multiply == precision::tf32) {
          use(assign_form<float>{});
          return;
        }
        using Operand = sm90_operand_t<T>;
        constexpr int kPieces = kSm90Pieces<T>;
        if (shape_.d <= kMostPairedFeatures<Operand, kPieces>) {
          use(assign_form<Operand, kPieces, true>{});
        } else {
          use(assign_form<Operand, kPieces>{});
        }
        return;
      }
    }
    use(plain_form<T>{});
  }

  // What the kernels of every GPU multiply.
  assign_params<T> products() const {
    assign_params<T> p{};
    p.x = device_matrix<T const>(x_);
    if constexpr (is_half_v<T>) {
      p.c = device_matrix<T const>(static_cast<T const*>(operand_), operand_ld_,
                                   shape_.k * operand_ld_);
    } else {
      p.c = device_matrix<T const>(c_);
    }
    p.bias = bias_;
    p.bias_stride = bias_stride_;
    p.n = shape_.n;
    p.k = static_cast<std::int32_t>(shape_.k);
    p.d = static_cast<std::int32_t>(shape_.d);
    return p;
  }

  // labels[b][n] of the prepared centroids. status: problems that have converged keep their labels.
  // none: label of points that are not finite.
  void queue_labels(std::int32_t* labels, fit_status const* status, cudaStream_t stream,
                    std::int32_t none = 0) const {
    if (plan_.kernel == assign_kernel::sm90) {
      queue_labels_sm90(labels, status, none, stream);
      return;
    }
    auto run = [&](auto p, auto kernel, char const* name, tile const& t, int threads,
                   std::size_t shared_bytes) {
      static_cast<assign_params<T>&>(p) = products();
      p.labels = labels;
      p.none = none;
      p.status = status;
      p.tiles_per_problem = tiles_per_problem(shape_, t);
      p.tiles = shape_.b * p.tiles_per_problem;
      launch(kernel, name, grid_for(p.tiles), threads, stream, p, {shared_bytes});
    };
    if constexpr (std::is_same_v<T, double>) {
      if (screens_) {
        screen_.template queue<T, 1>(c_, bias_of_squares(), packing<T>(), labels, status, none,
                                     stream);
        open_params<T> open{};
        open.screen = screen_.state();
        open.gathered = static_cast<T const*>(packed_);
        open.ld = operand_ld_;
        run(open, simt_kernel<T, simt_open_of<T>>, "simt_kernel", simt_tile_v<T>, kSimtThreads, 0);
        return;
      }
    }
    if (plan_.kernel == assign_kernel::sm80) {
      if constexpr (is_half_v<T>) {
        run(assign_params<T>{}, sm80_of_points(), "sm80_kernel", kSm80Tile, kSm80Threads,
            sm80_shared_bytes<sm80_nearest<T>>(static_cast<std::int32_t>(shape_.d)));
      }
    } else {
      run(assign_params<T>{}, simt_kernel<T, simt_nearest_of<T>>, "simt_kernel", simt_tile_v<T>,
          kSimtThreads, 0);
    }
  }

  // Distances to the labelled masters, each [b][n] or null, and their sums, one per problem and
  // inertia_stride doubles apart, or null. weights: [b][n], of the terms of the sums, or null.
  // mended: the labels, whose negative ones become 0 and are counted in the status, or nothing.
  void queue_distances(std::int32_t const* labels, acc* distances, double* inertia,
                       std::int64_t inertia_stride, cudaStream_t stream,
                       acc const* weights = nullptr, mended_labels const& mended = {}) const {
    auto queue = [&](auto of) {
      auto p = distances_of_points(labels, distances, of);
      p.mended = mended;
      p.partials = inertia == nullptr ? nullptr : partials_;
      launch_distances(p, shape_.b, stream);
    };
    if (weights == nullptr) {
      queue(one_label{});
    } else {
      queue(weighted_label<acc>{weights});
    }
    if (inertia == nullptr) return;
    launch(sum_kernel<kSumThreads>, "sum_kernel", grid_for(shape_.b), kSumThreads, stream,
           sum_params{partials_, blocks_per_problem_, inertia, inertia_stride, shape_.b});
  }

  // Distances to the labelled masters of those of problems [first, first + problems) whose `wanted`
  // ([b]) is not 0.
  void queue_distances(std::int32_t const* labels, acc* distances, std::int32_t const* wanted,
                       std::int64_t first, std::int64_t problems, cudaStream_t stream) const {
    auto p = distances_of_points(labels, distances, one_label{});
    p.wanted = wanted;
    p.first = first;
    launch_distances(p, problems, stream);
  }

  // Mends labels without computing distances. overlaps: kernels may be launched so.
  void queue_mend(mended_labels const& mended, bool overlaps, cudaStream_t stream) const {
    std::int64_t const points = shape_.b * shape_.n;
    launch(mend_kernel<kMendThreads>, "mend_kernel",
           grid_for(ceil_div<std::int64_t>(points, kMendThreads)), kMendThreads, stream,
           mend_params{mended, shape_.n, points}, {0, 1, overlaps});
  }

  // Distances of every point to `count` labelled masters: labels and distances [b][n][count].
  void queue_distances(std::int32_t const* labels, std::int32_t count, acc* distances,
                       cudaStream_t stream) const {
    distances_params<T, several_labels> p{};
    p.of.count = count;
    p.labels = labels;
    p.distances = distances;
    p.rows = shape_.n * count;
    p.rows_per_block = kDistanceRows;
    p.blocks_per_problem = ceil_div(p.rows, p.rows_per_block);
    launch_distances(p, shape_.b, stream);
  }

 private:
  // Types whose assignments a screen may go before (screen_state.cuh).
  static constexpr bool kMayScreen = std::is_same_v<T, float> || std::is_same_v<T, double>;

  // Where it can: there is a kernel for it, and an exact one that takes open points.
  bool may_screen() const {
    if constexpr (std::is_same_v<T, double>) {
      return plan_.kernel == assign_kernel::simt && screen<T>::runs();
    } else {
      return plan_.kernel == assign_kernel::sm90 && plan_.multiply == precision::native &&
             shape_.d > kMostPairedFeatures<sm90_operand_t<T>, kSm90Pieces<T>>;
    }
  }

  // Rows of a block of distances_kernel, at least.
  static constexpr std::int64_t kDistanceRows = 256;

  // One label a point.
  template <class Labels>
  distances_params<T, Labels> distances_of_points(std::int32_t const* labels, acc* distances,
                                                  Labels const& of) const {
    distances_params<T, Labels> p{};
    p.of = of;
    p.labels = labels;
    p.distances = distances;
    p.rows = shape_.n;
    p.rows_per_block = rows_per_block_;
    p.blocks_per_problem = blocks_per_problem_;
    return p;
  }

  template <class Labels>
  void launch_distances(distances_params<T, Labels>& p, std::int64_t problems,
                        cudaStream_t stream) const {
    p.x = device_matrix<T const>(x_);
    p.c = device_matrix<acc const>(c_);
    p.d = static_cast<std::int32_t>(shape_.d);
    constexpr int V = kVector<T>;
    bool const aligned = shape_.d % V == 0 && rows_aligned(x_, V * sizeof(T));
    p.lanes = power_of_two_for(ceil_div<std::int64_t>(shape_.d, V), 32);
    p.blocks = problems * p.blocks_per_problem;
    with_terms(metric_, [&](auto terms) {
      using Terms = decltype(terms);
      launch(aligned ? distances_kernel<T, true, Terms, Labels>
                     : distances_kernel<T, false, Terms, Labels>,
             "distances_kernel", grid_for(p.blocks), kDistancesThreads, stream, p);
    });
  }

  auto sm80_of_points() const {
    using search = sm80_nearest<T>;
    return rows_aligned(x_, 16) ? sm80_kernel<T, true, search> : sm80_kernel<T, false, search>;
  }

  double bias_of_squares() const { return metric_ == metric::euclidean ? -0.5 : 0.0; }

  // How points are copied to where the exact kernel reads them.
  template <class Operand>
  pack_params<T, Operand> packing() const {
    pack_params<T, Operand> p{};
    p.x = device_matrix<T const>(x_);
    p.to = static_cast<Operand*>(packed_);
    p.n = screens_ ? screen_.state().capacity : shape_.n;
    p.ld = operand_ld_;
    p.d = static_cast<std::int32_t>(shape_.d);
    p.rows = shape_.b * shape_.n;
    p.lanes = power_of_two_for(p.ld / kPackVector<Operand>, 32);
    p.aligned = rows_aligned(x_, 16);
    return p;
  }

  template <class Form>
  void prepare_sm90() {
    using Operand = typename Form::operand;
    auto points = sm90_points<Operand>::packed(static_cast<Operand const*>(packed_), shape_,
                                               operand_ld_, Form::matrices);
    if constexpr (std::is_same_v<T, Operand>) {
      if (!packs_) {
        points = {x_.data,
                  {shape_.d, shape_.n, x_.batch[1], x_.batch[0]},
                  {x_.ld, x_.batch_stride[1], x_.batch_stride[0]},
                  x_.batch[1]};
      }
    }
    sm90_.template prepare<Operand, Form::matrices>(
        points, {static_cast<Operand const*>(operand_), operand_ld_, bias_pieces_, bias_stride_},
        screens_ ? screen_.state() : screen_state{});
  }

  void queue_labels_sm90(std::int32_t* labels, fit_status const* status, std::int32_t none,
                         cudaStream_t stream) const {
    with_form([&](auto form) {
      using Form = decltype(form);
      if constexpr (Form::copied) {
        using Operand = typename Form::operand;
        if constexpr (Form::matrices > 1) {
          if (screens_) {
            screen_.template queue<Operand, Form::pieces>(c_, bias_of_squares(), packing<Operand>(),
                                                          labels, status, none, stream);
          }
        }
        sm90_.template queue<Operand, Form::matrices>(labels, status, none, /*overlaps=*/!screens_,
                                                      stream);
      }
    });
  }

  matrix_view<T const> x_;
  matrix_view<acc const> c_;
  assign_shape shape_;
  assign_plan plan_;
  metric metric_;
  void* operand_ = nullptr;
  std::int64_t operand_ld_ = 0;
  acc* bias_ = nullptr;
  __nv_bfloat16* bias_pieces_ = nullptr;
  std::int64_t bias_stride_ = 0;
  double* partials_ = nullptr;
  std::int64_t rows_per_block_ = 0, blocks_per_problem_ = 0;
  // sm90
  bool packs_ = false;
  void* packed_ = nullptr;
  sm90_launch sm90_;
  bool screens_ = false;
  screen<T> screen_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
