# Runs a program under one tool of compute-sanitizer:
#   cmake -DSANITIZER=<compute-sanitizer> -DRUN=<tool>:<placement> -DPROGRAM=<program> -DNAME=<name>
#         -DOUT=<directory> -P run.cmake
#
# RUN       the tool, and where device buffers lie in their allocations (device_buffer.hpp)
# FILTER    the program's tests that run, as GoogleTest's filter
# PLAIN     the program has no tests of GoogleTest; it counts as one
# ARGUMENT  is given to the program
# PLANTED   the program holds a fault that the tool must report
#
# Passes when the program succeeded and the tool reported nothing, and then writes the number of
# tests that ran to OUT/<tool>.<placement>/<name>.count. The log is kept beside it.
cmake_minimum_required(VERSION 3.25)

string(REPLACE ":" ";" RUN "${RUN}")
list(GET RUN 0 tool)
list(GET RUN 1 placement)
set(out ${OUT}/${tool}.${placement})
file(REMOVE ${out}/${NAME}.count)
file(MAKE_DIRECTORY ${out})

# Without a GPU or without the tool there is nothing to run, which is a failure where a GPU is
# required.
set(lacking)
if(NOT SANITIZER OR SANITIZER MATCHES "NOTFOUND")
  set(lacking "compute-sanitizer was not found")
else()
  find_program(nvidia_smi nvidia-smi NO_CACHE)
  if(nvidia_smi)
    execute_process(COMMAND ${nvidia_smi} -L OUTPUT_VARIABLE gpus ERROR_QUIET)
  endif()
  if(NOT gpus MATCHES "GPU [0-9]+:" AND NOT FAKE_GPU)
    set(lacking "no GPU")
  endif()
endif()
if(lacking)
  if("$ENV{FLASH_KMEANS_REQUIRE_GPU}" STREQUAL "1")
    message(FATAL_ERROR "${lacking}, and FLASH_KMEANS_REQUIRE_GPU=1")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo "skipped: ${lacking}")
  return()
endif()

# Tests make API calls fail on purpose, and check what these return.
set(options --tool ${tool} --error-exitcode 86 --print-limit 20)
if(tool STREQUAL memcheck)
  list(APPEND options --report-api-errors no --padding 4096)
endif()

set(environment FLASH_KMEANS_BUFFERS=${placement} FLASH_KMEANS_REQUIRE_GPU=1)
set(arguments ${ARGUMENT})
if(FILTER)
  list(APPEND arguments "--gtest_filter=${FILTER}")
endif()

string(TIMESTAMP begin %s)
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env ${environment} ${SANITIZER} ${options} ${PROGRAM} ${arguments}
  OUTPUT_VARIABLE log
  ERROR_VARIABLE log
  RESULT_VARIABLE result)
string(TIMESTAMP end %s)
math(EXPR seconds "${end} - ${begin}")
file(WRITE ${out}/${NAME}.log "${log}")

set(clean OFF)
if(log MATCHES "ERROR SUMMARY: 0 errors"
   OR log MATCHES "RACECHECK SUMMARY: 0 hazards displayed [(]0 errors, 0 warnings[)]")
  set(clean ON)
endif()

if(PLANTED)
  if(log MATCHES "(ERROR|RACECHECK) SUMMARY: [1-9]")
    message("${tool} reported the planted fault")
    return()
  endif()
  message(FATAL_ERROR "${tool} did not report the planted fault:\n${log}")
endif()

set(count 0)
if(PLAIN)
  set(count 1)
elseif(log MATCHES "\\[  PASSED  \\] ([0-9]+) tests?[.]")
  set(count ${CMAKE_MATCH_1})
endif()
if(NOT result EQUAL 0 OR NOT clean)
  message(FATAL_ERROR "${tool}: exit code ${result}, after ${seconds} s:\n${log}")
endif()
file(WRITE ${out}/${NAME}.count "${count}")
message("${tool}: ${count} tests, no report, ${seconds} s")
