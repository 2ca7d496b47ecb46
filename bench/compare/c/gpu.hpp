// What gpu_type.cu makes of each type of points.
#pragma once

#include "backend.hpp"

namespace flash_kmeans_c {

backend const& gpu_half();
backend const& gpu_bfloat16();
backend const& gpu_float();
backend const& gpu_double();

}  // namespace flash_kmeans_c
