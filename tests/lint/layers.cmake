# The rule of the layers: cmake -DROOT=<include/flash_kmeans> -P layers.cmake
#
# Every header has a layer, and includes only headers of its own layer or of a lower one. What a
# layer never holds is searched for by name. Prints every offence, then fails if there was one.
cmake_minimum_required(VERSION 3.25)

# Layer and file, as a regular expression for the path below include/flash_kmeans. A file that no
# line matches fails the lint: a new file gets its place here.
set(table
    "0 version\\.hpp|types\\.hpp"
    "1 detail/(host/abi\\.hpp|calls\\.hpp|config\\.cuh|error\\.hpp|math\\.hpp|checks\\.hpp|nvtx\\.hpp|outputs\\.hpp|seeding\\.hpp|balance\\.hpp)"
    "2 detail/ptx/[a-z0-9_]+\\.cuh"
    "3 detail/([a-z]+/)?kernel_[a-z0-9_]+\\.cuh"
    "3 detail/assign/((argmin|mended_labels|metrics|nearest_j|operand|packing|pieces|simt_operand|screen_(rows|state)|sm90_(labels|producer|search|work))\\.cuh|tiles\\.hpp)"
    "3 detail/(device_matrix|lower_bound|reduce)\\.cuh"
    "3 detail/update/(sorted|changes|counting|count_span|sort_span|centroid|kinds|gaps|moved_points|moved_centroids)\\.cuh"
    "3 detail/(small/(search|memory)|convergence/(moments|state)|telemetry/counts)\\.cuh"
    "3 detail/small/layout\\.hpp"
    "3 detail/init/(seed_[a-z]+|random_points)\\.cuh"
    "4 detail/(count_from|graph|launch|points|tensor_map|workspace)\\.cuh"
    "4 detail/[a-z]+/dispatch\\.cuh"
    "4 detail/(convergence/choice|assign/(plan|queries|screen|sm90_launch)|update/(sort|scaling|empty|balance))\\.cuh"
    "4 detail/init/[a-z0-9_]+\\.cuh"
    "4 detail/host/[a-z0-9_]+\\.hpp"
    "5 detail/(lloyd|best_of)\\.cuh"
    "5 (append|fit|predict|ragged|update|init)\\.cuh|host\\.hpp"
    "6 flash_kmeans\\.cuh")
set(kernel_file "/kernel_[^/]*$")
set(umbrella "flash_kmeans.cuh")

# What only some files may hold: who may (layers, or the one file), what, and how to say it.
macro(only_in allowed pattern said)
  if(NOT layer MATCHES "^(${allowed})$"
     AND NOT file STREQUAL "${allowed}"
     AND text MATCHES "${pattern}")
    offence("${said}")
  endif()
endmacro()

set(offences 0)
macro(offence said)
  message("${file}: ${said}")
  math(EXPR offences "${offences} + 1")
endmacro()

function(layer_of file out)
  set(${out} "" PARENT_SCOPE)
  foreach(line IN LISTS table)
    string(SUBSTRING "${line}" 0 1 layer)
    string(SUBSTRING "${line}" 2 -1 pattern)
    if(file MATCHES "^(${pattern})$")
      set(${out} ${layer} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/*)
list(FILTER files EXCLUDE REGEX "[.]md$") # texts
if(NOT files)
  message(FATAL_ERROR "no files under ${ROOT}")
endif()

foreach(file IN LISTS files)
  layer_of(${file} layer)
  if(layer STREQUAL "")
    offence("has no layer, give it one in tests/lint/layers.cmake")
    continue()
  endif()

  # Comments may speak of anything. Semicolons and brackets would break CMake's lists.
  file(READ ${ROOT}/${file} text)
  string(REPLACE ";" " " text "${text}")
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REGEX MATCHALL "#[ \t]*include[ \t]+[<\"][^>\"\n]+[>\"]" includes "${text}")

  if(NOT text MATCHES "(^|\n)#pragma once\n")
    offence("lacks #pragma once")
  endif()
  only_in(4 "<<<|cudaLaunch" "launches a kernel, which only layer 4 does")
  only_in(4 "<(cub|thrust)/" "includes CUB or Thrust, which only layer 4 does")
  only_in("[456]" "cudaStream_t" "knows streams, which start at layer 4")
  only_in("[34]" "(__global__|FLASH_KMEANS_KERNEL)[ \n]+(void|__launch)"
          "defines a kernel, which only layers 3 and 4 do")
  only_in(detail/config.cuh "__CUDA_ARCH" "reads __CUDA_ARCH__, which only detail/config.cuh does")
  only_in(detail/workspace.cuh "cuda(Malloc|Free)[A-Za-z0-9]* *[(]"
          "allocates or frees, which only detail/workspace.cuh does")
  if(file MATCHES "\\.hpp$" AND text MATCHES "<(cuda|cub/|thrust/|nv/|mma\\.h|nccl)")
    offence("is plain C++ and includes a CUDA header")
  endif()

  foreach(include IN LISTS includes)
    string(REGEX REPLACE ".*([<\"])([^>\"]+)[>\"]" "\\1" kind "${include}")
    string(REGEX REPLACE ".*[<\"]([^>\"]+)[>\"]" "\\1" name "${include}")
    if(kind STREQUAL "\"")
      cmake_path(GET file PARENT_PATH target)
      cmake_path(APPEND target "${name}")
      cmake_path(NORMAL_PATH target)
    elseif(name MATCHES "^flash_kmeans/(.*)$")
      set(target "${CMAKE_MATCH_1}")
    else()
      continue()
    endif()

    if(NOT target IN_LIST files)
      offence("includes ${name}, which is not there")
      continue()
    endif()
    layer_of(${target} target_layer)
    if(target_layer GREATER layer)
      offence("is layer ${layer} and includes ${target} of layer ${target_layer}")
    endif()
    if(file MATCHES "${kernel_file}" AND target MATCHES "${kernel_file}")
      offence("is a kernel and includes another, ${target}")
    endif()
    if(target STREQUAL umbrella)
      offence("includes the umbrella")
    endif()
    if(file MATCHES "\\.hpp$" AND target MATCHES "\\.cuh$")
      offence("is plain C++ and includes ${target}")
    endif()
  endforeach()
endforeach()

list(LENGTH files count)
if(offences)
  message(FATAL_ERROR "${offences} offences in ${count} files")
endif()
message("${count} files keep to their layers")
