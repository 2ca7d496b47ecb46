// One fault of each kind, for the proof that the tools of compute-sanitizer report it:
// sanitizer_faults read_before_start|read_past_end|write_past_end|read_of_scratch|race|
// divergent_barrier
#include <cstdio>
#include <string>

#include "device_buffer.hpp"

namespace {

// Not a multiple of 16 bytes, so that the start of a buffer with an aligned end is not aligned.
constexpr std::size_t kCount = 9;

__global__ void read_kernel(float const* values, float4* to) {
  *to = *reinterpret_cast<float4 const*>(values);
}

__global__ void write_kernel(float* value) { *value = 1; }

// The second warp reads what the first one writes, without a barrier in between.
__global__ void race_kernel(float* to) {
  __shared__ float values[64];
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  to[threadIdx.x] = values[63 - threadIdx.x];
}

// A barrier of a block that only one of its warps' halves reaches.
__global__ void divergent_kernel(float* to) {
  if (threadIdx.x % 32 < 16) __syncthreads();
  to[threadIdx.x] = 1;
}

// The 16 bytes that hold the buffer's first element when its end is aligned, and the 16 bytes
// before the buffer when its start is.
float const* before_start(device_support::device_buffer<float> const& values) {
  auto const address = reinterpret_cast<std::uintptr_t>(values.data());
  return reinterpret_cast<float const*>(address % 16 != 0 ? address / 16 * 16 : address - 16);
}

}  // namespace

int main(int count, char** arguments) {
  std::string const fault = count > 1 ? arguments[1] : "";
  device_support::device_buffer<float> const values(std::vector<float>(kCount, 1.0f));
  device_support::device_buffer<float> const scratch(64, 0, device_support::contents::scratch);
  device_support::device_buffer<float4> const to(16);
  auto* const floats = reinterpret_cast<float*>(to.data());
  if (fault == "read_before_start") {
    read_kernel<<<1, 1>>>(before_start(values), to.data());
  } else if (fault == "read_past_end") {
    read_kernel<<<1, 1>>>(values.data() + kCount / 4 * 4, to.data());
  } else if (fault == "write_past_end") {
    write_kernel<<<1, 1>>>(values.data() + kCount);
  } else if (fault == "read_of_scratch") {
    read_kernel<<<1, 1>>>(scratch.data(), to.data());
  } else if (fault == "race") {
    race_kernel<<<1, 64>>>(floats);
  } else if (fault == "divergent_barrier") {
    divergent_kernel<<<1, 64>>>(floats);
  } else {
    std::printf("no such fault: %s\n", fault.c_str());
    return 2;
  }
  std::printf("%s\n", cudaGetErrorString(cudaDeviceSynchronize()));
  return 0;
}
