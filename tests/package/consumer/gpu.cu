// A user's CUDA program: four points, two clusters, on the GPU.
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <flash_kmeans/flash_kmeans.cuh>
#include <vector>

namespace fk = flash_kmeans;

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("GPU: there is none, nothing was run\n");
    return 0;
  }
  std::vector<float> const x{0, 0, 0, 1, 9, 0, 9, 1};
  std::vector<float> c{0, 0, 9, 0};
  std::vector<std::int32_t> labels(4);

  float *d_x = nullptr, *d_c = nullptr;
  std::int32_t* d_labels = nullptr;
  cudaMalloc(&d_x, sizeof(float) * x.size());
  cudaMalloc(&d_c, sizeof(float) * c.size());
  cudaMalloc(&d_labels, sizeof(std::int32_t) * labels.size());
  cudaMemcpy(d_x, x.data(), sizeof(float) * x.size(), cudaMemcpyHostToDevice);
  cudaMemcpy(d_c, c.data(), sizeof(float) * c.size(), cudaMemcpyHostToDevice);

  fk::fit_options options;
  options.init = fk::init_method::given;
  fk::fit_result const result = fk::fit(fk::matrix_view<float const>(d_x, 4, 2),
                                        fk::matrix_view<float>(d_c, 2, 2), d_labels, options);

  cudaMemcpy(c.data(), d_c, sizeof(float) * c.size(), cudaMemcpyDeviceToHost);
  cudaMemcpy(labels.data(), d_labels, sizeof(std::int32_t) * labels.size(), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_c);
  cudaFree(d_labels);

  std::printf("GPU: inertia %g after %d iterations on %s\n", result.inertia, result.iterations,
              fk::to_string(result.kernel));
  bool const right = labels == std::vector<std::int32_t>{0, 0, 1, 1} &&
                     c == std::vector<float>{0, 0.5f, 9, 0.5f} && result.inertia == 1;
  return right ? 0 : 1;
}
