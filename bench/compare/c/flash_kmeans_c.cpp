// The C interface: checks what C++ callers cannot get wrong, picks a backend, and turns exceptions
// into codes and words.
#include "flash_kmeans_c.h"

#include <exception>
#include <flash_kmeans/types.hpp>
#include <stdexcept>
#include <string>

#include "backend.hpp"
#if FLASH_KMEANS_C_WITH_GPU
#include "gpu.hpp"
#endif

namespace flash_kmeans_c {

namespace {

// Null where the library was built without the GPU part.
backend const* gpu(flash_kmeans_c_type type) {
#if FLASH_KMEANS_C_WITH_GPU
  switch (type) {
    case FLASH_KMEANS_C_HALF: return &gpu_half();
    case FLASH_KMEANS_C_BFLOAT16: return &gpu_bfloat16();
    case FLASH_KMEANS_C_FLOAT: return &gpu_float();
    case FLASH_KMEANS_C_DOUBLE: return &gpu_double();
  }
#endif
  static_cast<void>(type);
  return nullptr;
}

thread_local std::string last_message;

[[noreturn]] void refuse(std::string const& what) {
  throw std::invalid_argument("flash_kmeans: " + what);
}

template <class T>
T const& required(T const* pointer, char const* name) {
  if (pointer == nullptr) refuse(std::string(name) + " is null");
  return *pointer;
}

backend const& backend_of(call_t const& call) {
  auto const is = [&](flash_kmeans_c_type type) { return call.type == type; };
  if (!is(FLASH_KMEANS_C_HALF) && !is(FLASH_KMEANS_C_BFLOAT16) && !is(FLASH_KMEANS_C_FLOAT) &&
      !is(FLASH_KMEANS_C_DOUBLE)) {
    refuse("type is " + std::to_string(call.type) + ", must be 0 to 3");
  }
  if (call.device == FLASH_KMEANS_C_CPU) {
    if (is(FLASH_KMEANS_C_FLOAT)) return cpu_float();
    if (is(FLASH_KMEANS_C_DOUBLE)) return cpu_double();
    refuse("type is " + std::to_string(call.type) + ", on the CPU must be 2 (float) or 3 (double)");
  }
  if (call.device != FLASH_KMEANS_C_GPU) {
    refuse("device is " + std::to_string(call.device) + ", must be 0 (CPU) or 1 (GPU)");
  }
  backend const* const found = gpu(static_cast<flash_kmeans_c_type>(call.type));
  if (found == nullptr) refuse("device is 1 (GPU), but this library was built without CUDA");
  return *found;
}

template <class Work>
int guarded(Work const& work) {
  try {
    work();
    return 0;
  } catch (fk::cuda_error const& error) {
    last_message = error.what();
    return 2;
  } catch (std::invalid_argument const& error) {
    last_message = error.what();
    return 1;
  } catch (std::exception const& error) {
    last_message = error.what();
    return 3;
  }
}

}  // namespace

}  // namespace flash_kmeans_c

using namespace flash_kmeans_c;

int flash_kmeans_c_predict(call_t const* call, matrix_t const* x, matrix_t const* centroids,
                           std::int32_t* labels) {
  return guarded([&] {
    backend_of(required(call, "call"))
        .predict(*call, required(x, "x"), required(centroids, "centroids"), labels);
  });
}

int flash_kmeans_c_update(call_t const* call, matrix_t const* x, std::int32_t const* labels,
                          matrix_t const* centroids) {
  return guarded([&] {
    backend_of(required(call, "call"))
        .update(*call, required(x, "x"), labels, required(centroids, "centroids"));
  });
}

int flash_kmeans_c_fit(call_t const* call, matrix_t const* x, matrix_t const* centroids,
                       std::int32_t* labels, fit_options_t const* options) {
  return guarded([&] {
    backend_of(required(call, "call"))
        .fit(*call, required(x, "x"), required(centroids, "centroids"), labels,
             required(options, "options"));
  });
}

int flash_kmeans_c_plan_create(call_t const* call, matrix_t const* x, matrix_t const* centroids,
                               std::int32_t* labels, fit_options_t const* options, void** made) {
  return guarded([&] {
    required(made, "plan");
    *made = backend_of(required(call, "call"))
                .make_plan(*call, required(x, "x"), required(centroids, "centroids"), labels,
                           required(options, "options"))
                .release();
  });
}

int flash_kmeans_c_plan_fit(void* made, void* stream) {
  return guarded([&] {
    required(static_cast<plan*>(made), "plan");
    static_cast<plan*>(made)->fit(static_cast<CUstream_st*>(stream));
  });
}

void flash_kmeans_c_plan_destroy(void* made) { delete static_cast<plan*>(made); }

int flash_kmeans_c_workspace_bytes(call_t const* call, std::int32_t verb, matrix_t const* x,
                                   matrix_t const* centroids, fit_options_t const* options,
                                   std::size_t* bytes) {
  return guarded([&] {
    if (verb < FLASH_KMEANS_C_PREDICT || verb > FLASH_KMEANS_C_FIT) {
      refuse("verb is " + std::to_string(verb) + ", must be 0 to 2");
    }
    if (verb == FLASH_KMEANS_C_FIT) required(options, "options");
    required(bytes, "bytes");
    *bytes = backend_of(required(call, "call"))
                 .workspace_bytes(*call, static_cast<flash_kmeans_c_verb>(verb), required(x, "x"),
                                  required(centroids, "centroids"), options);
  });
}

char const* flash_kmeans_c_message(void) { return last_message.c_str(); }

char const* flash_kmeans_c_version(void) {
  static std::string const version = std::to_string(FLASH_KMEANS_VERSION_MAJOR) + "." +
                                     std::to_string(FLASH_KMEANS_VERSION_MINOR) + "." +
                                     std::to_string(FLASH_KMEANS_VERSION_PATCH);
  return version.c_str();
}

int flash_kmeans_c_has_gpu(void) { return gpu(FLASH_KMEANS_C_HALF) != nullptr ? 1 : 0; }
