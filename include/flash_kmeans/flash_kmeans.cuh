// Everything: exact k-means on the GPU, and its CPU backend.
#pragma once

#include "append.cuh"
#include "fit.cuh"
#include "host.hpp"
#include "init.cuh"
#include "predict.cuh"
#include "ragged.cuh"
#include "types.hpp"
#include "update.cuh"
#include "version.hpp"
