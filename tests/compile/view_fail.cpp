// Views that must not compile. FLASH_KMEANS_CASE 0 is correct and must.
#include <cstddef>
#include <flash_kmeans/types.hpp>

// The interface of an mdspan, as far as matrix_view asks for it.
template <std::size_t Rank>
struct span {
  using element_type = float;
  using extents_type = std::size_t[Rank];
  float* data_handle() const { return nullptr; }
  std::size_t extent(std::size_t) const { return 1; }
  std::size_t stride(std::size_t) const { return 1; }
  static constexpr std::size_t rank() { return Rank; }
};

#if FLASH_KMEANS_CASE == 1
constexpr std::size_t kRank = 1;  // neither points nor centroids are vectors
#else
constexpr std::size_t kRank = 2;
#endif

#if FLASH_KMEANS_CASE == 2
using source = float const;  // what is const stays const
#else
using source = float;
#endif

flash_kmeans::matrix_view<float> from_span() { return span<kRank>(); }
flash_kmeans::matrix_view<float> from_view(flash_kmeans::matrix_view<source> v) { return v; }
