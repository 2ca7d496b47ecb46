// One unit of instruction_sets_main.cpp, compiled twice: as `plain` for any CPU of the architecture
// and as `wide` for its widest vectors.
#include "instruction_sets.hpp"

namespace fk = flash_kmeans;

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

fit_function const JOIN(fit_of_, UNIT) = fk::host::fit<float const, float>;

double JOIN(run_, UNIT)(problem const& p) {
  fk::matrix_view<float const> const x(p.x, p.n, p.d);
  fk::matrix_view<float> const c(p.centroids, p.k, p.d);
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.empty_cluster = fk::empty_cluster::farthest_point;
  options.max_size_ratio = 2;
  fk::host::predict(x, c, p.labels);
  fk::host::transform(x, c, fk::matrix_view<float>(p.distances, p.n, p.k));
  fk::host::top_k(x, c, 1, p.labels);
  fk::host::inertia(x, c);
  fk::host::update_centroids(x, p.labels, c);
  fk::host::append(x, c, 1, p.labels, options);
  std::int64_t const points[] = {0, p.n}, clusters[] = {0, p.k};
  fk::ragged_view<float const> const sequences(p.x, points, 1, p.d);
  fk::ragged_view<float> const means(p.centroids, clusters, 1, p.d);
  fk::host::fit(sequences, means, p.labels, options);
  fk::host::predict(sequences, means, p.labels);
  options.init = fk::init_method::kmeans_parallel;
  fk::host::init_centroids(x, c, options);
  options.init = fk::init_method::kmeans_plus_plus;
  return JOIN(fit_of_, UNIT)(x, c, p.labels, options, {}).inertia;
}
