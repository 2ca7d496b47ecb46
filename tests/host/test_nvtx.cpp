// Ranges of profilers, with a header that writes them down.
#include <gtest/gtest.h>

#include <flash_kmeans/detail/nvtx.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using flash_kmeans::detail::profiler_range;
using names = std::vector<std::string>;

TEST(nvtx, ranges_nest_and_end_with_their_scope) {
  static_assert(FLASH_KMEANS_HAS_NVTX == 1);
  told_ranges::all().clear();
  {
    profiler_range const outer("fit");
    { profiler_range const inner("assign"); }
    profiler_range const other("update");
  }
  EXPECT_EQ(told_ranges::all(),
            (names{"push fit", "push assign", "pop", "push update", "pop", "pop"}));
}

TEST(nvtx, an_exception_ends_a_range) {
  told_ranges::all().clear();
  auto const fails = [] {
    profiler_range const range("fit");
    throw std::runtime_error("no");
  };
  EXPECT_THROW(fails(), std::runtime_error);
  EXPECT_EQ(told_ranges::all(), (names{"push fit", "pop"}));
}

}  // namespace
