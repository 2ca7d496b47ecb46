# What tests, benchmarks and examples need besides the library: found, else installed from the
# distribution's packages (FLASH_KMEANS_INSTALL_DEPENDENCIES, and root or passwordless sudo), else
# fetched (FLASH_KMEANS_FETCH_DEPENDENCIES), else the configure stops with the line to run.
#
# Per dependency: the target it provides, its Debian package, its repository and the pinned version.
set(GTest_target GTest::gtest_main)
set(GTest_package libgtest-dev)
set(GTest_repository https://github.com/google/googletest.git)
set(GTest_tag v1.15.2)

set(benchmark_target benchmark::benchmark)
set(benchmark_package libbenchmark-dev)
set(benchmark_repository https://github.com/google/benchmark.git)
set(benchmark_tag v1.9.4)

set(CLI11_target CLI11::CLI11)
set(CLI11_package libcli11-dev)
set(CLI11_repository https://github.com/CLIUtils/CLI11.git)
set(CLI11_tag v2.5.0)

set(nlohmann_json_target nlohmann_json::nlohmann_json)
set(nlohmann_json_package nlohmann-json3-dev)
set(nlohmann_json_repository https://github.com/nlohmann/json.git)
set(nlohmann_json_tag v3.11.3)

# stb has neither a CMake package nor releases: headers, pinned by commit.
set(stb_target flash_kmeans_stb)
set(stb_package libstb-dev)
set(stb_repository https://github.com/nothings/stb.git)
set(stb_tag f58f558c120e9b32c217290b80bad1a0729fbb2c)

function(flash_kmeans_stb_target directory)
  add_library(flash_kmeans_stb INTERFACE)
  target_include_directories(flash_kmeans_stb SYSTEM INTERFACE ${directory})
endfunction()

# Sets `missing` to those of the names that cannot be found.
macro(flash_kmeans_find_dependencies)
  set(missing)
  foreach(name IN ITEMS ${ARGN})
    if(NOT TARGET ${${name}_target})
      if(name STREQUAL stb)
        find_path(FLASH_KMEANS_STB_INCLUDE_DIR NAMES stb_image_write.h PATH_SUFFIXES stb)
        mark_as_advanced(FLASH_KMEANS_STB_INCLUDE_DIR)
        if(FLASH_KMEANS_STB_INCLUDE_DIR)
          flash_kmeans_stb_target(${FLASH_KMEANS_STB_INCLUDE_DIR})
        endif()
      else()
        find_package(${name} QUIET)
      endif()
    endif()
    if(NOT TARGET ${${name}_target})
      list(APPEND missing ${name})
    endif()
  endforeach()
endmacro()

# The distribution's names of what is missing, as one would give them to apt-get.
function(flash_kmeans_packages_of out)
  set(packages)
  foreach(name IN LISTS ARGN)
    list(APPEND packages ${${name}_package})
  endforeach()
  set(${out} ${packages} PARENT_SCOPE)
endfunction()

# Installs packages where the user may. Whether it helped shows when they are looked for again.
function(flash_kmeans_apt_install)
  find_program(apt_get apt-get NO_CACHE)
  find_program(sudo sudo NO_CACHE)
  find_program(id id NO_CACHE)
  if(NOT apt_get OR NOT id)
    return()
  endif()
  set(as_root ${CMAKE_COMMAND} -E env DEBIAN_FRONTEND=noninteractive)
  execute_process(COMMAND ${id} -u OUTPUT_VARIABLE user OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT user STREQUAL 0)
    if(NOT sudo)
      return()
    endif()
    execute_process(COMMAND ${sudo} -n true RESULT_VARIABLE denied OUTPUT_QUIET ERROR_QUIET)
    if(NOT denied EQUAL 0)
      return()
    endif()
    set(as_root ${sudo} -n env DEBIAN_FRONTEND=noninteractive)
  endif()
  list(JOIN ARGN " " shown)
  message(STATUS "flash_kmeans: installing with apt-get: ${shown}")
  set(quick -o Acquire::http::Timeout=30 -o Acquire::Retries=1 -o DPkg::Lock::Timeout=300)
  # An update that fails for one of many sources need not keep the packages from installing.
  execute_process(COMMAND ${as_root} ${apt_get} update -qq ${quick} OUTPUT_VARIABLE log
                  ERROR_VARIABLE log)
  execute_process(
    COMMAND ${as_root} ${apt_get} install -y -qq --no-install-recommends ${quick} ${ARGN}
    OUTPUT_VARIABLE log
    ERROR_VARIABLE log
    RESULT_VARIABLE failed)
  if(NOT failed EQUAL 0)
    message(STATUS "flash_kmeans: apt-get install failed:\n${log}")
  endif()
endfunction()

# Fetches one dependency and makes its target. A repository that does not answer is asked for a few
# seconds only, and `reached` set to OFF.
function(flash_kmeans_fetch name)
  include(FetchContent)
  set(reached OFF PARENT_SCOPE)
  string(TOLOWER ${name} lower)
  string(TOUPPER ${name} upper)
  if(NOT DEFINED FETCHCONTENT_SOURCE_DIR_${upper}
     AND NOT FETCHCONTENT_FULLY_DISCONNECTED
     AND NOT EXISTS ${FETCHCONTENT_BASE_DIR}/${lower}-src/.git)
    find_package(Git QUIET)
    if(NOT GIT_EXECUTABLE)
      message(STATUS "flash_kmeans: there is no git to fetch ${name} with")
      return()
    endif()
    execute_process(
      COMMAND ${CMAKE_COMMAND} -E env GIT_TERMINAL_PROMPT=0 ${GIT_EXECUTABLE} ls-remote --quiet
              ${${name}_repository} HEAD
      RESULT_VARIABLE failed
      OUTPUT_QUIET ERROR_QUIET TIMEOUT 20)
    if(NOT failed EQUAL 0)
      message(STATUS "flash_kmeans: cannot reach ${${name}_repository}, nothing is fetched")
      return()
    endif()
    message(STATUS "flash_kmeans: fetching ${name} ${${name}_tag} from ${${name}_repository} "
                   "(or run: sudo apt-get install -y ${${name}_package})")
  endif()
  set(reached ON PARENT_SCOPE)
  set(shallow GIT_SHALLOW ON)
  if(name STREQUAL stb)
    set(shallow) # a commit cannot be cloned shallowly
  endif()

  # Options of the fetched projects: no tests, no install rules, no warnings as errors.
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  set(BUILD_TESTING OFF)
  set(BUILD_GMOCK OFF)
  set(INSTALL_GTEST OFF)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  set(BENCHMARK_ENABLE_WERROR OFF)
  set(BENCHMARK_INSTALL_DOCS OFF)
  FetchContent_Declare(${name} SYSTEM GIT_REPOSITORY ${${name}_repository} GIT_TAG ${${name}_tag}
                       ${shallow})
  FetchContent_MakeAvailable(${name})
  if(name STREQUAL stb)
    flash_kmeans_stb_target(${stb_SOURCE_DIR})
  endif()
endfunction()

# What the requested parts need.
set(needed)
if(FLASH_KMEANS_BUILD_TESTS)
  list(APPEND needed GTest)
endif()
if(FLASH_KMEANS_BUILD_BENCHMARKS AND FLASH_KMEANS_CUDA)
  list(APPEND needed benchmark)
endif()
if(FLASH_KMEANS_BUILD_EXAMPLES)
  list(APPEND needed CLI11 nlohmann_json stb)
endif()

flash_kmeans_find_dependencies(${needed})
if(missing AND FLASH_KMEANS_INSTALL_DEPENDENCIES)
  flash_kmeans_packages_of(packages ${missing})
  flash_kmeans_apt_install(${packages})
  flash_kmeans_find_dependencies(${missing})
endif()
if(missing AND FLASH_KMEANS_FETCH_DEPENDENCIES)
  foreach(name IN LISTS missing)
    flash_kmeans_fetch(${name})
    if(NOT reached)
      break() # they all come from one host
    endif()
  endforeach()
  flash_kmeans_find_dependencies(${missing})
endif()
if(missing)
  flash_kmeans_packages_of(packages ${missing})
  list(JOIN missing ", " missing)
  list(JOIN packages " " packages)
  message(
    FATAL_ERROR
      "flash_kmeans: cannot find ${missing}. On Debian or Ubuntu run\n"
      "  sudo apt-get update && sudo apt-get install -y ${packages}\n"
      "and configure again; elsewhere install them, or name their place in CMAKE_PREFIX_PATH.")
endif()
