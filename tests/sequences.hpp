// What the tests of ragged batches and of append share, on the GPU and on the CPU: sequences of
// different lengths laid out in memory, everything that a fit writes, and what has to be the same.
//
// Side: what runs the verbs over which memory. It has
//   buffer<V>: V in memory of the verbs, made from a vector; data(), download()
//   fit, predict, append: the verbs, blocking
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <flash_kmeans/types.hpp>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "data.hpp"
#include "reference.hpp"

namespace testing_support {

namespace fk = flash_kmeans;

template <class V>
bool equal_bits(std::vector<V> const& a, std::vector<V> const& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(V)) == 0);
}

// How the rows of sequences lie.
struct sequence_layout {
  char const* name;
  bool heads_inside;  // [rows][h][d], else [h][rows][d]
  std::int64_t pad;   // elements after every row of a head
  std::int64_t skip;  // rows before the first sequence, and after the last one
};
inline constexpr sequence_layout kSequenceLayouts[] = {
    {"rows_heads", true, 0, 0}, {"heads_rows", false, 0, 0}, {"rows_heads_padded", true, 3, 2}};

// Sequences in one piece of memory; what lies between their rows is poison.
template <class T>
class sequence_image {
 public:
  // rows[i * heads + j]: of sequence i and head j
  sequence_image(std::vector<matrix> const& rows, std::int64_t heads, sequence_layout const& how)
      : heads_(heads), cols_(rows.front().cols), offsets_{how.skip} {
    std::int64_t const count = static_cast<std::int64_t>(rows.size()) / heads;
    auto const of = [&](std::int64_t i, std::int64_t j) -> matrix const& {
      return rows[static_cast<std::size_t>(i * heads + j)];
    };
    for (std::int64_t i = 0; i < count; ++i) offsets_.push_back(offsets_.back() + of(i, 0).rows);
    std::int64_t const pitch = cols_ + how.pad, all = offsets_.back() + how.skip;
    ld_ = how.heads_inside ? heads * pitch : pitch;
    stride_ = how.heads_inside ? pitch : all * pitch;
    T poison;
    if constexpr (std::is_integral_v<T>) {
      poison = T(113);
    } else {
      poison = element_to_type<T>(std::numeric_limits<double>::quiet_NaN());
    }
    values_.assign(static_cast<std::size_t>(heads * all * pitch), poison);
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < heads; ++j) {
        for (std::int64_t r = 0; r < of(i, j).rows; ++r) {
          for (std::int64_t e = 0; e < cols_; ++e) {
            values_[static_cast<std::size_t>((offsets_[static_cast<std::size_t>(i)] + r) * ld_ +
                                             j * stride_ + e)] = element_to_type<T>(of(i, j)(r, e));
          }
        }
      }
    }
  }

  std::vector<T> const& values() const { return values_; }

  // Over memory that holds values(), or was made from it.
  template <class U>
  fk::ragged_view<U> view(U* data) const {
    return {data,   offsets_.data(), static_cast<std::int64_t>(offsets_.size()) - 1, cols_, ld_,
            heads_, stride_};
  }

 private:
  std::int64_t heads_, cols_, ld_ = 0, stride_ = 0;
  std::vector<std::int64_t> offsets_;
  std::vector<T> values_;
};

// Everything that a fit writes besides centroids, of problems one after the other.
struct fit_values {
  std::vector<std::int32_t> labels, counts, offsets, order, inverse;
  std::vector<fk::fit_status> status;
  std::vector<fk::iteration_record> records;

  // Room for more problems.
  void add(std::int64_t problems, std::int64_t n, std::int64_t k, std::int64_t iterations) {
    auto const more = [](auto& values, std::int64_t count) {
      values.resize(values.size() + static_cast<std::size_t>(count));
    };
    more(labels, problems * n);
    more(counts, problems * k);
    more(offsets, problems * (k + 1));
    more(order, problems * n);
    more(inverse, problems * n);
    more(status, problems);
    more(records, problems * iterations);
    for (auto* values : {&labels, &counts, &offsets, &order, &inverse}) {
      std::fill(values->begin(), values->end(), -9);
    }
    std::fill(status.begin(), status.end(), fk::fit_status{-9, -9, -9, -9, -9});
    std::fill(records.begin(), records.end(), fk::iteration_record{-9, -9, -9, -9});
  }

  void append(fit_values const& other) {
    auto const after = [](auto& values, auto const& more) {
      values.insert(values.end(), more.begin(), more.end());
    };
    after(labels, other.labels);
    after(counts, other.counts);
    after(offsets, other.offsets);
    after(order, other.order);
    after(inverse, other.inverse);
    after(status, other.status);
    after(records, other.records);
  }
};

// The points of no cluster come last in order, in an order of their own.
inline void expect_same_values(fit_values const& got, fit_values const& expected) {
  EXPECT_EQ(got.labels, expected.labels);
  EXPECT_EQ(got.counts, expected.counts);
  EXPECT_EQ(got.offsets, expected.offsets);
  EXPECT_EQ(got.order, expected.order);
  EXPECT_EQ(got.inverse, expected.inverse);
  EXPECT_TRUE(equal_bits(got.status, expected.status)) << "status";
  EXPECT_TRUE(equal_bits(got.records, expected.records)) << "records";
}

// The same in memory of the verbs.
template <class Side>
class fit_memory_of {
 public:
  explicit fit_memory_of(fit_values const& room)
      : labels_(room.labels),
        counts_(room.counts),
        offsets_(room.offsets),
        order_(room.order),
        inverse_(room.inverse),
        status_(room.status),
        records_(room.records) {}

  fk::fit_outputs outputs(bool records) const {
    return {labels_.data(),
            {counts_.data(), offsets_.data(), order_.data(), inverse_.data()},
            status_.data(),
            records ? records_.data() : nullptr};
  }
  fit_values download() const {
    return {labels_.download(),  counts_.download(), offsets_.download(), order_.download(),
            inverse_.download(), status_.download(), records_.download()};
  }

 private:
  template <class V>
  using buffer = typename Side::template buffer<V>;
  buffer<std::int32_t> labels_, counts_, offsets_, order_, inverse_;
  buffer<fk::fit_status> status_;
  buffer<fk::iteration_record> records_;
};

// Points and first centroids of every sequence and head.
struct sequence_set {
  std::int64_t heads;
  std::vector<matrix> x, c;

  std::int64_t sequences() const { return static_cast<std::int64_t>(x.size()) / heads; }
  matrix const& x_of(std::int64_t sequence) const {
    return x[static_cast<std::size_t>(sequence * heads)];
  }
  matrix const& c_of(std::int64_t sequence) const {
    return c[static_cast<std::size_t>(sequence * heads)];
  }
};

struct sequence_shape {
  std::int64_t n, k;
};

// Bell-shaped points (whole numbers for integer types); centroids are the first points.
template <class T>
sequence_set some_sequences(std::vector<sequence_shape> const& shapes, std::int64_t heads,
                            std::int64_t d, std::uint64_t seed) {
  sequence_set set{heads, {}, {}};
  for (sequence_shape const& s : shapes) {
    for (std::int64_t j = 0; j < heads; ++j) {
      matrix x = normal_points(s.n, d, seed++);
      if (std::is_integral_v<T>) x = integer_points(s.n, d, seed, 0, 50);
      set.x.push_back(rounded_to<T>(x));
      set.c.push_back(first_rows(set.x.back(), s.k));
    }
  }
  return set;
}

// A point that is not finite in the middle of a head of a sequence.
inline void spoil(sequence_set& set, std::int64_t sequence, std::int64_t head, std::int64_t row) {
  matrix& x = set.x[static_cast<std::size_t>(sequence * set.heads + head)];
  x(row, x.cols / 2) = std::numeric_limits<double>::infinity();
}

template <class C>
std::vector<C> sequence_weights(sequence_set const& set, std::uint64_t seed) {
  std::vector<C> weights;
  for (matrix const& x : set.x) {
    for (double const w : integer_points(x.rows, 1, seed++, 0, 3).values) {
      weights.push_back(static_cast<C>(w));
    }
  }
  return weights;
}

// One call, and a call for each sequence: the same bits in all that is written, centroids and what
// lies between them included.
template <class Side, class T>
void expect_fits_of_sequences(sequence_set const& set, sequence_layout const& how,
                              fk::fit_options const& options, bool weighted) {
  using C = fk::centroid_t<T>;
  SCOPED_TRACE(std::string(how.name) + ", heads " + std::to_string(set.heads));
  sequence_image<T> const points(set.x, set.heads, how);
  sequence_image<C> const centroids(set.c, set.heads, how);
  typename Side::template buffer<T> const x(points.values());
  typename Side::template buffer<C> const c(centroids.values()), own_c(centroids.values());
  typename Side::template buffer<C> const weights(sequence_weights<C>(set, 77));
  bool const records = options.n_init == 1;

  fit_values room;
  for (std::int64_t i = 0; i < set.sequences(); ++i) {
    room.add(set.heads, set.x_of(i).rows, set.c_of(i).rows, options.max_iterations);
  }
  fit_memory_of<Side> const all(room);
  fk::fit_options whole = options;
  if (weighted) whole.weights = weights.data();
  fk::ragged_view<T const> const x_view = points.template view<T const>(x.data());
  fk::fit_result const result =
      Side::fit(x_view, centroids.template view<C>(c.data()), all.outputs(records), whole);

  fit_values expected;
  fk::fit_result folded;
  folded.converged = true;
  std::int64_t before = 0;
  for (std::int64_t i = 0; i < set.sequences(); ++i) {
    std::int64_t const n = set.x_of(i).rows;
    fit_values one;
    one.add(set.heads, n, set.c_of(i).rows, options.max_iterations);
    fit_memory_of<Side> const memory(one);
    fk::fit_options own = options;
    own.first_problem += i * set.heads;
    if (weighted) own.weights = weights.data() + before;
    fk::fit_result const r =
        Side::fit(x_view.sequence(i), centroids.template view<C>(own_c.data()).sequence(i),
                  memory.outputs(records), own);
    expected.append(memory.download());
    before += set.heads * n;
    folded.iterations = std::max(folded.iterations, r.iterations);
    folded.converged = folded.converged && r.converged;
    folded.non_finite += r.non_finite;
  }
  expect_same_values(all.download(), expected);
  EXPECT_TRUE(equal_bits(c.download(), own_c.download())) << "centroids";
  EXPECT_EQ(result.iterations, folded.iterations);
  EXPECT_EQ(result.converged, folded.converged);
  EXPECT_EQ(result.non_finite, folded.non_finite);
  double inertia = 0;
  for (fk::fit_status const& own : expected.status) inertia += own.inertia;
  EXPECT_TRUE(equal_bits<double>({result.inertia}, {inertia}) ||
              (result.inertia != result.inertia && inertia != inertia));
}

// The same with metrics, seedings and what else a fit may be told.
template <class Side, class T>
void expect_options_in_every_sequence(sequence_set const& set) {
  for (fk::metric const by :
       {fk::metric::euclidean, fk::metric::cosine, fk::metric::inner_product}) {
    for (fk::init_method const init : {fk::init_method::random, fk::init_method::kmeans_plus_plus,
                                       fk::init_method::kmeans_parallel}) {
      for (int const n_init : {1, 3}) {
        SCOPED_TRACE("metric " + std::to_string(static_cast<int>(by)) + ", init " +
                     std::to_string(static_cast<int>(init)) + ", n_init " + std::to_string(n_init));
        fk::fit_options options;
        options.metric = by;
        options.init = init;
        options.n_init = n_init;
        options.seed = 11;
        options.max_iterations = 4;
        options.empty_cluster = fk::empty_cluster::farthest_point;
        options.max_size_ratio = n_init == 3 ? 1.5 : 0;
        expect_fits_of_sequences<Side, T>(set, kSequenceLayouts[0], options, n_init == 3);
      }
    }
  }
  fk::fit_options open;
  open.closing_assignment = false;
  open.max_iterations = 3;
  open.max_size_ratio = 1.5;
  expect_fits_of_sequences<Side, T>(set, kSequenceLayouts[1], open, false);
}

// Blobs whose clusters are known: row i of a sequence belongs to cluster i % k.
template <class Side, class T>
void expect_blobs_of_sequences(sequence_layout const& how) {
  using C = fk::centroid_t<T>;
  std::int64_t const heads = 2;
  sequence_set set{heads, {}, {}};
  for (sequence_shape const& s : {sequence_shape{8, 3}, {4, 17}, {32, 1}, {1, 5}}) {
    for (std::int64_t j = 0; j < heads; ++j) {  // n is points of a cluster here
      set.x.push_back(exact_blobs(s.k, s.n, 9, static_cast<std::uint64_t>(10 * s.k + j)));
      set.c.push_back(first_rows(set.x.back(), s.k));
    }
  }
  sequence_image<T> const points(set.x, heads, how);
  sequence_image<C> const centroids(set.c, heads, how);
  typename Side::template buffer<T> const x(points.values());
  typename Side::template buffer<C> const c(centroids.values());
  fit_values room;
  std::vector<std::int32_t> labels;
  std::vector<matrix> means;
  for (std::size_t p = 0; p < set.x.size(); ++p) {
    std::int64_t const n = set.x[p].rows, k = set.c[p].rows;
    room.add(1, n, k, 5);
    std::vector<std::int32_t> own;
    for (std::int64_t i = 0; i < n; ++i) own.push_back(static_cast<std::int32_t>(i % k));
    means.push_back(reference_update(set.x[p], own, set.c[p]));
    labels.insert(labels.end(), own.begin(), own.end());
  }
  fit_memory_of<Side> const out(room);
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.max_iterations = 5;
  options.tolerance = 0;
  Side::fit(points.template view<T const>(x.data()), centroids.template view<C>(c.data()),
            out.outputs(false), options);
  EXPECT_EQ(out.download().labels, labels);
  EXPECT_TRUE(equal_bits(c.download(), sequence_image<C>(means, heads, how).values()));

  typename Side::template buffer<std::int32_t> const again(
      std::vector<std::int32_t>(labels.size(), -9));
  typename Side::template buffer<C> const distances(std::vector<C>(labels.size(), C(-9)));
  Side::template predict<T>(points.template view<T const>(x.data()),
                            centroids.template view<C const>(c.data()),
                            {again.data(), distances.data()});
  EXPECT_EQ(again.download(), labels);
  std::vector<C> expected;
  for (std::size_t p = 0; p < set.x.size(); ++p) {
    for (std::int64_t i = 0; i < set.x[p].rows; ++i) {  // exact: multiples of 1/4 below 2^7
      expected.push_back(
          static_cast<C>(reference_distance(set.x[p], i, means[p], i % means[p].rows)));
    }
  }
  EXPECT_TRUE(equal_bits(distances.download(), expected));
}

// Centroids that are added are those of a fit of the new points alone; the others stay.
template <class Side, class T>
void expect_append(std::int64_t b, sequence_shape const& s, std::int64_t d, std::int64_t there,
                   fk::fit_options const& options, bool spoilt) {
  using C = fk::centroid_t<T>;
  SCOPED_TRACE(std::to_string(there) + " are there");
  sequence_set set = some_sequences<T>({s}, b, d, 400);
  if (spoilt) spoil(set, 0, b - 1, s.n / 2);
  sequence_layout const how{"", false, 1, 0};
  sequence_image<T> const points(set.x, b, how);
  std::vector<matrix> all;
  for (matrix const& c : set.c) {
    matrix both(there + s.k, d, 7.25);
    std::copy(c.values.begin(), c.values.end(), both.values.begin() + there * d);
    all.push_back(both);
  }
  sequence_image<C> const centroids(all, b, how);
  typename Side::template buffer<T> const x(points.values());
  typename Side::template buffer<C> const c(centroids.values()), own_c(centroids.values());
  auto const x_view = points.template view<T const>(x.data()).sequence(0);

  fit_values room;
  room.add(b, s.n, s.k, options.max_iterations);
  fit_memory_of<Side> const appended(room), alone(room);
  fk::fit_result const result =
      Side::append(x_view, centroids.template view<C>(c.data()).sequence(0), there,
                   appended.outputs(true), options);
  fk::matrix_view<C> added = centroids.template view<C>(own_c.data()).sequence(0);
  added.data += there * added.ld;
  added.rows = s.k;
  fk::fit_result const expected = Side::fit(x_view, added, alone.outputs(true), options);

  fit_values values = alone.download();
  for (std::int32_t& label : values.labels) label += static_cast<std::int32_t>(there);
  expect_same_values(appended.download(), values);
  EXPECT_TRUE(equal_bits(c.download(), own_c.download())) << "centroids";
  EXPECT_EQ(result.iterations, expected.iterations);
  EXPECT_EQ(result.non_finite, spoilt ? 1 : 0);
  if (spoilt) {
    std::size_t const bad = static_cast<std::size_t>((b - 1) * s.n + s.n / 2);
    EXPECT_EQ(appended.download().labels[bad], there);
  }
}

// A batch in one call, and its problems in two.
template <class Side, class T>
void expect_numbers_of_problems(fk::fit_options options) {
  using C = fk::centroid_t<T>;
  sequence_set const set = some_sequences<T>({{90, 6}}, 5, 7, 500);
  sequence_layout const how{"", false, 0, 0};
  sequence_image<T> const points(set.x, 5, how);
  sequence_image<C> const centroids(set.c, 5, how);
  typename Side::template buffer<T> const x(points.values());
  typename Side::template buffer<C> const c(centroids.values()), own_c(centroids.values());
  auto const part = [](auto view, std::int64_t first, std::int64_t count) {
    view.data += view.problem_offset(first);
    view.batch = {1, count};
    return view;
  };
  fit_values room, first_room, second_room;
  room.add(5, 90, 6, options.max_iterations);
  first_room.add(2, 90, 6, options.max_iterations);
  second_room.add(3, 90, 6, options.max_iterations);
  fit_memory_of<Side> const all(room), first(first_room), second(second_room);
  bool const records = options.n_init == 1;
  auto const x_view = points.template view<T const>(x.data()).sequence(0);
  auto const c_view = centroids.template view<C>(c.data()).sequence(0);
  auto const own_view = centroids.template view<C>(own_c.data()).sequence(0);
  options.first_problem = 3;
  Side::fit(x_view, c_view, all.outputs(records), options);
  Side::fit(part(x_view, 0, 2), part(own_view, 0, 2), first.outputs(records), options);
  options.first_problem = 5;
  Side::fit(part(x_view, 2, 3), part(own_view, 2, 3), second.outputs(records), options);
  fit_values expected = first.download();
  expected.append(second.download());
  expect_same_values(all.download(), expected);
  EXPECT_TRUE(equal_bits(c.download(), own_c.download())) << "centroids";
}

template <class Side, class T>
void expect_numbers_of_problems() {
  for (fk::init_method const init : {fk::init_method::random, fk::init_method::kmeans_plus_plus,
                                     fk::init_method::kmeans_parallel}) {
    for (int const n_init : {1, 2}) {
      SCOPED_TRACE("init " + std::to_string(static_cast<int>(init)) + ", n_init " +
                   std::to_string(n_init));
      fk::fit_options options;
      options.init = init;
      options.n_init = n_init;
      options.max_iterations = 2;
      expect_numbers_of_problems<Side, T>(options);
    }
  }
}

// Calls and expects the beginning of the message.
template <class Call>
void expect_refused(Call&& call, std::string const& beginning) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown, expected: " << beginning;
  } catch (std::invalid_argument const& error) {
    EXPECT_EQ(std::string(error.what()).substr(0, beginning.size()), beginning);
  }
}

// Bad sequences, by what is wrong and what is said of it. run(x, c): some verb.
template <class T, class Run>
void expect_bad_sequences_are_refused(Run&& run, bool fits, bool writes) {
  using C = fk::centroid_t<T>;
  std::int64_t const n[] = {0, 40, 90, 100}, k[] = {0, 5, 8, 9};
  std::int64_t const down[] = {0, 40, 30, 100}, still[] = {0, 5, 5, 9}, negative[] = {-1, 5, 8, 9};
  std::int64_t const many[] = {0, 5, 8, 30};
  alignas(16) static T x_memory[8];
  alignas(16) static C c_memory[8];
  fk::ragged_view<T const> const x{x_memory, n, 3, 4, 8, 2, 4};
  fk::ragged_view<C> const c{c_memory, k, 3, 4, 8, 2, 4};
  auto const with = [&](auto&& change, std::string const& beginning) {
    auto bad_x = x;
    auto bad_c = c;
    change(bad_x, bad_c);
    expect_refused([&] { run(bad_x, bad_c); }, "flash_kmeans: " + beginning);
  };
  with([](auto& v, auto&) { v.sequences = 0; }, "x.sequences is 0");
  with([](auto& v, auto&) { v.heads = 0; }, "x.heads is 0");
  with([](auto& v, auto&) { v.head_stride = -4; }, "x.head_stride is -4");
  with([](auto& v, auto&) { v.heads = std::int64_t{1} << 31; }, "x.sequences is 3 of 2147483648");
  with([](auto& v, auto&) { v.offsets = nullptr; }, "x.offsets is null");
  with([&](auto& v, auto&) { v.offsets = down; }, "x.offsets[2] is 30, must be greater than x.off");
  with([&](auto&, auto& v) { v.offsets = still; }, "centroids.offsets[2] is 5, must be greater");
  with([&](auto&, auto& v) { v.offsets = negative; }, "centroids.offsets[0] is -1");
  with([](auto&, auto& v) { v.sequences = 2; }, "centroids.sequences is 2, must equal x.sequen");
  with([](auto&, auto& v) { v.heads = 1; }, "centroids.heads is 1, must equal x.heads (2)");
  with([](auto&, auto& v) { v.cols = 3; }, "centroids.cols (d) is 3");
  with([](auto& v, auto&) { v.ld = 3; }, "x.ld is 3");
  with([](auto& v, auto&) { v.data = nullptr; }, "x.data is null");
  with([](auto&, auto& v) { v.data = nullptr; }, "centroids.data is null");
  if (fits) {
    with([&](auto&, auto& v) { v.offsets = many; }, "k of sequence 2 is 22, must be at most its n");
  }
  if (writes) {
    with([](auto&, auto& v) { v.head_stride = 2; }, "centroids.batch_stride[1] is 2");
    // Heads of one sequence are apart, but not those of all.
    with(
        [](auto&, auto& v) {
          v.ld = 4;
          v.head_stride = 20;
        },
        "centroids.batch_stride[1] is 20");
  }
}

}  // namespace testing_support
