#include "fit.cuh"

outcome fit_for_90a(std::vector<float> const& x, std::int64_t n, std::int64_t d, std::int64_t k) {
  return run_fit(x, n, d, k);
}
