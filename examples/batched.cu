// Many problems in one call, read where they lie: every head of every sequence of a half-precision
// tensor [batch][tokens][heads][features] is clustered by itself, without a copy or a transpose.
#include <cuda_fp16.h>

#include <cstdint>
#include <cstdio>
#include <flash_kmeans/flash_kmeans.cuh>
#include <string>
#include <vector>

#include "device_buffer.hpp"

namespace fk = flash_kmeans;
using device_support::device_buffer;

int main() {
  if (std::string const why = device_support::why_no_gpu(); !why.empty()) {
    std::printf("%s, so nothing was run. (host.hpp has the same verbs for CPUs.)\n", why.c_str());
    return 0;
  }
  std::int64_t const b = 2, n = 512, h = 3, d = 64, k = 4;

  // Token i belongs to group i % k. A group's points are 8 in the features f with f % k equal to
  // the group, plus a little that differs from token to token.
  std::vector<__half> points(b * n * h * d);
  for (std::int64_t at = 0; at < b * n * h * d; ++at) {
    std::int64_t const feature = at % d, token = at / (h * d) % n;
    float const noise = static_cast<float>(at * 7919 % 101) / 100 - 0.5f;
    points[at] = __float2half((feature % k == token % k ? 8.0f : 0.0f) + noise);
  }
  // A warm start, as between two steps of a training loop: last step's centroids, [b][h][k][d].
  std::vector<float> start(b * h * k * d);
  for (std::int64_t at = 0; at < b * h * k * d; ++at) {
    start[at] = at % d % k == at / d % k ? 7.0f : 0.0f;
  }

  device_buffer<__half> const d_x(points);
  device_buffer<float> const d_c(start);
  device_buffer<std::int32_t> const d_labels(b * h * n), d_counts(b * h * k);
  device_buffer<fk::fit_status> const d_status(b * h);

  fk::fit_options options;
  options.init = fk::init_method::given;
  fk::fit_outputs out(d_labels.data());
  out.index.counts = d_counts.data();
  out.status = d_status.data();
  fk::fit_result const result =
      fk::fit(fk::matrix_view<__half const>::nhd(d_x.data(), b, n, h, d),
              fk::matrix_view<float>::bhsd(d_c.data(), b, h, k, d), out, options);

  std::printf("%d problems on the %s kernel, at most %d iterations, %s\n", static_cast<int>(b * h),
              fk::to_string(result.kernel), result.iterations,
              result.converged ? "all converged" : "not all converged");
  std::vector<fk::fit_status> const status = d_status.download();
  for (std::int64_t p = 0; p < b * h; ++p) {
    std::printf("sequence %d, head %d: %d iterations, inertia %.1f\n", static_cast<int>(p / h),
                static_cast<int>(p % h), status[p].iterations, status[p].inertia);
  }

  std::vector<std::int32_t> const labels = d_labels.download(), counts = d_counts.download();
  bool right = result.converged;
  for (std::int64_t at = 0; at < b * h * n; ++at) right = right && labels[at] == at % n % k;
  for (std::int32_t const count : counts) right = right && count == n / k;
  std::printf(right ? "Every head has its four groups.\n" : "WRONG: not the four groups.\n");
  return right ? 0 : 1;
}
