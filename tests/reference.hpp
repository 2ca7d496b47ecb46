// The oracle of the tests: k-means in double, as the textbook writes it, one thread, no blocking.
// It includes nothing of the library and shares no formula with it: distances are sums of squared
// differences here, never x.c - |c|^2/2.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace testing_support {

// Row-major [rows][cols].
struct matrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> values;

  matrix() = default;
  matrix(std::int64_t rows_, std::int64_t cols_, double value = 0)
      : rows(rows_), cols(cols_), values(static_cast<std::size_t>(rows_ * cols_), value) {}

  double operator()(std::int64_t i, std::int64_t j) const {
    return values[static_cast<std::size_t>(i * cols + j)];
  }
  double& operator()(std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(i * cols + j)];
  }
  double const* row(std::int64_t i) const { return values.data() + i * cols; }
};

// Squared distance of point i and centroid j. Four running sums, so that the oracle is not bound by
// the latency of one.
inline double reference_distance(matrix const& x, std::int64_t i, matrix const& c, std::int64_t j) {
  double const* const a = x.row(i);
  double const* const b = c.row(j);
  double sums[4] = {0, 0, 0, 0};
  std::int64_t const whole = x.cols - x.cols % 4;
  for (std::int64_t e = 0; e < whole; e += 4) {
    for (int lane = 0; lane < 4; ++lane) {
      double const difference = a[e + lane] - b[e + lane];
      sums[lane] += difference * difference;
    }
  }
  for (std::int64_t e = whole; e < x.cols; ++e) {
    double const difference = a[e] - b[e];
    sums[0] += difference * difference;
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// What near means to the oracle.
enum class reference_metric { euclidean, cosine, inner_product };

inline double reference_product(matrix const& x, std::int64_t i, matrix const& c, std::int64_t j) {
  double sum = 0;
  for (std::int64_t e = 0; e < x.cols; ++e) sum += x(i, e) * c(j, e);
  return sum;
}

// Distance of point i and centroid j: squared, or one minus the cosine (one where either is zero),
// or the negative inner product.
inline double reference_distance(reference_metric of, matrix const& x, std::int64_t i,
                                 matrix const& c, std::int64_t j) {
  if (of == reference_metric::euclidean) return reference_distance(x, i, c, j);
  double const product = reference_product(x, i, c, j);
  if (of == reference_metric::inner_product) return -product;
  double const lengths =
      std::sqrt(reference_product(x, i, x, i)) * std::sqrt(reference_product(c, j, c, j));
  return lengths == 0 ? 1 : 1 - product / lengths;
}

// All centroids by their distance from point i, the lowest index first on ties; distances that are
// not finite come last.
inline std::vector<std::int32_t> reference_order(reference_metric of, matrix const& x,
                                                 std::int64_t i, matrix const& c) {
  std::vector<double> distances;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    double const distance = reference_distance(of, x, i, c, j);
    distances.push_back(std::isfinite(distance) ? distance
                                                : std::numeric_limits<double>::infinity());
  }
  std::vector<std::int32_t> order(distances.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return distances[static_cast<std::size_t>(a)] < distances[static_cast<std::size_t>(b)];
  });
  return order;
}

// The first `count` of that order for each point.
inline std::vector<std::int32_t> reference_nearest(reference_metric of, matrix const& x,
                                                   matrix const& c, std::int64_t count) {
  std::vector<std::int32_t> nearest;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::vector<std::int32_t> const order = reference_order(of, x, i, c);
    nearest.insert(nearest.end(), order.begin(), order.begin() + count);
  }
  return nearest;
}

// The nearest centroid of each point: the lowest index on ties; NaN never wins, so that a point
// that holds NaN gets label 0.
inline std::vector<std::int32_t> reference_assign(matrix const& x, matrix const& c) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(x.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    double best = std::numeric_limits<double>::infinity();
    for (std::int64_t j = 0; j < c.rows; ++j) {
      double const distance = reference_distance(x, i, c, j);
      if (distance < best) {
        best = distance;
        labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(j);
      }
    }
  }
  return labels;
}

// The labels of a batch, problem after problem.
inline std::vector<std::int32_t> reference_assign(std::vector<matrix> const& x,
                                                  std::vector<matrix> const& c) {
  std::vector<std::int32_t> labels;
  for (std::size_t p = 0; p < x.size(); ++p) {
    std::vector<std::int32_t> const own = reference_assign(x[p], c[p]);
    labels.insert(labels.end(), own.begin(), own.end());
  }
  return labels;
}

// The mean of each cluster's points; an empty cluster keeps its row of c. A label outside [0, k)
// counts for no cluster.
inline matrix reference_update(matrix const& x, std::vector<std::int32_t> const& labels,
                               matrix const& c) {
  matrix sums(c.rows, c.cols);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(c.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int64_t const j = labels[static_cast<std::size_t>(i)];
    if (j < 0 || j >= c.rows) continue;
    ++counts[static_cast<std::size_t>(j)];
    for (std::int64_t e = 0; e < x.cols; ++e) sums(j, e) += x(i, e);
  }
  matrix means = c;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    auto const count = counts[static_cast<std::size_t>(j)];
    if (count == 0) continue;
    for (std::int64_t e = 0; e < c.cols; ++e) means(j, e) = sums(j, e) / static_cast<double>(count);
  }
  return means;
}

// Sum over the points of the squared distance to the centroid that their label names.
inline double reference_inertia(matrix const& x, matrix const& c,
                                std::vector<std::int32_t> const& labels) {
  double sum = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    sum += reference_distance(x, i, c, labels[static_cast<std::size_t>(i)]);
  }
  return sum;
}

// Mean over the features of the population variance.
inline double reference_variance(matrix const& x) {
  double total = 0;
  for (std::int64_t e = 0; e < x.cols; ++e) {
    double mean = 0;
    for (std::int64_t i = 0; i < x.rows; ++i) mean += x(i, e);
    mean /= static_cast<double>(x.rows);
    double squares = 0;
    for (std::int64_t i = 0; i < x.rows; ++i) squares += (x(i, e) - mean) * (x(i, e) - mean);
    total += squares / static_cast<double>(x.rows);
  }
  return total / static_cast<double>(x.cols);
}

// Sum of the squared distances between the rows of two matrices.
inline double reference_shift(matrix const& from, matrix const& to) {
  double sum = 0;
  for (std::int64_t j = 0; j < from.rows; ++j) sum += reference_distance(from, j, to, j);
  return sum;
}

struct reference_fit_result {
  matrix centroids;
  std::vector<std::int32_t> labels;  // of one more assignment to the returned centroids
  int iterations = 0;
  bool converged = false;
  double inertia = 0;  // of the returned labels and centroids
  double shift = 0;    // of the last update
};

// Lloyd's algorithm from the centroids c0.
inline reference_fit_result reference_fit(matrix const& x, matrix const& c0, int max_iterations,
                                          double tolerance) {
  reference_fit_result result;
  result.centroids = c0;
  double const bound = tolerance * reference_variance(x);
  while (result.iterations < max_iterations && !result.converged) {
    matrix const next =
        reference_update(x, reference_assign(x, result.centroids), result.centroids);
    result.shift = reference_shift(result.centroids, next);
    result.centroids = next;
    ++result.iterations;
    result.converged = result.shift <= bound;
  }
  result.labels = reference_assign(x, result.centroids);
  result.inertia = reference_inertia(x, result.centroids, result.labels);
  return result;
}

// Points that seedings choose, by draws that the caller makes: a draw gives a number in [0, 1).

// The first point whose running sum of potentials exceeds `bound`; never one of potential 0.
inline std::int64_t reference_draw(std::vector<double> const& potentials, double bound) {
  double sum = 0;
  std::int64_t last = -1;
  for (std::size_t i = 0; i < potentials.size(); ++i) {
    if (potentials[i] == 0) continue;
    sum += potentials[i];
    last = static_cast<std::int64_t>(i);
    if (sum > bound) break;
  }
  return last;
}

inline double reference_sum(std::vector<double> const& values) {
  double sum = 0;
  for (double const value : values) sum += value;
  return sum;
}

inline bool is_finite_row(matrix const& x, std::int64_t i) {
  double sum = 0;
  for (std::int64_t e = 0; e < x.cols; ++e) sum += x(i, e) * 0;
  return sum == 0;
}

// Squared distance of two points, to be lowered into a running minimum: infinite where either is
// not finite.
inline double reference_gap(matrix const& x, std::int64_t i, std::int64_t j) {
  return is_finite_row(x, i) && is_finite_row(x, j) ? reference_distance(x, i, x, j)
                                                    : std::numeric_limits<double>::infinity();
}

// What is left to draw by.
inline std::vector<double> reference_potentials(matrix const& x, std::vector<double> const& weights,
                                                std::vector<double> const& nearest) {
  std::vector<double> potentials(weights.size(), 0);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!is_finite_row(x, static_cast<std::int64_t>(i))) continue;
    if (nearest[i] < std::numeric_limits<double>::infinity()) {
      potentials[i] = weights[i] * nearest[i];
    }
  }
  return potentials;
}

// Weights as potentials of the first draw.
inline std::vector<double> reference_first(matrix const& x, std::vector<double> const& weights) {
  std::vector<double> potentials = weights;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!is_finite_row(x, static_cast<std::int64_t>(i))) potentials[i] = 0;
  }
  return potentials;
}

// Numbers of a candidate of k-means++: its draw, whether a proposal is kept, the draw if it is not.
enum class reference_number { draw, keep, again };

// Greedy k-means++: number(step, candidate, which). With up to 8 candidates odd steps propose the
// points of the next ones, each kept with the probability by which its distance has not shrunk when
// its step comes.
template <class Number>
std::vector<std::int64_t> reference_plus_plus(matrix const& x, std::vector<double> const& weights,
                                              std::int64_t k, int candidates, Number&& number) {
  struct proposal {
    std::int64_t point;
    double distance;
  };
  std::vector<std::int64_t> chosen;
  std::vector<char> is_chosen(weights.size(), 0);
  std::vector<double> nearest(weights.size(), std::numeric_limits<double>::infinity());
  std::vector<double> potentials = reference_first(x, weights);
  std::vector<proposal> proposals;
  for (std::int64_t step = 0; step < k; ++step) {
    double const total = reference_sum(potentials);
    auto const draw = [&](std::int64_t of_step, int candidate, reference_number which) {
      return reference_draw(potentials, number(of_step, candidate, which) * total);
    };
    std::int64_t best = -1;
    double least = 0;
    std::vector<double> best_nearest;
    for (int candidate = 0; candidate < (step == 0 ? 1 : candidates); ++candidate) {
      std::int64_t point = 0;
      if (total == 0) {
        while (is_chosen[static_cast<std::size_t>(point)]) ++point;
      } else if (proposals.empty()) {
        point = draw(step, candidate, reference_number::draw);
      } else {
        proposal const& proposed = proposals[static_cast<std::size_t>(candidate)];
        double const now = nearest[static_cast<std::size_t>(proposed.point)];
        bool const keeps =
            number(step, candidate, reference_number::keep) * proposed.distance < now;
        point = keeps ? proposed.point : draw(step, candidate, reference_number::again);
      }
      std::vector<double> left = nearest;
      for (std::int64_t i = 0; i < x.rows; ++i) {
        double& own = left[static_cast<std::size_t>(i)];
        double const gap = reference_gap(x, i, point);
        if (gap < own) own = gap;
      }
      double const sum = reference_sum(reference_potentials(x, weights, left));
      if (best < 0 || sum < least) {
        best = point;
        least = sum;
        best_nearest = left;
      }
    }
    proposals.clear();
    bool const proposes = candidates <= 8 && step % 2 == 1 && total > 0;
    for (int candidate = 0; proposes && candidate < candidates; ++candidate) {
      std::int64_t const point = draw(step + 1, candidate, reference_number::draw);
      proposals.push_back({point, nearest[static_cast<std::size_t>(point)]});
    }
    nearest = best_nearest;
    potentials = reference_potentials(x, weights, nearest);
    chosen.push_back(best);
    is_chosen[static_cast<std::size_t>(best)] = 1;
  }
  return chosen;
}

// What the rounds of k-means|| take, and the weight of the points nearest to each: first, a number
// for the first point; draw(round, point).
struct reference_rounds_result {
  std::vector<std::int64_t> points;
  std::vector<double> weights;
};

template <class Draw>
reference_rounds_result reference_rounds(matrix const& x, std::vector<double> const& weights,
                                         std::int64_t k, int rounds, double first, Draw&& draw) {
  reference_rounds_result taken;
  std::vector<double> nearest(weights.size(), std::numeric_limits<double>::infinity());
  std::vector<std::size_t> owners(weights.size(), 0);
  auto const take = [&](std::vector<std::int64_t> const& points) {
    for (std::int64_t const point : points) {
      for (std::int64_t i = 0; i < x.rows; ++i) {
        double& own = nearest[static_cast<std::size_t>(i)];
        double const gap = reference_gap(x, i, point);
        if (gap < own) {
          own = gap;
          owners[static_cast<std::size_t>(i)] = taken.points.size();
        }
      }
      taken.points.push_back(point);
    }
  };
  std::vector<double> const weighing = reference_first(x, weights);
  take({reference_draw(weighing, first * reference_sum(weighing))});
  for (int round = 0; round < rounds; ++round) {
    std::vector<double> const potentials = reference_potentials(x, weights, nearest);
    double const total = reference_sum(potentials);
    std::vector<std::int64_t> points;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      double const own = potentials[static_cast<std::size_t>(i)];
      if (own > 0 && draw(round, i) < static_cast<double>(k) * own / total) {
        points.push_back(i);
      }
    }
    take(points);
  }
  taken.weights.assign(taken.points.size(), 0);
  for (std::size_t i = 0; i < weights.size(); ++i) taken.weights[owners[i]] += weighing[i];
  return taken;
}

}  // namespace testing_support
