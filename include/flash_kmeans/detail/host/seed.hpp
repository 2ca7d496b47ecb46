// Seedings that draw points by their distance to the centroids so far: k-means++ and k-means||.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "../../types.hpp"
#include "../math.hpp"
#include "../seeding.hpp"
#include "abi.hpp"
#include "assign.hpp"
#include "distance.hpp"
#include "init.hpp"
#include "points.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// What seedings measure by: the squared distance for inner products too.
inline metric seeding_metric(metric by) {
  return by == metric::cosine ? metric::cosine : metric::euclidean;
}

// Rows of x in memory of their own, as T.
template <class T, class P>
vector<T> take_rows(matrix_view<P> const& x, vector<std::int32_t> const& rows) {
  vector<T> memory;
  memory.reserve(rows.size() * static_cast<std::size_t>(x.cols));
  for (std::int32_t const i : rows) {
    P const* const from = row(x, i);
    if constexpr (std::is_same_v<T, std::remove_const_t<P>>) {
      memory.insert(memory.end(), from, from + x.cols);
    } else {
      for (std::int64_t f = 0; f < x.cols; ++f) {
        memory.push_back(static_cast<T>(static_cast<centroid_t<P>>(from[f])));
      }
    }
  }
  return memory;
}

// Points that are drawn in proportion to their potentials, weight x distance to the nearest of those
// that were chosen before. Sums are those of blocks of kPieceRows points, added in order.
template <class P>
class seed_draws {
 public:
  // weights [n]; points that may_not be chosen at all weigh nothing.
  seed_draws(team& workers, matrix_view<P> const& x, metric by, vector<double> const& weights,
             vector<bool> may_not)
      : workers_(workers),
        x_(x),
        by_(seeding_metric(by)),
        weights_(weights),
        chosen_(std::move(may_not)),
        nearest_(weights.size(), 1.0) {
    add_up();
  }

  double total() const { return sum_in_order(sums_); }
  double potential(std::int64_t i) const {
    auto const at = static_cast<std::size_t>(i);
    return chosen_[at] ? 0 : seed_potential(weights_[at], nearest_[at]);
  }

  // A point that may become a centroid, and its distance to the nearest one when it was drawn.
  struct proposal {
    std::int32_t point;
    double distance;
  };

  // Proposals for centroid `step`, as many as `draws`; none where all potentials are 0.
  vector<proposal> propose(std::uint64_t key, std::int64_t step, std::int32_t draws) const {
    double const all = total();
    vector<proposal> proposals;
    for (std::int32_t l = 0; l < draws && all > 0; ++l) {
      std::int32_t const point = first_above(random_unit(key, draw_counter(step, l)) * all);
      proposals.push_back({point, nearest_[static_cast<std::size_t>(point)]});
    }
    return proposals;
  }

  // Points for centroid `step`: as many as `draws`, by way of the proposals where there are any, or
  // the first one that is not chosen yet where all potentials are 0, or none.
  vector<std::int32_t> draw(std::uint64_t key, std::int64_t step, std::int32_t draws,
                            vector<proposal> const& proposals = {}) const {
    double const all = total();
    vector<std::int32_t> drawn;
    if (all > 0) {
      for (std::int32_t l = 0; l < draws; ++l) {
        auto const draw_by = [&](seed_draw what) {
          return first_above(random_unit(key, draw_counter(step, l, what)) * all);
        };
        if (proposals.empty()) {
          drawn.push_back(draw_by(seed_draw::first));
          continue;
        }
        proposal const& own = proposals[static_cast<std::size_t>(l)];
        auto const at = static_cast<std::size_t>(own.point);
        double const unit = random_unit(key, draw_counter(step, l, seed_draw::kept));
        bool const kept = is_kept(unit, own.distance, chosen_[at] ? 0 : nearest_[at]);
        drawn.push_back(kept ? own.point : draw_by(seed_draw::again));
      }
    } else {
      auto const free = std::find(chosen_.begin(), chosen_.end(), false);
      if (free != chosen_.end()) drawn.push_back(static_cast<std::int32_t>(free - chosen_.begin()));
    }
    return drawn;
  }

  // Chooses the one of drawn that leaves the least potential, the first of equals. Returns it.
  std::int32_t choose(vector<std::int32_t> const& drawn) {
    // Before anything is chosen every point counts as 1 away.
    if (!any_chosen_) {
      std::fill(nearest_.begin(), nearest_.end(), std::numeric_limits<double>::infinity());
    }
    any_chosen_ = true;
    std::size_t best = 0;
    if (drawn.size() > 1) {
      vector<double> const left = measure(drawn);
      best = static_cast<std::size_t>(std::min_element(left.begin(), left.end()) - left.begin());
    }
    std::int32_t const point = drawn[best];
    P const* const to = row(x_, point);
    chosen_[static_cast<std::size_t>(point)] = true;
    workers_.for_ranges(x_.rows, cost(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) bring_near(i, to);
    });
    add_up();
    return point;
  }

  // Takes in that point i is so far from a point that is chosen. Returns whether that is nearer than
  // all before.
  bool bring_near(std::int64_t i, double distance) {
    double& near = nearest_[static_cast<std::size_t>(i)];
    if (!(distance < near)) return false;
    near = distance;
    return true;
  }
  bool bring_near(std::int64_t i, P const* chosen) {
    if (weights_[static_cast<std::size_t>(i)] == 0) return false;
    return bring_near(i, distance(by_, row(x_, i), chosen, x_.cols));
  }
  void mark_chosen(std::int32_t i) { chosen_[static_cast<std::size_t>(i)] = true; }

  // The sums of the blocks anew.
  void add_up() {
    sums_.assign(static_cast<std::size_t>(blocks()), 0.0);
    for_blocks([&](std::int64_t block, std::int64_t begin, std::int64_t end) {
      double sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum += potential(i);
      sums_[static_cast<std::size_t>(block)] = sum;
    });
  }

 private:
  std::int64_t blocks() const { return ceil_div<std::int64_t>(x_.rows, kPieceRows); }
  double cost() const { return 3 * static_cast<double>(x_.cols); }

  template <class Visit>
  void for_blocks(Visit const& visit, double each = 2) {
    workers_.for_ranges(blocks(), each * kPieceRows, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        visit(block, block * kPieceRows, std::min<std::int64_t>((block + 1) * kPieceRows, x_.rows));
      }
    });
  }

  // The first point at which the running sum of the potentials exceeds the bound; the last one with
  // a potential where rounding lets none.
  std::int32_t first_above(double bound) const {
    double running = 0;
    std::int64_t last = 0;
    for (std::size_t block = 0; block < sums_.size(); ++block) {
      if (sums_[block] == 0) continue;
      last = static_cast<std::int64_t>(block);
      if (running + sums_[block] > bound) break;
      running += sums_[block];
    }
    std::int64_t const begin = last * kPieceRows;
    std::int64_t const end = std::min<std::int64_t>(begin + kPieceRows, x_.rows);
    std::int64_t found = begin;
    for (std::int64_t i = begin; i < end; ++i) {
      double const own = potential(i);
      if (own == 0) continue;
      found = i;
      running += own;
      if (running > bound) break;
    }
    return static_cast<std::int32_t>(found);
  }

  // The potential that each of drawn would leave. Rows are converted and their lengths are taken
  // once, distances have the bits that distance() gives.
  vector<double> measure(vector<std::int32_t> const& drawn) {
    std::size_t const count = drawn.size();
    std::int64_t const d = x_.cols;
    vector<double> const candidates = take_rows<double>(x_, drawn);
    vector<double> lengths(count);
    for (std::size_t l = 0; l < count; ++l) {
      lengths[l] = length(candidates.data() + static_cast<std::int64_t>(l) * d, d);
    }
    vector<double> partials(static_cast<std::size_t>(blocks()) * count, 0.0);
    for_blocks(
        [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
          double* const sums = partials.data() + static_cast<std::size_t>(block) * count;
          vector<double> point(static_cast<std::size_t>(d));
          for (std::int64_t i = begin; i < end; ++i) {
            auto const at = static_cast<std::size_t>(i);
            if (chosen_[at] || weights_[at] == 0) continue;
            P const* const from = row(x_, i);
            for (std::int64_t f = 0; f < d; ++f) {
              point[static_cast<std::size_t>(f)] = as_double(from[f]);
            }
            bool const cosine = by_ == metric::cosine;
            double const own_length = cosine ? length(point.data(), d) : 0;
            double const* candidate = candidates.data();
            for (std::size_t l = 0; l < count; ++l, candidate += d) {
              if (drawn[l] == i) continue;
              double const own =
                  cosine ? cosine_distance(dot(point.data(), candidate, d), own_length * lengths[l])
                         : squared_distance(point.data(), candidate, d);
              sums[l] += seed_potential(weights_[at], own < nearest_[at] ? own : nearest_[at]);
            }
          }
        },
        cost() * static_cast<double>(count));
    vector<double> totals(count, 0.0);
    for (std::size_t i = 0; i < partials.size(); ++i) totals[i % count] += partials[i];
    return totals;
  }

  team& workers_;
  matrix_view<P> x_;
  metric by_;
  vector<double> const& weights_;
  vector<bool> chosen_;
  vector<double> nearest_;
  vector<double> sums_;
  bool any_chosen_ = false;
};

// Rows of the centroids of greedy k-means++; fewer than k where there are no more.
template <class P>
vector<std::int32_t> plus_plus_rows(seed_draws<P>& draws, std::int64_t k, std::int32_t candidates,
                                    std::uint64_t key) {
  vector<std::int32_t> rows;
  vector<typename seed_draws<P>::proposal> proposals;
  for (std::int64_t step = 0; step < k; ++step) {
    vector<std::int32_t> const drawn = draws.draw(key, step, step == 0 ? 1 : candidates, proposals);
    if (drawn.empty()) break;
    proposals.clear();
    if (proposes(step, k, candidates)) proposals = draws.propose(key, step + 1, candidates);
    rows.push_back(draws.choose(drawn));
  }
  return rows;
}

// Rows of the centroids of k-means||; fewer than k where there are no more.
template <class P, class C>
vector<std::int32_t> parallel_rows(team& workers, scratch<C>& s, matrix_view<P> const& x,
                                   seed_draws<P>& draws, vector<double> const& weights, metric by,
                                   std::int64_t k, std::int32_t candidates, std::uint64_t key) {
  vector<std::int32_t> taken = draws.draw(key, 0, 1);
  if (taken.empty()) return taken;
  draws.choose(taken);
  vector<std::int32_t> owners(static_cast<std::size_t>(x.rows), 0);  // nearest of taken
  vector<std::int32_t> labels(owners.size());
  for (int round = 0; round < kSeedRounds; ++round) {
    double const total = draws.total();
    if (!(total > 0)) break;
    vector<std::int32_t> fresh;
    auto const capacity = static_cast<std::size_t>(round_capacity(x.rows, k));
    for (std::int64_t i = 0; i < x.rows && fresh.size() < capacity; ++i) {
      double const unit = random_unit(round_key(key, round), static_cast<std::uint64_t>(i));
      if (is_taken(unit, k, draws.potential(i), total)) {
        fresh.push_back(static_cast<std::int32_t>(i));
      }
    }
    if (fresh.empty()) continue;
    vector<C> const rows = take_rows<C>(x, fresh);
    matrix_view<C const> const c(rows.data(), static_cast<std::int64_t>(fresh.size()), x.cols);
    assign_points<P, C>(workers, s, x, c, seeding_metric(by), nullptr, labels.data(), nullptr,
                        false);
    workers.for_ranges(
        x.rows, 3 * static_cast<double>(x.cols), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            std::int32_t const label = labels[static_cast<std::size_t>(i)];
            if (!draws.bring_near(i, row(x, fresh[static_cast<std::size_t>(label)]))) continue;
            owners[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(taken.size()) + label;
          }
        });
    for (std::int32_t const i : fresh) draws.mark_chosen(i);
    taken.insert(taken.end(), fresh.begin(), fresh.end());
    draws.add_up();
  }
  if (static_cast<std::int64_t>(taken.size()) < k) return taken;

  vector<double> taken_weights(taken.size(), 0.0);
  for (std::size_t i = 0; i < owners.size(); ++i) {
    taken_weights[static_cast<std::size_t>(owners[i])] += weights[i];
  }
  using point = std::remove_const_t<P>;
  vector<point> const rows = take_rows<point>(x, taken);
  matrix_view<point const> const few(rows.data(), static_cast<std::int64_t>(taken.size()), x.cols);
  seed_draws<point const> among(workers, few, by, taken_weights, vector<bool>(taken.size()));
  vector<std::int32_t> chosen = plus_plus_rows(among, k, candidates, round_key(key, kSeedRounds));
  for (std::int32_t& i : chosen) i = taken[static_cast<std::size_t>(i)];
  return chosen;
}

// Draws the first centroids of problem number i.
template <class P, class C>
void draw_centroids(team& workers, scratch<C>& s, matrix_view<P> const& x, matrix_view<C> const& c,
                    std::int64_t i, fit_options const& options, std::uint64_t seed,
                    point_facts<C> const& facts) {
  if (options.init == init_method::given) return;
  if (options.init == init_method::random) {
    copy_rows(x, random_rows(x, c.rows, i, seed), c);
    return;
  }
  vector<double> weights(static_cast<std::size_t>(x.rows));
  for (std::int64_t r = 0; r < x.rows; ++r) {
    weights[static_cast<std::size_t>(r)] = facts.weight(r);
  }
  vector<bool> left_out(weights.size(), false);
  for (std::int32_t const r : facts.left_out) {
    weights[static_cast<std::size_t>(r)] = 0;
    left_out[static_cast<std::size_t>(r)] = true;
  }
  std::uint64_t const key = random_key(seed, i);
  std::int32_t const candidates = seed_candidates(options.candidates, c.rows);
  seed_draws<P> draws(workers, x, options.metric, weights, left_out);
  vector<std::int32_t> rows;
  if (options.init == init_method::kmeans_plus_plus) {
    rows = plus_plus_rows(draws, c.rows, candidates, key);
  } else {
    rows = parallel_rows(workers, s, x, draws, weights, options.metric, c.rows, candidates, key);
    // What is missing is drawn as by init_method::random.
    if (static_cast<std::int64_t>(rows.size()) < c.rows) {
      vector<bool> taken(weights.size(), false);
      for (std::int32_t const r : rows) taken[static_cast<std::size_t>(r)] = true;
      for (std::int32_t const r : random_rows(x, x.rows, i, seed)) {
        if (static_cast<std::int64_t>(rows.size()) == c.rows) break;
        if (!taken[static_cast<std::size_t>(r)]) rows.push_back(r);
      }
    }
  }
  copy_rows(x, rows, c);
}

// Multiply-adds of the above.
template <class P, class C>
double seeding_cost(matrix_view<P> const& x, matrix_view<C> const& c, fit_options const& options) {
  double const read = static_cast<double>(x.rows) * static_cast<double>(x.cols);
  if (options.init == init_method::kmeans_plus_plus) {
    return 3 * read * static_cast<double>(c.rows) * seed_candidates(options.candidates, c.rows);
  }
  return options.init == init_method::kmeans_parallel ? 10 * assignment_cost(x, c) : read;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
