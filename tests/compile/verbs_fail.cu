// Misuse of the verbs that must not compile. FLASH_KMEANS_CASE 0 is correct and must.
#include <cuda_fp16.h>

#include <cstdint>
#include <flash_kmeans/flash_kmeans.cuh>

namespace fk = flash_kmeans;

#if FLASH_KMEANS_CASE == 1
using point = int;  // no kernel takes integers
#else
using point = __half;
#endif

#if (FLASH_KMEANS_CASE >= 2 && FLASH_KMEANS_CASE <= 4) || FLASH_KMEANS_CASE >= 8
using centroid = __half;  // half points have float centroids
#elif FLASH_KMEANS_CASE >= 5
using centroid = float const;  // these verbs write the centroids
#else
using centroid = float;
#endif

void call(fk::matrix_view<point const> x, fk::matrix_view<centroid> c, std::int32_t* labels) {
#if FLASH_KMEANS_CASE <= 2 || FLASH_KMEANS_CASE == 5
  fk::fit(x, c, labels);
#endif
#if FLASH_KMEANS_CASE == 0 || FLASH_KMEANS_CASE == 3
  fk::predict(x, c, labels);
#endif
#if FLASH_KMEANS_CASE == 0 || FLASH_KMEANS_CASE == 4
  fk::inertia(x, c);
#endif
#if FLASH_KMEANS_CASE == 0 || FLASH_KMEANS_CASE == 8
  fk::top_k(x, c, 1, labels);
#endif
#if FLASH_KMEANS_CASE == 0 || FLASH_KMEANS_CASE == 9
  fk::transform(x, c, c);
#endif
#if FLASH_KMEANS_CASE == 0 || FLASH_KMEANS_CASE == 6
  fk::update_centroids(x, labels, c);
#endif
#if FLASH_KMEANS_CASE == 0 || FLASH_KMEANS_CASE == 7
  fk::init_centroids(x, c);
#endif
}
