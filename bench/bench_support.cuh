// What the benchmarks share: the list of shapes, random data, timing with CUDA events, checks of
// results, and main().
#pragma once

#include <benchmark/benchmark.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <flash_kmeans/flash_kmeans.cuh>

#include "device_buffer.hpp"
#include "gpu_verbs.hpp"

#if !defined(FLASH_KMEANS_SHAPES_CSV)
#define FLASH_KMEANS_SHAPES_CSV "bench/shapes.csv"
#endif
#if !defined(FLASH_KMEANS_COMMIT)
#define FLASH_KMEANS_COMMIT "unknown"
#endif

namespace bench {

namespace fk = flash_kmeans;

using counter_t = unsigned long long;

// ---- CUDA resources -----------------------------------------------------------------------------

inline void check(cudaError_t status, char const* what) {
  if (status != cudaSuccess) {
    throw fk::cuda_error(static_cast<int>(status),
                         std::string(what) + ": " + cudaGetErrorString(status));
  }
}

inline void check(cublasStatus_t status, char const* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw std::runtime_error(std::string(what) + ": " + cublasGetStatusString(status));
  }
}

using device_support::device_buffer;

class stream {
 public:
  stream() {
    check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  ~stream() { cudaStreamDestroy(handle_); }
  stream(stream const&) = delete;
  stream& operator=(stream const&) = delete;

  operator cudaStream_t() const { return handle_; }
  void synchronize() const { check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t handle_ = nullptr;
};

class event {
 public:
  event() { check(cudaEventCreate(&handle_), "cudaEventCreate"); }
  ~event() { cudaEventDestroy(handle_); }
  event(event const&) = delete;
  event& operator=(event const&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(handle_, stream), "cudaEventRecord"); }
  double ms_since(event const& start) const {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, start.handle_, handle_), "cudaEventElapsedTime");
    return ms;
  }

 private:
  cudaEvent_t handle_ = nullptr;
};

// A captured piece of work.
class graph {
 public:
  template <class Work>
  graph(cudaStream_t queue, Work work) {
    check(cudaStreamBeginCapture(queue, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(queue, &graph_);
      if (graph_ != nullptr) cudaGraphDestroy(graph_);
      throw;
    }
    check(cudaStreamEndCapture(queue, &graph_), "cudaStreamEndCapture");
    cudaError_t const status = cudaGraphInstantiate(&executable_, graph_, 0);
    cudaGraphDestroy(graph_);
    check(status, "cudaGraphInstantiate");
  }
  ~graph() { cudaGraphExecDestroy(executable_); }
  graph(graph const&) = delete;
  graph& operator=(graph const&) = delete;

  void launch(cudaStream_t queue) const {
    check(cudaGraphLaunch(executable_, queue), "cudaGraphLaunch");
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

// ---- Shapes -------------------------------------------------------------------------------------

// One line of shapes.csv: b x h problems.
struct shape {
  std::string name;
  std::int64_t b, h, n, k, d;
  std::string type;    // half, bf16, float, tf32 (float points), double
  std::string layout;  // bhsd, nhd
  std::string bench;   // assign, fit, init, query, update, baseline, peers, joined by +

  bool is_marked(char const* mark) const { return bench.find(mark) != std::string::npos; }

  std::int64_t problems() const { return b * h; }
  std::int64_t points() const { return problems() * n; }
  double assign_flops() const {
    return 2.0 * static_cast<double>(points()) * static_cast<double>(k) * static_cast<double>(d);
  }

  fk::precision multiply() const {
    return type == "tf32" ? fk::precision::tf32 : fk::precision::native;
  }

  template <class P>
  fk::matrix_view<P const> points_view(P const* data) const {
    using view = fk::matrix_view<P const>;
    return layout == "nhd" ? view::nhd(data, b, n, h, d) : view::bhsd(data, b, h, n, d);
  }

  template <class C>
  fk::matrix_view<C> centroids_view(C* data) const {
    return fk::matrix_view<C>::bhsd(data, b, h, k, d);
  }
};

inline shape parse_shape(std::string const& line, std::string const& where) {
  auto const bad = [&](std::string const& why) -> std::runtime_error {
    return std::runtime_error(where + ": " + why + ": " + line);
  };
  std::vector<std::string> fields(1);
  for (char const letter : line) {
    if (letter == ',') {
      fields.emplace_back();
    } else {
      fields.back() += letter;
    }
  }
  if (fields.size() != 9)
    throw bad("not name,b,h,n,k,d,type,layout,bench (--shape: the seven in the middle)");
  auto const positive = [&](std::string const& field) {
    std::int64_t value = 0;
    auto const [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || value < 1) {
      throw bad("'" + field + "' is no positive integer");
    }
    return value;
  };
  auto const one_of = [&](std::string const& field, std::set<std::string> const& choices) {
    if (choices.count(field) == 0) throw bad("'" + field + "' is none of the choices");
    return field;
  };
  auto const marks = [&](std::string const& field) {
    for (std::size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
      end = field.find('+', begin);
      one_of(field.substr(begin, end - begin),
             {"assign", "fit", "init", "query", "update", "baseline", "peers"});
    }
    return field;
  };
  return {fields[0],
          positive(fields[1]),
          positive(fields[2]),
          positive(fields[3]),
          positive(fields[4]),
          positive(fields[5]),
          one_of(fields[6], {"half", "bf16", "float", "tf32", "double"}),
          one_of(fields[7], {"bhsd", "nhd"}),
          marks(fields[8])};
}

inline std::vector<shape> read_shapes(std::string const& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<shape> shapes;
  std::set<std::string> names;
  std::string line;
  bool header = true;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    if (std::exchange(header, false)) continue;
    std::string const where = path + ":" + std::to_string(number);
    shapes.push_back(parse_shape(line, where));
    if (!names.insert(shapes.back().name).second) throw std::runtime_error(where + ": name twice");
  }
  if (file.bad() || shapes.empty()) throw std::runtime_error("no shapes in " + path);
  return shapes;
}

// ---- Device data --------------------------------------------------------------------------------

inline constexpr int kThreads = 256;

// Blocks of kThreads for kernels that stride over the grid.
inline int blocks_for(std::int64_t count) {
  return static_cast<int>(std::clamp<std::int64_t>((count + kThreads - 1) / kThreads, 1, 16384));
}

__device__ inline std::int64_t grid_index() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t grid_size() {
  return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

template <class T>
__device__ T from_float(float value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

template <class T>
__device__ double to_double(T value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half2float(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __bfloat162float(value);
  } else {
    return value;
  }
}

// A centroid's coordinate as an assignment of points of type P sees it.
template <class P, class C>
__device__ double as_seen_by(C value) {
  if constexpr (std::is_same_v<P, __half> || std::is_same_v<P, __nv_bfloat16>) {
    return to_double(from_float<P>(value));
  } else {
    return value;
  }
}

// A matrix_view without the host's types.
template <class T>
struct device_view {
  T const* data;
  std::int64_t rows, cols, ld, inner, outer_stride, inner_stride;

  explicit device_view(fk::matrix_view<T const> const& v)
      : data(v.data),
        rows(v.rows),
        cols(v.cols),
        ld(v.ld),
        inner(v.batch[1]),
        outer_stride(v.batch_stride[0]),
        inner_stride(v.batch_stride[1]) {}

  __device__ T const* row(std::int64_t problem, std::int64_t i) const {
    return data + problem / inner * outer_stride + problem % inner * inner_stride + i * ld;
  }
};

// Standard normal values, a pure function of (seed, position): Box-Muller over a hash.
template <class T>
__global__ void normal_kernel(T* values, std::int64_t count, std::uint64_t seed) {
  for (std::int64_t i = grid_index(); i < count; i += grid_size()) {
    std::uint64_t const bits =
        fk::detail::mix64(fk::detail::mix64(seed) ^ static_cast<std::uint64_t>(i));
    float const radius_draw = (static_cast<float>(bits >> 40) + 1.0f) * 0x1p-24f;  // (0, 1]
    float const angle_draw = static_cast<float>(bits & 0xffffffu) * 0x1p-24f;      // [0, 1)
    values[i] = from_float<T>(sqrtf(-2.0f * logf(radius_draw)) * cospif(2.0f * angle_draw));
  }
}

template <class T>
void fill_normal(device_buffer<T>& values, std::uint64_t seed, cudaStream_t stream) {
  normal_kernel<<<blocks_for(values.size()), kThreads, 0, stream>>>(values.data(), values.size(),
                                                                    seed);
  check(cudaGetLastError(), "normal_kernel");
}

// ---- Checks of results --------------------------------------------------------------------------

static __global__ void count_differences_kernel(std::uint32_t const* a, std::uint32_t const* b,
                                                std::int64_t words, counter_t* differences) {
  for (std::int64_t i = grid_index(); i < words; i += grid_size()) {
    if (a[i] != b[i]) atomicAdd(differences, counter_t{1});
  }
}

// Throws unless both hold the same bits.
template <class T>
void check_same_bits(device_buffer<T> const& a, device_buffer<T> const& b, char const* what,
                     cudaStream_t stream) {
  static_assert(sizeof(T) % sizeof(std::uint32_t) == 0);
  device_buffer<counter_t> differences(1);
  differences.zero(stream);
  auto const words = static_cast<std::int64_t>(a.bytes() / sizeof(std::uint32_t));
  count_differences_kernel<<<blocks_for(words), kThreads, 0, stream>>>(
      reinterpret_cast<std::uint32_t const*>(a.data()),
      reinterpret_cast<std::uint32_t const*>(b.data()), words, differences.data());
  check(cudaGetLastError(), "count_differences_kernel");
  counter_t const count = differences.download()[0];
  if (count != 0) {
    throw std::runtime_error(std::string(what) + ": " + std::to_string(count) + " of " +
                             std::to_string(words) + " words differ");
  }
}

static __global__ void count_invalid_kernel(std::int32_t const* labels, std::int64_t count,
                                            std::int64_t k, counter_t* invalid) {
  for (std::int64_t i = grid_index(); i < count; i += grid_size()) {
    if (labels[i] < 0 || labels[i] >= k) atomicAdd(invalid, counter_t{1});
  }
}

// Largest relative error of one operation of the kernels under test: tensor cores truncate, so a
// whole unit in the last place, not half of one.
template <class P>
inline constexpr double kOperationError = std::is_same_v<P, double>
                                              ? std::numeric_limits<double>::epsilon()
                                              : std::numeric_limits<float>::epsilon();

// Largest relative error of a product whose operands have 10 bits of mantissa: the point is cut off
// (2^-10), the centroid rounded (2^-11); also that of |c|^2/2, of the rounded centroid.
inline double operand_error(fk::precision multiply) {
  return multiply == fk::precision::tf32 ? 0x1p-10 + 0x1p-11 + 0x1p-21 : 0;
}

// Labels of a point that are checked.
inline constexpr int kMostLabels = 64;

// Points whose labels are checked: evenly spread over all problems, at random inside each stretch,
// and the very last one.
__device__ inline std::int64_t sample_point(std::int64_t sample, std::int64_t samples,
                                            std::int64_t points) {
  if (sample == samples - 1) return points - 1;
  std::int64_t const stretch = points / samples;
  auto const draw = fk::detail::mix64(static_cast<std::uint64_t>(sample));
  return sample * stretch + static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(stretch));
}

// One block a sampled point: all scores x.c - |c|^2/2 in double, by a warp a centroid. labels: of a
// point the `count` nearest, the nearest first. half: 0.5, or 0 where products alone are compared.
//
// A label passes when no more centroids than there are labels before it have a score that is better by
// more than rounding. Let w = sum |x_f c_f| + |c|^2/2, which bounds every intermediate value, and e the
// largest relative error of one operation. A tensor core adds 4 or more products to the accumulator
// at once: it truncates each product (d times e w), the accumulator and the sum (2 ceil(d/4) <= d/2 +
// 2 times); an FMA rounds once a product, which is less. |c|^2/2 takes d + 2 ordinary roundings of at
// most e/2, the subtraction one more. So a score is off by at most (2 d + 4) e w; the score here, in
// double, by no more than that with e = 2^-52. Operands that are rounded first add their error times
// w.
template <class P, class C>
__global__ void __launch_bounds__(kThreads)
    check_labels_kernel(device_view<P> x, device_view<C> c, std::int32_t const* labels,
                        std::int32_t count, double half, std::int64_t points,
                        double operation_error, double operand_error, counter_t* wrong) {
  constexpr int kWarps = kThreads / 32;
  __shared__ double own_score[kMostLabels], own_weight[kMostLabels];
  __shared__ int better[kMostLabels];
  std::int64_t const point = sample_point(blockIdx.x, gridDim.x, points);
  std::int64_t const problem = point / x.rows;
  P const* const x_row = x.row(problem, point % x.rows);
  std::int32_t const* const own = labels + point * count;
  int const warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  auto const score_of = [&](std::int64_t j, double& weight) {
    C const* const c_row = c.row(problem, j);
    double score = 0;
    weight = 0;
    for (std::int64_t f = lane; f < x.cols; f += 32) {
      double const x_f = to_double(x_row[f]), c_f = as_seen_by<P>(c_row[f]);
      score += x_f * c_f - half * c_f * c_f;
      weight += fabs(x_f * c_f) + half * c_f * c_f;
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      score += __shfl_xor_sync(0xffffffffu, score, offset);
      weight += __shfl_xor_sync(0xffffffffu, weight, offset);
    }
    return score;
  };
  bool sound = true;
  for (std::int32_t i = threadIdx.x; i < count; i += kThreads) {
    better[i] = 0;
    sound &= own[i] >= 0 && own[i] < c.rows;
    for (std::int32_t other = 0; other < i; ++other) sound &= own[other] != own[i];
  }
  if (!__syncthreads_and(sound)) {
    if (threadIdx.x == 0) atomicAdd(wrong, counter_t{1});
    return;
  }
  for (std::int32_t i = warp; i < count; i += kWarps) {
    double weight;
    double const score = score_of(own[i], weight);
    if (lane == 0) {
      own_score[i] = score;
      own_weight[i] = weight;
    }
  }
  __syncthreads();
  double const operations = 2.0 * static_cast<double>(x.cols) + 4.0;
  double const error = operations * (operation_error + 0x1p-52) + operand_error;
  for (std::int64_t j = warp; j < c.rows; j += kWarps) {
    double weight;
    double const score = score_of(j, weight);
    for (std::int32_t i = lane; i < count; i += 32) {
      if (!(own_score[i] >= score - error * (own_weight[i] + weight))) atomicAdd(&better[i], 1);
    }
  }
  __syncthreads();
  for (std::int32_t i = threadIdx.x; i < count; i += kThreads) sound &= better[i] <= i;
  if (!__syncthreads_and(sound) && threadIdx.x == 0) atomicAdd(wrong, counter_t{1});
}

// Throws unless every label is in [0, k) and about 2000 points, spread over all problems, have
// labels whose centroids are the nearest, in order and up to rounding. count: labels of a point.
// euclidean: near by distance, else by product.
template <class P, class C>
void check_labels(fk::matrix_view<P const> const& x, fk::matrix_view<C> const& c,
                  device_buffer<std::int32_t> const& labels, fk::precision multiply,
                  cudaStream_t stream, std::int32_t count = 1, bool euclidean = true) {
  constexpr std::int64_t kSamples = 2048;
  std::int64_t const points = labels.size() / count;
  auto const samples = static_cast<int>(std::min(kSamples, points));
  device_buffer<counter_t> counts(2);
  counts.zero(stream);
  count_invalid_kernel<<<blocks_for(labels.size()), kThreads, 0, stream>>>(
      labels.data(), labels.size(), c.rows, counts.data());
  check(cudaGetLastError(), "count_invalid_kernel");
  check_labels_kernel<<<samples, kThreads, 0, stream>>>(
      device_view<P>(x), device_view<C>(c), labels.data(), count, euclidean ? 0.5 : 0.0, points,
      kOperationError<P>, operand_error(multiply), counts.data() + 1);
  check(cudaGetLastError(), "check_labels_kernel");
  std::vector<counter_t> const found = counts.download();
  if (found[0] != 0) {
    throw std::runtime_error("wrong result: " + std::to_string(found[0]) +
                             " labels are outside [0, k)");
  }
  if (found[1] != 0) {
    throw std::runtime_error("wrong result: " + std::to_string(found[1]) + " of " +
                             std::to_string(samples) +
                             " sampled points have labels that are not the nearest");
  }
}

// ---- Timing -------------------------------------------------------------------------------------

struct timing {
  double median_ms, min_ms, max_ms;
  int runs;

  double seconds() const { return runs * median_ms * 1e-3; }
};

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::size_t const half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

// Times work on a stream, run after run without waiting in between, each between two events. A GPU
// at its power limit slows down while it works, so every measurement begins after the same rest.
class stopwatch {
 public:
  // seconds: about how long to measure. l2_bytes: size of the cache that is to be cold.
  stopwatch(cudaStream_t stream, double seconds, std::int64_t l2_bytes)
      : stream_(stream),
        seconds_(seconds),
        l2_bytes_(l2_bytes),
        flush_(std::max<std::int64_t>(kFlushBytes, 2 * l2_bytes)) {}

  // prepare() and work() queue on the stream; only work() is timed. input_bytes: what work() reads;
  // when that could stay in L2 from one run to the next, L2 is overwritten before each.
  template <class Prepare, class Work>
  timing measure(std::int64_t input_bytes, Prepare prepare, Work work) {
    bool const flush = input_bytes < 2 * l2_bytes_;
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    std::this_thread::sleep_for(std::chrono::milliseconds(kRestMs));
    auto const batch = [&](int runs) {
      std::vector<event> starts(static_cast<std::size_t>(runs));
      std::vector<event> stops(static_cast<std::size_t>(runs));
      for (std::size_t i = 0; i < starts.size(); ++i) {
        prepare();
        if (flush) flush_.poison(stream_);
        starts[i].record(stream_);
        work();
        stops[i].record(stream_);
      }
      check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
      std::vector<double> ms(starts.size());
      for (std::size_t i = 0; i < ms.size(); ++i) ms[i] = stops[i].ms_since(starts[i]);
      std::sort(ms.begin(), ms.end());
      return ms;
    };
    double const warm_up_ms = batch(1)[0];
    double const estimate_ms =
        warm_up_ms * kWarmUps < seconds_ * 1e3 ? batch(kWarmUps)[0] : warm_up_ms;
    double const fitting = seconds_ * 1e3 / std::max(estimate_ms, 1e-3);
    std::vector<double> const ms =
        batch(static_cast<int>(std::clamp(fitting, kFewestRuns, kMostRuns)));
    return {median(ms), ms.front(), ms.back(), static_cast<int>(ms.size())};
  }

 private:
  static constexpr std::int64_t kFlushBytes = std::int64_t{128} << 20;
  static constexpr int kRestMs = 250, kWarmUps = 3;
  static constexpr double kFewestRuns = 20, kMostRuns = 400;

  cudaStream_t stream_;
  double seconds_;
  std::int64_t l2_bytes_;
  device_buffer<unsigned char> flush_;
};

// ---- One process --------------------------------------------------------------------------------

// The yardstick: half x half -> half with float accumulation, 8192^3, random values.
class gemm {
 public:
  explicit gemm(std::int64_t l2_bytes)
      : l2_bytes_(l2_bytes), a_(kElements), b_(kElements), c_(kElements) {
    fill_normal(a_, 1, stream_);
    fill_normal(b_, 2, stream_);
    check(cublasCreate(&handle_), "cublasCreate");
    check(cublasSetStream(handle_, stream_), "cublasSetStream");
  }
  ~gemm() { cublasDestroy(handle_); }
  gemm(gemm const&) = delete;
  gemm& operator=(gemm const&) = delete;

  // Median rate of runs that together take about so long.
  double tflops(double seconds) const {
    stopwatch watch(stream_, seconds, l2_bytes_);
    float const one = 1.0f, zero = 0.0f;
    timing const t = watch.measure(
        static_cast<std::int64_t>(a_.bytes() + b_.bytes()), [] {},
        [&] {
          check(cublasGemmEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, kSize, kSize, kSize, &one,
                             a_.data(), CUDA_R_16F, kSize, b_.data(), CUDA_R_16F, kSize, &zero,
                             c_.data(), CUDA_R_16F, kSize, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                "cublasGemmEx");
        });
    return 2.0 * kSize * kSize * kSize / (t.median_ms * 1e9);
  }

 private:
  static constexpr int kSize = 8192;
  static constexpr std::int64_t kElements = std::int64_t{kSize} * kSize;

  std::int64_t l2_bytes_;
  stream stream_;
  device_buffer<__half> a_, b_, c_;
  cublasHandle_t handle_ = nullptr;
};

struct session {
  double seconds;  // measured per row
  std::int64_t l2_bytes;
  gemm const& yardstick;
  int failures = 0;
};

// What one row gives.
struct measurement {
  fk::assign_kernel kernel = fk::assign_kernel::automatic;  // what it ran on
  timing time{};
  std::map<std::string, double> counters;  // besides those that every row has
};

inline std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// "580.65.06", which only the driver's management library knows.
inline std::string driver_version() {
  std::string version = "unknown";
  void* const library = dlopen("libnvidia-ml.so.1", RTLD_LAZY);
  if (library == nullptr) return version;
  auto const init = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
  auto const shutdown = reinterpret_cast<int (*)()>(dlsym(library, "nvmlShutdown"));
  auto const query =
      reinterpret_cast<int (*)(char*, unsigned)>(dlsym(library, "nvmlSystemGetDriverVersion"));
  if (init != nullptr && shutdown != nullptr && query != nullptr && init() == 0) {
    char text[96] = {};
    if (query(text, sizeof(text)) == 0) version = text;
    shutdown();
  }
  dlclose(library);
  return version;
}

// What makes a JSON file readable a year later; the reporter itself adds date and host.
inline void add_context(cudaDeviceProp const& device) {
  int runtime = 0, driver = 0;
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  char const* const commit = std::getenv("FLASH_KMEANS_COMMIT");
  auto const add = [](char const* key, std::string const& value) {
    benchmark::AddCustomContext(key, value);
  };
  add("device", device.name);
  add("compute_capability", std::to_string(device.major) + "." + std::to_string(device.minor));
  add("multiprocessors", std::to_string(device.multiProcessorCount));
  add("l2_bytes", std::to_string(device.l2CacheSize));
  add("driver", driver_version());
  add("driver_cuda", version_text(driver));
  add("cuda_runtime", version_text(runtime));
  add("nvcc", std::to_string(__CUDACC_VER_MAJOR__) + "." + std::to_string(__CUDACC_VER_MINOR__) +
                  "." + std::to_string(__CUDACC_VER_BUILD__));
  add("flash_kmeans", std::to_string(FLASH_KMEANS_VERSION_MAJOR) + "." +
                          std::to_string(FLASH_KMEANS_VERSION_MINOR) + "." +
                          std::to_string(FLASH_KMEANS_VERSION_PATCH));
  add("commit", commit != nullptr && *commit != '\0' ? commit : FLASH_KMEANS_COMMIT);
}

// Runs one row of Bench and hands it to Google Benchmark as one iteration with the median time.
template <class Bench>
void run_row(benchmark::State& state, shape const& s, fk::assign_kernel kernel, bool may_refuse,
             session& env) {
  measurement m;
  double cublas = 0;  // at the same length of work, after the same rest
  try {
    if (s.type == "half") {
      m = Bench::template run<__half>(s, kernel, env);
    } else if (s.type == "bf16") {
      m = Bench::template run<__nv_bfloat16>(s, kernel, env);
    } else if (s.type == "float" || s.type == "tf32") {
      m = Bench::template run<float>(s, kernel, env);
    } else {
      m = Bench::template run<double>(s, kernel, env);
    }
    if (kernel != fk::assign_kernel::automatic && m.kernel != kernel) {
      throw std::runtime_error(std::string("ran on kernel ") + fk::to_string(m.kernel));
    }
    if (Bench::assignments(m) > 0) cublas = env.yardstick.tflops(m.time.seconds());
  } catch (std::exception const& error) {
    // A forced kernel that cannot run this row is no failure when the caller named none.
    bool const refused = may_refuse && dynamic_cast<std::invalid_argument const*>(&error) &&
                         std::string(error.what()).find("kernel") != std::string::npos;
    if (!refused) ++env.failures;
    state.SkipWithError(error.what());
    return;
  }
  for (auto _ : state) state.SetIterationTime(m.time.median_ms * 1e-3);

  double const tflops = s.assign_flops() * Bench::assignments(m) / (m.time.median_ms * 1e9);
  double const point_bytes = static_cast<double>(s.points()) * static_cast<double>(s.d) *
                             (s.type == "double"                      ? 8
                              : s.type == "float" || s.type == "tf32" ? 4
                                                                      : 2);
  auto& counters = state.counters;
  counters["ms"] = m.time.median_ms;
  counters["ms_min"] = m.time.min_ms;
  counters["ms_max"] = m.time.max_ms;
  counters["runs"] = m.time.runs;
  counters["GB/s"] = point_bytes * Bench::passes(m) / (m.time.median_ms * 1e6);
  if (cublas > 0) {
    counters["TFLOP/s"] = tflops;
    counters["cublas_TFLOP/s"] = cublas;
    counters["of_cublas"] = tflops / cublas;
  }
  for (auto const& [name, value] : m.counters) counters[name] = value;
  state.SetLabel(fk::to_string(m.kernel));
}

// ---- main() -------------------------------------------------------------------------------------

inline constexpr char const* kHelp = R"( measures one verb over a list of shapes:
          [--kernel=automatic|simt|sm80|sm90|all]
                                              kernel of the assignments, default automatic
          [--shape=b,h,n,k,d,type,layout]     this shape instead of the list; types half, bf16,
                                              float, tf32, double; layouts bhsd, nhd
          [--shapes=<file>]                   another list of shapes
          [--seconds=<x>]                     measured per row, default 0.5

)";

// Those that may be forced, and the automatic choice first.
inline constexpr fk::assign_kernel kKernels[] = {fk::assign_kernel::automatic,
                                                 fk::assign_kernel::simt, fk::assign_kernel::sm80,
                                                 fk::assign_kernel::sm90};

struct bench_options {
  std::string kernel = "automatic";
  std::string shapes = FLASH_KMEANS_SHAPES_CSV;
  std::optional<shape> custom;
  double seconds = 0.5;
};

// Takes the options of kHelp out of argv and leaves the others to Google Benchmark.
inline bench_options parse_options(int& argc, char** argv) {
  bench_options options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    std::string const argument = argv[i];
    auto const value_of = [&](std::string const& prefix) -> std::optional<std::string> {
      if (argument.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
      return argument.substr(prefix.size());
    };
    if (auto const kernel = value_of("--kernel=")) {
      bool const known = std::any_of(std::begin(kKernels), std::end(kKernels),
                                     [&](auto choice) { return *kernel == fk::to_string(choice); });
      if (!known && *kernel != "all") throw std::runtime_error("no such kernel: " + *kernel);
      options.kernel = *kernel;
    } else if (auto const custom = value_of("--shape=")) {
      options.custom =
          parse_shape("custom," + *custom + ",assign+fit+init+query+update+baseline", "--shape");
    } else if (auto const shapes = value_of("--shapes=")) {
      options.shapes = *shapes;
    } else if (auto const seconds = value_of("--seconds=")) {
      char* end = nullptr;
      options.seconds = std::strtod(seconds->c_str(), &end);
      if (seconds->empty() || *end != '\0' || !(options.seconds > 0 && options.seconds <= 3600)) {
        throw std::runtime_error("no number of seconds: " + *seconds);
      }
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  argv[argc] = nullptr;
  return options;
}

inline bool has_type(fk::assign_kernel kernel, std::string const& type) {
  switch (kernel) {
    case fk::assign_kernel::sm80: return type == "half" || type == "bf16";
    case fk::assign_kernel::sm90: return type != "double";
    default: return true;
  }
}

// Bench: kVerb ("assign", "fit", "init", "query" or "update"); measurement run<P>(shape, kernel, session);
// assignments(measurement), their number in one timed run; and passes(measurement), how often that
// uses the points.
template <class Bench>
int run_all(int argc, char** argv) {
  bench_options const options = parse_options(argc, argv);
  benchmark::Initialize(&argc, argv, [] {
    std::cout << "bench_" << Bench::kVerb << kHelp;
    benchmark::PrintDefaultHelp();
  });
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;

  int devices = 0;
  cudaError_t const found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    std::cout << "bench_" << Bench::kVerb << ": there is no GPU to measure on ("
              << (found == cudaSuccess ? "none found" : cudaGetErrorString(found)) << ")\n";
    return 0;
  }
  check(cudaSetDevice(0), "cudaSetDevice");
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  gemm const yardstick(device.l2CacheSize);
  session env{options.seconds, device.l2CacheSize, yardstick};
  add_context(device);

  std::vector<fk::assign_kernel> kernels;
  for (fk::assign_kernel const kernel : kKernels) {
    bool const named = options.kernel == fk::to_string(kernel);
    bool const one_of_all = options.kernel == "all" && kernel != fk::assign_kernel::automatic;
    if (named || one_of_all) kernels.push_back(kernel);
  }
  std::vector<shape> const shapes =
      options.custom ? std::vector<shape>{*options.custom} : read_shapes(options.shapes);
  for (shape const& s : shapes) {
    if (!s.is_marked(Bench::kVerb)) continue;
    for (fk::assign_kernel const kernel : kernels) {
      if (!has_type(kernel, s.type)) continue;
      std::string const name =
          std::string(Bench::kVerb) + "/" + s.name + "/" + fk::to_string(kernel);
      bool const may_refuse = options.kernel == "all";
      benchmark::RegisterBenchmark(name.c_str(),
                                   [s, kernel, may_refuse, &env](benchmark::State& state) {
                                     run_row<Bench>(state, s, kernel, may_refuse, env);
                                   })
          ->Iterations(1)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  std::size_t const rows = benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (rows == 0) {
    std::cerr << "bench_" << Bench::kVerb << ": no row was chosen\n";
    return 2;
  }
  if (env.failures > 0) {
    std::cerr << "bench_" << Bench::kVerb << ": " << env.failures << " rows failed\n";
    return 1;
  }
  return 0;
}

template <class Bench>
int bench_main(int argc, char** argv) {
  try {
    return run_all<Bench>(argc, argv);
  } catch (std::exception const& error) {
    std::cerr << "bench_" << Bench::kVerb << ": " << error.what() << "\n";
    return 2;
  }
}

}  // namespace bench
