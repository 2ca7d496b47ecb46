// A user's C++ program: four points, two clusters, on the CPU.
#include <cstdint>
#include <cstdio>
#include <flash_kmeans/host.hpp>
#include <vector>

namespace fk = flash_kmeans;

int main() {
  std::vector<float> const x{0, 0, 0, 1, 9, 0, 9, 1};
  std::vector<float> c{0, 0, 9, 0};
  std::vector<std::int32_t> labels(4);

  fk::fit_options options;
  options.init = fk::init_method::given;
  fk::fit_result const result =
      fk::host::fit(fk::matrix_view<float const>(x.data(), 4, 2),
                    fk::matrix_view<float>(c.data(), 2, 2), labels.data(), options);

  std::printf("CPU: inertia %g after %d iterations\n", result.inertia, result.iterations);
  bool const right = labels == std::vector<std::int32_t>{0, 0, 1, 1} &&
                     c == std::vector<float>{0, 0.5f, 9, 0.5f} && result.inertia == 1;
  return right ? 0 : 1;
}
