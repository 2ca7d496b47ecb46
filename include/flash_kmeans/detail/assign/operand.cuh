// Centroids as the assignment kernels multiply them: a copy in the type of the points where that is
// narrower, and the bias of their scores: -|c|^2/2 of the centroid as it is multiplied (euclidean)
// or 0 (cosine, whose masters have length 1, and inner product).
#pragma once

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"
#include "pieces.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// What a kernel multiplies: copies in Operand, of which Pieces add up to a value; void where it
// takes points and masters as they are. Paired: the pairs of pieces that matter are features of
// their own, so the kernel multiplies one matrix of them and knows nothing of pieces.
template <class Operand, int Pieces = 1, bool Paired = false>
struct assign_form {
  using operand = Operand;
  static constexpr int pieces = Pieces;
  static constexpr bool paired = Paired;
  static constexpr int matrices = Paired ? 1 : Pieces;  // of operands, of a problem
  static constexpr bool copied = !std::is_void_v<Operand>;

  // Features that are multiplied, of d.
  FLASH_KMEANS_HOST_DEVICE static constexpr std::int64_t width(std::int64_t d) {
    return Paired ? kPiecePairs<Pieces> * d : d;
  }
};

// A row of paired operands at most: one turn on the tensor cores. With so few features pieces would
// each fill instructions up with zeros.
template <class Operand>
inline constexpr int kMostPairedRow = kSm90TurnChunks<1> * 128 / sizeof(Operand);
template <class Operand, int Pieces>
inline constexpr int kMostPairedFeatures = kMostPairedRow<Operand> / kPiecePairs<Pieces>;

// What the kernels of every GPU multiply.
template <class T>
using plain_form = assign_form<std::conditional_t<is_half_v<T>, T, void>>;

// Where centroids are made ready. Nothing is, where all pointers are null.
template <class T>
struct operand_params {
  using acc = centroid_t<T>;
  void* operand;    // [b][matrices][k][ld] of the form's operand, zero behind its features, or null
  std::int64_t ld;  // a multiple of 16 bytes
  acc* bias;        // [b][bias_stride], -|c|^2/2 or 0, -inf from k on, or null
  __nv_bfloat16* bias_pieces;  // [b][bias_stride][16], the same in pieces as the sm90 kernel takes
                               // it, or null
  std::int64_t bias_stride;
  std::int32_t k, d;
  double bias_of_squares;  // times |c|^2 is the bias: -1/2, or 0

  // Features [first, first + V) of centroid j of problem b; from d on they are zero, and behind the
  // last one whoever writes [0, ld) leaves zeros. Returns what is multiplied.
  template <class Form, int V>
  __device__ pack<acc, V> write(std::int64_t b, std::int64_t j, std::int64_t first,
                                pack<acc, V> values) const {
    if constexpr (Form::copied) {
      using Operand = typename Form::operand;
      constexpr int kPieces = Form::pieces;
      Operand parts[kPieces * V];
#pragma unroll
      for (int v = 0; v < V; ++v) {
        values.values[v] = split<Operand, kPieces>(values.values[v], parts + v, V);
      }
      if (operand == nullptr || first >= ld) return values;
      Operand* const to =
          static_cast<Operand*>(operand) + (b * Form::matrices * k + j) * ld + first;
      if constexpr (Form::paired) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          if (first + v < d) {
            for_piece_pairs<kPieces>(
                [&](int pair, int, int of) { to[pair * d + v] = parts[of * V + v]; });
          }
          if (first + v >= Form::width(d)) to[v] = Operand(0.0f);
        }
      } else {
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
          pack<Operand, V> written;
#pragma unroll
          for (int v = 0; v < V; ++v) written.values[v] = parts[piece * V + v];
          *reinterpret_cast<pack<Operand, V>*>(to + std::int64_t{piece} * k * ld) = written;
        }
      }
    }
    return values;
  }

  // From |c|^2 of the centroid as it is multiplied, for row j of problem b; rows from k on have an
  // infinite one. By one thread.
  __device__ void write_bias(std::int64_t b, std::int64_t j, double squares) const {
    write(b, j, static_cast<acc>(bias_from(squares)));
  }
  __device__ double bias_from(double squares) const {
    // 0 times infinity would be NaN.
    return squares < kInfinity<double> ? bias_of_squares * squares : -squares;
  }

  // The bias itself.
  __device__ void write(std::int64_t b, std::int64_t j, acc value) const {
    std::int64_t const row = b * bias_stride + j;
    if (bias != nullptr) bias[row] = value;
    if constexpr (!std::is_same_v<acc, double>) {
      if (bias_pieces != nullptr) {
        using half_row = pack<__nv_bfloat16, kSm90BiasColumns / 2>;
        half_row pieces{};
        if (value - value == 0) {
          split<__nv_bfloat16, 3>(value, pieces.values, 1);
        } else {
          pieces.values[0] = __nv_bfloat16(value);
        }
        auto* const to = reinterpret_cast<half_row*>(bias_pieces) + 2 * row;
        to[0] = pieces;
        to[1] = half_row{};
      }
    }
  }
};

// The squares of V values, added to a sum. In double, so that a bias carries one rounding.
template <class Acc, int V>
__device__ void add_squares(double& squares, pack<Acc, V> const& values) {
#pragma unroll
  for (int v = 0; v < V; ++v) squares += static_cast<double>(values.values[v]) * values.values[v];
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
