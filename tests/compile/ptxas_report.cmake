# What ptxas says of the library's kernels, compiled for one architecture:
# cmake -DNVCC=<nvcc> -DARCH=<80|90a> -DSOURCE=<.cu> -DINCLUDE=<include> -DWORK=<folder>
#       [-DCCBIN=<host compiler>] -P ptxas_report.cmake
#
# No kernel may keep variables in local memory or have its wgmma serialised (C7510 to C7520), and
# the sm90 kernels must hold wgmma. Kernels of CUB are not ours. Prints every offence, then fails if
# there was one.
cmake_minimum_required(VERSION 3.25)

cmake_path(GET SOURCE STEM stem)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(ccbin)
if(CCBIN)
  set(ccbin -ccbin=${CCBIN})
endif()
execute_process(
  COMMAND ${NVCC} ${ccbin} -std=c++17 -I${INCLUDE} -Xptxas -v --keep --keep-dir ${WORK} -cubin
          -gencode arch=compute_${ARCH},code=sm_${ARCH} -o ${WORK}/${stem}.cubin ${SOURCE}
  WORKING_DIRECTORY ${WORK}
  RESULT_VARIABLE failed
  OUTPUT_VARIABLE report
  ERROR_VARIABLE report)
if(NOT failed EQUAL 0)
  message(FATAL_ERROR "${SOURCE} does not compile:\n${report}")
endif()

set(offences 0)
macro(offence said)
  message("sm_${ARCH}: ${said}")
  math(EXPR offences "${offences} + 1")
endmacro()

# Semicolons and brackets would break CMake's lists.
string(REGEX REPLACE "[][;]" " " report "${report}")
string(REPLACE "\n" ";" report "${report}")
set(function "no function")
set(kernels 0)
foreach(line IN LISTS report)
  if(line MATCHES "Compiling entry function '([^']+)'")
    set(function "${CMAKE_MATCH_1}")
    if(NOT function MATCHES "cub")
      math(EXPR kernels "${kernels} + 1")
    endif()
  elseif(line MATCHES "Function properties for ([^ ]+)")
    set(function "${CMAKE_MATCH_1}")
  endif()
  if(line MATCHES "[^A-Za-z0-9_]C75(1[0-9]|20)[^0-9]")
    offence("${line}")
  elseif(NOT function MATCHES "cub"
         AND line MATCHES "(^|[ ,])[1-9][0-9]* bytes (stack frame|spill stores|spill loads|lmem)")
    string(STRIP "${line}" line)
    offence("${function}: ${line}")
  endif()
endforeach()
if(kernels EQUAL 0)
  offence("the report names no kernel")
endif()

# Instructions of the sm90 kernels, by what their names say of operand and pieces.
if(ARCH STREQUAL "90a" AND stem STREQUAL "ptxas_report")
  file(STRINGS ${WORK}/${stem}.ptx lines REGEX "[.]entry |wgmma[.]mma_async")
  set(entry)
  set(multiplying)
  foreach(line IN LISTS lines)
    if(line MATCHES "[.]entry ([A-Za-z0-9_$]+)")
      set(entry "${CMAKE_MATCH_1}")
    elseif(entry MATCHES "sm90_kernelI(.+Li[0-9]+)E")
      list(APPEND multiplying "${CMAKE_MATCH_1}")
    endif()
  endforeach()
  foreach(form IN ITEMS 6__halfLi1 13__nv_bfloat16Li1 13__nv_bfloat16Li3 fLi1)
    if(NOT form IN_LIST multiplying)
      offence("no wgmma in an sm90_kernel of ${form}")
    endif()
  endforeach()
endif()

if(offences)
  message(FATAL_ERROR "${offences} offences in ${kernels} kernels")
endif()
message("${kernels} kernels stay in registers")
