# One package test: hands the library to the project in PROJECT in the way that WAY names, builds
# that project and runs its programs.
#
#   SOURCE, VERSION     the library's root directory and version
#   WAY                 copy, find_package, add_subdirectory or fetch_content
#   PROJECT             a directory beside this file
#   WORK                a directory that this test owns
#   GENERATOR, CMAKE_CXX_COMPILER, CMAKE_CUDA_COMPILER, CMAKE_CUDA_HOST_COMPILER
#   WITHOUT_CUDA        as if there were no CUDA Toolkit
#   REJECTED_VERSIONS   instead of a build: versions that find_package must turn down
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

# What a user needs of the repository; the rest must not be missed.
foreach(part IN ITEMS CMakeLists.txt LICENSE cmake include)
  file(COPY ${SOURCE}/${part} DESTINATION ${WORK}/library)
endforeach()

set(configure ${CMAKE_COMMAND} -G ${GENERATOR} -DCMAKE_BUILD_TYPE=Release)
# A project without C++ is not told of a compiler: FindCUDAToolkit would take it for an enabled one.
if(NOT PROJECT STREQUAL "two_architectures")
  list(APPEND configure -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER})
endif()
if(WITHOUT_CUDA)
  list(APPEND configure -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=TRUE)
endif()

if(WAY STREQUAL "find_package")
  execute_process(
    COMMAND
      ${configure} -S ${WORK}/library -B ${WORK}/library_build -DCMAKE_INSTALL_PREFIX=${WORK}/first
      -DFLASH_KMEANS_BUILD_TESTS=OFF -DFLASH_KMEANS_BUILD_BENCHMARKS=OFF
      -DFLASH_KMEANS_BUILD_EXAMPLES=OFF COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${WORK}/library_build
                          COMMAND_ERROR_IS_FATAL ANY)
  # An installed tree may be moved, and needs neither its sources nor its build tree.
  file(RENAME ${WORK}/first ${WORK}/prefix)
  file(REMOVE_RECURSE ${WORK}/library ${WORK}/library_build)
endif()

list(APPEND configure -S ${CMAKE_CURRENT_LIST_DIR}/${PROJECT} -B ${WORK}/build -DWAY=${WAY}
     -DLIBRARY=${WORK}/library -DCMAKE_PREFIX_PATH=${WORK}/prefix)
if(CMAKE_CUDA_COMPILER AND NOT WITHOUT_CUDA)
  list(APPEND configure -DCMAKE_CUDA_COMPILER=${CMAKE_CUDA_COMPILER})
  if(CMAKE_CUDA_HOST_COMPILER)
    list(APPEND configure -DCMAKE_CUDA_HOST_COMPILER=${CMAKE_CUDA_HOST_COMPILER})
  endif()
endif()

if(REJECTED_VERSIONS)
  string(REPLACE "," ";" rejected "${REJECTED_VERSIONS}")
  foreach(version IN LISTS rejected)
    execute_process(COMMAND ${configure} -DVERSION=${version} RESULT_VARIABLE result
                    OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(result EQUAL 0 OR NOT output MATCHES "version: ${VERSION}")
      message(FATAL_ERROR "find_package should turn down ${VERSION} for ${version}:\n${output}")
    endif()
  endforeach()
  return()
endif()

execute_process(COMMAND ${configure} -DVERSION=${VERSION} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build COMMAND_ERROR_IS_FATAL ANY)
file(GLOB programs ${WORK}/build/program_*)
if(NOT programs)
  message(FATAL_ERROR "${PROJECT} built no program")
endif()
foreach(program IN LISTS programs)
  execute_process(COMMAND ${program} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
