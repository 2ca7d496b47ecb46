# The target `docs`: the public headers as one set of pages, by Doxygen. What is public and has no
# documentation, or one that does not fit, fails the build.
find_package(Doxygen QUIET)
if(NOT DOXYGEN_FOUND AND FLASH_KMEANS_INSTALL_DEPENDENCIES)
  include(cmake/dependencies.cmake)
  flash_kmeans_apt_install(doxygen)
  find_package(Doxygen QUIET)
endif()
if(NOT DOXYGEN_FOUND)
  message(FATAL_ERROR "flash_kmeans: the documentation needs Doxygen, for instance: "
                      "sudo apt-get install -y doxygen")
endif()

set(DOXYGEN_PROJECT_NAME flash_kmeans)
set(DOXYGEN_PROJECT_BRIEF ${PROJECT_DESCRIPTION})
set(DOXYGEN_EXTENSION_MAPPING cuh=C++)
set(DOXYGEN_FULL_PATH_NAMES NO)
set(DOXYGEN_GENERATE_TREEVIEW YES)
set(DOXYGEN_HAVE_DOT NO)
set(DOXYGEN_JAVADOC_AUTOBRIEF YES)
set(DOXYGEN_MARKDOWN_SUPPORT NO)
set(DOXYGEN_QUIET YES)
set(DOXYGEN_SORT_MEMBER_DOCS NO)
set(DOXYGEN_WARN_AS_ERROR FAIL_ON_WARNINGS)
# Not part of the interface: details, and the namespace of version and architectures.
set(DOXYGEN_EXCLUDE_SYMBOLS flash_kmeans::detail flash_kmeans::detail::* CUstream_st)
set(DOXYGEN_INPUT_FILTER "sed -e /namespace.FLASH_KMEANS_ABI/d")
doxygen_add_docs(
  docs
  include/flash_kmeans/types.hpp
  include/flash_kmeans/fit.cuh
  include/flash_kmeans/ragged.cuh
  include/flash_kmeans/append.cuh
  include/flash_kmeans/predict.cuh
  include/flash_kmeans/update.cuh
  include/flash_kmeans/init.cuh
  include/flash_kmeans/host.hpp
  COMMENT "Documentation in ${CMAKE_CURRENT_BINARY_DIR}/html/index.html")
