#pragma once

#include "../launch.cuh"
#include "kernel_b.cuh"
