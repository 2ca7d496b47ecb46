// Points sorted by cluster, and what callers ask to know of it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "abi.hpp"
#include "scratch.hpp"
#include "team.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Stable counting sort of the points by label into s.order and s.offsets. Labels outside [0, k)
// come last, from s.offsets[k] on.
template <class C>
void sort_points(team& workers, scratch<C>& s, std::int32_t const* labels, std::int64_t n,
                 std::int64_t k) {
  s.order.resize(static_cast<std::size_t>(n));
  s.offsets.resize(static_cast<std::size_t>(k + 1));
  // As many parts as there are threads, unless their histograms would outgrow the points.
  std::int64_t const parts =
      std::clamp<std::int64_t>(4 * n / (k + 1), 1, std::min<std::int64_t>(workers.size(), n));
  std::int64_t const bins = k + 1;
  s.histograms.assign(static_cast<std::size_t>(parts * bins), 0);
  auto bin = [&](std::int64_t i) {
    return labels[i] >= 0 && labels[i] < k ? std::int64_t{labels[i]} : k;
  };
  auto for_parts = [&](auto const& visit) {
    double const cost = 4 * static_cast<double>(n) / static_cast<double>(parts);
    workers.for_ranges(parts, cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t part = begin; part < end; ++part) {
        std::int32_t* const histogram = s.histograms.data() + part * bins;
        std::int64_t const last = (part + 1) * n / parts;
        for (std::int64_t i = part * n / parts; i < last; ++i) visit(histogram[bin(i)], i);
      }
    });
  };
  for_parts([](std::int32_t& count, std::int64_t) { ++count; });
  std::int32_t position = 0;
  for (std::int64_t j = 0; j < bins; ++j) {
    s.offsets[static_cast<std::size_t>(j)] = position;
    for (std::int64_t part = 0; part < parts; ++part) {
      std::int32_t& entry = s.histograms[static_cast<std::size_t>(part * bins + j)];
      std::int32_t const count = entry;
      entry = position;
      position += count;
    }
  }
  for_parts([&](std::int32_t& to, std::int64_t i) {
    s.order[static_cast<std::size_t>(to++)] = static_cast<std::int32_t>(i);
  });
}

// Hands out what sort_points found, for problem number i.
template <class C>
void write_index(scratch<C> const& s, cluster_index const& index, std::int64_t i) {
  auto const n = static_cast<std::int64_t>(s.order.size());
  auto const k = static_cast<std::int64_t>(s.offsets.size()) - 1;
  if (index.counts != nullptr) {
    for (std::int64_t j = 0; j < k; ++j) {
      auto const at = static_cast<std::size_t>(j);
      index.counts[i * k + j] = s.offsets[at + 1] - s.offsets[at];
    }
  }
  if (index.offsets != nullptr) std::copy_n(s.offsets.data(), k + 1, index.offsets + i * (k + 1));
  if (index.order != nullptr) std::copy_n(s.order.data(), n, index.order + i * n);
  if (index.inverse != nullptr) {
    for (std::int64_t p = 0; p < n; ++p) {
      index.inverse[i * n + s.order[static_cast<std::size_t>(p)]] = static_cast<std::int32_t>(p);
    }
  }
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
