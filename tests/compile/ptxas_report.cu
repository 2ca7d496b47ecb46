// Every kernel of the library, for what ptxas says of them.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <flash_kmeans/flash_kmeans.cuh>

namespace fk = flash_kmeans;

template <class T>
void call(fk::matrix_view<T const> x, fk::matrix_view<fk::centroid_t<T>> c, std::int32_t* labels) {
  fk::fit(x, c, labels);
  fk::init_centroids(x, c);
  fk::predict(x, c, labels);
  fk::top_k(x, c, 1, labels);
  fk::transform(x, c, c);
  fk::inertia(x, c);
  fk::update_centroids(x, labels, c);
  fk::sum_by_cluster(x, labels, c);
  fk::gather_by_cluster(x, labels, fk::matrix_view<T>());
}

template void call<__half>(fk::matrix_view<__half const>, fk::matrix_view<float>, std::int32_t*);
template void call<__nv_bfloat16>(fk::matrix_view<__nv_bfloat16 const>, fk::matrix_view<float>,
                                  std::int32_t*);
template void call<std::int8_t>(fk::matrix_view<std::int8_t const>, fk::matrix_view<float>,
                                std::int32_t*);
template void call<std::uint8_t>(fk::matrix_view<std::uint8_t const>, fk::matrix_view<float>,
                                 std::int32_t*);
template void call<__nv_fp8_e4m3>(fk::matrix_view<__nv_fp8_e4m3 const>, fk::matrix_view<float>,
                                  std::int32_t*);
template void call<float>(fk::matrix_view<float const>, fk::matrix_view<float>, std::int32_t*);
template void call<double>(fk::matrix_view<double const>, fk::matrix_view<double>, std::int32_t*);
