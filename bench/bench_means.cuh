// What the benchmarks of fits and updates share: first centroids, and whether centroids are means.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "bench_support.cuh"

namespace bench {

// The first centroids: points of the problem, evenly spaced.
template <class P, class C>
__global__ void spaced_points_kernel(device_view<P> x, std::int64_t problems, std::int64_t k,
                                     C* centroids) {
  std::int64_t const d = x.cols;
  for (std::int64_t e = grid_index(); e < problems * k * d; e += grid_size()) {
    std::int64_t const problem = e / (k * d), j = e / d % k;
    centroids[e] = static_cast<C>(to_double(x.row(problem, j * x.rows / k)[e % d]));
  }
}

// What a row starts from: random points, and some of them as centroids.
template <class P>
struct row_data {
  device_buffer<P> points;
  fk::matrix_view<P const> x;
  device_buffer<fk::centroid_t<P>> first;

  row_data(shape const& s, cudaStream_t queue)
      : points(s.points() * s.d),
        x(s.points_view<P>(points.data())),
        first(s.problems() * s.k * s.d) {
    fill_normal(points, 1, queue);
    spaced_points_kernel<<<blocks_for(first.size()), kThreads, 0, queue>>>(
        device_view<P>(x), s.problems(), s.k, first.data());
    check(cudaGetLastError(), "spaced_points_kernel");
  }
};

// sums[b][k][d] and absolute_sums[b][k][d] of the points of every cluster, and their number
// counts[b][k].
template <class P>
__global__ void sum_by_label_kernel(device_view<P> x, std::int64_t problems,
                                    std::int32_t const* labels, std::int64_t k, double* sums,
                                    double* absolute_sums, counter_t* counts) {
  std::int64_t const d = x.cols;
  for (std::int64_t e = grid_index(); e < problems * x.rows * d; e += grid_size()) {
    std::int64_t const f = e % d, point = e / d;
    std::int64_t const problem = point / x.rows;
    std::int64_t const cluster = problem * k + labels[point];
    double const value = to_double(x.row(problem, point % x.rows)[f]);
    atomicAdd(&sums[cluster * d + f], value);
    atomicAdd(&absolute_sums[cluster * d + f], fabs(value));
    if (f == 0) atomicAdd(&counts[cluster], counter_t{1});
  }
}

// Every centroid must be the mean of its points, or the one before where it has none. A sum of m
// terms in any order is off by at most (m - 1) u sum |x| to first order, u = epsilon / 2, and the
// division and the rounding of the result add less than 2 epsilon of the mean; the double sum here
// adds (m - 1) 2^-53 sum |x|. A whole epsilon an addition covers all of it.
template <class C>
__global__ void check_means_kernel(C const* centroids, C const* previous, double const* sums,
                                   double const* absolute_sums, counter_t const* counts,
                                   std::int64_t elements, std::int64_t d, double epsilon,
                                   counter_t* wrong) {
  for (std::int64_t e = grid_index(); e < elements; e += grid_size()) {
    auto const count = static_cast<double>(counts[e / d]);
    double const expected = count > 0 ? sums[e] / count : previous[e];
    double const error = count > 0 ? (count + 2) * epsilon * absolute_sums[e] / count : 0;
    if (!(fabs(centroids[e] - expected) <= error)) atomicAdd(wrong, counter_t{1});
  }
}

// Throws unless the centroids are what one update makes of previous ones and labels in [0, k).
template <class P, class C>
void check_means(shape const& s, fk::matrix_view<P const> const& x,
                 device_buffer<std::int32_t> const& labels, device_buffer<C> const& centroids,
                 device_buffer<C> const& previous, cudaStream_t queue) {
  device_buffer<double> sums(centroids.size()), absolute_sums(centroids.size());
  device_buffer<counter_t> counts(s.problems() * s.k), wrong(1);
  sums.zero(queue);
  absolute_sums.zero(queue);
  counts.zero(queue);
  wrong.zero(queue);
  sum_by_label_kernel<<<blocks_for(s.points() * s.d), kThreads, 0, queue>>>(
      device_view<P>(x), s.problems(), labels.data(), s.k, sums.data(), absolute_sums.data(),
      counts.data());
  check(cudaGetLastError(), "sum_by_label_kernel");
  check_means_kernel<<<blocks_for(centroids.size()), kThreads, 0, queue>>>(
      centroids.data(), previous.data(), sums.data(), absolute_sums.data(), counts.data(),
      centroids.size(), s.d, static_cast<double>(std::numeric_limits<C>::epsilon()), wrong.data());
  check(cudaGetLastError(), "check_means_kernel");
  counter_t const found = wrong.download()[0];
  if (found != 0) {
    throw std::runtime_error("wrong result: " + std::to_string(found) +
                             " coordinates of centroids are not the mean of their points");
  }
}

}  // namespace bench
