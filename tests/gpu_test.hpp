// What the GPU tests share: skipping without a GPU, matrices laid out in batches with padding that
// must not be read, the shape table, the derived error bounds, and one-call runs of the verbs that
// bring all outputs back. Device memory: device_buffer.hpp.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <flash_kmeans/flash_kmeans.cuh>
#include <limits>
#include <memory>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "data.hpp"
#include "device_buffer.hpp"
#include "gpu_verbs.hpp"
#include "reference.hpp"

namespace testing_support {

namespace fk = flash_kmeans;

using device_support::contents;
using device_support::cuda_check;
using device_support::device_buffer;
using device_support::why_no_gpu;

#define FLASH_KMEANS_CUDA_CHECK(call) ::testing_support::cuda_check((call), #call)

// --- With and without a GPU ----------------------------------------------------------------------

inline bool gpu_is_required() {
  char const* const value = std::getenv("FLASH_KMEANS_REQUIRE_GPU");
  return value != nullptr && std::string(value) == "1";
}

// Tests of this fixture skip without a GPU, or fail when FLASH_KMEANS_REQUIRE_GPU=1.
class gpu_test : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string const why = why_no_gpu();
    if (why.empty()) return;
    if (gpu_is_required()) FAIL() << why << ", and FLASH_KMEANS_REQUIRE_GPU=1";
    GTEST_SKIP() << why;
  }

  // A fault on the device, and a write outside of a buffer, are reported by the test that made
  // them.
  void TearDown() override {
    if (IsSkipped() || !why_no_gpu().empty()) return;
    cudaError_t const status = cudaDeviceSynchronize();
    EXPECT_EQ(status, cudaSuccess) << cudaGetErrorString(status);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    device_support::check_device_buffers();
  }
};

// Overwritten guard bands fail the test that is running.
inline bool const overwrites_fail_tests = [] {
  device_support::on_overwrite() = [](std::string const& what) { ADD_FAILURE() << what; };
  return true;
}();

// A stream that does not wait for the default one.
class own_stream {
 public:
  own_stream() {
    FLASH_KMEANS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~own_stream() { cudaStreamDestroy(stream_); }
  own_stream(own_stream const&) = delete;
  own_stream& operator=(own_stream const&) = delete;
  operator cudaStream_t() const { return stream_; }
  void wait() const { FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

// --- Element types -------------------------------------------------------------------------------

using element_types = ::testing::Types<float, __half, __nv_bfloat16, double>;

// Points of these are converted to half.
using narrow_types = ::testing::Types<std::int8_t, std::uint8_t, __nv_fp8_e4m3>;

template <class T>
inline constexpr bool is_half_v = std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;

template <class T>
std::string type_name() {
  if (std::is_same_v<T, __half>) return "half";
  if (std::is_same_v<T, __nv_bfloat16>) return "bfloat16";
  if (std::is_same_v<T, std::int8_t>) return "int8";
  if (std::is_same_v<T, std::uint8_t>) return "uint8";
  if (std::is_same_v<T, __nv_fp8_e4m3>) return "fp8_e4m3";
  return std::is_same_v<T, float> ? "float" : "double";
}

struct element_names {
  template <class T>
  static std::string GetName(int) {
    return type_name<T>();
  }
};

template <class T>
using centroid_of = fk::centroid_t<T>;

// Relative error of rounding to T, round to nearest.
template <class T>
double unit_roundoff() {
  if (std::is_same_v<T, __half>) return std::ldexp(1.0, -11);
  if (std::is_same_v<T, __nv_bfloat16>) return std::ldexp(1.0, -9);
  return std::is_same_v<T, float> ? std::ldexp(1.0, -24) : std::ldexp(1.0, -53);
}

// Whether float points are multiplied as tf32.
template <class T>
bool multiplies_tf32(fk::execution const& how) {
  return std::is_same_v<T, float> && how.precision == fk::precision::tf32 &&
         how.kernel != fk::assign_kernel::simt;
}

// Every element to 10 bits of mantissa, ties away from zero.
inline matrix rounded_to_tf32(matrix const& x) {
  matrix rounded = x;
  for (double& value : rounded.values) {
    if (!std::isfinite(value)) continue;
    int exponent = 0;
    double const mantissa = std::frexp(value, &exponent);  // in [1/2, 1): 11 bits and a sign
    value = std::ldexp(std::round(std::ldexp(mantissa, 11)), exponent - 11);
  }
  return rounded;
}

// The centroids that an assignment of points of type T multiplies.
template <class T>
matrix assignment_centroids(matrix const& c, fk::execution const& how = {}) {
  matrix const masters = rounded_to<centroid_of<T>>(c);
  if (multiplies_tf32<T>(how)) return rounded_to_tf32(masters);
  return is_half_v<T> ? rounded_to<T>(masters) : masters;
}

// Whether the test is built for 90a; CMake knows.
#ifndef FLASH_KMEANS_TEST_SM90
#define FLASH_KMEANS_TEST_SM90 1
#endif

// Kernels that a test may force for points of type T on this device.
template <class T>
std::vector<fk::assign_kernel> kernels_for() {
  std::vector<fk::assign_kernel> kernels{fk::assign_kernel::simt};
  int device = 0, major = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaGetDevice(&device));
  FLASH_KMEANS_CUDA_CHECK(
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  if (is_half_v<T> && major >= 8) kernels.push_back(fk::assign_kernel::sm80);
  // wgmma belongs to 9.0 alone, and to builds for 90a.
  if (!std::is_same_v<T, double> && major == 9 && FLASH_KMEANS_TEST_SM90) {
    kernels.push_back(fk::assign_kernel::sm90);
  }
  return kernels;
}

// Kernels that a fit may be forced to, and none.
template <class T>
std::vector<fk::assign_kernel> fit_kernels() {
  std::vector<fk::assign_kernel> kernels = kernels_for<T>();
  kernels.push_back(fk::assign_kernel::automatic);
  return kernels;
}

inline fk::execution on_kernel(fk::assign_kernel kernel) {
  fk::execution exec;
  exec.kernel = kernel;
  return exec;
}

// --- Comparisons ---------------------------------------------------------------------------------

// The same bits, NaN and signed zero included.
template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Elements [i * size, (i + 1) * size).
template <class T>
std::vector<T> slice(std::vector<T> const& values, std::int64_t i, std::int64_t size) {
  return std::vector<T>(values.begin() + i * size, values.begin() + (i + 1) * size);
}

// --- Matrices on the device ----------------------------------------------------------------------

// How a batch of [rows][cols] problems lies in memory.
struct layout {
  char const* name = "contiguous";
  std::int64_t pad = 0;     // elements after every row
  std::int64_t offset = 0;  // elements between a 256-byte boundary and the first element
  std::array<std::int64_t, 2> batch{1, 1};
  bool nhd = false;      // [b][rows][h][cols], else [b][h][rows][cols]
  std::int64_t gap = 0;  // elements after every outermost problem (after every row of heads in nhd)
};

// A batch of matrices as T. All memory between the rows is NaN, so that reading it shows in
// results, and padding_untouched() tells whether it was written.
template <class T>
class device_matrices {
 public:
  device_matrices(std::vector<matrix> const& problems, layout const& how = {})
      : how_(how), rows_(problems.front().rows), cols_(problems.front().cols) {
    if (how.batch[0] * how.batch[1] != static_cast<std::int64_t>(problems.size())) {
      throw std::logic_error("a layout of another batch size");
    }
    std::int64_t const pitch = cols_ + how.pad;
    if (how.nhd) {
      ld_ = how.batch[1] * pitch + how.gap;
      stride_ = {rows_ * ld_, pitch};
    } else {
      ld_ = pitch;
      stride_ = {how.batch[1] * rows_ * ld_ + how.gap, rows_ * ld_};
    }
    std::int64_t const last =
        (how.batch[0] - 1) * stride_[0] + (how.batch[1] - 1) * stride_[1] + (rows_ - 1) * ld_;
    image_.assign(static_cast<std::size_t>(last + cols_),
                  element_to_type<T>(std::numeric_limits<double>::quiet_NaN()));
    place(problems);
    buffer_ = std::make_unique<device_buffer<T>>(image_, static_cast<std::size_t>(how.offset));
  }

  explicit device_matrices(matrix const& problem, layout const& how = {})
      : device_matrices(std::vector<matrix>{problem}, how) {}

  fk::matrix_view<T> view() const {
    return {buffer_->data(), rows_, cols_, ld_, how_.batch, stride_};
  }
  fk::matrix_view<T const> const_view() const { return view(); }

  void upload(std::vector<matrix> const& problems) {
    place(problems);
    buffer_->upload(image_);
  }

  // Every problem's elements, row-major and without padding, one problem after the other.
  std::vector<T> download() const {
    std::vector<T> const image = buffer_->download();
    std::vector<T> values;
    for_each_row([&](std::int64_t, std::int64_t, std::size_t at) {
      values.insert(values.end(), image.begin() + static_cast<std::ptrdiff_t>(at),
                    image.begin() + static_cast<std::ptrdiff_t>(at) + cols_);
    });
    return values;
  }

  matrix problem(std::int64_t i) const {
    return from_type<T>(slice(download(), i, rows_ * cols_), rows_, cols_);
  }

  bool padding_untouched() const {
    std::vector<T> image = buffer_->download();
    for_each_row([&](std::int64_t, std::int64_t, std::size_t at) {
      std::copy_n(image_.begin() + static_cast<std::ptrdiff_t>(at), cols_,
                  image.begin() + static_cast<std::ptrdiff_t>(at));
    });
    return same_bits(image, image_);
  }

 private:
  template <class Visit>
  void for_each_row(Visit visit) const {
    std::int64_t const problems = how_.batch[0] * how_.batch[1];
    for (std::int64_t p = 0; p < problems; ++p) {
      std::int64_t const base = (p / how_.batch[1]) * stride_[0] + (p % how_.batch[1]) * stride_[1];
      for (std::int64_t i = 0; i < rows_; ++i)
        visit(p, i, static_cast<std::size_t>(base + i * ld_));
    }
  }

  void place(std::vector<matrix> const& problems) {
    for_each_row([&](std::int64_t p, std::int64_t i, std::size_t at) {
      matrix const& values = problems[static_cast<std::size_t>(p)];
      if (values.rows != rows_ || values.cols != cols_) {
        throw std::logic_error("problems of different shapes in one batch");
      }
      for (std::int64_t e = 0; e < cols_; ++e) {
        image_[at + static_cast<std::size_t>(e)] = element_to_type<T>(values(i, e));
      }
    });
  }

  layout how_;
  std::int64_t rows_, cols_;
  std::int64_t ld_ = 0;
  std::array<std::int64_t, 2> stride_{0, 0};
  std::vector<T> image_;
  std::unique_ptr<device_buffer<T>> buffer_;
};

// --- Shapes --------------------------------------------------------------------------------------

struct shape {
  std::int64_t n, k, d;
};

inline std::ostream& operator<<(std::ostream& out, shape const& s) {
  return out << "n" << s.n << "_k" << s.k << "_d" << s.d;
}

// --- Under compute-sanitizer ---------------------------------------------------------------------

// Whether device buffers have exactly their bytes, which is how the sanitizers run the tests whose
// names begin with small_. Under racecheck a kernel takes a thousand times as long and more, so
// these tests then run a part of their cases, with fewer points.
inline bool sanitizing() {
  return device_support::selected_placement() != device_support::buffer_placement::guarded;
}

// A size or a number of repetitions.
inline int sized(int ordinary, int sanitized) { return sanitizing() ? sanitized : ordinary; }

// All cases in ordinary runs. Under the sanitizers `count` of them, evenly apart; calls begin with
// one case after the other, so that the tests of a program together come to all.
template <class Case>
std::vector<Case> part_of(std::vector<Case> const& cases, std::size_t count = 1) {
  if (!sanitizing() || cases.size() <= count) return cases;
  static std::size_t calls = 0;
  std::vector<Case> part;
  for (std::size_t i = 0; i < count; ++i) {
    part.push_back(cases[(calls + i * cases.size() / count) % cases.size()]);
  }
  ++calls;
  return part;
}
template <class Case>
std::vector<Case> part_of(std::initializer_list<Case> cases, std::size_t count = 1) {
  return part_of(std::vector<Case>(cases), count);
}
template <class Case, std::size_t N>
std::vector<Case> part_of(Case const (&cases)[N], std::size_t count = 1) {
  return part_of(std::vector<Case>(cases, cases + N), count);
}

// Of shapes only cheap ones, or else the cheapest.
inline std::vector<shape> cheap(std::vector<shape> const& shapes) {
  if (!sanitizing()) return shapes;
  auto const cost = [](shape const& s) { return s.n * (s.k * s.d + 200); };
  std::vector<shape> kept;
  for (shape const& s : shapes) {
    if (cost(s) < 600000) kept.push_back(s);
  }
  if (kept.empty()) {
    kept.push_back(
        *std::min_element(shapes.begin(), shapes.end(),
                          [&](shape const& a, shape const& b) { return cost(a) < cost(b); }));
  }
  return kept;
}
inline std::vector<shape> part_of(std::initializer_list<shape> shapes, std::size_t count = 1) {
  return part_of(cheap(shapes), count);
}

// Cheap enough for compute-sanitizer; every kernel's special cases are in here: single rows, k = n,
// tiles of centroids full, one short and one over, features that fill no vector and no tile, fit in
// shared memory, and do not.
inline std::vector<shape> small_shapes() {
  if (sanitizing()) {
    return {{1, 1, 1},     {3, 2, 1},    {33, 5, 45}, {65, 17, 64},
            {131, 129, 8}, {13, 9, 193}, {9, 3, 1537}};
  }
  return {{1, 1, 1},      {1, 1, 64},    {2, 1, 3},      {3, 2, 1},       {5, 5, 3},
          {7, 3, 24},     {33, 5, 45},   {64, 64, 64},   {65, 17, 64},    {127, 7, 100},
          {129, 127, 16}, {131, 128, 8}, {257, 129, 33}, {260, 130, 192}, {61, 9, 193},
          {50, 3, 768},   {40, 9, 1536}, {21, 5, 4096}};
}

// n * k * d of each is below 2e8, which the oracle does in a fraction of a second.
inline std::vector<shape> large_shapes() {
  return {{4099, 127, 128},  {4097, 128, 128}, {4001, 129, 128}, {3001, 1003, 45}, {1531, 1024, 64},
          {100003, 7, 24},   {65537, 33, 3},   {200003, 5, 1},   {2049, 300, 192}, {20011, 64, 100},
          {1000, 1000, 100}, {777, 257, 768},  {301, 299, 1536}, {129, 128, 4096}, {300007, 1, 3}};
}

// Single problems that do not start or continue on 16-byte boundaries, and ones that do with ld >
// d.
inline std::vector<layout> single_layouts() {
  if (sanitizing()) return {{"base_off_by_1", 0, 1}, {"padded_by_8", 8, 0}};
  return {{"contiguous", 0, 0},
          {"padded_by_3", 3, 0},
          {"padded_by_8", 8, 0},
          {"base_off_by_1", 0, 1},
          {"base_off_by_8_padded_by_64", 64, 8}};
}

// Batches of 2 x 3 problems.
inline std::vector<layout> batch_layouts() {
  if (sanitizing()) {
    return {{"bhsd_padded", 5, 1, {2, 3}, false, 17}, {"nhd_padded", 8, 0, {2, 3}, true, 8}};
  }
  return {{"bhsd", 0, 0, {2, 3}, false, 0},   {"bhsd_padded", 5, 1, {2, 3}, false, 17},
          {"nhd", 0, 0, {2, 3}, true, 0},     {"nhd_padded", 8, 0, {2, 3}, true, 8},
          {"nhd_odd", 1, 1, {2, 3}, true, 7}, {"flat", 0, 0, {6, 1}, false, 0}};
}

template <class... Parts>
std::string text(Parts const&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// --- Error bounds --------------------------------------------------------------------------------

// Bound on the error of a computed score x.c - |c|^2/2 against its exact value for the operands
// that are multiplied.
//
// The score is a sum of d products and the half norm. With S = sum |x_e c_e| + |c|^2/2 <= |x| |c| +
// |c|^2/2, recursive summation in any order, each of whose d + 1 additions and d products errs by
// at most u relative to a partial sum that S bounds, is off by at most (2 d + 1) u S to first
// order. Tensor cores add groups of products aligned to the largest and cut off what lies below its
// last bits: an error of at most 2 u per summand (truncation instead of rounding), accumulator
// included, that is at most 2 (d + d / 8 + 1) u S with padding to whole groups of 8 or 16, <= 2 (d
// + 16 + d/8) u S. The norm adds one rounding and its own sum (in any order) (d + 1) u |c|^2/2.
// Together below (4 d + 40) u S; u = 2^-24, for double 2^-53. sm90 adds the norm as three summands
// of a group of their own, 8 u S more, which the 40 covers since padding is zeros and errs nowhere.
//
// Float on sm90 is three bfloat16 pieces a value and stays below the same bound: at most d products
// are of full size, each as above, 64 of them to an accumulator; the small ones, at 2^-7, come
// first and add less than 6 u S; d / 64 roundings join the accumulators; and the three products
// left out are below u S / 2.
//
// tf32 cuts points to 10 bits of mantissa: each loses less than 2^-10 of itself, and the products
// 2^-10 |x| |c| in all. Centroids are rounded before, see assignment_centroids. The sum is one of d
// products in groups of 8, as above.
struct score_rounding {
  double sums;      // times |x| |c| + |c|^2/2
  double products;  // times |x| |c|
};

template <class T>
score_rounding rounding_of_scores(std::int64_t d, fk::execution const& how = {}) {
  double const unit = unit_roundoff<centroid_of<T>>();
  return {(4.0 * static_cast<double>(d) + 40.0) * unit,
          multiplies_tf32<T>(how) ? std::ldexp(1.0, -10) : 0};
}

template <class T>
double score_error(std::int64_t d, double norm_x, double norm_c, fk::execution const& how) {
  score_rounding const rounding = rounding_of_scores<T>(d, how);
  return rounding.sums * (norm_x * norm_c + norm_c * norm_c / 2) +
         rounding.products * norm_x * norm_c;
}

inline double norm(matrix const& x, std::int64_t i) {
  matrix const origin(1, x.cols);
  return std::sqrt(reference_distance(x, i, origin, 0));
}

// The slack that label `got` has against the best label in a comparison of computed scores:
// distances are |x|^2 - 2 s, so that if the computed score of `got` is not below that of `best`,
// its true distance exceeds by at most twice both scores' errors. The oracle's own double sums err
// by at most (d + 4) 2^-53 of the distance.
template <class T>
double label_slack(std::int64_t d, double norm_x, double norm_got, double norm_best,
                   double distances, fk::execution const& how = {}) {
  return 2 * (score_error<T>(d, norm_x, norm_got, how) +
              score_error<T>(d, norm_x, norm_best, how)) +
         (static_cast<double>(d) + 4) * std::ldexp(1.0, -53) * distances;
}

// Every label names a centroid whose true distance is within rounding of the nearest one's. x must
// hold values of type T and c the centroids that are multiplied (assignment_centroids). how: what
// the labels were computed with.
template <class T>
::testing::AssertionResult labels_are_nearest(matrix const& x, matrix const& c,
                                              std::vector<std::int32_t> const& labels,
                                              fk::execution const& how = {}) {
  std::vector<std::int32_t> const nearest = reference_assign(x, c);
  std::vector<double> norms;
  for (std::int64_t j = 0; j < c.rows; ++j) norms.push_back(norm(c, j));
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int32_t const got = labels[static_cast<std::size_t>(i)];
    std::int32_t const best = nearest[static_cast<std::size_t>(i)];
    if (got == best) continue;
    if (got < 0 || got >= c.rows) {
      return ::testing::AssertionFailure() << "label of point " << i << " is " << got;
    }
    double const got_distance = reference_distance(x, i, c, got);
    double const best_distance = reference_distance(x, i, c, best);
    double const slack =
        label_slack<T>(x.cols, norm(x, i), norms[static_cast<std::size_t>(got)],
                       norms[static_cast<std::size_t>(best)], got_distance + best_distance, how);
    if (!(got_distance - best_distance <= slack)) {
      return ::testing::AssertionFailure() << "point " << i << " got centroid " << got << " at "
                                           << got_distance << ", nearest is " << best << " at "
                                           << best_distance << ", rounding explains " << slack;
    }
  }
  return ::testing::AssertionSuccess();
}

// Relative error of a squared distance summed directly, sum (x - c)^2, in the centroids' type or
// better: each difference errs by u, its square by 3 u, and sums of d positive terms by (d - 1) u
// in any order; storing the result rounds once more. The oracle's own error is of the same form.
template <class T>
double distance_error(std::int64_t d) {
  return 2 * (static_cast<double>(d) + 4) * unit_roundoff<centroid_of<T>>();
}

// Bound on the error of a computed distance against the oracle's.
//
// Euclidean: distance_error, relative. Inner product: d products and d - 1 sums, each off by u of
// sum |x c| to first order. Cosine: a unit centroid's entry is off by u, or the centroid by the 4 u
// in length that are taken for 1; with the products and sums (d + 5) u |x|, |x| itself by (d + 2) u
// / 2 relative, then square root, quotient and difference round once each on values of at most 2:
// below (1.5 d + 16) u in all. Twice each, for higher orders and for what is stored.
template <class T>
double distance_slack(reference_metric of, matrix const& x, std::int64_t i, matrix const& c,
                      std::int64_t j, double expected) {
  auto const d = static_cast<double>(x.cols);
  double const unit = unit_roundoff<centroid_of<T>>();
  switch (of) {
    case reference_metric::euclidean: return distance_error<T>(x.cols) * expected;
    case reference_metric::cosine: return (3 * d + 32) * unit;
    case reference_metric::inner_product: break;
  }
  double sizes = 0;
  for (std::int64_t e = 0; e < x.cols; ++e) sizes += std::abs(x(i, e) * c(j, e));
  return 2 * (d + 4) * unit * sizes;
}

// Distances in C against the oracle's for the given labels.
template <class T>
::testing::AssertionResult distances_match(matrix const& x, matrix const& masters,
                                           std::vector<std::int32_t> const& labels,
                                           std::vector<centroid_of<T>> const& distances) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    double const expected = reference_distance(x, i, masters, labels[static_cast<std::size_t>(i)]);
    double const got = static_cast<double>(distances[static_cast<std::size_t>(i)]);
    bool const right = std::isnan(expected)
                           ? std::isnan(got)
                           : std::abs(got - expected) <= distance_error<T>(x.cols) * expected;
    if (!right) {
      return ::testing::AssertionFailure()
             << "distance of point " << i << " is " << got << ", the oracle says " << expected;
    }
  }
  return ::testing::AssertionSuccess();
}

// Every mean of `got` against the oracle's update of `before`. A mean is a sum of m points in any
// order, in C or better: off by at most (m - 1) u sum |x| to first order, hence by u sum |x| once
// divided by m (twice that covers the higher orders), plus the rounding of the mean to C. The
// oracle's own double sum errs likewise with 2^-53. An empty cluster keeps its bits.
template <class T>
::testing::AssertionResult means_match(matrix const& x, std::vector<std::int32_t> const& labels,
                                       matrix const& before, matrix const& got) {
  double const unit = unit_roundoff<centroid_of<T>>() + std::ldexp(1.0, -53);
  matrix const expected = reference_update(x, labels, before);
  matrix sizes(before.rows, before.cols);  // sum |x|
  std::vector<char> empty(static_cast<std::size_t>(before.rows), 1);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int32_t const label = labels[static_cast<std::size_t>(i)];
    empty[static_cast<std::size_t>(label)] = 0;
    for (std::int64_t e = 0; e < x.cols; ++e) sizes(label, e) += std::abs(x(i, e));
  }
  for (std::int64_t j = 0; j < before.rows; ++j) {
    for (std::int64_t e = 0; e < before.cols; ++e) {
      double const bound = empty[static_cast<std::size_t>(j)]
                               ? 0
                               : 2 * unit * (sizes(j, e) + std::abs(expected(j, e)));
      if (!(std::abs(got(j, e) - expected(j, e)) <= bound)) {
        return ::testing::AssertionFailure()
               << "cluster " << j << ", feature " << e << " is " << got(j, e)
               << ", the oracle says " << expected(j, e) << ", rounding explains " << bound;
      }
    }
  }
  return ::testing::AssertionSuccess();
}

// --- Runs of the verbs ---------------------------------------------------------------------------

// The four arrays of a cluster_index on the device, guarded.
struct index_buffers {
  device_buffer<std::int32_t> counts, offsets, order, inverse;

  index_buffers(std::int64_t b, std::int64_t n, std::int64_t k)
      : counts(static_cast<std::size_t>(b * k)),
        offsets(static_cast<std::size_t>(b * (k + 1))),
        order(static_cast<std::size_t>(b * n)),
        inverse(static_cast<std::size_t>(b * n)) {}

  fk::cluster_index view() const {
    return {counts.data(), offsets.data(), order.data(), inverse.data()};
  }
};

// And on the host.
struct index_values {
  std::vector<std::int32_t> counts, offsets, order, inverse;

  index_values() = default;
  explicit index_values(index_buffers const& from)
      : counts(from.counts.download()),
        offsets(from.offsets.download()),
        order(from.order.download()),
        inverse(from.inverse.download()) {}

  bool operator==(index_values const& other) const {
    return counts == other.counts && offsets == other.offsets && order == other.order &&
           inverse == other.inverse;
  }
};

// The index of problem `problem` of a batch against what its labels say.
inline ::testing::AssertionResult index_matches(index_values const& got, std::int64_t problem,
                                                std::int64_t n, std::int64_t k,
                                                std::vector<std::int32_t> const& labels) {
  std::vector<std::int32_t> counts(static_cast<std::size_t>(k), 0);
  std::vector<std::int32_t> ignored;
  for (std::int64_t i = 0; i < n; ++i) {
    std::int32_t const label = labels[static_cast<std::size_t>(i)];
    if (label < 0 || label >= k) {
      ignored.push_back(static_cast<std::int32_t>(i));
    } else {
      ++counts[static_cast<std::size_t>(label)];
    }
  }
  std::vector<std::int32_t> offsets(static_cast<std::size_t>(k + 1), 0);
  for (std::int64_t j = 0; j < k; ++j) {
    offsets[static_cast<std::size_t>(j + 1)] =
        offsets[static_cast<std::size_t>(j)] + counts[static_cast<std::size_t>(j)];
  }
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::vector<std::int32_t> next(offsets.begin(), offsets.end() - 1);
  for (std::int64_t i = 0; i < n; ++i) {
    std::int32_t const label = labels[static_cast<std::size_t>(i)];
    if (label < 0 || label >= k) continue;
    order[static_cast<std::size_t>(next[static_cast<std::size_t>(label)]++)] =
        static_cast<std::int32_t>(i);
  }
  std::copy(ignored.begin(), ignored.end(), order.begin() + offsets.back());

  if (slice(got.counts, problem, k) != counts) {
    return ::testing::AssertionFailure() << "counts of problem " << problem;
  }
  if (slice(got.offsets, problem, k + 1) != offsets) {
    return ::testing::AssertionFailure() << "offsets of problem " << problem;
  }
  std::vector<std::int32_t> got_order = slice(got.order, problem, n);
  std::vector<std::int32_t> const got_inverse = slice(got.inverse, problem, n);
  for (std::int64_t p = 0; p < n; ++p) {
    std::int32_t const point = got_order[static_cast<std::size_t>(p)];
    if (point < 0 || point >= n || got_inverse[static_cast<std::size_t>(point)] != p) {
      return ::testing::AssertionFailure() << "problem " << problem << ": order[" << p << "] is "
                                           << point << " and inverse does not lead back";
    }
  }
  // Points of no cluster come last, in any order.
  std::sort(got_order.begin() + offsets.back(), got_order.end());
  if (got_order != order) return ::testing::AssertionFailure() << "order of problem " << problem;
  return ::testing::AssertionSuccess();
}

template <class T>
struct predict_run {
  std::vector<std::int32_t> labels;
  std::vector<centroid_of<T>> distances;
  fk::assign_kernel kernel;
};

template <class T>
predict_run<T> run_predict(fk::matrix_view<T const> const& x,
                           fk::matrix_view<centroid_of<T> const> const& c,
                           fk::execution const& exec = {}) {
  auto const count = static_cast<std::size_t>(x.batch_count() * x.rows);
  device_buffer<std::int32_t> labels(count, 1);
  device_buffer<centroid_of<T>> distances(count, 1);
  fk::predict_outputs<centroid_of<T>> const out{labels.data(), distances.data()};
  fk::assign_kernel const kernel = fk::predict(x, c, out, {}, exec);
  return {labels.download(), distances.download(), kernel};
}

template <class T>
predict_run<T> run_predict(matrix const& x, matrix const& c, fk::execution const& exec = {}) {
  device_matrices<T> const points(x);
  device_matrices<centroid_of<T>> const centroids(c);
  return run_predict<T>(points.const_view(), centroids.const_view(), exec);
}

template <class T>
struct fit_run {
  std::vector<centroid_of<T>> centroids;  // [b][k][d]
  std::vector<std::int32_t> labels;       // [b][n]
  index_values index;
  std::vector<fk::fit_status> status;  // [b]
  fk::fit_result result;
  std::int64_t n, k, d;

  matrix centroids_of(std::int64_t problem) const {
    return from_type<centroid_of<T>>(slice(centroids, problem, k * d), k, d);
  }
  std::vector<std::int32_t> labels_of(std::int64_t problem) const {
    return slice(labels, problem, n);
  }
};

// Everything that a fit writes is the same, bit for bit.
template <class T>
bool same_run(fit_run<T> const& a, fit_run<T> const& b) {
  return same_bits(a.centroids, b.centroids) && a.labels == b.labels && a.index == b.index &&
         same_bits(a.status, b.status);
}

// Fits the batch with all outputs asked for. c0 is read with init_method::given.
template <class T>
fit_run<T> run_fit(std::vector<matrix> const& x, std::vector<matrix> const& c0,
                   fk::fit_options const& options, fk::execution const& exec = {},
                   layout x_layout = {}, layout c_layout = {}) {
  auto const b = static_cast<std::int64_t>(x.size());
  if (x_layout.batch[0] * x_layout.batch[1] != b) x_layout.batch = {b, 1};
  if (c_layout.batch[0] * c_layout.batch[1] != b) c_layout.batch = x_layout.batch;
  std::int64_t const n = x.front().rows, k = c0.front().rows;
  device_matrices<T> const points(x, x_layout);
  device_matrices<centroid_of<T>> const centroids(c0, c_layout);
  device_buffer<std::int32_t> labels(static_cast<std::size_t>(b * n));
  index_buffers index(b, n, k);
  device_buffer<fk::fit_status> status(static_cast<std::size_t>(b));
  fk::fit_outputs const out{labels.data(), index.view(), status.data()};
  fk::fit_result const result = fk::fit(points.const_view(), centroids.view(), out, options, exec);
  EXPECT_TRUE(points.padding_untouched());
  EXPECT_TRUE(centroids.padding_untouched());
  return {
      centroids.download(), labels.download(), index_values(index), status.download(), result, n, k,
      x.front().cols};
}

template <class T>
fit_run<T> run_fit(matrix const& x, matrix const& c0, fk::fit_options const& options,
                   fk::execution const& exec = {}) {
  return run_fit<T>(std::vector<matrix>{x}, std::vector<matrix>{c0}, options, exec);
}

inline fk::fit_options given(int max_iterations, double tolerance) {
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.max_iterations = max_iterations;
  options.tolerance = tolerance;
  return options;
}

}  // namespace testing_support
