# What the project's own executables share, and how a whole tree is built from one command.

# An executable of this project: the library, its warnings, nothing that a user's target would get.
function(flash_kmeans_add_executable name)
  add_executable(${name} ${ARGN})
  flash_kmeans_own_target(${name})
endfunction()

function(flash_kmeans_own_target name)
  target_link_libraries(${name} PRIVATE flash_kmeans::flash_kmeans)
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF CUDA_EXTENSIONS OFF)
  set(warnings -Wall -Wextra)
  if(FLASH_KMEANS_WARNINGS_AS_ERRORS)
    list(APPEND warnings -Werror)
    target_compile_options(
      ${name} PRIVATE $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Werror=all-warnings>)
  endif()
  list(JOIN warnings "," host_warnings)
  target_compile_options(
    ${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>"
                    "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Xcompiler=${host_warnings}>")
endfunction()

# Gives an executable the verbs of four types of points, which are compiled once for all tests and
# benchmarks. Its sources include gpu_verbs.hpp.
function(flash_kmeans_link_verbs name)
  set(tests ${PROJECT_SOURCE_DIR}/tests)
  foreach(type IN ITEMS "half:__half:float" "bfloat16:__nv_bfloat16:float" "float:float:float"
          "double:double:double")
    string(REPLACE ":" ";" type ${type})
    list(GET type 0 suffix)
    list(GET type 1 points)
    list(GET type 2 centroids)
    set(verbs gpu_verbs_${suffix})
    if(NOT TARGET ${verbs})
      add_library(${verbs} OBJECT ${tests}/gpu/verbs.cu)
      flash_kmeans_own_target(${verbs})
      target_include_directories(${verbs} PRIVATE ${tests})
      target_compile_definitions(${verbs} PRIVATE VERBS_OF=${points} CENTROIDS=${centroids})
    endif()
    target_link_libraries(${name} PRIVATE ${verbs})
  endforeach()
  target_include_directories(${name} PRIVATE ${tests})
endfunction()

# Jobs that the machine can take: its cores, but 2 GiB of memory for each compiler. Containers
# say their share in the cgroup files.
function(flash_kmeans_build_jobs out)
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  cmake_host_system_information(RESULT mebibytes QUERY AVAILABLE_PHYSICAL_MEMORY)
  find_program(nproc nproc NO_CACHE)
  if(nproc)
    execute_process(COMMAND ${nproc} OUTPUT_VARIABLE cores OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  if(EXISTS /sys/fs/cgroup/cpu.max)
    file(READ /sys/fs/cgroup/cpu.max share)
    if(share MATCHES "^([0-9]+) ([0-9]+)")
      math(EXPR limit "(${CMAKE_MATCH_1} + ${CMAKE_MATCH_2} - 1) / ${CMAKE_MATCH_2}")
      if(limit LESS cores)
        set(cores ${limit})
      endif()
    endif()
  endif()
  if(EXISTS /sys/fs/cgroup/memory.max)
    file(READ /sys/fs/cgroup/memory.max share)
    if(share MATCHES "^([0-9]+)")
      math(EXPR limit "${CMAKE_MATCH_1} / 1048576")
      if(limit LESS mebibytes)
        set(mebibytes ${limit})
      endif()
    endif()
  endif()
  math(EXPR jobs "${mebibytes} / 2048")
  if(jobs GREATER cores)
    set(jobs ${cores})
  endif()
  if(jobs LESS 1)
    set(jobs 1)
  endif()
  set(${out} ${jobs} PARENT_SCOPE)
endfunction()

# A build preset has no way to say "as many jobs as this machine can take", and `make` alone takes
# one. These targets build the rest of the tree with that many jobs.
if(PROJECT_IS_TOP_LEVEL AND CMAKE_GENERATOR MATCHES "Makefiles")
  flash_kmeans_build_jobs(jobs)
  set(FLASH_KMEANS_BUILD_COMMAND ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --parallel ${jobs})
  add_custom_target(everything COMMAND ${FLASH_KMEANS_BUILD_COMMAND} VERBATIM)
endif()
