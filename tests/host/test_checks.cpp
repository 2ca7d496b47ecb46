// Bad arguments of the host verbs: each throws std::invalid_argument that names the argument and
// its value, and leaves every output as it was.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <flash_kmeans/host.hpp>
#include <functional>
#include <limits>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace fk = flash_kmeans;

constexpr std::int64_t kN = 6, kK = 2, kD = 3, kB = 2;
// Problems that outputs have room for, so that a case that is taken by mistake stays in bounds.
constexpr std::int64_t kRoom = 4;

// All that any verb takes, good until a case changes it.
struct arguments {
  fk::matrix_view<float const> x;
  fk::matrix_view<float> c;
  std::int32_t* labels;
  fk::cluster_index index;
  fk::fit_status* status;
  float* distances;
  double* shift;
  fk::fit_options options;
  fk::query_options query;
  fk::update_options update;
  fk::host::execution exec;

  void metric(fk::metric value) { options.metric = query.metric = update.metric = value; }
  void weights(fk::sample_weights value) {
    options.weights = query.weights = update.weights = value;
  }
};

// The memory behind them.
struct memory {
  std::vector<float> points = std::vector<float>(kRoom * kN * kD);
  std::vector<float> centroids = std::vector<float>(kRoom * kK * kD, 7.5f);
  std::vector<std::int32_t> labels = std::vector<std::int32_t>(kRoom * kN, 1);
  std::vector<std::int32_t> counts = std::vector<std::int32_t>(kRoom * kK, -77);
  std::vector<std::int32_t> offsets = std::vector<std::int32_t>(kRoom * (kK + 1), -77);
  std::vector<std::int32_t> order = std::vector<std::int32_t>(kRoom * kN, -77);
  std::vector<std::int32_t> inverse = std::vector<std::int32_t>(kRoom * kN, -77);
  std::vector<fk::fit_status> status = std::vector<fk::fit_status>(kRoom, {-7, -7, -7, -7, -7});
  std::vector<float> distances = std::vector<float>(kRoom * kN, -7);
  std::vector<double> shift = std::vector<double>(kRoom, -7);

  memory() {
    for (std::size_t i = 0; i < points.size(); ++i) points[i] = static_cast<float>(i * i % 17);
  }

  arguments all() {
    return {fk::matrix_view<float const>::batched(points.data(), kB, kN, kD),
            fk::matrix_view<float>::batched(centroids.data(), kB, kK, kD),
            labels.data(),
            {counts.data(), offsets.data(), order.data(), inverse.data()},
            status.data(),
            distances.data(),
            shift.data(),
            {},
            {},
            {},
            {}};
  }

  // Everything that a verb may write, as bytes.
  std::string bytes() const {
    std::string text;
    auto add = [&](auto const& values) {
      text.append(reinterpret_cast<char const*>(values.data()), values.size() * sizeof(values[0]));
    };
    add(centroids), add(labels), add(counts), add(offsets), add(order), add(inverse);
    add(status), add(distances), add(shift);
    return text;
  }
};

enum verb : unsigned {
  kFit = 1,
  kPredict = 2,
  kInertia = 4,
  kUpdate = 8,
  kInit = 16,
  kAll = 31,
  kWriters = kFit | kUpdate | kInit
};

void call(verb v, arguments const& a) {
  switch (v) {
    case kFit: fk::host::fit(a.x, a.c, {a.labels, a.index, a.status}, a.options, a.exec); break;
    case kPredict: fk::host::predict(a.x, a.c, {a.labels, a.distances}, a.query, a.exec); break;
    case kInertia: fk::host::inertia(a.x, a.c, a.query, a.exec); break;
    case kUpdate:
      fk::host::update_centroids(a.x, a.labels, a.c, {a.index, a.shift}, a.update, a.exec);
      break;
    case kInit: fk::host::init_centroids(a.x, a.c, a.options, a.exec); break;
    default: FAIL() << "not a verb: " << v;
  }
}

struct bad_case {
  char const* name;
  unsigned verbs;                         // that must reject it
  std::function<void(arguments&)> spoil;  // makes one argument bad
  std::string says;                       // the argument's name and value, as the message must say
};

std::ostream& operator<<(std::ostream& out, bad_case const& c) { return out << c.name; }

// A pointer that is misaligned but the same in every run.
template <class T>
T* odd_address() {
  return reinterpret_cast<T*>(std::uintptr_t{0x1001});
}

class rejects : public ::testing::TestWithParam<bad_case> {};

TEST_P(rejects, with_name_and_value_and_writes_nothing) {
  bad_case const& bad = GetParam();
  for (verb const v : {kFit, kPredict, kInertia, kUpdate, kInit}) {
    if ((bad.verbs & v) == 0) continue;
    SCOPED_TRACE("verb " + std::to_string(v));
    memory m;
    arguments a = m.all();
    bad.spoil(a);
    std::string const before = m.bytes();
    try {
      call(v, a);
      ADD_FAILURE() << "was taken";
    } catch (std::invalid_argument const& error) {
      EXPECT_NE(std::string(error.what()).find(bad.says), std::string::npos)
          << error.what() << "\nmust say: " << bad.says;
    }
    EXPECT_EQ(m.bytes() == before, true) << "an output was written";
  }
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr std::int64_t kTooMany = std::int64_t{1} << 31;
constexpr unsigned kLabelled = kFit | kPredict | kUpdate;

INSTANTIATE_TEST_SUITE_P(
    pointers, rejects,
    ::testing::Values(
        bad_case{"x null", kAll, [](arguments& a) { a.x.data = nullptr; }, "x.data is null"},
        bad_case{"centroids null", kAll, [](arguments& a) { a.c.data = nullptr; },
                 "centroids.data is null"},
        bad_case{"labels null", kLabelled, [](arguments& a) { a.labels = nullptr; },
                 "labels is null"},
        bad_case{"x misaligned", kAll, [](arguments& a) { a.x.data = odd_address<float const>(); },
                 "x.data is 0x1001, must be aligned"},
        bad_case{"centroids misaligned", kAll,
                 [](arguments& a) { a.c.data = odd_address<float>(); },
                 "centroids.data is 0x1001, must be aligned"},
        bad_case{"labels misaligned", kLabelled,
                 [](arguments& a) { a.labels = odd_address<std::int32_t>(); },
                 "labels is 0x1001, must be aligned"},
        bad_case{"counts misaligned", kFit | kUpdate,
                 [](arguments& a) { a.index.counts = odd_address<std::int32_t>(); },
                 "index.counts is 0x1001, must be aligned"},
        bad_case{"offsets misaligned", kFit | kUpdate,
                 [](arguments& a) { a.index.offsets = odd_address<std::int32_t>(); },
                 "index.offsets is 0x1001, must be aligned"},
        bad_case{"order misaligned", kFit | kUpdate,
                 [](arguments& a) { a.index.order = odd_address<std::int32_t>(); },
                 "index.order is 0x1001, must be aligned"},
        bad_case{"inverse misaligned", kFit | kUpdate,
                 [](arguments& a) { a.index.inverse = odd_address<std::int32_t>(); },
                 "index.inverse is 0x1001, must be aligned"},
        bad_case{"status misaligned", kFit,
                 [](arguments& a) { a.status = odd_address<fk::fit_status>(); },
                 "status is 0x1001, must be aligned"},
        bad_case{"distances misaligned", kPredict,
                 [](arguments& a) { a.distances = odd_address<float>(); },
                 "distances is 0x1001, must be aligned"},
        bad_case{"shift misaligned", kUpdate, [](arguments& a) { a.shift = odd_address<double>(); },
                 "shift is 0x1001, must be aligned"}));

INSTANTIATE_TEST_SUITE_P(
    shapes, rejects,
    ::testing::Values(
        bad_case{"n 0", kAll, [](arguments& a) { a.x.rows = 0; }, "x.rows (n) is 0"},
        bad_case{"n negative", kAll, [](arguments& a) { a.x.rows = -5; }, "x.rows (n) is -5"},
        bad_case{"n over 2^31-1", kAll, [](arguments& a) { a.x.rows = kTooMany; },
                 "x.rows (n) is 2147483648, must be at most 2147483647"},
        bad_case{"k 0", kAll, [](arguments& a) { a.c.rows = 0; }, "centroids.rows (k) is 0"},
        bad_case{"k negative", kAll, [](arguments& a) { a.c.rows = -1; },
                 "centroids.rows (k) is -1"},
        bad_case{"k over 2^31-1", kAll, [](arguments& a) { a.c.rows = kTooMany; },
                 "centroids.rows (k) is 2147483648"},
        bad_case{"k beyond what is counted in 32 bits", kAll,
                 [](arguments& a) { a.c.rows = 2147483393; },
                 "centroids.rows (k) is 2147483393, must be at most 2147483392"},
        // One problem of which only k rows are looked at: only k > n is wrong with it.
        bad_case{"k above n", kFit | kInit,
                 [](arguments& a) {
                   a.x.batch = a.c.batch = {1, 1};
                   a.x.rows = 3;
                   a.c.rows = 4;
                 },
                 "centroids.rows (k) is 4, must be at most x.rows (n = 3)"},
        bad_case{"d 0", kAll, [](arguments& a) { a.x.cols = a.c.cols = 0; }, "x.cols (d) is 0"},
        bad_case{"d negative", kAll, [](arguments& a) { a.x.cols = a.c.cols = -3; },
                 "x.cols (d) is -3"},
        bad_case{"d over 2^31-1", kAll,
                 [](arguments& a) { a.x.cols = a.x.ld = a.c.cols = a.c.ld = kTooMany; },
                 "x.cols (d) is 2147483648"},
        bad_case{"d beyond what is counted in 32 bits", kAll,
                 [](arguments& a) { a.x.cols = a.x.ld = a.c.cols = a.c.ld = 2147479553; },
                 "x.cols (d) is 2147479553, must be at most 2147479552"},
        bad_case{"d of centroids 0", kAll, [](arguments& a) { a.c.cols = 0; },
                 "centroids.cols (d) is 0"},
        bad_case{"d differs", kAll, [](arguments& a) { a.c.cols = 2; },
                 "centroids.cols (d) is 2, must equal x.cols (3)"},
        bad_case{"ld of x below d", kAll, [](arguments& a) { a.x.ld = 2; },
                 "x.ld is 2, must be at least x.cols (3)"},
        bad_case{"ld of x negative", kAll, [](arguments& a) { a.x.ld = -3; }, "x.ld is -3"},
        bad_case{"ld of centroids below d", kAll, [](arguments& a) { a.c.ld = 1; },
                 "centroids.ld is 1, must be at least centroids.cols (3)"}));

INSTANTIATE_TEST_SUITE_P(
    batches, rejects,
    ::testing::Values(bad_case{"outer batch 0", kAll,
                               [](arguments& a) {
                                 a.x.batch = a.c.batch = {0, 1};
                               },
                               "x.batch[0] is 0"},
                      bad_case{"inner batch negative", kAll,
                               [](arguments& a) {
                                 a.x.batch = a.c.batch = {1, -2};
                               },
                               "x.batch[1] is -2"},
                      bad_case{"batch differs", kAll,
                               [](arguments& a) {
                                 a.c.batch = {1, 2};
                               },
                               "centroids.batch is 1 x 2, must equal x.batch (2 x 1)"},
                      bad_case{"batch over 2^31-1", kAll,
                               [](arguments& a) {
                                 a.x.batch = a.c.batch = {65536, 32768};
                               },
                               "x.batch is 65536 x 32768, must be at most 2147483647"},
                      bad_case{"outer stride of x negative", kAll,
                               [](arguments& a) {
                                 a.x.batch_stride = {-18, 0};
                               },
                               "x.batch_stride[0] is -18"},
                      bad_case{"inner stride of x negative", kAll,
                               [](arguments& a) {
                                 a.x.batch_stride = {18, -1};
                               },
                               "x.batch_stride[1] is -1"},
                      bad_case{"stride of centroids negative", kAll,
                               [](arguments& a) {
                                 a.c.batch_stride = {-6, 0};
                               },
                               "centroids.batch_stride[0] is -6"}));

// Centroids that are written must not overlap.
INSTANTIATE_TEST_SUITE_P(
    overlaps, rejects,
    ::testing::Values(bad_case{"problems share their centroids", kWriters,
                               [](arguments& a) {
                                 a.c.batch_stride = {0, 0};
                               },
                               "centroids.batch_stride[0] is 0, must be at least"},
                      bad_case{"problems share features", kWriters,
                               [](arguments& a) {
                                 a.c.batch_stride = {2, 0};
                               },
                               "centroids.batch_stride[0] is 2, must be at least"},
                      bad_case{"inner problems share features", kWriters,
                               [](arguments& a) {
                                 a.x.batch = a.c.batch = {1, 2};
                                 a.x.batch_stride = {0, kN * kD};
                                 a.c.batch_stride = {0, 2};
                               },
                               "centroids.batch_stride[1] is 2, must be at least"},
                      bad_case{"last row of one problem is the first of the next", kWriters,
                               [](arguments& a) {
                                 a.c.batch_stride = {3, 0};
                               },
                               "centroids.batch_stride[0] is 3, must be at least"},
                      bad_case{"problem begins inside the one before", kWriters,
                               [](arguments& a) {
                                 a.c.batch_stride = {5, 0};
                               },
                               "centroids.batch_stride[0] is 5, must be at least"},
                      bad_case{"inner and outer problems meet", kWriters,
                               [](arguments& a) {
                                 a.x.batch = a.c.batch = {2, 2};
                                 a.x.batch_stride = {0, 0};
                                 a.c.batch_stride = {6, 6};
                               },
                               "centroids.batch_stride[1] is 6, must be at least"}));

INSTANTIATE_TEST_SUITE_P(
    options, rejects,
    ::testing::Values(
        bad_case{"tolerance NaN", kFit, [](arguments& a) { a.options.tolerance = kNan; },
                 "options.tolerance is nan"},
        bad_case{"tolerance negative", kFit, [](arguments& a) { a.options.tolerance = -0.25; },
                 "options.tolerance is -0.25"},
        bad_case{"tolerance infinite", kFit, [](arguments& a) { a.options.tolerance = kInf; },
                 "options.tolerance is inf"},
        bad_case{"no iterations", kFit, [](arguments& a) { a.options.max_iterations = 0; },
                 "options.max_iterations is 0"},
        bad_case{"iterations negative", kFit, [](arguments& a) { a.options.max_iterations = -3; },
                 "options.max_iterations is -3"},
        bad_case{"unknown init", kFit | kInit,
                 [](arguments& a) { a.options.init = static_cast<fk::init_method>(7); },
                 "options.init is 7"},
        bad_case{"unknown metric", kAll, [](arguments& a) { a.metric(static_cast<fk::metric>(5)); },
                 "options.metric is 5"},
        bad_case{"unknown empty_cluster", kFit,
                 [](arguments& a) { a.options.empty_cluster = static_cast<fk::empty_cluster>(3); },
                 "options.empty_cluster is 3"},
        bad_case{"max_size_ratio below 1", kFit,
                 [](arguments& a) { a.options.max_size_ratio = 0.75; },
                 "options.max_size_ratio is 0.75, must be 0 or finite and at least 1"},
        bad_case{"max_size_ratio negative", kFit,
                 [](arguments& a) { a.options.max_size_ratio = -2; },
                 "options.max_size_ratio is -2"},
        bad_case{"max_size_ratio NaN", kFit, [](arguments& a) { a.options.max_size_ratio = kNan; },
                 "options.max_size_ratio is nan"},
        bad_case{"max_size_ratio infinite", kFit,
                 [](arguments& a) { a.options.max_size_ratio = kInf; },
                 "options.max_size_ratio is inf"},
        bad_case{"n_init 0", kFit, [](arguments& a) { a.options.n_init = 0; },
                 "options.n_init is 0"},
        bad_case{"n_init of given centroids", kFit,
                 [](arguments& a) {
                   a.options.n_init = 2;
                   a.options.init = fk::init_method::given;
                 },
                 "options.n_init is 2, must be 1 where options.init is given"},
        bad_case{"n_init without closing assignment", kFit,
                 [](arguments& a) {
                   a.options.n_init = 3;
                   a.options.closing_assignment = false;
                 },
                 "options.n_init is 3, must be 1 without options.closing_assignment"},
        bad_case{"candidates above 64", kFit | kInit,
                 [](arguments& a) { a.options.candidates = 65; }, "options.candidates is 65"},
        bad_case{"candidates negative", kFit | kInit,
                 [](arguments& a) { a.options.candidates = -1; }, "options.candidates is -1"},
        bad_case{"threads negative", kAll, [](arguments& a) { a.exec.threads = -1; },
                 "execution.threads is -1"}));

// Weights of the wrong type, and weights that no point can have: one value per case, all others 1.
std::vector<float> weights_with(float value) {
  std::vector<float> weights(kRoom * kN, 1);
  weights[kN + 4] = value;
  return weights;
}
std::vector<float> const kNegative = weights_with(-0.25f), kNotANumber = weights_with(NAN),
                         kInfinite = weights_with(INFINITY);
std::vector<double> const kDoubles(kRoom* kN, 1);
constexpr unsigned kWeighted = kFit | kInertia | kUpdate | kInit;

INSTANTIATE_TEST_SUITE_P(
    weights, rejects,
    ::testing::Values(
        bad_case{"double weights of float points", kWeighted | kPredict,
                 [](arguments& a) { a.weights(kDoubles.data()); },
                 "options.weights is double, must be float for points of every type but double"},
        bad_case{"weights misaligned", kWeighted,
                 [](arguments& a) { a.weights(odd_address<float const>()); },
                 "options.weights is 0x1001, must be aligned"},
        bad_case{"a weight negative", kWeighted, [](arguments& a) { a.weights(kNegative.data()); },
                 "options.weights of problem 1, point 4 is -0.25"},
        bad_case{"a weight NaN", kWeighted, [](arguments& a) { a.weights(kNotANumber.data()); },
                 "options.weights of problem 1, point 4 is nan"},
        bad_case{"a weight infinite", kWeighted, [](arguments& a) { a.weights(kInfinite.data()); },
                 "options.weights of problem 1, point 4 is inf"}));

TEST(rejects_weights, of_float_for_double_points) {
  std::vector<double> const points(12, 1);
  std::vector<double> centroids(2, 7);
  std::vector<std::int32_t> labels(12, -9);
  std::vector<float> const weights(12, 1);
  fk::fit_options options;
  options.weights = weights.data();
  try {
    fk::host::fit(fk::matrix_view<double const>(points.data(), 12, 1),
                  fk::matrix_view<double>(centroids.data(), 2, 1), labels.data(), options);
    ADD_FAILURE() << "was taken";
  } catch (std::invalid_argument const& error) {
    EXPECT_NE(std::string(error.what())
                  .find("options.weights is float, must be double for double points"),
              std::string::npos)
        << error.what();
  }
  EXPECT_EQ(centroids, std::vector<double>(2, 7));
  EXPECT_EQ(labels, std::vector<std::int32_t>(12, -9));
}

// The arguments that the cases spoil are good before: every verb takes them and writes.
TEST(accepts, what_the_cases_start_from) {
  for (verb const v : {kFit, kPredict, kInertia, kUpdate, kInit}) {
    memory m;
    std::string const before = m.bytes();
    EXPECT_NO_THROW(call(v, m.all())) << "verb " << v;
    EXPECT_EQ(m.bytes() == before, v == kInertia) << "verb " << v;
  }
}

// More centroids than points are wrong only where centroids are drawn from the points.
TEST(accepts, more_centroids_than_points_without_init) {
  for (verb const v : {kPredict, kInertia, kUpdate}) {
    memory m;
    arguments a = m.all();
    a.x.batch = a.c.batch = {1, 1};
    a.x.rows = 3;
    a.c.rows = 4;
    EXPECT_NO_THROW(call(v, a)) << "verb " << v;
  }
}

// Centroids that are only read may be shared by the problems of a batch, and so may points.
TEST(accepts, shared_inputs) {
  for (verb const v : {kPredict, kInertia}) {
    memory m;
    arguments a = m.all();
    a.c.batch_stride = {0, 0};
    EXPECT_NO_THROW(call(v, a)) << "verb " << v;
  }
  memory m;
  arguments a = m.all();
  a.x.batch_stride = {0, 0};
  EXPECT_NO_THROW(call(kFit, a));
}

// [b][k][h][d] centroids interleave their problems without overlapping.
TEST(accepts, interleaved_centroids) {
  memory m;
  arguments a = m.all();
  a.x = fk::matrix_view<float const>::nhd(m.points.data(), 1, kN, kB, kD);
  a.c = fk::matrix_view<float>::nhd(m.centroids.data(), 1, kK, kB, kD);
  for (verb const v : {kFit, kUpdate, kInit}) EXPECT_NO_THROW(call(v, a)) << "verb " << v;
}

// Strides of dimensions that are not stepped along do not matter.
TEST(accepts, unused_strides) {
  memory m;
  arguments a = m.all();
  a.x.batch = a.c.batch = {1, 1};
  a.c.batch_stride = {0, 1};
  for (verb const v : {kFit, kUpdate, kInit}) EXPECT_NO_THROW(call(v, a)) << "verb " << v;
}

// Optional outputs may be left out one by one.
TEST(accepts, missing_optional_outputs) {
  for (int out = 0; out < 7; ++out) {
    memory m;
    arguments a = m.all();
    if (out == 0) a.index.counts = nullptr;
    if (out == 1) a.index.offsets = nullptr;
    if (out == 2) a.index.order = nullptr;
    if (out == 3) a.index.inverse = nullptr;
    if (out == 4) a.status = nullptr;
    if (out == 5) a.distances = nullptr;
    if (out == 6) a.shift = nullptr;
    for (verb const v : {kFit, kPredict, kUpdate}) {
      EXPECT_NO_THROW(call(v, a)) << "verb " << v << ", without output " << out;
    }
  }
}

}  // namespace
