// The other translation unit, and the program: both must link together and agree.
#include <cstdint>
#include <cstdio>
#include <flash_kmeans/host.hpp>

double fit_in_a(float const* x, float* c, std::int32_t* labels);

int main() {
  // Two pairs of points, one apart each: every point is 1/2 from the mean of its pair.
  float const x[] = {0, 0, 0, 1, 9, 0, 9, 1};
  float c_a[] = {0, 0, 9, 0}, c_b[] = {0, 0, 9, 0};
  std::int32_t labels[4];
  flash_kmeans::fit_options options;
  options.init = flash_kmeans::init_method::given;

  double const a = fit_in_a(x, c_a, labels);
  double const b =
      flash_kmeans::host::fit(flash_kmeans::matrix_view<float const>(x, 4, 2),
                              flash_kmeans::matrix_view<float>(c_b, 2, 2), labels, options)
          .inertia;
  std::printf("inertia %g and %g\n", a, b);
  return a == 1 && b == 1 ? 0 : 1;
}
