// The verbs for the types of points that the GPU tests and the benchmarks use, compiled once for all of
// these programs (tests/gpu/verbs.cu) instead of once for each.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>
#include <flash_kmeans/flash_kmeans.cuh>

// QUERIES: verbs that only read centroids, which are of type C or C const.
#define FLASH_KMEANS_TEST_QUERIES(EXTERN, T, C, READ)                                       \
  EXTERN template std::size_t flash_kmeans::predict_workspace_bytes<T const, READ>(         \
      matrix_view<T const> const&, matrix_view<READ> const&, query_options const&,          \
      execution const&);                                                                    \
  EXTERN template assign_kernel flash_kmeans::predict_async<T const, READ>(                 \
      matrix_view<T const> const&, matrix_view<READ> const&, predict_outputs<C> const&,     \
      query_options const&, execution const&);                                              \
  EXTERN template assign_kernel flash_kmeans::predict<T const, READ>(                       \
      matrix_view<T const> const&, matrix_view<READ> const&, predict_outputs<C> const&,     \
      query_options const&, execution const&);                                              \
  EXTERN template std::size_t flash_kmeans::top_k_workspace_bytes<T const, READ>(           \
      matrix_view<T const> const&, matrix_view<READ> const&, int, query_options const&,     \
      execution const&);                                                                    \
  EXTERN template assign_kernel flash_kmeans::top_k_async<T const, READ>(                   \
      matrix_view<T const> const&, matrix_view<READ> const&, int, top_k_outputs<C> const&,  \
      query_options const&, execution const&);                                              \
  EXTERN template assign_kernel flash_kmeans::top_k<T const, READ>(                         \
      matrix_view<T const> const&, matrix_view<READ> const&, int, top_k_outputs<C> const&,  \
      query_options const&, execution const&);                                              \
  EXTERN template void flash_kmeans::transform_async<T const, READ>(                        \
      matrix_view<T const> const&, matrix_view<READ> const&, matrix_view<C> const&,         \
      query_options const&, execution const&);                                              \
  EXTERN template void flash_kmeans::transform<T const, READ>(                              \
      matrix_view<T const> const&, matrix_view<READ> const&, matrix_view<C> const&,         \
      query_options const&, execution const&);                                              \
  EXTERN template std::size_t flash_kmeans::inertia_workspace_bytes<T const, READ>(         \
      matrix_view<T const> const&, matrix_view<READ> const&, query_options const&,          \
      execution const&);                                                                    \
  EXTERN template void flash_kmeans::inertia_async<T const, READ>(                          \
      matrix_view<T const> const&, matrix_view<READ> const&, double*, query_options const&, \
      execution const&);                                                                    \
  EXTERN template assign_kernel flash_kmeans::predict_async<T const, READ>(                 \
      ragged_view<T const> const&, ragged_view<READ> const&, predict_outputs<C> const&,     \
      query_options const&, execution const&);                                              \
  EXTERN template assign_kernel flash_kmeans::predict<T const, READ>(                       \
      ragged_view<T const> const&, ragged_view<READ> const&, predict_outputs<C> const&,     \
      query_options const&, execution const&);                                              \
  EXTERN template double flash_kmeans::inertia<T const, READ>(                              \
      matrix_view<T const> const&, matrix_view<READ> const&, query_options const&,          \
      execution const&);

#define FLASH_KMEANS_TEST_VERBS(EXTERN, T, C)                                                      \
  namespace flash_kmeans {                                                                         \
  FLASH_KMEANS_TEST_QUERIES(EXTERN, T, C, C)                                                       \
  FLASH_KMEANS_TEST_QUERIES(EXTERN, T, C, C const)                                                 \
  EXTERN template std::size_t flash_kmeans::fit_workspace_bytes<T const, C>(                       \
      matrix_view<T const> const&, matrix_view<C> const&, fit_options const&, execution const&,    \
      fit_outputs const&);                                                                         \
  EXTERN template assign_kernel flash_kmeans::fit_async<T const, C>(matrix_view<T const> const&,   \
                                                                    matrix_view<C> const&,         \
                                                                    fit_outputs const&,            \
                                                                    fit_options const&,            \
                                                                    execution const&);             \
  EXTERN template fit_result flash_kmeans::fit<T const, C>(matrix_view<T const> const&,            \
                                                           matrix_view<C> const&,                  \
                                                           fit_outputs const&, fit_options const&, \
                                                           execution const&);                      \
  EXTERN template std::size_t flash_kmeans::fit_workspace_bytes<T const, C>(                       \
      ragged_view<T const> const&, ragged_view<C> const&, fit_options const&, execution const&,    \
      fit_outputs const&);                                                                         \
  EXTERN template assign_kernel flash_kmeans::fit_async<T const, C>(ragged_view<T const> const&,   \
                                                                    ragged_view<C> const&,         \
                                                                    fit_outputs const&,            \
                                                                    fit_options const&,            \
                                                                    execution const&);             \
  EXTERN template fit_result flash_kmeans::fit<T const, C>(ragged_view<T const> const&,            \
                                                           ragged_view<C> const&,                  \
                                                           fit_outputs const&, fit_options const&, \
                                                           execution const&);                      \
  EXTERN template std::size_t flash_kmeans::append_workspace_bytes<T const, C>(                    \
      matrix_view<T const> const&, matrix_view<C> const&, std::int64_t, fit_options const&,        \
      execution const&, fit_outputs const&);                                                       \
  EXTERN template assign_kernel flash_kmeans::append_async<T const, C>(                            \
      matrix_view<T const> const&, matrix_view<C> const&, std::int64_t, fit_outputs const&,        \
      fit_options const&, execution const&);                                                       \
  EXTERN template fit_result flash_kmeans::append<T const, C>(matrix_view<T const> const&,         \
                                                              matrix_view<C> const&, std::int64_t, \
                                                              fit_outputs const&,                  \
                                                              fit_options const&,                  \
                                                              execution const&);                   \
  EXTERN template class fit_plan<T>;                                                               \
  EXTERN template std::size_t flash_kmeans::update_workspace_bytes<T const, C>(                    \
      matrix_view<T const> const&, matrix_view<C> const&, update_options const&);                  \
  EXTERN template void flash_kmeans::update_centroids_async<T const, C>(                           \
      matrix_view<T const> const&, std::int32_t const*, matrix_view<C> const&,                     \
      update_outputs const&, update_options const&, execution const&);                             \
  EXTERN template double flash_kmeans::update_centroids<T const, C>(                               \
      matrix_view<T const> const&, std::int32_t const*, matrix_view<C> const&,                     \
      update_outputs const&, update_options const&, execution const&);                             \
  EXTERN template void flash_kmeans::sum_by_cluster_async<T const, C>(matrix_view<T const> const&, \
                                                                      std::int32_t const*,         \
                                                                      matrix_view<C> const&,       \
                                                                      execution const&);           \
  EXTERN template void flash_kmeans::sum_by_cluster<T const, C>(matrix_view<T const> const&,       \
                                                                std::int32_t const*,               \
                                                                matrix_view<C> const&,             \
                                                                execution const&);                 \
  EXTERN template std::size_t flash_kmeans::init_workspace_bytes<T const, C>(                      \
      matrix_view<T const> const&, matrix_view<C> const&, fit_options const&, execution const&);   \
  EXTERN template void flash_kmeans::init_centroids_async<T const, C>(matrix_view<T const> const&, \
                                                                      matrix_view<C> const&,       \
                                                                      fit_options const&,          \
                                                                      execution const&);           \
  EXTERN template void flash_kmeans::init_centroids<T const, C>(matrix_view<T const> const&,       \
                                                                matrix_view<C> const&,             \
                                                                fit_options const&,                \
                                                                execution const&);                 \
  }

FLASH_KMEANS_TEST_VERBS(extern, __half, float)
FLASH_KMEANS_TEST_VERBS(extern, __nv_bfloat16, float)
FLASH_KMEANS_TEST_VERBS(extern, float, float)
FLASH_KMEANS_TEST_VERBS(extern, double, double)
