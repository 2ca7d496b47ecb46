// The one place of the version; CMakeLists.txt reads these three lines.
#pragma once

#define FLASH_KMEANS_VERSION_MAJOR 0
#define FLASH_KMEANS_VERSION_MINOR 1
#define FLASH_KMEANS_VERSION_PATCH 0
