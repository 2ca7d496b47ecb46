# Proves that the lint can fail: cmake -DDIR=<tests/lint> -P check.cmake
#
# The tree under bad/ breaks every rule once. All offences, and no others, must be reported.
cmake_minimum_required(VERSION 3.25)

set(expected
    "detail/assign/kernel_a.cuh: is a kernel and includes another, detail/assign/kernel_b.cuh"
    "detail/assign/kernel_a.cuh: is layer 3 and includes detail/launch.cuh of layer 4"
    "detail/assign/kernel_b.cuh: reads __CUDA_ARCH__, which only detail/config.cuh does"
    "detail/assign/kernel_b.cuh: knows streams, which start at layer 4"
    "detail/assign/tiles.hpp: is plain C++ and includes detail/config.cuh"
    "detail/assign/tiles.hpp: is plain C++ and includes a CUDA header"
    "detail/launch.cuh: allocates or frees, which only detail/workspace.cuh does"
    "detail/stray.cuh: has no layer, give it one in tests/lint/layers.cmake"
    "fit.cuh: defines a kernel, which only layers 3 and 4 do"
    "fit.cuh: includes CUB or Thrust, which only layer 4 does"
    "fit.cuh: includes missing.cuh, which is not there"
    "fit.cuh: includes the umbrella"
    "fit.cuh: is layer 5 and includes flash_kmeans.cuh of layer 6"
    "fit.cuh: launches a kernel, which only layer 4 does"
    "version.hpp: lacks #pragma once")

execute_process(
  COMMAND ${CMAKE_COMMAND} -DROOT=${DIR}/bad -P ${DIR}/layers.cmake
  RESULT_VARIABLE result
  ERROR_VARIABLE output)

set(problems)
if(result EQUAL 0)
  list(APPEND problems "the lint let the bad tree pass")
endif()
string(REGEX MATCHALL "[a-z_/]+\\.(cuh|hpp): [^\n]+" found "${output}")
foreach(line IN LISTS expected)
  if(NOT line IN_LIST found)
    list(APPEND problems "not reported: ${line}")
  endif()
endforeach()
foreach(line IN LISTS found)
  if(NOT line IN_LIST expected)
    list(APPEND problems "reported, but no offence: ${line}")
  endif()
endforeach()
if(problems)
  list(JOIN problems "\n  " problems)
  message(FATAL_ERROR "${problems}\nThe lint said:\n${output}")
endif()
