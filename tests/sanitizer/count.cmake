# Adds up the tests that ran under each tool, prints the sums, and fails where one is smaller than
# the number in FEWEST: cmake -DOUT=<directory of run.cmake> -DFEWEST=<file> -P count.cmake
#
# FEWEST has a line `<tool>.<placement> <number>` for each run.
cmake_minimum_required(VERSION 3.25)

file(STRINGS ${FEWEST} lines REGEX "^[a-z]")
file(GLOB_RECURSE counts ${OUT}/*.count)
if(NOT counts AND NOT "$ENV{FLASH_KMEANS_REQUIRE_GPU}" STREQUAL "1")
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo "skipped: no tool has run")
  return()
endif()

set(fallen)
foreach(line IN LISTS lines)
  string(REGEX REPLACE " .*" "" run "${line}")
  string(REGEX REPLACE ".* " "" fewest "${line}")
  set(sum 0)
  file(GLOB counts ${OUT}/${run}/*.count)
  foreach(file IN LISTS counts)
    file(READ ${file} count)
    math(EXPR sum "${sum} + ${count}")
  endforeach()
  message("${run}: ${sum} tests, at least ${fewest}")
  if(sum LESS fewest)
    list(APPEND fallen ${run})
  endif()
endforeach()
if(fallen OR NOT lines)
  message(FATAL_ERROR "fewer tests than before ran under: ${fallen}")
endif()
