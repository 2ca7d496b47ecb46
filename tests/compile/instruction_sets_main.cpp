// A program of two units that are compiled for different instruction sets. Each must call its own
// code of the CPU backend, whichever object the linker reads first: the plain one has to run on a
// CPU that lacks the instructions of the wide one.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "instruction_sets.hpp"

int main() {
  if (fit_of_plain == fit_of_wide) {
    std::printf("both units call the same host::fit, one of them has the other's code\n");
    return 1;
  }

  // Three clusters of points that lie by pairs on either side of the mean, 1 away in every feature.
  std::int64_t const n = 6000, d = 20, k = 3;
  std::vector<float> x(n * d), centroids(k * d), distances(n * k);
  std::vector<std::int32_t> labels(n);
  for (std::int64_t i = 0; i < n; ++i) {
    float const mean = 100 * static_cast<float>(i % k);
    for (std::int64_t f = 0; f < d; ++f) x[i * d + f] = mean + (i % 2 == 0 ? 1 : -1);
  }

  auto const right = [&](char const* unit, double (*run)(problem const&)) {
    for (std::int64_t j = 0; j < k * d; ++j) centroids[j] = x[j];
    double const inertia =
        run({n, d, k, x.data(), centroids.data(), labels.data(), distances.data()});
    std::printf("%s: inertia %g\n", unit, inertia);
    bool all = inertia == static_cast<double>(n * d);
    for (std::int64_t i = 0; i < n; ++i) all = all && labels[i] == labels[i % k];
    return all && labels[0] != labels[1] && labels[0] != labels[2] && labels[1] != labels[2];
  };
  if (!right("plain", run_plain)) return 1;
  if (!__builtin_cpu_supports(WIDE_CPU)) {
    std::printf("wide: this CPU lacks %s, linked, not run\n", WIDE_CPU);
    return 0;
  }
  return right("wide", run_wide) ? 0 : 1;
}
