// A fit from several seedings, of which the one with the lowest inertia counts for each problem.
//
// Seedings of a small problem run side by side, as problems of one batch over the same points; of
// larger ones one after the other. The winner's centroids are copied to the caller after every
// round, and one closing assignment to them makes the other outputs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "../types.hpp"
#include "assign/dispatch.cuh"
#include "config.cuh"
#include "init/dispatch.cuh"
#include "launch.cuh"
#include "lloyd.cuh"
#include "outputs.hpp"
#include "workspace.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
