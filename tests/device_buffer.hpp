// Device memory for tests, benchmarks and examples: a buffer that frees itself, holds poison until
// it is written, and makes accesses outside of it visible.
//
// The environment variable FLASH_KMEANS_BUFFERS selects where a buffer lies in its allocation:
//
//   guarded      (default) Between two guard bands. A write to a band is reported by
//                check_device_buffers() and when the buffer is destroyed. A value that is read from
//                a band is NaN in every floating-point type and an illegal label as an integer.
//   exact_start  The allocation has the bytes of the buffer and no more, so compute-sanitizer
//                reports an access before its start and past its end. The first byte is aligned to
//                256 bytes, so a vector access that reaches past a row's end leaves the allocation.
//   exact_end    Likewise, but the end of the buffer is aligned to 16 bytes. Up to 15 bytes before
//                the buffer belong to the allocation and are never written: initcheck reports a
//                vector access that begins before the first row.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace device_support {

// A CUDA call that failed.
struct cuda_failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws cuda_failure unless the call succeeded.
inline void cuda_check(cudaError_t status, char const* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // no later call reports this failure again
  throw cuda_failure(std::string(what) + ": " + cudaGetErrorString(status));
}

// Empty when there is a GPU, else why there is none.
inline std::string why_no_gpu() {
  int count = 0;
  cudaError_t const status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    return std::string("no GPU: ") + cudaGetErrorString(status);
  }
  return count > 0 ? "" : "no GPU: device count is 0";
}

enum class buffer_placement { guarded, exact_start, exact_end };

// The placement that FLASH_KMEANS_BUFFERS selects. Throws std::runtime_error for an unknown name.
inline buffer_placement selected_placement() {
  static buffer_placement const selected = [] {
    char const* const value = std::getenv("FLASH_KMEANS_BUFFERS");
    std::string const name = value == nullptr ? "guarded" : value;
    if (name == "guarded") return buffer_placement::guarded;
    if (name == "exact_start") return buffer_placement::exact_start;
    if (name == "exact_end") return buffer_placement::exact_end;
    throw std::runtime_error("FLASH_KMEANS_BUFFERS is " + name +
                             ", must be guarded, exact_start or exact_end");
  }();
  return selected;
}

// What a buffer holds before anything is written to it.
enum class contents {
  poison,  // every byte 0xFF: floating-point values are NaN, labels -1
  scratch  // poison between guard bands; uninitialized in an exact allocation, where initcheck
           // then reports a read of a byte that no kernel has written
};

// Called with a description when a guard band was overwritten. The default prints it and aborts.
using overwrite_handler = void (*)(std::string const&);
inline overwrite_handler& on_overwrite() {
  static overwrite_handler handler = [](std::string const& what) {
    std::fprintf(stderr, "%s\n", what.c_str());
    std::abort();
  };
  return handler;
}

// The bytes of a buffer and what surrounds them; device_buffer gives them a type.
class device_bytes {
 public:
  // shift: bytes that move the buffer away from the 256-byte alignment of its allocation.
  device_bytes(std::size_t bytes, std::size_t alignment, std::size_t shift, contents holds,
               buffer_placement placement)
      : bytes_(bytes), before_(shift), is_guarded_(placement == buffer_placement::guarded) {
    std::size_t const to_aligned_end = (kEndAlignment - bytes % kEndAlignment) % kEndAlignment;
    if (placement == buffer_placement::exact_end && shift == 0 && to_aligned_end % alignment == 0) {
      before_ = to_aligned_end;
    }
    if (is_guarded_) before_ += kBand;
    if (bytes_ == 0) return;  // an empty buffer has no address
    std::size_t const total = before_ + bytes_ + (is_guarded_ ? kBand : 0);
    cuda_check(cudaMalloc(reinterpret_cast<void**>(&base_), total), "cudaMalloc");
    if (is_guarded_) {
      std::vector<unsigned char> const band = band_image(before_);
      cuda_check(cudaMemcpy(base_, band.data(), before_, cudaMemcpyHostToDevice), "cudaMemcpy");
      cuda_check(cudaMemcpy(base_ + before_ + bytes_, band.data(), kBand, cudaMemcpyHostToDevice),
                 "cudaMemcpy");
    }
    if (holds == contents::poison || is_guarded_) {
      cuda_check(cudaMemset(base_ + before_, kPoison, bytes_), "cudaMemset");
    }
    // Tests queue work on streams that do not wait for the default one.
    cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    std::lock_guard<std::mutex> const lock(registry().mutex);
    registry().live.insert(this);
  }
  ~device_bytes() {
    if (base_ == nullptr) return;
    {
      std::lock_guard<std::mutex> const lock(registry().mutex);
      registry().live.erase(this);
    }
    check();
    cudaFree(base_);
  }
  device_bytes(device_bytes const&) = delete;
  device_bytes& operator=(device_bytes const&) = delete;

  unsigned char* data() const { return base_ == nullptr ? nullptr : base_ + before_; }
  std::size_t size() const { return bytes_; }

  // Reports overwritten guard bands. Waits for the device. Does nothing after a fault of the
  // device, which every CUDA call reports by itself.
  void check() const {
    if (!is_guarded_ || cudaDeviceSynchronize() != cudaSuccess) return;
    check_band(base_, before_, "before the start");
    check_band(base_ + before_ + bytes_, kBand, "past the end");
  }

  // All buffers that exist, from any thread.
  struct live_buffers {
    std::mutex mutex;
    std::set<device_bytes const*> live;
  };
  static live_buffers& registry() {
    static live_buffers all;
    return all;
  }

  static constexpr std::size_t kBand = 1024;
  static constexpr unsigned char kPoison = 0xFF;

 private:
  static constexpr std::size_t kEndAlignment = 16;

  // 16-bit words 0xFFF5: NaN as half, bfloat16, float and double, a negative integer, and not
  // poison.
  static std::vector<unsigned char> band_image(std::size_t bytes) {
    std::vector<unsigned char> image(std::max(bytes, kBand));
    for (std::size_t i = 0; i < image.size(); ++i) image[i] = i % 2 == 0 ? 0xF5 : 0xFF;
    return image;
  }

  void check_band(unsigned char const* from, std::size_t bytes, char const* where) const {
    std::vector<unsigned char> held(bytes);
    if (cudaMemcpy(held.data(), from, bytes, cudaMemcpyDeviceToHost) != cudaSuccess) return;
    std::vector<unsigned char> const image = band_image(bytes);
    auto const first = std::mismatch(held.begin(), held.end(), image.begin()).first;
    if (first == held.end()) return;
    on_overwrite()("A device buffer of " + std::to_string(bytes_) + " bytes was overwritten " +
                   where + ": byte " + std::to_string(first - held.begin()) + " of a band of " +
                   std::to_string(bytes));
  }

  std::size_t bytes_, before_;
  bool is_guarded_;
  unsigned char* base_ = nullptr;
};

// Reports overwritten guard bands of all buffers that exist. Waits for the device.
inline void check_device_buffers() {
  std::lock_guard<std::mutex> const lock(device_bytes::registry().mutex);
  for (device_bytes const* const buffer : device_bytes::registry().live) buffer->check();
}

// Device memory for `count` elements. Uploads and downloads wait for the whole device.
template <class T>
class device_buffer {
 public:
  // shift: elements that move the buffer away from its alignment.
  explicit device_buffer(std::size_t count, std::size_t shift = 0,
                         contents holds = contents::poison,
                         buffer_placement placement = selected_placement())
      : count_(count),
        memory_(count * sizeof(T), alignof(T), shift * sizeof(T), holds, placement) {}
  explicit device_buffer(std::vector<T> const& values, std::size_t shift = 0)
      : device_buffer(values.size(), shift) {
    upload(values);
  }

  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return memory_.size(); }

  // values: size() elements.
  void upload(T const* values) {
    if (count_ == 0) return;
    cuda_check(cudaMemcpy(data(), values, bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
    cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
  void upload(std::vector<T> const& values) {
    if (values.size() != count_) throw std::logic_error("upload of another size");
    upload(values.data());
  }

  void download(T* to, std::size_t first, std::size_t count) const {
    if (first > count_ || count > count_ - first) throw std::logic_error("download past the end");
    cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    if (count == 0) return;
    cuda_check(cudaMemcpy(to, data() + first, count * sizeof(T), cudaMemcpyDeviceToHost),
               "cudaMemcpy");
  }
  std::vector<T> download(std::size_t first, std::size_t count) const {
    std::vector<T> values(count);
    download(values.data(), first, count);
    return values;
  }
  std::vector<T> download() const { return download(0, count_); }

  // Queues on the stream: every byte to poison, to zero, or to what another buffer of this size
  // holds.
  void poison(cudaStream_t stream) { fill(device_bytes::kPoison, stream); }
  void zero(cudaStream_t stream) { fill(0, stream); }
  void copy_from(device_buffer const& other, cudaStream_t stream) {
    if (other.count_ != count_) throw std::logic_error("copy of another size");
    cuda_check(cudaMemcpyAsync(data(), other.data(), bytes(), cudaMemcpyDeviceToDevice, stream),
               "cudaMemcpyAsync");
  }

  // Whether every byte is still poison.
  bool untouched() const {
    std::vector<unsigned char> held(bytes());
    cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    if (held.empty()) return true;
    cuda_check(cudaMemcpy(held.data(), data(), bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return std::all_of(held.begin(), held.end(),
                       [](unsigned char byte) { return byte == device_bytes::kPoison; });
  }

 private:
  void fill(int byte, cudaStream_t stream) {
    if (count_ == 0) return;
    cuda_check(cudaMemsetAsync(data(), byte, bytes(), stream), "cudaMemsetAsync");
  }

  std::size_t count_;
  device_bytes memory_;
};

}  // namespace device_support
