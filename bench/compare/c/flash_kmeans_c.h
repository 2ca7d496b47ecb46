/* flash_kmeans over raw pointers, for callers that are not C++: what bench/compare loads with
 * ctypes. Plain C.
 *
 * Every function but the last three returns 0, or what went wrong: 1 an invalid argument, 2 a CUDA
 * error, 3 anything else; flash_kmeans_c_message() then says it in words. Meaning, cost,
 * synchronisation and determinism are those of the C++ verbs: on the GPU everything is queued on
 * the caller's stream and nothing waits; on the CPU a call returns when it is done. */
#ifndef FLASH_KMEANS_C_H
#define FLASH_KMEANS_C_H

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define FLASH_KMEANS_C_API __attribute__((visibility("default")))

enum flash_kmeans_c_device { FLASH_KMEANS_C_CPU = 0, FLASH_KMEANS_C_GPU = 1 };

/* Of the points; the CPU takes float and double. Centroids are double for double points and float
 * for all others. */
enum flash_kmeans_c_type {
  FLASH_KMEANS_C_HALF = 0,
  FLASH_KMEANS_C_BFLOAT16 = 1,
  FLASH_KMEANS_C_FLOAT = 2,
  FLASH_KMEANS_C_DOUBLE = 3
};

enum flash_kmeans_c_verb {
  FLASH_KMEANS_C_PREDICT = 0,
  FLASH_KMEANS_C_UPDATE = 1,
  FLASH_KMEANS_C_FIT = 2
};

/* flash_kmeans::matrix_view: data on the device of the call, strides in elements. */
typedef struct flash_kmeans_c_matrix {
  void* data;
  int64_t rows, cols, ld;
  int64_t batch[2];
  int64_t batch_stride[2];
} flash_kmeans_c_matrix;

/* Where and how a call runs. */
typedef struct flash_kmeans_c_call {
  int32_t device;         /* flash_kmeans_c_device */
  int32_t type;           /* flash_kmeans_c_type */
  int32_t tf32;           /* 1: float points as precision::tf32 */
  int32_t threads;        /* of the CPU, 0: all */
  void* stream;           /* cudaStream_t, NULL: the default stream */
  void* workspace;        /* device, 256-byte aligned; NULL: allocated on the stream */
  size_t workspace_bytes; /* at least flash_kmeans_c_workspace_bytes */
} flash_kmeans_c_call;

/* A fit from given centroids. */
typedef struct flash_kmeans_c_fit_options {
  int32_t max_iterations;
  int32_t closing_assignment; /* 1: labels belong to the returned centroids */
  double tolerance;           /* 0: until nothing moves */
  void* status;               /* flash_kmeans::fit_status [b] on the device of the call, or NULL */
} flash_kmeans_c_fit_options;

/* labels [b][n] int32 of the nearest centroids. */
FLASH_KMEANS_C_API int flash_kmeans_c_predict(flash_kmeans_c_call const* call,
                                              flash_kmeans_c_matrix const* x,
                                              flash_kmeans_c_matrix const* centroids,
                                              int32_t* labels);

/* Moves centroids to the means of the points that carry their label. */
FLASH_KMEANS_C_API int flash_kmeans_c_update(flash_kmeans_c_call const* call,
                                             flash_kmeans_c_matrix const* x, int32_t const* labels,
                                             flash_kmeans_c_matrix const* centroids);

/* Centroids in and out, labels out. */
FLASH_KMEANS_C_API int flash_kmeans_c_fit(flash_kmeans_c_call const* call,
                                          flash_kmeans_c_matrix const* x,
                                          flash_kmeans_c_matrix const* centroids, int32_t* labels,
                                          flash_kmeans_c_fit_options const* options);

/* A fit_plan over these buffers, for the GPU; call->workspace is required. */
FLASH_KMEANS_C_API int flash_kmeans_c_plan_create(flash_kmeans_c_call const* call,
                                                  flash_kmeans_c_matrix const* x,
                                                  flash_kmeans_c_matrix const* centroids,
                                                  int32_t* labels,
                                                  flash_kmeans_c_fit_options const* options,
                                                  void** plan);
FLASH_KMEANS_C_API int flash_kmeans_c_plan_fit(void* plan, void* stream);
FLASH_KMEANS_C_API void flash_kmeans_c_plan_destroy(void* plan);

/* Bytes of workspace that a verb (flash_kmeans_c_verb) needs; 0 on the CPU. options: of a fit,
 * else NULL. */
FLASH_KMEANS_C_API int flash_kmeans_c_workspace_bytes(flash_kmeans_c_call const* call, int32_t verb,
                                                      flash_kmeans_c_matrix const* x,
                                                      flash_kmeans_c_matrix const* centroids,
                                                      flash_kmeans_c_fit_options const* options,
                                                      size_t* bytes);

/* Of the last call on this thread that failed; valid until the next one that fails. */
FLASH_KMEANS_C_API char const* flash_kmeans_c_message(void);
/* "0.1.0". */
FLASH_KMEANS_C_API char const* flash_kmeans_c_version(void);
/* 1 where the library was built with its GPU part. */
FLASH_KMEANS_C_API int flash_kmeans_c_has_gpu(void);

#if defined(__cplusplus)
}
#endif

#endif
