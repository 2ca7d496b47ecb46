// Rows times columns (rows of candidates) on the tensor cores, half and bfloat16: what one warp does
// for the seedings.
//
// Fragments are read as they lie: a lane takes 16 neighbouring bytes of a row, which are its share
// of two instructions. Rows and columns are read alike, so which feature stands where does not
// matter.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../ptx/mma_sync.cuh"
#include "seed_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct mma_products {
  using acc = float;
  static constexpr int kLanes = 4;  // of a row
  static constexpr int kRows = 4;   // of a lane: two tiles of 16 rows
  static constexpr int kTile = 32;  // rows of a warp
  static constexpr int V = 8;       // elements of 16 bytes
  static constexpr int kChunk = kLanes * V;

  // Which rows and columns (of 8) a lane's results belong to.
  __device__ static int row(int i) { return threadIdx.x % 32 / kLanes + 8 * i; }
  __device__ static int column(int j) { return threadIdx.x % kLanes * 2 + j; }

  // |x|^2 of the rows, the same on all their lanes; to the bit what products of equal rows are.
  __device__ static void norms(acc (&squares)[kRows], T const* const (&x)[kRows],
                               seed_points<T> const& p) {
    float sums[2][2][4] = {};  // both tiles times their upper and lower rows
    for_chunks<1>(x, p, [&](uint4 const(&a)[kRows], std::int32_t, bool) {
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          multiply(sums[tile][half], a[2 * tile], a[2 * tile + 1], a[2 * tile + half]);
        }
      }
    });
    // Of the 8 x 8 results of row and column, those on the diagonal.
    int const lane = threadIdx.x % 32, own = lane / kLanes;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      float const* const diagonal = sums[i / 2][i % 2] + i % 2 * 2;
      float const value = own % 2 == 0 ? diagonal[0] : diagonal[1];
      squares[i] = __shfl_sync(0xffffffffu, value, lane - lane % kLanes + own / 2);
    }
  }

  // Products of two columns, which may be the same, on the first lane of each row and to the bit
  // what any other column gives.
  __device__ static void column_products(acc (&results)[kRows], acc (&others)[kRows],
                                         T const* const (&x)[kRows], T const* first,
                                         T const* second, seed_points<T> const& p) {
    T const* const column = threadIdx.x % 32 / kLanes == 1 ? second : first;
    float sums[2][4] = {};
    constexpr int kAhead = 2;
    for_chunks<kAhead>(x, p, [&](uint4 const(&a)[kRows], std::int32_t at, bool whole) {
      uint4 const own =
          whole ? *reinterpret_cast<uint4 const*>(column + at) : padded(column, at, p);
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) multiply(sums[tile], a[2 * tile], a[2 * tile + 1], own);
    });
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      results[i] = sums[i / 2][i % 2 * 2];
      others[i] = sums[i / 2][i % 2 * 2 + 1];
    }
  }

  // The distance of a row and a column with these norms. A difference that is no larger than what
  // rounding leaves of equal rows is 0.
  __device__ static acc distance(acc product, acc x_norm, acc c_norm, bool cosine) {
    if (cosine) return cosine_distance(product, x_norm, c_norm);
    float const sum = x_norm + c_norm, squared = sum - 2 * product;
    return squared <= 0x1p-22f * sum ? 0 : squared;
  }

  __device__ static uint4 padded(T const* row, std::int32_t at, seed_points<T> const& p) {
    pack<T, V> const loaded = load_padded<V>(row, at, p.d, p.aligned);
    uint4 bits;
    static_assert(sizeof(bits) == sizeof(loaded));
    memcpy(&bits, &loaded, sizeof(bits));
    return bits;
  }

  // sums[16][8] += 32 features of 16 rows times those of 8 columns.
  __device__ static void multiply(float (&sums)[4], uint4 const& upper, uint4 const& lower,
                                  uint4 const& column) {
#if FLASH_KMEANS_HAS_MMA_SYNC
    ptx::mma_m16n8k16<T>(sums, {upper.x, lower.x, upper.y, lower.y}, column.x, column.y);
    ptx::mma_m16n8k16<T>(sums, {upper.z, lower.z, upper.w, lower.w}, column.z, column.w);
#endif
  }

 private:
  // use(16 bytes of each row, their first feature, whether that many are there and aligned) over all
  // features. Ahead: chunks that are read at once.
  template <int Ahead, class Use>
  __device__ static void for_chunks(T const* const (&x)[kRows], seed_points<T> const& p,
                                    Use&& use) {
    std::int32_t const own = threadIdx.x % kLanes * V;
    std::int32_t at = 0;
    auto const whole_chunks = [&](auto ahead) {
      constexpr int kAhead = decltype(ahead)::value;
#pragma unroll 1
      for (; p.d - at >= kAhead * kChunk; at += kAhead * kChunk) {
        uint4 a[kAhead][kRows];
#pragma unroll
        for (int chunk = 0; chunk < kAhead; ++chunk) {
#pragma unroll
          for (int i = 0; i < kRows; ++i) {
            a[chunk][i] = __ldcs(reinterpret_cast<uint4 const*>(x[i] + at + chunk * kChunk + own));
          }
        }
#pragma unroll
        for (int chunk = 0; chunk < kAhead; ++chunk) use(a[chunk], at + chunk * kChunk + own, true);
      }
    };
    if (p.aligned) {
      whole_chunks(std::integral_constant<int, Ahead>{});
      if constexpr (Ahead > 1) whole_chunks(std::integral_constant<int, 1>{});
    }
#pragma unroll 1
    for (; at < p.d; at += kChunk) {
      uint4 a[kRows];
      // One piece of code for all rows.
#pragma unroll 1
      for (int i = 0; i < kRows; ++i) {
        uint4 const bits = padded(i < 2 ? i == 0 ? x[0] : x[1] : i == 2 ? x[2] : x[3], at + own, p);
        if (i == 0) a[0] = bits;
        if (i == 1) a[1] = bits;
        if (i == 2) a[2] = bits;
        if (i == 3) a[3] = bits;
      }
      use(a, at + own, false);
    }
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
