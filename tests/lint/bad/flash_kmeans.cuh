// Keeps to the rules.
#pragma once

#include "fit.cuh"
