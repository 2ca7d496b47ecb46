# Proves that run.cmake and count.cmake can fail, with a stand-in for compute-sanitizer that prints
# what a log held: cmake -DDIR=<tests/sanitizer> -DWORK=<directory> -P check.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(stand_in ${WORK}/stand_in.sh)
file(WRITE ${stand_in} "#!/bin/sh\ncat ${WORK}/log.txt\nexit `cat ${WORK}/result.txt`\n")
file(CHMOD ${stand_in} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
set(problems)

# check_run(what passes RUN log exit-code options...): passes says whether run.cmake must succeed.
function(check_run what passes run_of log result)
  file(WRITE ${WORK}/log.txt "${log}\n")
  file(WRITE ${WORK}/result.txt "${result}")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -DSANITIZER=${stand_in} -DRUN=${run_of} -DPROGRAM=program -DNAME=name
            -DOUT=${WORK}/out -DFAKE_GPU=ON ${ARGN} -P ${DIR}/run.cmake
    RESULT_VARIABLE failed
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if((failed EQUAL 0 AND NOT passes) OR (NOT failed EQUAL 0 AND passes))
    list(APPEND problems "${what}: run.cmake ended with ${failed}")
    set(problems "${problems}" PARENT_SCOPE)
  endif()
endfunction()

function(check_count what passes number)
  file(WRITE ${WORK}/fewest.txt "# a comment\nmemcheck.exact_start ${number}\n")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env FLASH_KMEANS_REQUIRE_GPU=1 ${CMAKE_COMMAND} -DOUT=${WORK}/out
            -DFEWEST=${WORK}/fewest.txt -P ${DIR}/count.cmake
    RESULT_VARIABLE failed
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if((failed EQUAL 0 AND NOT passes) OR (NOT failed EQUAL 0 AND passes))
    list(APPEND problems "${what}: count.cmake ended with ${failed}")
    set(problems "${problems}" PARENT_SCOPE)
  endif()
endfunction()

set(passed "[  PASSED  ] 7 tests.\n========= ERROR SUMMARY: 0 errors")
set(memcheck memcheck:exact_start)
check_run("a clean run" ON ${memcheck} "${passed}" 0 -DFILTER=*small_*)
check_count("as many tests as before" ON 7)
check_count("fewer tests than before" OFF 8)
check_run("a report" OFF ${memcheck} "[  PASSED  ] 7 tests.\n========= ERROR SUMMARY: 2 errors" 86
          -DFILTER=*small_*)
check_count("a run that failed does not count" OFF 1)
check_run("a report that the exit code lacks" OFF ${memcheck}
          "[  PASSED  ] 7 tests.\n========= ERROR SUMMARY: 2 errors" 0 -DFILTER=*small_*)
check_run("a test that fails" OFF ${memcheck} "${passed}" 1 -DFILTER=*small_*)
check_run("a tool that says nothing" OFF ${memcheck} "[  PASSED  ] 7 tests." 0 -DFILTER=*small_*)
check_run("a warning of racecheck" OFF racecheck:exact_start
          "========= RACECHECK SUMMARY: 1 hazard displayed (0 errors, 1 warning)" 0 -DPLAIN=ON)
check_run("no hazards" ON racecheck:exact_start
          "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)" 0 -DPLAIN=ON)
check_run("a planted fault that is reported" ON ${memcheck} "========= ERROR SUMMARY: 1 error" 86
          -DPLANTED=ON)
check_run("a planted fault that is missed" OFF ${memcheck} "========= ERROR SUMMARY: 0 errors" 0
          -DPLANTED=ON)

if(problems)
  list(JOIN problems "\n  " problems)
  message(FATAL_ERROR "${problems}")
endif()
