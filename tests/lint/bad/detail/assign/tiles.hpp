#pragma once

#include <cuda_fp16.h>

#include "../config.cuh"
