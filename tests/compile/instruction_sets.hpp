// What the two units of instruction_sets_main.cpp share: types and verbs of the library only.
#pragma once

#include <cstdint>
#include <flash_kmeans/host.hpp>

using fit_function = flash_kmeans::fit_result (*)(flash_kmeans::matrix_view<float const>,
                                                  flash_kmeans::matrix_view<float>,
                                                  flash_kmeans::fit_outputs const&,
                                                  flash_kmeans::fit_options const&,
                                                  flash_kmeans::host::execution const&);

struct problem {
  std::int64_t n, d, k;
  float const* x;        // [n][d]
  float* centroids;      // [k][d]
  std::int32_t* labels;  // [n]
  float* distances;      // [n][k]
};

// Calls every verb of flash_kmeans::host, host::fit last, and returns its inertia.
double run_plain(problem const& p);
double run_wide(problem const& p);

// flash_kmeans::host::fit as each unit sees it. Constants, which are read without running any code
// of the unit.
extern fit_function const fit_of_plain;
extern fit_function const fit_of_wide;
