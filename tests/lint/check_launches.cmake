# Proves that the lint of launches can fail: cmake -DROOT=<include/flash_kmeans> -DDIR=<tests/lint>
# -DWORK=<directory> -P check_launches.cmake
#
# Each change of the table, or of a copy of the headers, must be reported with these words.
cmake_minimum_required(VERSION 3.25)

set(problems)
function(expect_report file from to said)
  file(REMOVE_RECURSE ${WORK})
  file(COPY ${ROOT}/ DESTINATION ${WORK})
  file(READ ${WORK}/detail/${file} text)
  string(FIND "${text}" "${from}" at)
  string(REPLACE "${from}" "${to}" text "${text}")
  file(WRITE ${WORK}/detail/${file} "${text}")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P ${DIR}/launches.cmake
                  RESULT_VARIABLE failed OUTPUT_VARIABLE log ERROR_VARIABLE log)
  string(FIND "${log}" "${said}" found)
  if(at EQUAL -1 OR failed EQUAL 0 OR found EQUAL -1)
    list(APPEND problems "not reported: ${said}")
    set(problems "${problems}" PARENT_SCOPE)
  endif()
endfunction()

expect_report(launches.md "| unit_kernel |" "| other_kernel |" "unit_kernel: has no row")
expect_report(launches.md "| unit_kernel |" "| other_kernel |" "other_kernel: has a row and is no")
expect_report(launches.md "| unit_kernel |" "| take_kernel |" "take_kernel: has two rows")
expect_report(launches.md "| sort_kernel | option" "| sort_kernel | never"
              "sort_kernel: the column overlaps says")
expect_report(launches.md "| count_kernel | option | yes, first | yes"
              "| count_kernel | option | yes, first | no" "count_kernel: the column lets says")
expect_report(update/kernel_sort.cuh "ptx::wait_for_grid_before();" ""
              "sort_kernel: the column waits says")
expect_report(launches.md "| sort_kernel | option | yes, first" "| sort_kernel | option | no"
              "sort_kernel: overlaps and does not wait")
if(problems)
  list(JOIN problems "\n  " problems)
  message(FATAL_ERROR "${problems}")
endif()
