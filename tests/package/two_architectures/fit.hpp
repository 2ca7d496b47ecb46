// The same fit, compiled for two lists of architectures.
#pragma once

#include <cstdint>
#include <vector>

struct outcome {
  double inertia;
  std::vector<float> centroids;      // [k][d]
  std::vector<std::int32_t> labels;  // [n]
};

outcome fit_for_80(std::vector<float> const& x, std::int64_t n, std::int64_t d, std::int64_t k);
outcome fit_for_90a(std::vector<float> const& x, std::int64_t n, std::int64_t d, std::int64_t k);
