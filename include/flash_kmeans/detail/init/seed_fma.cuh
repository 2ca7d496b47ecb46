// Rows times columns (rows of candidates) on the FMA units, for any type: what one warp does for
// the seedings. Squared distances are sums of squared differences, so equal rows are 0 apart.
//
// 8 neighbouring lanes share a row and read 16 bytes each at a time; at the end each of them has the
// sums of its own columns.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"
#include "seed_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct fma_products {
  using acc = centroid_t<T>;
  static constexpr int kLanes = 8;                                 // of a row
  static constexpr int kRows = 2;                                  // of a lane
  static constexpr int kWide = std::is_same_v<T, float> ? 16 : 8;  // columns of a call
  static constexpr int kColumns = kWide / kLanes;                  // of a lane
  static constexpr int kTile = 32 / kLanes * kRows;                // rows of a warp

  // Where a lane's results lie.
  __device__ static int row(int i) { return threadIdx.x % 32 / kLanes + 32 / kLanes * i; }
  __device__ static int column(int j) { return threadIdx.x % kLanes * kColumns + j; }

  // |x|^2 of the rows, the same on all their lanes; to the bit what products gives a cosine of equal
  // rows.
  __device__ static void norms(acc (&sums)[kRows], T const* const (&x)[kRows],
                               seed_points<T> const& p) {
    pairs<true>(sums, x, x, p);
  }

  // Products of two columns, which may be the same, on all lanes of a row and to the bit what
  // products gives.
  __device__ static void column_products(acc (&results)[kRows], acc (&others)[kRows],
                                         T const* const (&x)[kRows], T const* first,
                                         T const* second, seed_points<T> const& p) {
    T const* c[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) c[i] = first;
    pair_products(results, x, c, p);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      c[i] = second;
      others[i] = results[i];
    }
    if (second != first) pair_products(others, x, c, p);
  }

  // Products of rows with one other row each, likewise.
  __device__ static void pair_products(acc (&results)[kRows], T const* const (&x)[kRows],
                                       T const* const (&c)[kRows], seed_points<T> const& p) {
    if (p.cosine) {
      pairs<true>(results, x, c, p);
    } else {
      pairs<false>(results, x, c, p);
    }
  }

  // columns: kWide pointers in shared memory.
  __device__ static void products(acc (&results)[kRows][kColumns], T const* const (&x)[kRows],
                                  T const* const* columns, seed_points<T> const& p) {
    acc sums[kRows][kWide] = {};
    if (p.cosine) {
      add<true>(sums, x, columns, p);
    } else {
      add<false>(sums, x, columns, p);
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      scatter_sums<kLanes / 2>(sums[i]);
#pragma unroll
      for (int j = 0; j < kColumns; ++j) results[i][j] = sums[i][j];
    }
  }

  // The distance of a row and a column with these norms.
  __device__ static acc distance(acc product, acc x_norm, acc c_norm, bool cosine) {
    return cosine ? cosine_distance(product, x_norm, c_norm) : product;
  }

 private:
  static constexpr int V = 16 / sizeof(T);

  template <bool Dot>
  __device__ static void add_one(acc& sum, acc x, acc c) {
    acc const left = Dot ? x : x - c, right = Dot ? c : left;
    sum += left * right;
  }

  template <bool Dot>
  __device__ static void add(acc (&sums)[kRows][kWide], T const* const (&x)[kRows],
                             T const* const* columns, seed_points<T> const& p) {
#pragma unroll 1
    for (std::int32_t at = threadIdx.x % kLanes * V; at < p.d; at += kLanes * V) {
      pack<T, V> a[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) a[i] = load_padded<V>(x[i], at, p.d, p.aligned);
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        pack<T, V> const c = load_padded<V>(columns[j], at, p.d, p.aligned);
#pragma unroll
        for (int v = 0; v < V; ++v) {
#pragma unroll
          for (int i = 0; i < kRows; ++i) {
            add_one<Dot>(sums[i][j], widen<acc>(a[i].values[v]), widen<acc>(c.values[v]));
          }
        }
      }
    }
  }

  template <bool Dot>
  __device__ static void pairs(acc (&sums)[kRows], T const* const (&x)[kRows],
                               T const* const (&c)[kRows], seed_points<T> const& p) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) sums[i] = 0;
#pragma unroll 1
    for (std::int32_t at = threadIdx.x % kLanes * V; at < p.d; at += kLanes * V) {
      pack<T, V> a[kRows], b[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        a[i] = load_padded<V>(x[i], at, p.d, p.aligned);
        b[i] = load_padded<V>(c[i], at, p.d, p.aligned);
      }
#pragma unroll
      for (int v = 0; v < V; ++v) {
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          add_one<Dot>(sums[i], widen<acc>(a[i].values[v]), widen<acc>(b[i].values[v]));
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) sums[i] = group_sum(sums[i], kLanes);
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
