// The shortest whole program: points on the GPU in, centroids, labels and inertia out.
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
  std::int64_t const n = 3000, d = 2, k = 3;

  // Three groups of points on a grid of 50 x 20 around (0, 0), (100, 0) and (0, 100).
  std::vector<float> points;
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t const group = i % k, cell = i / k;
    points.push_back((group == 1 ? 100.0f : 0.0f) + static_cast<float>(cell % 50) / 10);
    points.push_back((group == 2 ? 100.0f : 0.0f) + static_cast<float>(cell / 50) / 10);
  }
  device_buffer<float> const d_x(points), d_c(k * d);
  device_buffer<std::int32_t> const d_labels(n);

  fk::matrix_view<float const> const x(d_x.data(), n, d);
  fk::matrix_view<float> const c(d_c.data(), k, d);
  fk::fit_options options;
  options.seed = 1;
  fk::fit_result const result = fk::fit(x, c, d_labels.data(), options);

  std::printf("%d iterations on the %s kernel, %s, inertia %.1f\n", result.iterations,
              fk::to_string(result.kernel), result.converged ? "converged" : "not converged",
              result.inertia);
  std::vector<float> const centroids = d_c.download();
  for (std::int64_t j = 0; j < k; ++j) {
    std::printf("centroid %d: (%.2f, %.2f)\n", static_cast<int>(j), centroids[j * d],
                centroids[j * d + 1]);
  }

  // The groups are far apart: every point has the label of its group's first point.
  std::vector<std::int32_t> const labels = d_labels.download();
  bool right = result.converged && labels[0] != labels[1] && labels[1] != labels[2] &&
               labels[0] != labels[2];
  for (std::int64_t i = 0; i < n; ++i) right = right && labels[i] == labels[i % k];
  std::printf(right ? "The three groups were found.\n" : "WRONG: not the three groups.\n");
  return right ? 0 : 1;
}
