# Sets FLASH_KMEANS_CUDA: whether tests, benchmarks and examples are built for the GPU too. Without
# a CUDA compiler that works, everything that needs none is built all the same.
include(CheckLanguage)

set(default_architectures 80 90a)

# Architectures of the GPUs in this machine, or the default where there is none that the compiler
# knows. CMake's own `native` says 90 on Hopper, and would leave out the kernels that need 90a.
function(flash_kmeans_native_architectures out)
  set(found)
  find_program(nvidia_smi nvidia-smi NO_CACHE)
  if(nvidia_smi)
    execute_process(
      COMMAND ${nvidia_smi} --query-gpu=compute_cap --format=csv,noheader
      OUTPUT_VARIABLE capabilities
      RESULT_VARIABLE failed
      ERROR_QUIET TIMEOUT 60)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE known
                    ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
    if(NOT failed EQUAL 0)
      set(capabilities)
    endif()
    foreach(capability IN LISTS capabilities)
      string(REPLACE "." "" number ${capability})
      if(number EQUAL 90)
        list(APPEND found 90a)
      elseif(known MATCHES "sm_${number}[^0-9a-z]")
        list(APPEND found ${number})
      else()
        list(APPEND found ${default_architectures})
      endif()
    endforeach()
  endif()
  if(NOT found)
    set(found ${default_architectures})
  endif()
  list(REMOVE_DUPLICATES found)
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# The toolkit's installer puts nothing on the PATH, so look where it installs to.
if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(nvcc nvcc PATHS ENV CUDA_PATH /usr/local/cuda /opt/cuda PATH_SUFFIXES bin NO_CACHE)
  if(nvcc)
    set(ENV{CUDACXX} ${nvcc})
  endif()
endif()
set(asked_for "${CMAKE_CUDA_COMPILER}")
check_language(CUDA)

if(CMAKE_CUDA_COMPILER)
  set(FLASH_KMEANS_CUDA ON)
  if("${CMAKE_CUDA_ARCHITECTURES}" STREQUAL native)
    flash_kmeans_native_architectures(CMAKE_CUDA_ARCHITECTURES)
  elseif("${CMAKE_CUDA_ARCHITECTURES}$ENV{CUDAARCHS}" STREQUAL "")
    set(CMAKE_CUDA_ARCHITECTURES ${default_architectures})
  endif()
  enable_language(CUDA)
  message(STATUS "flash_kmeans: CUDA ${CMAKE_CUDA_COMPILER_VERSION}, "
                 "for ${CMAKE_CUDA_ARCHITECTURES}")
else()
  set(FLASH_KMEANS_CUDA OFF)
  string(
    CONCAT FLASH_KMEANS_LEFT_OUT
           "no CUDA compiler that works was found, so everything for the GPU is left out: the GPU "
           "tests, the benchmarks, the CUDA examples and the GPU backend of the cluster tool. The "
           "CPU part is built. (To build all, put nvcc on the PATH or set CUDACXX.)")
  message(NOTICE "-- flash_kmeans: ${FLASH_KMEANS_LEFT_OUT}")
  # Not found today is not a decision: look again next time, unless the caller said so.
  if(asked_for STREQUAL "")
    unset(CMAKE_CUDA_COMPILER CACHE)
  endif()
endif()
