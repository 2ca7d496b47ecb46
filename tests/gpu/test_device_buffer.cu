// device_buffer: the guard bands that all other GPU tests rely on can fail a test, and poison is
// what it is said to be.
#include <cuda.h>
#include <gtest/gtest-spi.h>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;
using device_support::buffer_placement;
using device_support::device_bytes;

class buffers : public gpu_test {
 protected:
  // What is reported of buffers until the end of the test.
  static std::vector<std::string>& reported() {
    static std::vector<std::string> all;
    return all;
  }

  void SetUp() override {
    gpu_test::SetUp();
    reported().clear();
    before_ = device_support::on_overwrite();
    device_support::on_overwrite() = [](std::string const& what) { reported().push_back(what); };
  }
  void TearDown() override {
    device_support::on_overwrite() = before_;
    gpu_test::TearDown();
  }

 private:
  device_support::overwrite_handler before_;
};

__global__ void write_kernel(std::uint8_t* to) { *to = 0; }

void write(std::uint8_t* to) {
  write_kernel<<<1, 1>>>(to);
  FLASH_KMEANS_CUDA_CHECK(cudaGetLastError());
}

TEST_F(buffers, writes_to_both_bands_are_reported) {
  for (std::size_t const shift : {0, 3}) {
    for (std::ptrdiff_t const at : {-1, -1000, 100, 1100}) {
      SCOPED_TRACE(text("shift ", shift, ", byte ", at));
      reported().clear();
      {
        device_buffer<std::uint8_t> const buffer(100, shift, contents::poison,
                                                 buffer_placement::guarded);
        write(buffer.data() + at);
        device_support::check_device_buffers();
        EXPECT_EQ(reported().size(), 1u);
      }
      EXPECT_EQ(reported().size(), 2u) << "the destructor reports, too";
    }
  }
}

TEST_F(buffers, writes_inside_are_not_reported) {
  {
    device_buffer<std::uint8_t> const buffer(100, 1, contents::poison, buffer_placement::guarded);
    EXPECT_TRUE(buffer.untouched());
    for (std::size_t const at : {0, 99}) write(buffer.data() + at);
    EXPECT_FALSE(buffer.untouched());
    device_support::check_device_buffers();
  }
  EXPECT_TRUE(reported().empty());
}

// Under the default handler of the tests.
TEST_F(gpu_test, an_overwritten_band_fails_the_test) {
  EXPECT_NONFATAL_FAILURE(
      {
        device_buffer<std::uint8_t> const buffer(8, 0, contents::poison, buffer_placement::guarded);
        write(buffer.data() + 8);
      },
      "overwritten past the end");
}

template <class T>
void expect_nan_around(std::size_t count) {
  SCOPED_TRACE(type_name<T>());
  device_buffer<T> const buffer(count, 0, contents::poison, buffer_placement::guarded);
  std::vector<T> around(count + 2);
  FLASH_KMEANS_CUDA_CHECK(cudaMemcpy(around.data(), buffer.data() - 1, around.size() * sizeof(T),
                                     cudaMemcpyDeviceToHost));
  for (T const& value : around) EXPECT_TRUE(std::isnan(static_cast<double>(value)));
}

TEST_F(buffers, poison_and_bands_are_nan) {
  expect_nan_around<float>(5);
  expect_nan_around<double>(5);
  expect_nan_around<__half>(5);
  expect_nan_around<__nv_bfloat16>(5);
}

// The driver tells where an allocation begins and ends.
TEST_F(buffers, exact_placements_leave_no_room) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  FLASH_KMEANS_CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuMemGetAddressRange", &function, 12000,
                                                           cudaEnableDefault, &found));
  auto const range_of =
      reinterpret_cast<CUresult (*)(CUdeviceptr*, std::size_t*, CUdeviceptr)>(function);
  auto const expect = [&](buffer_placement placement, std::size_t floats, std::size_t before) {
    device_buffer<float> const buffer(floats, 0, contents::poison, placement);
    CUdeviceptr base = 0;
    std::size_t size = 0;
    ASSERT_EQ(range_of(&base, &size, reinterpret_cast<CUdeviceptr>(buffer.data())), CUDA_SUCCESS);
    EXPECT_EQ(reinterpret_cast<CUdeviceptr>(buffer.data()) - base, before);
    EXPECT_EQ(size, before + floats * sizeof(float));
  };
  expect(buffer_placement::exact_start, 9, 0);
  expect(buffer_placement::exact_end, 9, 12);
  expect(buffer_placement::exact_end, 8, 0);
}

TEST_F(buffers, transfers) {
  std::vector<std::int32_t> const values{1, 2, 3, 4, 5};
  device_buffer<std::int32_t> a(values), b(values.size());
  EXPECT_EQ(a.download(), values);
  EXPECT_EQ(a.download(1, 2), (std::vector<std::int32_t>{2, 3}));
  EXPECT_THROW(a.download(4, 2), std::logic_error);
  EXPECT_THROW(a.upload(std::vector<std::int32_t>{1}), std::logic_error);
  EXPECT_EQ(b.download(), std::vector<std::int32_t>(values.size(), -1));
  b.copy_from(a, nullptr);
  EXPECT_EQ(b.download(), values);
  b.zero(nullptr);
  EXPECT_EQ(b.download(), std::vector<std::int32_t>(values.size(), 0));
  b.poison(nullptr);
  EXPECT_TRUE(b.untouched());
  device_buffer<std::int32_t> const none(std::size_t{0});
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_TRUE(none.download().empty());
}

}  // namespace
