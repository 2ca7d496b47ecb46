// A program that holds no code for the GPU at hand: every verb says so, and no error is left
// behind. Built for sm_75 alone.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <flash_kmeans/flash_kmeans.cuh>
#include <string>

#include "device_buffer.hpp"

namespace {

namespace fk = flash_kmeans;
using device_support::device_buffer;

class no_image : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string const why = device_support::why_no_gpu();
    if (!why.empty()) {
      char const* const required = std::getenv("FLASH_KMEANS_REQUIRE_GPU");
      if (required != nullptr && std::string(required) == "1") FAIL() << why;
      GTEST_SKIP() << why;
    }
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    if (major == 7 && minor >= 5) GTEST_SKIP() << "this GPU runs code for sm_75";
  }
};

template <class Call>
void expect_no_image(char const* verb, Call&& call) {
  SCOPED_TRACE(verb);
  try {
    call();
    ADD_FAILURE() << "did not throw";
  } catch (fk::cuda_error const& error) {
    EXPECT_EQ(error.code(), static_cast<int>(cudaErrorNoKernelImageForDevice));
    EXPECT_NE(std::string(error.what()).find("holds no kernel that this device can run"),
              std::string::npos)
        << error.what();
  }
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(no_image, every_verb_says_so) {
  std::int64_t const n = 10, k = 2, d = 3;
  device_buffer<float> const points(std::vector<float>(n * d, 1.0f));
  device_buffer<float> const centroids(k * d), distances(n * k);
  device_buffer<std::int32_t> const labels(std::vector<std::int32_t>(n, 0));
  fk::matrix_view<float const> const x(points.data(), n, d);
  fk::matrix_view<float> const c(centroids.data(), k, d);
  expect_no_image("predict", [&] { fk::predict(x, c, {labels.data()}); });
  expect_no_image("predict_workspace_bytes", [&] { fk::predict_workspace_bytes(x, c); });
  expect_no_image("top_k", [&] { fk::top_k(x, c, 1, {labels.data()}); });
  expect_no_image("transform",
                  [&] { fk::transform(x, c, fk::matrix_view<float>(distances.data(), n, k)); });
  expect_no_image("update_centroids", [&] { fk::update_centroids(x, labels.data(), c); });
  expect_no_image("sum_by_cluster", [&] { fk::sum_by_cluster(x, labels.data(), c); });
  for (auto const init : {fk::init_method::random, fk::init_method::kmeans_plus_plus,
                          fk::init_method::kmeans_parallel}) {
    fk::fit_options options;
    options.init = init;
    expect_no_image("init_centroids", [&] { fk::init_centroids(x, c, options); });
  }
  EXPECT_TRUE(centroids.untouched());
}

}  // namespace
