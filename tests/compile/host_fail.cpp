// Misuse of host::fit that must not compile. FLASH_KMEANS_CASE 0 is correct and must.
#include <cstdint>
#include <flash_kmeans/host.hpp>

#if FLASH_KMEANS_CASE == 1
using centroid = double;  // float points have float centroids
#elif FLASH_KMEANS_CASE == 2
using centroid = float const;  // fit writes the centroids
#else
using centroid = float;
#endif

void call(float const* x, centroid* c, std::int32_t* labels) {
  flash_kmeans::host::fit(flash_kmeans::matrix_view<float const>(x, 8, 2),
                          flash_kmeans::matrix_view<centroid>(c, 2, 2), labels);
}
