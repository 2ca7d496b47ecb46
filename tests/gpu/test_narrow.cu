// Points of one byte a value. Every verb has to give, bit for bit, what it gives for half points of
// the same values.
#include <map>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

template <class T>
class narrow : public gpu_test {};
TYPED_TEST_SUITE(narrow, narrow_types, element_names);

std::size_t size_of(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(rows * columns);
}

// --- Data ----------------------------------------------------------------------------------------

// All finite values of a type.
template <class T>
std::vector<double> all_values() {
  std::vector<double> values;
  for (int code = 0; code < 256; ++code) {
    auto const byte = static_cast<unsigned char>(code);
    T value;
    std::memcpy(&value, &byte, 1);
    double const wide = element_from_type(value);
    if (std::isfinite(wide)) values.push_back(wide);
  }
  return values;
}

// Every value occurs where there are enough elements.
template <class T>
matrix points_of(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  std::vector<double> const values = all_values<T>();
  auto const last = static_cast<std::int64_t>(values.size()) - 1;
  random_source random(seed);
  matrix x(n, d);
  for (double& value : x.values) {
    value = values[static_cast<std::size_t>(random.integer(0, last))];
  }
  for (std::size_t i = 0; i < values.size() && x.values.size() >= values.size(); ++i) {
    x.values[i] = values[i];
  }
  return x;
}

struct batch {
  std::vector<matrix> x, c;
  layout how;

  std::int64_t count() const { return static_cast<std::int64_t>(x.size()); }
  std::int64_t n() const { return x.front().rows; }
  std::int64_t d() const { return x.front().cols; }
  std::int64_t k() const { return c.front().rows; }
};

// Centroids near points, none of them a value of T.
template <class T>
batch batch_of(shape const& s, layout const& how, std::uint64_t seed) {
  batch data{{}, {}, how};
  for (std::int64_t p = 0; p < how.batch[0] * how.batch[1]; ++p) {
    std::uint64_t const own = seed + 10 * static_cast<std::uint64_t>(p);
    data.x.push_back(points_of<T>(s.n, s.d, own));
    matrix c = first_rows(data.x.back(), s.k);
    matrix const moved = normal_points(s.k, s.d, own + 1);
    for (std::size_t i = 0; i < c.values.size(); ++i) c.values[i] += moved.values[i];
    data.c.push_back(std::move(c));
  }
  return data;
}

// How the library's copy in half lies: rows on 16 bytes, one problem after the other.
batch as_copied(batch data) {
  std::int64_t const d = data.d();
  data.how = {"as copied", (d + 7) / 8 * 8 - d, 0, data.how.batch, false, 0};
  return data;
}

// --- Results -------------------------------------------------------------------------------------

// What a verb gave, by name, as double, which holds all of it exactly.
using results = std::map<std::string, std::vector<double>>;

template <class V>
void add(results& to, std::string const& name, std::vector<V> const& values) {
  std::vector<double>& held = to[name];
  for (V const value : values) held.push_back(static_cast<double>(value));
}

void add(results& to, std::string const& name, index_values const& index) {
  add(to, name + " counts", index.counts);
  add(to, name + " offsets", index.offsets);
  add(to, name + " order", index.order);
  add(to, name + " inverse", index.inverse);
}

void add(results& to, std::string const& name, std::vector<fk::fit_status> const& status) {
  for (fk::fit_status const& own : status) {
    add(to, name + " inertia, shift, iterations, converged, non_finite",
        std::vector<double>{own.inertia, own.shift, static_cast<double>(own.iterations),
                            static_cast<double>(own.converged),
                            static_cast<double>(own.non_finite)});
  }
}

// Any NaN is as good as another.
::testing::AssertionResult same(results const& got, results const& half) {
  if (got.size() != half.size()) {
    return ::testing::AssertionFailure()
           << got.size() << " results, for half there are " << half.size();
  }
  for (auto const& [name, expected] : half) {
    auto const found = got.find(name);
    if (found == got.end()) return ::testing::AssertionFailure() << "there is no " << name;
    std::vector<double> const& values = found->second;
    if (values.size() != expected.size()) {
      return ::testing::AssertionFailure()
             << name << " has " << values.size() << " values, for half " << expected.size();
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      bool const equal = std::isnan(expected[i])
                             ? std::isnan(values[i])
                             : std::memcmp(&values[i], &expected[i], sizeof(double)) == 0;
      if (!equal) {
        return ::testing::AssertionFailure() << name << ": value " << i << " of " << values.size()
                                             << " is " << values[i] << ", for half " << expected[i];
      }
    }
  }
  return ::testing::AssertionSuccess();
}

// --- Runs ----------------------------------------------------------------------------------------

// Exactly as many bytes as a verb asks for, between guard bands, full of poison.
class exact_workspace {
 public:
  exact_workspace(std::size_t bytes, fk::assign_kernel kernel) : memory_(bytes) {
    exec_.workspace = memory_.data();
    exec_.workspace_bytes = bytes;
    exec_.kernel = kernel;
  }
  operator fk::execution const&() const { return exec_; }

 private:
  device_buffer<unsigned char> memory_;
  fk::execution exec_;
};

// [b][n], with zeros.
std::vector<float> weights_of(batch const& data) {
  std::vector<float> weights(size_of(data.count(), data.n()));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i % 5) * 0.5f;
  return weights;
}

// [b][n], with some that are no cluster's.
std::vector<std::int32_t> labels_of(batch const& data) {
  std::vector<std::int32_t> labels(size_of(data.count(), data.n()));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(7 * i) % (data.k() + 1));
  }
  return labels;
}

// One fit with all outputs. async: by fit_async in an exact workspace, else by fit without one.
template <class T>
void add_fit(results& to, std::string const& name, batch const& data,
             fk::fit_options const& options, fk::assign_kernel kernel, bool async) {
  device_matrices<T> const x(data.x, data.how);
  device_matrices<float> const c(data.c, as_copied(data).how);
  device_buffer<std::int32_t> const labels(size_of(data.count(), data.n()));
  index_buffers const index(data.count(), data.n(), data.k());
  device_buffer<fk::fit_status> const status(static_cast<std::size_t>(data.count()));
  fk::fit_outputs const out{labels.data(), index.view(), status.data()};
  if (async) {
    exact_workspace const memory(
        fk::fit_workspace_bytes(x.view(), c.view(), options, on_kernel(kernel)), kernel);
    fk::fit_async(x.const_view(), c.view(), out, options, memory);
    FLASH_KMEANS_CUDA_CHECK(cudaDeviceSynchronize());
  } else {
    fk::fit_result const result = fk::fit(x.view(), c.view(), out, options, on_kernel(kernel));
    add(to, name + " result",
        std::vector<double>{static_cast<double>(result.iterations),
                            static_cast<double>(result.converged), result.inertia,
                            static_cast<double>(result.kernel),
                            static_cast<double>(result.non_finite)});
  }
  add(to, name + " centroids", c.download());
  add(to, name + " labels", labels.download());
  add(to, name, index_values(index));
  add(to, name, status.download());
  EXPECT_TRUE(x.padding_untouched()) << name;
}

// Fits of all kinds.
template <class T>
results all_fits(batch const& data, fk::assign_kernel kernel, bool async) {
  device_buffer<float> const weights(weights_of(data));
  results to;
  fk::fit_options options = given(6, 1e-4);
  add_fit<T>(to, "given", data, options, kernel, async);
  options.closing_assignment = false;
  add_fit<T>(to, "without closing assignment", data, options, kernel, async);
  options = given(4, 0);
  options.seed = 3;
  options.init = fk::init_method::random;
  add_fit<T>(to, "random", data, options, kernel, async);
  options.init = fk::init_method::kmeans_plus_plus;
  options.n_init = 3;
  add_fit<T>(to, "n_init", data, options, kernel, async);
  options.n_init = 1;
  options.init = fk::init_method::kmeans_parallel;
  options.weights = weights.data();
  options.metric = fk::metric::cosine;
  options.empty_cluster = fk::empty_cluster::farthest_point;
  add_fit<T>(to, "weighted cosine", data, options, kernel, async);
  return to;
}

// All other verbs. Unlike them top_k does not run on sm90.
template <class T>
results all_queries(batch const& data, fk::assign_kernel kernel, bool async) {
  device_matrices<T> const points(data.x, data.how);
  device_matrices<float> const centroids(data.c, as_copied(data).how);
  fk::matrix_view<T const> const x = points.const_view();
  fk::matrix_view<float const> const c = centroids.const_view();
  device_buffer<float> const weights(weights_of(data));
  std::int64_t const b = data.count(), n = data.n(), k = data.k();
  auto const run = [&](std::size_t bytes, auto&& queued, auto&& waited, fk::assign_kernel on) {
    if (async) {
      exact_workspace const memory(bytes, on);
      queued(static_cast<fk::execution const&>(memory));
      FLASH_KMEANS_CUDA_CHECK(cudaDeviceSynchronize());
    } else {
      waited(on_kernel(on));
    }
  };
  results to;
  for (fk::metric const by :
       {fk::metric::euclidean, fk::metric::cosine, fk::metric::inner_product}) {
    fk::query_options options{by, weights.data()};
    std::string const name = text("metric ", static_cast<int>(by), ", ");
    {
      device_buffer<std::int32_t> const labels(size_of(b, n));
      device_buffer<float> const distances(size_of(b, n));
      fk::predict_outputs<float> const out{labels.data(), distances.data()};
      run(
          fk::predict_workspace_bytes(x, c, options, on_kernel(kernel)),
          [&](fk::execution const& exec) { fk::predict_async(x, c, out, options, exec); },
          [&](fk::execution const& exec) { fk::predict(x, c, out, options, exec); }, kernel);
      add(to, name + "predict labels", labels.download());
      add(to, name + "predict distances", distances.download());
    }
    {
      auto const on = kernel == fk::assign_kernel::sm90 ? fk::assign_kernel::automatic : kernel;
      int const j = static_cast<int>(std::min<std::int64_t>(k, 5));
      device_buffer<std::int32_t> const labels(size_of(b * n, j));
      device_buffer<float> const distances(size_of(b * n, j));
      fk::top_k_outputs<float> const out{labels.data(), distances.data()};
      run(
          fk::top_k_workspace_bytes(x, c, j, options, on_kernel(on)),
          [&](fk::execution const& exec) { fk::top_k_async(x, c, j, out, options, exec); },
          [&](fk::execution const& exec) { fk::top_k(x, c, j, out, options, exec); }, on);
      add(to, name + "top_k labels", labels.download());
      add(to, name + "top_k distances", distances.download());
    }
    {
      device_buffer<float> const distances(size_of(b * n, k));
      fk::matrix_view<float> const all(distances.data(), n, k, k, data.how.batch,
                                       {data.how.batch[1] * n * k, n * k});
      run(
          fk::transform_workspace_bytes(x, c, options),
          [&](fk::execution const& exec) { fk::transform_async(x, c, all, options, exec); },
          [&](fk::execution const& exec) { fk::transform(x, c, all, options, exec); }, kernel);
      add(to, name + "transform", distances.download());
    }
    {
      device_buffer<double> const sums(async ? static_cast<std::size_t>(b) : 0);
      double total = 0;
      run(
          fk::inertia_workspace_bytes(x, c, options, on_kernel(kernel)),
          [&](fk::execution const& exec) { fk::inertia_async(x, c, sums.data(), options, exec); },
          [&](fk::execution const& exec) { total = fk::inertia(x, c, options, exec); }, kernel);
      add(to, name + "inertia", async ? sums.download() : std::vector<double>{total});
    }
  }
  for (fk::init_method const method : {fk::init_method::random, fk::init_method::kmeans_plus_plus,
                                       fk::init_method::kmeans_parallel}) {
    fk::fit_options options;
    options.init = method;
    options.seed = 5;
    options.weights = weights.data();
    device_matrices<float> const drawn(data.c, as_copied(data).how);
    run(
        fk::init_workspace_bytes(x, drawn.view(), options, on_kernel(kernel)),
        [&](fk::execution const& exec) {
          fk::init_centroids_async(x, drawn.view(), options, exec);
        },
        [&](fk::execution const& exec) { fk::init_centroids(x, drawn.view(), options, exec); },
        kernel);
    add(to, text("init_centroids ", static_cast<int>(method)), drawn.download());
  }
  device_buffer<std::int32_t> const labels(labels_of(data));
  {
    device_matrices<float> const moved(data.c, as_copied(data).how);
    index_buffers const index(b, n, k);
    device_buffer<double> const shift(static_cast<std::size_t>(b));
    fk::update_outputs const out{index.view(), shift.data()};
    run(
        fk::update_workspace_bytes(x, moved.view()),
        [&](fk::execution const& exec) {
          fk::update_centroids_async(x, labels.data(), moved.view(), out, {}, exec);
        },
        [&](fk::execution const& exec) {
          fk::update_centroids(x, labels.data(), moved.view(), out, {}, exec);
        },
        kernel);
    add(to, "update_centroids", moved.download());
    add(to, "update_centroids", index_values(index));
    add(to, "update_centroids shift", shift.download());
  }
  {
    device_matrices<float> const sums(data.c, as_copied(data).how);
    run(
        fk::update_workspace_bytes(x, sums.view()),
        [&](fk::execution const& exec) {
          fk::sum_by_cluster_async(x, labels.data(), sums.view(), exec);
        },
        [&](fk::execution const& exec) { fk::sum_by_cluster(x, labels.data(), sums.view(), exec); },
        kernel);
    add(to, "sum_by_cluster", sums.download());
  }
  {
    std::vector<std::int32_t> backwards(size_of(b, n));
    for (std::size_t i = 0; i < backwards.size(); ++i) {
      backwards[i] = static_cast<std::int32_t>(n - 1 - static_cast<std::int64_t>(i) % n);
    }
    device_buffer<std::int32_t> const order(backwards);
    device_matrices<T> const sorted(std::vector<matrix>(data.x.size(), matrix(n, data.d())),
                                    data.how);
    if (async) {
      fk::gather_by_cluster_async(x, order.data(), sorted.view());
    } else {
      fk::gather_by_cluster(x, order.data(), sorted.view());
    }
    std::vector<double> rows;
    for (T const value : sorted.download()) rows.push_back(element_from_type(value));
    add(to, "gather_by_cluster", rows);
    EXPECT_TRUE(sorted.padding_untouched());
  }
  EXPECT_TRUE(points.padding_untouched());
  return to;
}

template <class T>
void expect_as_half(batch const& data, fk::assign_kernel kernel, bool async) {
  SCOPED_TRACE(text(data.how.name, ", ", shape{data.n(), data.k(), data.d()}, ", ",
                    fk::to_string(kernel), async ? ", queued" : ""));
  batch const half = as_copied(data);
  EXPECT_TRUE(same(all_queries<T>(data, kernel, async), all_queries<__half>(half, kernel, async)));
  EXPECT_TRUE(same(all_fits<T>(data, kernel, async), all_fits<__half>(half, kernel, async)));
}

// --- As half -------------------------------------------------------------------------------------

std::vector<shape> shapes() {
  return {{1, 1, 1},     {300, 4, 1},   {300, 7, 3},     {257, 20, 16},
          {900, 33, 17}, {640, 64, 64}, {5000, 12, 100}, {3000, 200, 128}};
}

TYPED_TEST(narrow, all_verbs_of_all_shapes_are_those_of_half) {
  using T = TypeParam;
  for (shape const& s : shapes()) {
    expect_as_half<T>(batch_of<T>(s, {}, 1), fk::assign_kernel::automatic, true);
    expect_as_half<T>(batch_of<T>(s, {}, 2), fk::assign_kernel::automatic, false);
  }
}

// Rows on 16 bytes and not, with and without more than their features between them.
TYPED_TEST(narrow, small_all_verbs_of_all_layouts_are_those_of_half) {
  using T = TypeParam;
  std::vector<layout> layouts = batch_layouts();
  for (layout const& own :
       {layout{"padded_by_3", 3, 0}, layout{"padded_by_16", 16, 0}, layout{"base_off_by_1", 0, 1},
        layout{"nhd_padded_by_16", 16, 0, {2, 3}, true, 32}}) {
    layouts.push_back(own);
  }
  for (layout const& how : part_of(layouts)) {
    for (shape const& s : part_of({shape{70, 9, 17}, shape{65, 6, 64}})) {
      expect_as_half<T>(batch_of<T>(s, how, 3), fk::assign_kernel::automatic, true);
    }
  }
}

TYPED_TEST(narrow, small_all_verbs_on_all_kernels_are_those_of_half) {
  using T = TypeParam;
  layout how;
  how.batch = {2, 1};
  for (fk::assign_kernel const kernel : part_of(kernels_for<__half>())) {
    expect_as_half<T>(batch_of<T>({150, 11, 19}, how, 4), kernel, true);
    expect_as_half<T>(batch_of<T>({150, 11, 19}, how, 4), kernel, false);
  }
}

TEST_F(gpu_test, small_narrow_rows_that_are_not_finite) {
  using T = __nv_fp8_e4m3;
  layout how;
  how.batch = {2, 1};
  batch data = batch_of<T>({200, 6, 20}, how, 5);
  double const nan = std::numeric_limits<double>::quiet_NaN();
  data.x[1](17, 3) = nan;
  for (std::int64_t e = 0; e < data.d(); ++e) data.x[1](180, e) = nan;
  data.x[1](181, 19) = -nan;
  expect_as_half<T>(data, fk::assign_kernel::automatic, true);
  results const queries = all_queries<T>(data, fk::assign_kernel::automatic, true);
  results const fits = all_fits<T>(data, fk::assign_kernel::automatic, true);
  for (std::size_t const row : {17, 180, 181}) {
    std::size_t const at = 200 + row;
    EXPECT_EQ(queries.at("metric 0, predict labels")[at], 0) << row;
    EXPECT_TRUE(std::isnan(queries.at("metric 0, predict distances")[at])) << row;
    EXPECT_EQ(fits.at("given labels")[at], 0) << row;
  }
  std::vector<double> const& status =
      fits.at("given inertia, shift, iterations, converged, non_finite");
  EXPECT_EQ(status[4], 0);
  EXPECT_EQ(status[9], 3);
  EXPECT_TRUE(std::isfinite(status[5]));
}

// --- The oracle ----------------------------------------------------------------------------------

TYPED_TEST(narrow, small_labels_distances_and_means_are_the_oracles) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{700, 21, 16}, shape{500, 40, 33}, shape{300, 10, 128}})) {
    SCOPED_TRACE(text(s));
    batch const data = batch_of<T>(s, {}, 6);
    matrix const& x = data.x.front();
    ASSERT_EQ(rounded_to<T>(x).values, x.values) << "the points are none of the type";
    matrix const masters = rounded_to<float>(data.c.front());
    device_matrices<T> const points(x);
    device_matrices<float> const centroids(masters);
    predict_run<T> const run = run_predict<T>(points.const_view(), centroids.const_view());
    EXPECT_TRUE(labels_are_nearest<__half>(x, assignment_centroids<__half>(masters), run.labels));
    EXPECT_TRUE(distances_match<__half>(x, masters, run.labels, run.distances));
    device_buffer<std::int32_t> const labels(run.labels);
    fk::update_centroids(points.view(), labels.data(), centroids.view());
    EXPECT_TRUE(means_match<__half>(x, run.labels, masters, centroids.problem(0)));
  }
}

// --- Workspace -----------------------------------------------------------------------------------

// That of half with aligned rows, and the copy.
TYPED_TEST(narrow, small_workspace_is_that_of_half_and_a_copy) {
  using T = TypeParam;
  for (shape const& s : part_of({shape{1, 1, 1}, shape{300, 7, 17}, shape{100, 9, 64}})) {
    SCOPED_TRACE(text(s));
    fk::matrix_view<float> const c(nullptr, s.k, s.d);
    fk::matrix_view<T const> const x(nullptr, s.n, s.d);
    std::int64_t const ld = (s.d + 7) / 8 * 8;
    // An aligned address, which is not read.
    fk::matrix_view<__half const> const half(reinterpret_cast<__half const*>(256), s.n, s.d, ld);
    auto const copy = static_cast<std::size_t>((2 * s.n * ld + 255) / 256 * 256);
    EXPECT_EQ(fk::fit_workspace_bytes(x, c), fk::fit_workspace_bytes(half, c) + copy);
    EXPECT_EQ(fk::predict_workspace_bytes(x, c), fk::predict_workspace_bytes(half, c) + copy);
    EXPECT_EQ(fk::top_k_workspace_bytes(x, c, 1), fk::top_k_workspace_bytes(half, c, 1) + copy);
    EXPECT_EQ(fk::transform_workspace_bytes(x, c), fk::transform_workspace_bytes(half, c) + copy);
    EXPECT_EQ(fk::inertia_workspace_bytes(x, c), fk::inertia_workspace_bytes(half, c) + copy);
    EXPECT_EQ(fk::update_workspace_bytes(x, c), fk::update_workspace_bytes(half, c) + copy);
    EXPECT_EQ(fk::init_workspace_bytes(x, c), fk::init_workspace_bytes(half, c) + copy);
  }
}

TYPED_TEST(narrow, small_a_workspace_that_is_too_small_is_refused) {
  using T = TypeParam;
  batch const data = batch_of<T>({50, 5, 7}, {}, 7);
  device_matrices<T> const x(data.x.front());
  device_matrices<float> const c(data.c.front());
  device_buffer<std::int32_t> const labels(50);
  device_buffer<float> const distances(250);
  auto const refuses = [](std::size_t bytes, auto&& verb) {
    exact_workspace const memory(bytes, fk::assign_kernel::automatic);
    fk::execution exec = memory;
    --exec.workspace_bytes;
    try {
      verb(exec);
    } catch (std::invalid_argument const& error) {
      return std::string(error.what()).find("execution.workspace_bytes") != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refuses(fk::fit_workspace_bytes(x.view(), c.view()), [&](fk::execution const& exec) {
    fk::fit_async(x.view(), c.view(), labels.data(), {}, exec);
  }));
  EXPECT_TRUE(
      refuses(fk::transform_workspace_bytes(x.view(), c.view()), [&](fk::execution const& exec) {
        fk::transform_async(x.view(), c.view(), fk::matrix_view<float>(distances.data(), 50, 5), {},
                            exec);
      }));
  EXPECT_TRUE(labels.untouched());
  EXPECT_TRUE(distances.untouched());
}

// --- Plans and graphs ----------------------------------------------------------------------------

// Buffers of a fit that stay where they are while their contents change, and a fit of one of two
// batches by itself.
template <class T>
struct repeated_fit {
  batch first, second;
  fk::fit_options options;
  device_matrices<T> x;
  device_matrices<float> c;
  device_buffer<std::int32_t> labels;
  device_buffer<fk::fit_status> status;

  repeated_fit(shape const& s, layout const& how, fk::fit_options const& options_)
      : first(batch_of<T>(s, how, 8)),
        second(batch_of<T>(s, how, 9)),
        options(options_),
        x(first.x, how),
        c(first.c, as_copied(first).how),
        labels(size_of(first.count(), s.n)),
        status(first.x.size()) {}

  fk::fit_outputs outputs() const { return {labels.data(), {}, status.data()}; }
  std::size_t bytes() const { return fk::fit_workspace_bytes(x.view(), c.view(), options); }

  results collected() const {
    results to;
    add(to, "centroids", c.download());
    add(to, "labels", labels.download());
    add(to, "status", status.download());
    return to;
  }

  // By itself. Both batches start from the centroids of the first.
  results alone(batch const& data) const {
    device_matrices<T> const points(data.x, data.how);
    device_matrices<float> const centroids(first.c, as_copied(first).how);
    device_buffer<std::int32_t> const own_labels(labels.size());
    device_buffer<fk::fit_status> const own_status(status.size());
    fk::fit_async(points.view(), centroids.view(), {own_labels.data(), {}, own_status.data()},
                  options);
    results to;
    add(to, "centroids", centroids.download());
    add(to, "labels", own_labels.download());
    add(to, "status", own_status.download());
    return to;
  }
};

// One that runs in one launch, one that does not, and one of several seedings.
template <class T, class Check>
void for_repeated_fits(Check&& check) {
  layout heads{"nhd_odd", 1, 1, {1, 2}, true, 7};
  fk::fit_options several = given(5, 1e-4);
  several.init = fk::init_method::random;
  several.n_init = 2;
  check(repeated_fit<T>({120, 5, 17}, heads, given(5, 1e-4)));
  check(repeated_fit<T>({sized(4000, 400), sized(300, 30), 64}, heads, given(5, 0)));
  check(repeated_fit<T>({120, 5, 17}, heads, several));
}

// Points that are said to be unchanged are those of the copy, whatever has become of them.
TYPED_TEST(narrow, small_a_plan_converts_points_that_may_have_changed) {
  using T = TypeParam;
  own_stream const stream;
  for_repeated_fits<T>([&](repeated_fit<T> fit) {
    SCOPED_TRACE(text("n_init ", fit.options.n_init, ", k ", fit.first.k()));
    exact_workspace const memory(fit.bytes(), fk::assign_kernel::automatic);
    fk::fit_plan<T> plan(fit.x.view(), fit.c.view(), fit.outputs(), fit.options, memory);
    results const of_first = fit.alone(fit.first), of_second = fit.alone(fit.second);
    ASSERT_FALSE(same(of_first, of_second));
    struct {
      char const* name;
      batch const& uploaded;
      bool unchanged;
      results const& expected;
    } const fits[] = {{"first", fit.first, false, of_first},
                      {"first again", fit.first, true, of_first},
                      {"second, said to be unchanged", fit.second, true, of_first},
                      {"second", fit.second, false, of_second},
                      {"first, said to be unchanged", fit.first, true, of_second}};
    for (auto const& one : fits) {
      fit.x.upload(one.uploaded.x);
      fit.c.upload(fit.first.c);
      plan.fit_async(stream, {one.unchanged, false});
      EXPECT_TRUE(same(fit.collected(), one.expected)) << one.name;
    }
  });
}

TYPED_TEST(narrow, small_a_captured_fit_converts_what_the_points_are_by_then) {
  using T = TypeParam;
  own_stream const stream;
  for_repeated_fits<T>([&](repeated_fit<T> fit) {
    SCOPED_TRACE(text("n_init ", fit.options.n_init, ", k ", fit.first.k()));
    results const of_first = fit.alone(fit.first), of_second = fit.alone(fit.second);
    exact_workspace const memory(fit.bytes(), fk::assign_kernel::automatic);
    fk::execution exec = memory;
    exec.stream = stream;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    fk::fit_async(fit.x.view(), fit.c.view(), fit.outputs(), fit.options, exec);
    FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    FLASH_KMEANS_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
    for (bool const second : {false, true, false}) {
      fit.x.upload(second ? fit.second.x : fit.first.x);
      fit.c.upload(fit.first.c);
      FLASH_KMEANS_CUDA_CHECK(cudaGraphLaunch(executable, stream));
      EXPECT_TRUE(same(fit.collected(), second ? of_second : of_first)) << "second " << second;
    }
    FLASH_KMEANS_CUDA_CHECK(cudaGraphExecDestroy(executable));
    FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));
  });
}

}  // namespace
