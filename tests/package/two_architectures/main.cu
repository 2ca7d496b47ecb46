// Each translation unit must run the kernels of its own list: on Hopper both run and agree bit for
// bit, on other GPUs the one without an image for them must say so and leave the other unharmed.
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <vector>

#include "fit.hpp"

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("there is no GPU: linked, not run\n");
    return 0;
  }
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
  bool const hopper = major == 9 && minor == 0;

  std::int64_t const n = 1000, d = 8, k = 5;
  std::vector<float> x(n * d);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 1013);

  outcome for_90a{};
  bool refused = false;
  try {
    for_90a = fit_for_90a(x, n, d, k);
  } catch (std::exception const& error) {
    std::printf("the part for 90a: %s\n", error.what());
    refused = true;
  }
  if (refused == hopper) {
    std::printf("the part for 90a should %s here\n", hopper ? "run" : "refuse");
    return 1;
  }

  outcome const for_80 = fit_for_80(x, n, d, k);
  std::printf("the part for 80: inertia %g\n", for_80.inertia);
  bool const agree =
      refused || (for_80.inertia == for_90a.inertia && for_80.centroids == for_90a.centroids &&
                  for_80.labels == for_90a.labels);
  return for_80.inertia > 0 && agree ? 0 : 1;
}
