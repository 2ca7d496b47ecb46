// The verbs of one type of points, VERBS_OF, whose centroids are CENTROIDS.
#include "gpu_verbs.hpp"

FLASH_KMEANS_TEST_VERBS(, VERBS_OF, CENTROIDS)
