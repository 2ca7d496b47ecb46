// One of two translation units that use the same templates; odr_b.cpp is the other.
#include <cstdint>
#include <flash_kmeans/host.hpp>

double fit_in_a(float const* x, float* c, std::int32_t* labels) {
  flash_kmeans::fit_options options;
  options.init = flash_kmeans::init_method::given;
  return flash_kmeans::host::fit(flash_kmeans::matrix_view<float const>(x, 4, 2),
                                 flash_kmeans::matrix_view<float>(c, 2, 2), labels, options)
      .inertia;
}
