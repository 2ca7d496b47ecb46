// The oracle of the tests with options: metrics, weights, sizes of clusters, empty ones, points that
// are not finite. As reference.hpp: in double, as the textbook writes it, and independent of the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "data.hpp"
#include "reference.hpp"

namespace testing_support {

using measure = reference_metric;
enum class vacancy { keep, farthest_point, split_largest };

struct reference_options {
  measure by = measure::euclidean;
  std::vector<double> weights{};  // empty: all 1
  vacancy empty = vacancy::keep;
  double max_size_ratio = 0;
  // What a value of a centroid becomes where it is stored.
  std::function<double(double)> stored = [](double value) { return value; };

  double weight(std::int64_t i) const {
    return weights.empty() ? 1 : weights[static_cast<std::size_t>(i)];
  }
};

inline double reference_dot(matrix const& a, std::int64_t i, matrix const& b, std::int64_t j) {
  double sum = 0;
  for (std::int64_t e = 0; e < a.cols; ++e) sum += a(i, e) * b(j, e);
  return sum;
}

inline double reference_length(matrix const& a, std::int64_t i) {
  return std::sqrt(reference_dot(a, i, a, i));
}

// The row as it enters the sums: its direction under cosine.
inline std::vector<double> reference_summand(measure by, matrix const& x, std::int64_t i) {
  std::vector<double> row(x.row(i), x.row(i) + x.cols);
  double const length = by == measure::cosine ? reference_length(x, i) : 1;
  if (length == 0) return row;
  for (double& value : row) value /= length;
  return row;
}

inline std::vector<std::int32_t> reference_assign(measure by, matrix const& x, matrix const& c) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(x.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) continue;
    double best = std::numeric_limits<double>::infinity();
    for (std::int64_t j = 0; j < c.rows; ++j) {
      double const distance = reference_distance(by, x, i, c, j);
      if (distance < best) {
        best = distance;
        labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(j);
      }
    }
  }
  return labels;
}

inline double reference_inertia(reference_options const& o, matrix const& x, matrix const& c,
                                std::vector<std::int32_t> const& labels) {
  double sum = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) continue;
    sum += o.weight(i) * reference_distance(o.by, x, i, c, labels[static_cast<std::size_t>(i)]);
  }
  return sum;
}

// Mean over the features of the variance of what enters the sums.
inline double reference_variance(measure by, matrix const& x) {
  matrix rows(0, x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) continue;
    std::vector<double> const row = reference_summand(by, x, i);
    rows.values.insert(rows.values.end(), row.begin(), row.end());
    ++rows.rows;
  }
  return reference_variance(rows);
}

inline void reference_to_unit(reference_options const& o, matrix& c, std::int64_t j) {
  double const length = reference_length(c, j);
  if (length == 0) return;
  for (std::int64_t e = 0; e < c.cols; ++e) c(j, e) = o.stored(c(j, e) / length);
}

// A centroid that moves to the mean of some points of a cluster that is too large.
struct reference_move {
  std::int32_t cluster;
  std::vector<std::int64_t> points;
};

inline std::vector<reference_move> reference_moves(reference_options const& o, matrix const& x,
                                                   std::vector<std::int32_t> const& labels,
                                                   std::int64_t k, int updates = 0) {
  std::vector<reference_move> moves;
  if (o.max_size_ratio == 0) return moves;
  std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(k));
  double all = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int32_t const label = labels[static_cast<std::size_t>(i)];
    if (label < 0 || label >= k || !is_finite_row(x, i)) continue;
    members[static_cast<std::size_t>(label)].push_back(i);
    ++all;
  }
  double const most = std::max(1.0, std::floor(o.max_size_ratio * all / static_cast<double>(k)));
  // Every centroid that is asked for, by who asks; and who can be spared, by size.
  std::vector<std::size_t> asks;
  std::vector<std::pair<std::size_t, std::int32_t>> spare;
  for (std::size_t j = 0; j < members.size(); ++j) {
    auto const size = static_cast<double>(members[j].size());
    for (double held = most; held < size; held += most) asks.push_back(j);
    if (size <= most / 2) spare.emplace_back(members[j].size(), static_cast<std::int32_t>(j));
  }
  // Of equals the first from a random cluster on, then from 0 on.
  auto const start = static_cast<std::int64_t>(
      random_source(static_cast<std::uint64_t>(updates)).next() % static_cast<std::uint64_t>(k));
  auto const place = [&](std::int64_t j) { return j < start ? j + k : j; };
  std::sort(spare.begin(), spare.end(), [&](auto const& a, auto const& b) {
    return a.first < b.first || (a.first == b.first && place(a.second) < place(b.second));
  });
  if (spare.size() > asks.size()) spare.resize(asks.size());
  std::sort(spare.begin(), spare.end(),
            [](auto const& a, auto const& b) { return a.second < b.second; });
  // A share of every cluster's asks is heard: the last one of as many as there are to one spare.
  std::vector<std::vector<std::int32_t>> dealt(members.size());
  for (std::size_t i = 0; i < spare.size(); ++i) {
    std::size_t heard = 0;
    while (heard * spare.size() < (i + 1) * asks.size()) ++heard;
    dealt[asks[heard - 1]].push_back(spare[i].second);
  }
  for (std::size_t j = 0; j < members.size(); ++j) {
    std::vector<std::vector<std::int64_t>> parts(dealt[j].size() + 1);
    std::size_t part = 0;
    for (std::size_t i = 0; i < members[j].size(); ++i) {
      while ((part + 1) * members[j].size() / parts.size() <= i) ++part;
      parts[part].push_back(members[j][i]);
    }
    for (std::size_t p = 1; p < parts.size(); ++p) {
      bool const weighs_something =
          std::any_of(parts[p].begin(), parts[p].end(), [&](std::int64_t i) {
            return o.weight(i) > 0 && (o.by != measure::cosine || reference_length(x, i) > 0);
          });
      if (weighs_something) moves.push_back({dealt[j][p - 1], parts[p]});
    }
  }
  return moves;
}

// One update with all that the options ask for, after so many others.
inline matrix reference_update(reference_options const& o, matrix const& x,
                               std::vector<std::int32_t> const& assigned, matrix const& c,
                               int updates = 0) {
  auto const at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  std::vector<std::int32_t> labels = assigned;
  auto const moves = reference_moves(o, x, labels, c.rows, updates);
  for (reference_move const& move : moves) {
    std::replace(labels.begin(), labels.end(), move.cluster, std::int32_t{-1});
  }
  for (reference_move const& move : moves) {
    for (std::int64_t const i : move.points) labels[at(i)] = move.cluster;
  }
  // Points that count in the sums, the clusters' sums and weights, and their numbers of points.
  std::vector<bool> counts_in(at(x.rows), false);
  matrix sums(c.rows, c.cols);
  std::vector<double> weights(at(c.rows), 0);
  std::vector<std::int64_t> sizes(at(c.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int64_t const j = labels[at(i)];
    if (j < 0 || j >= c.rows || !is_finite_row(x, i)) continue;
    ++sizes[at(j)];
    if (o.weight(i) == 0 || (o.by == measure::cosine && reference_length(x, i) == 0)) continue;
    counts_in[at(i)] = true;
    weights[at(j)] += o.weight(i);
    std::vector<double> const row = reference_summand(o.by, x, i);
    for (std::int64_t e = 0; e < x.cols; ++e) sums(j, e) += o.weight(i) * row[at(e)];
  }
  std::vector<std::int64_t> empty;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    if (weights[at(j)] == 0) empty.push_back(j);
  }

  if (o.empty == vacancy::farthest_point && !empty.empty()) {
    std::vector<std::int64_t> far;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      if (counts_in[at(i)]) far.push_back(i);
    }
    std::stable_sort(far.begin(), far.end(), [&](std::int64_t a, std::int64_t b) {
      return reference_distance(o.by, x, a, c, assigned[at(a)]) >
             reference_distance(o.by, x, b, c, assigned[at(b)]);
    });
    // Whole clusters may be given away; what is left of their sums by rounding is not a sum.
    std::vector<std::int64_t> left(at(c.rows), 0);
    for (std::int64_t i = 0; i < x.rows; ++i) {
      if (counts_in[at(i)]) ++left[at(labels[at(i)])];
    }
    for (std::size_t e = 0; e < empty.size() && e < far.size(); ++e) {
      std::int64_t const i = far[e], from = labels[at(i)], to = empty[e];
      std::vector<double> const row = reference_summand(o.by, x, i);
      for (std::int64_t f = 0; f < x.cols; ++f) {
        sums(from, f) -= o.weight(i) * row[at(f)];
        sums(to, f) = o.weight(i) * row[at(f)];
      }
      weights[at(from)] -= o.weight(i);
      weights[at(to)] = o.weight(i);
      if (--left[at(from)] == 0) weights[at(from)] = 0;
    }
  }

  matrix means = c;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    if (weights[at(j)] == 0) continue;
    double const by = o.by == measure::cosine ? reference_length(sums, j) : weights[at(j)];
    if (by == 0) continue;
    for (std::int64_t e = 0; e < c.cols; ++e) means(j, e) = o.stored(sums(j, e) / by);
  }

  if (o.empty == vacancy::split_largest) {
    for (std::int64_t const j : empty) sizes[at(j)] = 0;
    for (std::int64_t const j : empty) {
      std::int64_t largest = 0;
      for (std::int64_t other = 1; other < c.rows; ++other) {
        if (sizes[at(other)] > sizes[at(largest)]) largest = other;
      }
      if (sizes[at(largest)] < 2) break;
      sizes[at(j)] = sizes[at(largest)] / 2;
      sizes[at(largest)] -= sizes[at(j)];
      for (std::int64_t e = 0; e < c.cols; ++e) {
        double const value = means(largest, e), sign = e % 2 == 0 ? 1 : -1;
        means(j, e) = o.stored(value * (1 + sign / 1024));
        means(largest, e) = o.stored(value * (1 - sign / 1024));
      }
      if (o.by == measure::cosine) {
        reference_to_unit(o, means, j);
        reference_to_unit(o, means, largest);
      }
    }
  }
  return means;
}

// Lloyd's algorithm from the centroids c0.
inline reference_fit_result reference_fit(reference_options const& o, matrix const& x,
                                          matrix const& c0, int max_iterations, double tolerance) {
  reference_fit_result result;
  result.centroids = c0;
  if (o.by == measure::cosine) {
    for (std::int64_t j = 0; j < c0.rows; ++j) reference_to_unit(o, result.centroids, j);
  }
  double const bound = tolerance * reference_variance(o.by, x);
  while (result.iterations < max_iterations && !result.converged) {
    auto const labels = reference_assign(o.by, x, result.centroids);
    matrix const next = reference_update(o, x, labels, result.centroids, result.iterations);
    result.shift = reference_shift(result.centroids, next);
    result.centroids = next;
    ++result.iterations;
    result.converged = result.shift <= bound && reference_moves(o, x, labels, c0.rows).empty();
  }
  result.labels = reference_assign(o.by, x, result.centroids);
  result.inertia = reference_inertia(o, x, result.centroids, result.labels);
  return result;
}

// ---- Seedings ----

// What a point is away from another in a seeding.
inline double reference_seed_distance(measure by, matrix const& x, std::int64_t i,
                                      std::int64_t other) {
  if (i == other) return 0;
  if (by != measure::cosine) return reference_distance(x, i, x, other);
  return std::max(0.0, reference_distance(measure::cosine, x, i, x, other));
}

// Weights of points that may be drawn: 0 for those that may not.
inline std::vector<double> reference_seed_weights(reference_options const& o, matrix const& x) {
  std::vector<double> weights;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    bool const never =
        !is_finite_row(x, i) || (o.by == measure::cosine && reference_length(x, i) == 0);
    weights.push_back(never ? 0 : o.weight(i));
  }
  return weights;
}

// Greedy k-means++ among the finite rows of x. draw(counter) is uniform in [0, 1): counter 64 t + l for
// candidate l of step t, of up to 8 those of an even step by the potentials of the step before; 2^40 more for
// whether it is kept when its step comes, 2^41 more for the draw where it is not.
inline std::vector<std::int64_t> reference_plus_plus(
    measure by, matrix const& x, std::vector<double> const& weights, std::int64_t k, int candidates,
    std::function<double(std::uint64_t)> const& draw) {
  auto const n = static_cast<std::size_t>(x.rows);
  std::vector<std::int64_t> rows;
  std::vector<double> potentials = weights, nearest;
  std::vector<std::pair<std::int64_t, double>> proposals;  // and their distances
  for (std::int64_t step = 0; step < k; ++step) {
    double const total = std::accumulate(potentials.begin(), potentials.end(), 0.0);
    std::vector<std::int64_t> drawn;
    auto const draw_candidate = [&](std::int64_t of_step, int l, std::uint64_t more) {
      return reference_draw(potentials,
                            draw(static_cast<std::uint64_t>(of_step * 64 + l) + more) * total);
    };
    constexpr std::uint64_t kKeep = std::uint64_t{1} << 40, kAgain = std::uint64_t{2} << 40;
    if (total == 0) {
      for (std::int64_t i = 0; i < x.rows && drawn.empty(); ++i) {
        bool const is_chosen = std::find(rows.begin(), rows.end(), i) != rows.end();
        if (!is_chosen && is_finite_row(x, i)) drawn.push_back(i);
      }
    } else {
      for (int l = 0; l < (step == 0 ? 1 : candidates); ++l) {
        if (proposals.empty()) {
          drawn.push_back(draw_candidate(step, l, 0));
          continue;
        }
        auto const [point, distance] = proposals[static_cast<std::size_t>(l)];
        double const unit = draw(static_cast<std::uint64_t>(step * 64 + l) + kKeep);
        bool const keeps = unit * distance < nearest[static_cast<std::size_t>(point)];
        drawn.push_back(keeps ? point : draw_candidate(step, l, kAgain));
      }
    }
    proposals.clear();
    bool const proposes = candidates <= 8 && step % 2 == 1 && total > 0;
    for (int l = 0; proposes && l < candidates; ++l) {
      std::int64_t const point = draw_candidate(step + 1, l, 0);
      proposals.emplace_back(point, nearest[static_cast<std::size_t>(point)]);
    }
    double least = std::numeric_limits<double>::infinity();
    std::vector<double> best_potentials, best_nearest;
    std::int64_t best = -1;
    for (std::int64_t const candidate : drawn) {
      std::vector<double> left(n), near(n);
      for (std::size_t i = 0; i < n; ++i) {
        double const own = weights[i] == 0 ? 0
                                           : reference_seed_distance(
                                                 by, x, static_cast<std::int64_t>(i), candidate);
        near[i] = nearest.empty() ? own : std::min(own, nearest[i]);
        left[i] = weights[i] * near[i];
      }
      double const sum = std::accumulate(left.begin(), left.end(), 0.0);
      if (sum < least) {
        least = sum;
        best = candidate;
        best_potentials = left;
        best_nearest = near;
      }
    }
    rows.push_back(best);
    potentials = best_potentials;
    nearest = best_nearest;
  }
  return rows;
}

// k-means||: five rounds, then k-means++ among what they took; as many as were taken where these are
// fewer than k. draw(key, counter): key -1 is that of the first point, 0 to 4 of a round, 5 of the
// choice.
inline std::vector<std::int64_t> reference_parallel(
    measure by, matrix const& x, std::vector<double> const& weights, std::int64_t k, int candidates,
    std::function<double(int, std::uint64_t)> const& draw) {
  auto const n = static_cast<std::size_t>(x.rows);
  std::vector<std::int64_t> taken = reference_plus_plus(
      by, x, weights, 1, 1, [&](std::uint64_t counter) { return draw(-1, counter); });
  auto const potential = [&](std::int64_t i) {
    double nearest = std::numeric_limits<double>::infinity();
    for (std::int64_t const t : taken) {
      nearest = std::min(nearest, reference_seed_distance(by, x, i, t));
    }
    return nearest;
  };
  for (int round = 0; round < 5; ++round) {
    std::vector<double> potentials(n, 0);
    for (std::size_t i = 0; i < n; ++i) {
      if (weights[i] > 0) potentials[i] = weights[i] * potential(static_cast<std::int64_t>(i));
    }
    double const total = std::accumulate(potentials.begin(), potentials.end(), 0.0);
    if (total == 0) break;
    for (std::size_t i = 0; i < n; ++i) {
      if (draw(round, i) < static_cast<double>(k) * potentials[i] / total) {
        taken.push_back(static_cast<std::int64_t>(i));
      }
    }
  }
  if (static_cast<std::int64_t>(taken.size()) < k) return taken;
  std::vector<double> taken_weights(taken.size(), 0);
  matrix few(static_cast<std::int64_t>(taken.size()), x.cols);
  for (std::size_t t = 0; t < taken.size(); ++t) {
    for (std::int64_t e = 0; e < x.cols; ++e) few(static_cast<std::int64_t>(t), e) = x(taken[t], e);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (weights[i] == 0) continue;
    std::size_t owner = 0;
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t t = 0; t < taken.size(); ++t) {
      double const own = reference_seed_distance(by, x, static_cast<std::int64_t>(i), taken[t]);
      if (own < nearest) {
        nearest = own;
        owner = t;
      }
    }
    taken_weights[owner] += weights[i];
  }
  std::vector<std::int64_t> rows =
      reference_plus_plus(by, few, taken_weights, k, candidates,
                          [&](std::uint64_t counter) { return draw(5, counter); });
  for (std::int64_t& row : rows) row = taken[static_cast<std::size_t>(row)];
  return rows;
}

}  // namespace testing_support
