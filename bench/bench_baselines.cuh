// The plain ways of assigning and updating, which the library's kernels are compared with: a matrix
// product into memory and a search in it, and additions by atomics.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bench_support.cuh"

namespace bench {

// ---- Assignment ---------------------------------------------------------------------------------

// Centroids in the points' type, and -|c|^2/2 of these. One warp a centroid.
template <class P>
__global__ void ready_centroids_kernel(float const* centroids, std::int64_t count, std::int64_t d,
                                       P* operands, float* biases) {
  int const lane = threadIdx.x % 32;
  for (std::int64_t j = grid_index() / 32; j < count; j += grid_size() / 32) {
    float sum = 0;
    for (std::int64_t f = lane; f < d; f += 32) {
      P const value = from_float<P>(centroids[j * d + f]);
      operands[j * d + f] = value;
      auto const rounded = static_cast<float>(to_double(value));
      sum += rounded * rounded;
    }
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    if (lane == 0) biases[j] = -0.5f * sum;
  }
}

// The largest x.c - |c|^2/2 of every row of products[heads][rows][k]; ties go to the lowest index.
// One warp a row; row i of head h belongs to point first + i of problem h.
static __global__ void __launch_bounds__(kThreads)
    search_products_kernel(float const* __restrict__ products, float const* __restrict__ biases,
                           std::int64_t heads, std::int64_t rows, std::int64_t k, std::int64_t n,
                           std::int64_t first, std::int32_t* __restrict__ labels) {
  int const lane = threadIdx.x % 32;
  for (std::int64_t i = grid_index() / 32; i < heads * rows; i += grid_size() / 32) {
    std::int64_t const head = i / rows;
    float const* const row = products + i * k;
    float const* const bias = biases + head * k;
    float best = -INFINITY;
    std::int64_t found = 0;
#pragma unroll 8
    for (std::int64_t j = lane; j < k; j += 32) {
      float const score = row[j] + bias[j];
      if (score > best) {
        best = score;
        found = j;
      }
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      float const other = __shfl_xor_sync(0xffffffffu, best, offset);
      std::int64_t const index = __shfl_xor_sync(0xffffffffu, found, offset);
      if (other > best || (other == best && index < found)) {
        best = other;
        found = index;
      }
    }
    if (lane == 0) labels[head * n + first + i % rows] = static_cast<std::int32_t>(found);
  }
}

// Labels by cuBLAS (operands in the points' type, sums and products in float) and a search in its
// result. The n x k products are in memory, in pieces where they would not fit. Problems of one
// outer index are one call.
template <class P>
class product_assignment {
 public:
  product_assignment(shape const& s, fk::matrix_view<P const> const& x, cudaStream_t queue)
      : shape_(s),
        x_(x),
        queue_(queue),
        rows_(std::clamp<std::int64_t>(
            most_matrix_bytes() / (s.h * s.k * static_cast<std::int64_t>(sizeof(float))), 1, s.n)),
        operands_(s.problems() * s.k * s.d),
        biases_(s.problems() * s.k),
        products_(s.h * rows_ * s.k) {
    check(cublasCreate(&handle_), "cublasCreate");
    check(cublasSetStream(handle_, queue), "cublasSetStream");
  }
  ~product_assignment() { cublasDestroy(handle_); }
  product_assignment(product_assignment const&) = delete;
  product_assignment& operator=(product_assignment const&) = delete;

  // Of the products that are in memory at a time.
  std::size_t matrix_bytes() const { return products_.bytes(); }

  void run(float const* centroids, std::int32_t* labels) {
    std::int64_t const heads = shape_.h, n = shape_.n, k = shape_.k, d = shape_.d;
    ready_centroids_kernel<<<blocks_for(32 * shape_.problems() * k), kThreads, 0, queue_>>>(
        centroids, shape_.problems() * k, d, operands_.data(), biases_.data());
    check(cudaGetLastError(), "ready_centroids_kernel");
    for (std::int64_t outer = 0; outer < shape_.b; ++outer) {
      for (std::int64_t first = 0; first < n; first += rows_) {
        std::int64_t const rows = std::min(rows_, n - first);
        multiply(outer, first, rows);
        search_products_kernel<<<blocks_for(32 * heads * rows), kThreads, 0, queue_>>>(
            products_.data(), biases_.data() + outer * heads * k, heads, rows, k, n, first,
            labels + outer * heads * n);
        check(cudaGetLastError(), "search_products_kernel");
      }
    }
  }

 private:
  static constexpr std::int64_t kMostMatrixBytes = std::int64_t{40} << 30;

  static std::int64_t most_matrix_bytes() {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return std::min(kMostMatrixBytes, static_cast<std::int64_t>(free / 2));
  }

  // products[heads][rows][k] = points [rows][d] by centroids [k][d], which are column-major [d][..]
  // to cuBLAS.
  void multiply(std::int64_t outer, std::int64_t first, std::int64_t rows) {
    cudaDataType_t constexpr type = std::is_same_v<P, __half>          ? CUDA_R_16F
                                    : std::is_same_v<P, __nv_bfloat16> ? CUDA_R_16BF
                                                                       : CUDA_R_32F;
    std::int64_t const k = shape_.k, d = shape_.d;
    float const one = 1, zero = 0;
    check(cublasGemmStridedBatchedEx_64(handle_, CUBLAS_OP_T, CUBLAS_OP_N, k, rows, d, &one,
                                        operands_.data() + outer * shape_.h * k * d, type, d, k * d,
                                        x_.data + outer * x_.batch_stride[0] + first * x_.ld, type,
                                        x_.ld, x_.batch_stride[1], &zero, products_.data(),
                                        CUDA_R_32F, k, rows * k, shape_.h, CUBLAS_COMPUTE_32F,
                                        CUBLAS_GEMM_DEFAULT),
          "cublasGemmStridedBatchedEx_64");
  }

  shape shape_;
  fk::matrix_view<P const> x_;
  cudaStream_t queue_;
  std::int64_t rows_;
  device_buffer<P> operands_;
  device_buffer<float> biases_, products_;
  cublasHandle_t handle_ = nullptr;
};

// ---- Update -------------------------------------------------------------------------------------

// Adds every coordinate to its cluster's sum, one atomic addition each. One warp a point, so that
// neighbouring threads add to neighbouring addresses.
template <class P>
__global__ void scatter_kernel(device_view<P> x, std::int64_t problems,
                               std::int32_t const* __restrict__ labels, std::int64_t k, float* sums,
                               std::int32_t* counts) {
  std::int64_t const d = x.cols;
  int const lane = threadIdx.x % 32;
  for (std::int64_t i = grid_index() / 32; i < problems * x.rows; i += grid_size() / 32) {
    std::int64_t const problem = i / x.rows;
    std::int64_t const cluster = problem * k + labels[i];
    P const* const row = x.row(problem, i % x.rows);
    float* const sum = sums + cluster * d;
    for (std::int64_t f = lane; f < d; f += 32) {
      atomicAdd(&sum[f], static_cast<float>(to_double(row[f])));
    }
    if (lane == 0) atomicAdd(&counts[cluster], 1);
  }
}

// A cluster without points keeps its centroid.
static __global__ void divide_kernel(float const* __restrict__ sums,
                                     std::int32_t const* __restrict__ counts, std::int64_t elements,
                                     std::int64_t d, float* centroids) {
  for (std::int64_t e = grid_index(); e < elements; e += grid_size()) {
    std::int32_t const count = counts[e / d];
    if (count > 0) centroids[e] = sums[e] / static_cast<float>(count);
  }
}

// Means by float atomics, in an order that differs from run to run.
template <class P>
class atomic_update {
 public:
  atomic_update(shape const& s, fk::matrix_view<P const> const& x, cudaStream_t queue)
      : shape_(s),
        x_(x),
        queue_(queue),
        sums_(s.problems() * s.k * s.d),
        counts_(s.problems() * s.k) {}

  void run(std::int32_t const* labels, float* centroids) {
    sums_.zero(queue_);
    counts_.zero(queue_);
    scatter_kernel<<<blocks_for(32 * shape_.points()), kThreads, 0, queue_>>>(
        x_, shape_.problems(), labels, shape_.k, sums_.data(), counts_.data());
    check(cudaGetLastError(), "scatter_kernel");
    divide_kernel<<<blocks_for(sums_.size()), kThreads, 0, queue_>>>(
        sums_.data(), counts_.data(), sums_.size(), shape_.d, centroids);
    check(cudaGetLastError(), "divide_kernel");
  }

 private:
  shape shape_;
  device_view<P> x_;
  cudaStream_t queue_;
  device_buffer<float> sums_;
  device_buffer<std::int32_t> counts_;
};

}  // namespace bench
