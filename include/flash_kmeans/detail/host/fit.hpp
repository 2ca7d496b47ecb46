// The fits of one call: what is found out about the points first, the fits, and their by-products.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../types.hpp"
#include "../calls.hpp"
#include "../outputs.hpp"
#include "abi.hpp"
#include "assign.hpp"
#include "lloyd.hpp"
#include "points.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "sort.hpp"
#include "team.hpp"
#include "variance.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// What a fit has to know of the points of a batch.
template <class C>
struct batch_facts {
  vector<point_facts<C>> points;  // [b]
  vector<double> bounds;          // [b], the shift with which a problem has converged
};

template <class P, class C>
batch_facts<C> look_at_batch(team& workers, scratch<C>& shared, fit_call<P, C> const& call) {
  std::int64_t const b = call.x.batch_count(), n = call.x.rows;
  fit_options const& options = call.options;
  batch_facts<C> facts{vector<point_facts<C>>(static_cast<std::size_t>(b)),
                       vector<double>(static_cast<std::size_t>(b), 0.0)};
  double const cost = static_cast<double>(n) * static_cast<double>(call.x.cols);
  for_each_problem(workers, shared, b, cost, [&](team& t, scratch<C>& s, std::int64_t i) {
    auto const points = problem(call.x, i);
    auto& own = facts.points[static_cast<std::size_t>(i)];
    own = look_at_points<P, C>(t, points, options.metric, weights_of<C>(options.weights, i, n));
    if (options.tolerance == 0) return;
    facts.bounds[static_cast<std::size_t>(i)] =
        options.tolerance * mean_variance(t, s, points, own);
  });
  return facts;
}

// Labels, centroids, records, by-products and status of one batch.
template <class P, class C>
vector<fit_status> fit_batch(team& workers, scratch<C>& shared, fit_call<P, C> const& call,
                             batch_facts<C> const& facts) {
  std::int64_t const b = call.x.batch_count(), n = call.x.rows;
  vector<fit_status> const status =
      run_best_fit<P, C>(workers, shared,
                         {call.x, call.centroids, call.out.labels, call.options, call.options.seed,
                          facts.points, facts.bounds, call.out.records});
  if (wanted(call.out.index)) {
    for_each_problem(workers, shared, b, static_cast<double>(n),
                     [&](team& t, scratch<C>& s, std::int64_t i) {
                       auto const& own = facts.points[static_cast<std::size_t>(i)];
                       sort_points(t, s, counted_labels(own, call.out.labels + i * n, n, s.labels),
                                   n, call.centroids.rows);
                       write_index(s, call.out.index, i);
                     });
  }
  if (call.first_cluster != 0) {
    for (std::int64_t i = 0; i < b * n; ++i) call.out.labels[i] += call.first_cluster;
  }
  if (call.out.status != nullptr) std::copy(status.begin(), status.end(), call.out.status);
  return status;
}

// A whole call, after the checks that are not the CPU's own. Batches are fitted side by side, unless
// somebody is told of their progress.
template <class P, class C>
fit_result run_fits(std::vector<fit_call<P, C>> const& calls, int threads) {
  check_threads(threads);
  double points = 0;
  for (auto const& call : calls) {
    check_weight_values<C>(call.options.weights, call.first, call.x.batch_count(), call.x.rows);
    points += static_cast<double>(call.x.batch_count()) * static_cast<double>(call.x.rows);
  }
  team workers(threads);
  scratch<C> shared;
  auto const count = static_cast<std::int64_t>(calls.size());
  auto const& widest = *std::max_element(
      calls.begin(), calls.end(),
      [](auto const& a, auto const& b) { return a.centroids.rows < b.centroids.rows; });
  double const cost =  // of one, about
      points / static_cast<double>(count) * static_cast<double>(widest.centroids.rows) *
      static_cast<double>(widest.x.cols);
  vector<batch_facts<C>> facts(calls.size());
  for_each_problem(workers, shared, count, cost, [&](team& t, scratch<C>& s, std::int64_t i) {
    auto const at = static_cast<std::size_t>(i);
    facts[at] = look_at_batch(t, s, calls[at]);
  });
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (calls[i].options.check_input) require_finite(calls[i].x, facts[i].points, calls[i].first);
  }
  vector<vector<fit_status>> ends(calls.size());
  auto const fit = [&](team& t, scratch<C>& s, std::int64_t i) {
    auto const at = static_cast<std::size_t>(i);
    ends[at] = fit_batch(t, s, calls[at], facts[at]);
  };
  if (calls.front().options.progress) {
    for (std::int64_t i = 0; i < count; ++i) fit(workers, shared, i);
  } else {
    for_each_problem(workers, shared, count, cost, fit);
  }
  vector<fit_status> all;
  for (auto const& own : ends) all.insert(all.end(), own.begin(), own.end());
  return summary(all, assign_kernel::host);
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
