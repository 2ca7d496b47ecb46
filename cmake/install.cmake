# Install rules: headers, licence, and the files that find_package(flash_kmeans) reads.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/flash_kmeans)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/flash_kmeans
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(TARGETS flash_kmeans EXPORT flash_kmeans-targets
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT flash_kmeans-targets NAMESPACE flash_kmeans:: DESTINATION ${package_dir})

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/flash_kmeans-config.cmake.in
  ${PROJECT_BINARY_DIR}/flash_kmeans-config.cmake INSTALL_DESTINATION ${package_dir})
# While the major version is 0, a new minor version may break callers.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/flash_kmeans-config-version.cmake
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/flash_kmeans-config.cmake
              ${PROJECT_BINARY_DIR}/flash_kmeans-config-version.cmake
        DESTINATION ${package_dir})
