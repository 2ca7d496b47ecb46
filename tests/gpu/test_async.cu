// The _async verbs: the caller's stream and workspace, nothing allocated, nothing waited for,
// graphs.
#include <atomic>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <thread>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

template <class T>
class async : public gpu_test {};
TYPED_TEST_SUITE(async, element_types, element_names);

// Exactly as many bytes as a verb requires.
class exact_workspace {
 public:
  explicit exact_workspace(std::size_t bytes) : memory_(bytes, 0, contents::scratch) {}

  fk::execution on(cudaStream_t stream) const {
    fk::execution exec;
    exec.stream = stream;
    exec.workspace = memory_.data();
    exec.workspace_bytes = memory_.size();
    return exec;
  }

 private:
  device_buffer<unsigned char> memory_;
};

// Buffers of a fit that stay where they are while it runs again and again.
template <class T>
struct fit_buffers {
  using C = centroid_of<T>;
  device_matrices<T> points;
  device_matrices<C> centroids;
  device_buffer<std::int32_t> labels;
  index_buffers index;
  device_buffer<fk::fit_status> status;

  fit_buffers(std::vector<matrix> const& x, std::vector<matrix> const& c, layout const& how)
      : points(x, how),
        centroids(c, how),
        labels(x.size() * static_cast<std::size_t>(x.front().rows)),
        index(static_cast<std::int64_t>(x.size()), x.front().rows, c.front().rows),
        status(x.size()) {}

  fk::fit_outputs outputs() const { return {labels.data(), index.view(), status.data()}; }

  fk::assign_kernel queue(fk::fit_options const& options, fk::execution const& exec) const {
    return fk::fit_async(points.const_view(), centroids.view(), outputs(), options, exec);
  }

  fk::fit_plan<T> plan(fk::fit_options const& options, fk::execution const& exec) const {
    return {points.const_view(), centroids.view(), outputs(), options, exec};
  }

  std::size_t workspace_bytes(fk::fit_options const& options,
                              fk::execution const& exec = {}) const {
    return fk::fit_workspace_bytes(points.const_view(), centroids.view(), options, exec);
  }

  // Waits for the device. The result is left empty: fit_async has none.
  fit_run<T> collect() const {
    fk::matrix_view<C> const c = centroids.view();
    return {centroids.download(),
            labels.download(),
            index_values(index),
            status.download(),
            {},
            points.view().rows,
            c.rows,
            c.cols};
  }
};

struct batch_case {
  std::vector<matrix> points, centroids;
  layout how;
};

// Three problems: one that converges after three updates and two that go on.
batch_case mixed_batch(std::uint64_t seed) {
  batch_case result;
  for (std::uint64_t p = 0; p < 3; ++p) {
    fit_case f = exact_moving(5, 16, 24, seed + p);  // n = 240, k = 10
    if (p != 1) {
      f.points = normal_points(240, 24, seed + p);
      f.centroids = first_rows(f.points, 10);
    }
    result.points.push_back(std::move(f.points));
    result.centroids.push_back(std::move(f.centroids));
  }
  result.how.batch = {3, 1};
  return result;
}

// --- Workspace -----------------------------------------------------------------------------------

TYPED_TEST(async, small_fit_in_an_exact_workspace) {
  using T = TypeParam;
  own_stream const stream;
  batch_case const data = mixed_batch(1);
  for (fk::init_method const method : part_of({fk::init_method::given, fk::init_method::random})) {
    for (double const tolerance : part_of({0.0, 1e-4})) {
      for (bool const closing : part_of({true, false})) {
        SCOPED_TRACE(text("init ", static_cast<int>(method), ", tolerance ", tolerance,
                          ", closing ", closing));
        fk::fit_options options = given(9, tolerance);
        options.init = method;
        options.closing_assignment = closing;
        for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
          SCOPED_TRACE(fk::to_string(kernel));
          auto const plain =
              run_fit<T>(data.points, data.centroids, options, on_kernel(kernel), data.how);
          fit_buffers<T> const buffers(data.points, data.centroids, data.how);
          exact_workspace const memory(buffers.workspace_bytes(options, on_kernel(kernel)));
          fk::execution exec = memory.on(stream);
          exec.kernel = kernel;
          EXPECT_TRUE(buffers.queue(options, exec) == kernel ||
                      kernel == fk::assign_kernel::automatic);
          stream.wait();
          EXPECT_TRUE(same_run(buffers.collect(), plain));
        }
      }
    }
  }
}

TYPED_TEST(async, small_fit_shapes_in_an_exact_workspace) {
  using T = TypeParam;
  own_stream const stream;
  for (shape const& s : part_of({shape{1, 1, 1}, shape{9, 9, 3}, shape{257, 129, 33},
                                 shape{1000, 7, 200}, shape{65, 3, 4096}})) {
    SCOPED_TRACE(text(s));
    matrix const x = normal_points(s.n, s.d, 11);
    fk::fit_options options;
    options.max_iterations = 4;
    auto const plain = run_fit<T>(x, matrix(s.k, s.d), options);
    fit_buffers<T> const buffers({x}, {matrix(s.k, s.d)}, {});
    exact_workspace const memory(buffers.workspace_bytes(options));
    buffers.queue(options, memory.on(stream));
    stream.wait();
    EXPECT_TRUE(same_run(buffers.collect(), plain));
  }
}

TYPED_TEST(async, small_other_verbs_in_an_exact_workspace) {
  using T = TypeParam;
  using C = centroid_of<T>;
  own_stream const stream;
  for (shape const& s :
       part_of({shape{1, 1, 1}, shape{300, 20, 45}, shape{257, 129, 64}, shape{50, 60, 1536}})) {
    SCOPED_TRACE(text(s));
    auto const n = static_cast<std::size_t>(s.n);
    matrix const x = normal_points(s.n, s.d, 21), c = normal_points(s.k, s.d, 22);
    device_matrices<T> const points(x);
    device_matrices<C> const centroids(c), moved(c), drawn(c);
    auto const plain = run_predict<T>(points.const_view(), centroids.const_view());

    device_buffer<std::int32_t> const labels(n);
    device_buffer<C> const distances(n);
    exact_workspace const for_predict(
        fk::predict_workspace_bytes(points.const_view(), centroids.const_view()));
    fk::predict_outputs<C> const predict_out{labels.data(), distances.data()};
    EXPECT_EQ(fk::predict_async(points.const_view(), centroids.const_view(), predict_out, {},
                                for_predict.on(stream)),
              plain.kernel);

    device_buffer<double> const inertia(1);
    exact_workspace const for_inertia(
        fk::inertia_workspace_bytes(points.const_view(), centroids.const_view()));
    fk::inertia_async(points.const_view(), centroids.const_view(), inertia.data(), {},
                      for_inertia.on(stream));

    int const j = static_cast<int>(std::min<std::int64_t>(s.k, 5));
    device_buffer<std::int32_t> const near(n * static_cast<std::size_t>(j));
    device_buffer<C> const near_distances(near.size()), all(static_cast<std::size_t>(s.n * s.k));
    fk::query_options cosine;
    cosine.metric = fk::metric::cosine;
    exact_workspace const for_top_k(
        fk::top_k_workspace_bytes(points.const_view(), centroids.const_view(), j, cosine));
    fk::top_k_outputs<C> const near_out{near.data(), near_distances.data()};
    fk::top_k_async(points.const_view(), centroids.const_view(), j, near_out, cosine,
                    for_top_k.on(stream));
    exact_workspace const for_transform(
        fk::transform_workspace_bytes(points.const_view(), centroids.const_view(), cosine));
    fk::transform_async(points.const_view(), centroids.const_view(),
                        fk::matrix_view<C>(all.data(), s.n, s.k), cosine, for_transform.on(stream));

    // Takes the labels that predict_async has queued before it.
    index_buffers const index(1, s.n, s.k);
    device_buffer<double> const shift(1);
    device_buffer<C> const weights(std::vector<C>(static_cast<std::size_t>(s.n), C(2)));
    fk::update_options directions;
    directions.metric = fk::metric::cosine;
    directions.weights = weights.data();
    exact_workspace const for_update(
        fk::update_workspace_bytes(points.const_view(), moved.view(), directions));
    fk::update_outputs const update_out{index.view(), shift.data()};
    fk::update_centroids_async(points.const_view(), labels.data(), moved.view(), update_out,
                               directions, for_update.on(stream));

    fk::fit_options options;
    options.seed = 3;
    fk::execution on_stream;
    on_stream.stream = stream;
    if (s.k <= s.n) {
      fk::init_centroids_async(points.const_view(), drawn.view(), options, on_stream);
    }
    stream.wait();

    EXPECT_EQ(labels.download(), plain.labels);
    EXPECT_TRUE(same_bits(distances.download(), plain.distances));
    EXPECT_EQ(inertia.download()[0], fk::inertia(points.const_view(), centroids.const_view()));
    device_buffer<std::int32_t> const plain_near(near.size());
    device_buffer<C> const plain_near_distances(near.size()), plain_all(all.size());
    fk::top_k_outputs<C> const plain_near_out{plain_near.data(), plain_near_distances.data()};
    fk::top_k(points.const_view(), centroids.const_view(), j, plain_near_out, cosine);
    fk::transform(points.const_view(), centroids.const_view(),
                  fk::matrix_view<C>(plain_all.data(), s.n, s.k), cosine);
    EXPECT_EQ(near.download(), plain_near.download());
    EXPECT_TRUE(same_bits(near_distances.download(), plain_near_distances.download()));
    EXPECT_TRUE(same_bits(all.download(), plain_all.download()));
    EXPECT_TRUE(index_matches(index_values(index), 0, s.n, s.k, plain.labels));
    device_matrices<C> const moved_plainly(c);
    double const plain_shift = fk::update_centroids(points.const_view(), labels.data(),
                                                    moved_plainly.view(), {}, directions);
    EXPECT_EQ(shift.download()[0], plain_shift);
    EXPECT_TRUE(same_bits(moved.download(), moved_plainly.download()));
    if (s.k <= s.n) {
      device_matrices<C> const drawn_plainly(c);
      fk::init_centroids(points.const_view(), drawn_plainly.view(), options);
      EXPECT_TRUE(same_bits(drawn.download(), drawn_plainly.download()));
    }
  }
}

// Sizes depend on shapes and alignment alone, so a caller can ask before there is any data; the
// size then suffices for rows at any address.
TYPED_TEST(async, small_workspace_bytes_without_data) {
  using T = TypeParam;
  using C = centroid_of<T>;
  matrix const x = normal_points(300, 24, 31), c = normal_points(7, 24, 32);
  device_matrices<C> const centroids(c);
  layout anywhere;
  anywhere.offset = 1;
  device_matrices<T> const aligned(x), unaligned(x, anywhere);
  fk::matrix_view<T const> shape_x = aligned.const_view();
  fk::matrix_view<C> shape_c = centroids.view();
  shape_x.data = nullptr;
  shape_c.data = nullptr;
  auto const expect_largest = [&](char const* verb, auto&& bytes) {
    SCOPED_TRACE(verb);
    std::size_t const largest = bytes(unaligned.const_view(), centroids.view());
    EXPECT_EQ(bytes(shape_x, shape_c), largest);
    EXPECT_LE(bytes(aligned.const_view(), centroids.view()), largest);
  };
  expect_largest("fit", [](auto const& p, auto const& q) { return fk::fit_workspace_bytes(p, q); });
  expect_largest("append",
                 [](auto const& p, auto const& q) { return fk::append_workspace_bytes(p, q, 2); });
  expect_largest("predict",
                 [](auto const& p, auto const& q) { return fk::predict_workspace_bytes(p, q); });
  expect_largest("inertia",
                 [](auto const& p, auto const& q) { return fk::inertia_workspace_bytes(p, q); });
  expect_largest("top_k",
                 [](auto const& p, auto const& q) { return fk::top_k_workspace_bytes(p, q, 5); });
  expect_largest("transform",
                 [](auto const& p, auto const& q) { return fk::transform_workspace_bytes(p, q); });
  expect_largest("update",
                 [](auto const& p, auto const& q) { return fk::update_workspace_bytes(p, q); });
  fk::fit_options parallel;
  parallel.init = fk::init_method::kmeans_parallel;
  expect_largest("init", [&](auto const& p, auto const& q) {
    return fk::init_workspace_bytes(p, q, parallel);
  });
  std::int64_t const of_points[] = {0, 100, 300}, of_clusters[] = {0, 3, 7};
  auto const sequences = [&](auto const& view, std::int64_t const* offsets) {
    using Element = std::remove_pointer_t<decltype(view.data)>;
    return fk::ragged_view<Element>(view.data, offsets, 2, view.cols);
  };
  expect_largest("ragged fit", [&](auto const& p, auto const& q) {
    return fk::fit_workspace_bytes(sequences(p, of_points), sequences(q, of_clusters));
  });
  expect_largest("ragged predict", [&](auto const& p, auto const& q) {
    return fk::predict_workspace_bytes(sequences(p, of_points), sequences(q, of_clusters));
  });
  // It does suffice.
  fk::fit_options const options = given(3, 0.0);
  for (device_matrices<T> const* const points : {&aligned, &unaligned}) {
    exact_workspace const memory(fk::fit_workspace_bytes(shape_x, shape_c, options));
    device_matrices<C> const fitted(c);
    device_buffer<std::int32_t> const labels(300);
    fk::fit(points->const_view(), fitted.view(), labels.data(), options, memory.on(nullptr));
  }
}

// What the stream-ordered pool of the device lends out.
class memory_pool {
 public:
  memory_pool() {
    int device = 0;
    FLASH_KMEANS_CUDA_CHECK(cudaGetDevice(&device));
    FLASH_KMEANS_CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool_, device));
    std::uint64_t zero = 0;
    FLASH_KMEANS_CUDA_CHECK(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrUsedMemHigh, &zero));
  }
  std::uint64_t used() const { return get(cudaMemPoolAttrUsedMemCurrent); }
  // The most since this object was made.
  std::uint64_t high() const { return get(cudaMemPoolAttrUsedMemHigh); }

 private:
  std::uint64_t get(cudaMemPoolAttr attribute) const {
    std::uint64_t value = 0;
    FLASH_KMEANS_CUDA_CHECK(cudaMemPoolGetAttribute(pool_, attribute, &value));
    return value;
  }
  cudaMemPool_t pool_ = nullptr;
};

// Not one of the small ones: sanitizers allocate and launch in ways of their own.
TYPED_TEST(async, nothing_is_allocated_with_a_workspace_and_all_is_given_back_without) {
  using T = TypeParam;
  own_stream const stream;
  batch_case const data = mixed_batch(41);
  fit_buffers<T> const buffers(data.points, data.centroids, data.how);
  fk::fit_options const options = given(5, 1e-4);
  exact_workspace const memory(buffers.workspace_bytes(options));
  {
    memory_pool const pool;
    std::uint64_t const before = pool.used();
    buffers.queue(options, memory.on(stream));
    stream.wait();
    EXPECT_LE(pool.high(), before);
  }
  memory_pool const pool;
  std::uint64_t const before = pool.used();
  fk::execution exec;
  exec.stream = stream;
  buffers.queue(options, exec);
  stream.wait();
  EXPECT_GE(pool.high(), before + memory.on(stream).workspace_bytes) << "the pool is the wrong one";
  EXPECT_EQ(pool.used(), before);
}

// --- Nothing waits -------------------------------------------------------------------------------

// Holds a stream up from the host until it is opened, or for so long that whoever waited for the
// stream meanwhile is known to have done so.
class gate {
 public:
  void close(cudaStream_t stream) {
    FLASH_KMEANS_CUDA_CHECK(cudaLaunchHostFunc(stream, &gate::hold, this));
  }
  void open() { open_ = true; }
  bool timed_out() const { return timed_out_; }

 private:
  static void hold(void* self) {
    auto& gate_ = *static_cast<gate*>(self);
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!gate_.open_) {
      if (std::chrono::steady_clock::now() > end) {
        gate_.timed_out_ = true;
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  std::atomic<bool> open_{false}, timed_out_{false};
};

// Runs queue(exec) behind a closed gate; it must come back while nothing on the stream can have
// run.
template <class Queue>
void expect_it_does_not_wait(own_stream const& stream, exact_workspace const& memory,
                             Queue&& queue) {
  // Kernels are loaded when they are first used, and loading may wait for the device.
  queue(memory.on(stream));
  stream.wait();
  gate held;
  held.close(stream);
  try {
    queue(memory.on(stream));
  } catch (...) {
    held.open();
    stream.wait();
    throw;
  }
  cudaError_t const state = cudaStreamQuery(stream);
  cudaGetLastError();  // "not ready" is remembered like an error
  bool const waited = held.timed_out();
  held.open();
  stream.wait();
  EXPECT_FALSE(waited);
  EXPECT_EQ(state, cudaErrorNotReady);
}

// Not one of the small ones: sanitizers allocate and launch in ways of their own.
TYPED_TEST(async, nothing_waits_for_the_stream) {
  using T = TypeParam;
  using C = centroid_of<T>;
  own_stream const stream;
  batch_case const data = mixed_batch(51);
  fk::fit_options options;
  options.max_iterations = 6;
  fit_buffers<T> const buffers(data.points, data.centroids, data.how);
  exact_workspace const memory(
      std::max({buffers.workspace_bytes(options),
                fk::predict_workspace_bytes(buffers.points.view(), buffers.centroids.view()),
                fk::inertia_workspace_bytes(buffers.points.view(), buffers.centroids.view()),
                fk::top_k_workspace_bytes(buffers.points.view(), buffers.centroids.view(), 7),
                fk::update_workspace_bytes(buffers.points.view(), buffers.centroids.view())}));
  {
    SCOPED_TRACE("fit_async");
    expect_it_does_not_wait(stream, memory,
                            [&](fk::execution const& exec) { buffers.queue(options, exec); });
    EXPECT_TRUE(same_run(buffers.collect(), run_fit<T>(data.points, data.centroids, options)));
  }
  auto const x = buffers.points.const_view();
  auto const c = buffers.centroids.view();
  device_buffer<C> const distances(buffers.labels.size());
  device_buffer<double> const scalars(3);
  {
    SCOPED_TRACE("predict_async");
    fk::predict_outputs<C> const out{buffers.labels.data(), distances.data()};
    expect_it_does_not_wait(
        stream, memory, [&](fk::execution const& exec) { fk::predict_async(x, c, out, {}, exec); });
  }
  {
    SCOPED_TRACE("top_k_async");
    device_buffer<std::int32_t> const labels(7 * buffers.labels.size());
    expect_it_does_not_wait(stream, memory, [&](fk::execution const& exec) {
      fk::top_k_async(x, c, 7, {labels.data()}, {}, exec);
    });
  }
  {
    SCOPED_TRACE("transform_async");
    device_matrices<C> const all(std::vector<matrix>(data.points.size(), matrix(x.rows, c.rows)),
                                 data.how);
    expect_it_does_not_wait(stream, memory, [&](fk::execution const& exec) {
      fk::transform_async(x, c, all.view(), {}, exec);
    });
  }
  {
    SCOPED_TRACE("inertia_async");
    expect_it_does_not_wait(stream, memory, [&](fk::execution const& exec) {
      fk::inertia_async(x, c, scalars.data(), {}, exec);
    });
  }
  {
    SCOPED_TRACE("update_centroids_async");
    fk::update_outputs const out{buffers.index.view(), scalars.data()};
    expect_it_does_not_wait(stream, memory, [&](fk::execution const& exec) {
      fk::update_centroids_async(x, buffers.labels.data(), c, out, {}, exec);
    });
  }
  {
    SCOPED_TRACE("init_centroids_async");
    expect_it_does_not_wait(stream, memory, [&](fk::execution const& exec) {
      fk::init_centroids_async(x, c, options, exec);
    });
  }
}

// --- Order of a stream ---------------------------------------------------------------------------

// Copies after a while, so that whoever does not wait for it reads what was there before.
template <class T>
__global__ void late_copy_kernel(T* to, T const* from, std::int64_t count) {
  long long const begin = clock64();
  while (clock64() - begin < 100000) {
  }
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

// Some kernels start before the one in front of them has ended: not before the caller's.
TYPED_TEST(async, small_input_and_output_of_kernels_next_to_a_call) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const n = 700, k = 150, d = 24;
  own_stream const stream;
  std::vector<matrix> const x{integer_points(n, d, 81), integer_points(n, d, 82)};
  std::vector<matrix> const c{integer_points(k, d, 83), integer_points(k, d, 84)};
  device_matrices<T> const points(x[0]), x0(x[0]), x1(x[1]);
  device_matrices<C> const centroids(c[0]), c0(c[0]), c1(c[1]);
  device_matrices<T> const* const new_points[] = {&x0, &x1};
  device_matrices<C> const* const new_centroids[] = {&c0, &c1};
  for (fk::assign_kernel const kernel : part_of(kernels_for<T>())) {
    SCOPED_TRACE(fk::to_string(kernel));
    fk::execution const wanted = on_kernel(kernel);
    exact_workspace const memory(
        fk::predict_workspace_bytes(points.const_view(), centroids.const_view(), {}, wanted));
    fk::execution exec = memory.on(stream);
    exec.kernel = kernel;
    device_buffer<std::int32_t> const labels(n);
    std::vector<std::unique_ptr<device_buffer<std::int32_t>>> seen;
    for (int round = 0; round < 6; ++round) {
      seen.push_back(std::make_unique<device_buffer<std::int32_t>>(n));
      late_copy_kernel<<<1, 256, 0, stream>>>(points.view().data,
                                              new_points[round % 2]->const_view().data, n * d);
      late_copy_kernel<<<1, 256, 0, stream>>>(
          centroids.view().data, new_centroids[round / 2 % 2]->const_view().data, k * d);
      fk::predict_async(points.const_view(), centroids.const_view(), {labels.data()}, {}, exec);
      late_copy_kernel<<<1, 256, 0, stream>>>(seen.back()->data(), labels.data(), n);
      FLASH_KMEANS_CUDA_CHECK(cudaGetLastError());
    }
    stream.wait();
    for (int round = 0; round < 6; ++round) {
      EXPECT_EQ(seen[round]->download(), reference_assign(x[round % 2], c[round / 2 % 2]))
          << "round " << round;
    }
  }
}

// --- Streams -------------------------------------------------------------------------------------

TYPED_TEST(async, small_two_streams_at_once) {
  using T = TypeParam;
  own_stream const streams[2];
  batch_case const data[2] = {mixed_batch(61), mixed_batch(71)};
  fk::fit_options const options = given(12, 1e-4);
  fit_buffers<T> const first(data[0].points, data[0].centroids, data[0].how);
  fit_buffers<T> const second(data[1].points, data[1].centroids, data[1].how);
  exact_workspace const first_memory(first.workspace_bytes(options));
  exact_workspace const second_memory(second.workspace_bytes(options));
  first.queue(options, first_memory.on(streams[0]));
  second.queue(options, second_memory.on(streams[1]));
  streams[0].wait();
  streams[1].wait();
  EXPECT_TRUE(same_run(first.collect(), run_fit<T>(data[0].points, data[0].centroids, options)));
  EXPECT_TRUE(same_run(second.collect(), run_fit<T>(data[1].points, data[1].centroids, options)));
}

// --- Plans --------------------------------------------------------------------------------------

TYPED_TEST(async, small_a_plan_fits_as_the_free_function_does) {
  using T = TypeParam;
  own_stream const stream;
  batch_case const first = mixed_batch(121), second = mixed_batch(131);
  for (fk::init_method const method : part_of({fk::init_method::given, fk::init_method::random})) {
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(text("init ", static_cast<int>(method), ", ", fk::to_string(kernel)));
      fk::fit_options options = given(20, 1e-4);
      options.init = method;
      fit_buffers<T> buffers(first.points, first.centroids, first.how);
      exact_workspace const memory(buffers.workspace_bytes(options, on_kernel(kernel)));
      fk::execution exec = memory.on(nullptr);
      exec.kernel = kernel;
      auto plan = buffers.plan(options, exec);
      EXPECT_EQ(plan.kernel() == kernel, kernel != fk::assign_kernel::automatic);
      // Points that stay are neither packed nor measured again.
      struct {
        batch_case const* data;
        bool points;
      } const fits[] = {{&first, false}, {&first, true}, {&second, false}, {&second, true}};
      for (auto const& fit : fits) {
        if (!fit.points) buffers.points.upload(fit.data->points);
        buffers.centroids.upload(fit.data->centroids);
        plan.fit_async(stream, {fit.points, false});
        stream.wait();
        EXPECT_TRUE(same_run(buffers.collect(), run_fit<T>(fit.data->points, fit.data->centroids,
                                                           options, on_kernel(kernel))));
      }
    }
  }
}

// Centroids that stay are those that a fit goes on from.
TYPED_TEST(async, small_a_plan_goes_on_from_where_it_ended) {
  using T = TypeParam;
  own_stream const stream;
  batch_case const data = mixed_batch(141);
  for (bool const closing : part_of({false, true})) {
    SCOPED_TRACE(text("closing assignment ", closing));
    fk::fit_options two = given(2, 0), six = given(6, 0);
    two.closing_assignment = six.closing_assignment = closing;
    fit_buffers<T> buffers(data.points, data.centroids, data.how);
    exact_workspace const memory(buffers.workspace_bytes(two));
    auto plan = buffers.plan(two, memory.on(nullptr));
    for (int i = 0; i < 3; ++i) plan.fit_async(stream, {i > 0, i > 0});
    stream.wait();
    auto const parts = buffers.collect();
    auto const whole = run_fit<T>(data.points, data.centroids, six);
    EXPECT_TRUE(same_bits(parts.centroids, whole.centroids));
    EXPECT_EQ(parts.labels, whole.labels);
    EXPECT_TRUE(parts.index == whole.index);
  }
}

// Launches of one kernel may want different amounts of shared memory. Those that a plan wants are
// there whatever other calls wanted in between.
TYPED_TEST(async, a_plan_keeps_its_shared_memory) {
  using T = TypeParam;
  own_stream const stream;
  fk::fit_options const options = given(2, 0);
  auto const fit_of = [&](std::int64_t k, std::int64_t d) {
    matrix const x = integer_points(9000, d, 161);
    return std::pair(x, first_rows(x, k));
  };
  auto const [large_x, large_c] = fit_of(2000, 128);
  fit_buffers<T> large({large_x}, {large_c}, {});
  exact_workspace const memory(large.workspace_bytes(options));
  auto plan = large.plan(options, memory.on(nullptr));
  for (std::int64_t const d : {16, 64, 200}) {
    for (std::int64_t const k : {5, 1300}) {
      auto const [small_x, small_c] = fit_of(k, d);
      run_fit<T>({small_x}, {small_c}, options);
    }
  }
  plan.fit_async(stream);
  stream.wait();
  EXPECT_TRUE(same_run(large.collect(), run_fit<T>({large_x}, {large_c}, options)));
}

TYPED_TEST(async, small_a_plan_refuses) {
  using T = TypeParam;
  own_stream const stream;
  batch_case const data = mixed_batch(151);
  fit_buffers<T> const buffers(data.points, data.centroids, data.how);
  fk::fit_options options = given(3, 0);
  auto const message = [](auto const& call) -> std::string {
    try {
      call();
    } catch (std::invalid_argument const& error) {
      return error.what();
    }
    return "nothing was refused";
  };
  auto const plan_with = [&](fk::execution const& exec) { return buffers.plan(options, exec); };
  auto const contains = [](std::string const& text, char const* part) {
    return text.find(part) != std::string::npos;
  };
  std::size_t const bytes = buffers.workspace_bytes(options);
  exact_workspace const memory(bytes);
  std::string const none = message([&] { plan_with({}); });
  EXPECT_TRUE(contains(none, "execution.workspace is null")) << none;
  fk::execution small = memory.on(nullptr);
  small.workspace_bytes = bytes - 1;
  std::string const few = message([&] { plan_with(small); });
  EXPECT_TRUE(contains(few, "execution.workspace_bytes")) << few;

  for (fk::fit_unchanged const& unchanged : {fk::fit_unchanged{true, false}, {false, true}}) {
    auto plan = plan_with(memory.on(nullptr));
    std::string const early = message([&] { plan.fit_async(stream, unchanged); });
    EXPECT_TRUE(
        contains(early, unchanged.points ? "unchanged is points" : "unchanged is centroids"))
        << early;
  }
  options.init = fk::init_method::random;
  auto drawn = plan_with(memory.on(nullptr));
  drawn.fit_async(stream);
  stream.wait();
  std::string const anew = message([&] { drawn.fit_async(stream, {false, true}); });
  EXPECT_TRUE(contains(anew, "needs init_method::given")) << anew;
}

// --- Graphs --------------------------------------------------------------------------------------

// What was queued on a stream, to be run again.
class captured_graph {
 public:
  // Global capture: anything that would wait or allocate at once, from this or another thread,
  // fails.
  template <class Queue>
  captured_graph(cudaStream_t stream, Queue&& queue) {
    FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    try {
      queue();
    } catch (...) {
      cudaStreamEndCapture(stream, &graph_);
      throw;
    }
    FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph_));
    FLASH_KMEANS_CUDA_CHECK(cudaGraphInstantiate(&executable_, graph_, 0));
  }
  ~captured_graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }
  captured_graph(captured_graph const&) = delete;
  captured_graph& operator=(captured_graph const&) = delete;

  void run(own_stream const& stream) const {
    FLASH_KMEANS_CUDA_CHECK(cudaGraphLaunch(executable_, stream));
    stream.wait();
  }

  std::vector<cudaGraphNodeType> node_types() const {
    std::size_t count = 0;
    FLASH_KMEANS_CUDA_CHECK(cudaGraphGetNodes(graph_, nullptr, &count));
    std::vector<cudaGraphNode_t> nodes(count);
    FLASH_KMEANS_CUDA_CHECK(cudaGraphGetNodes(graph_, nodes.data(), &count));
    std::vector<cudaGraphNodeType> types;
    for (cudaGraphNode_t const node : nodes) {
      types.emplace_back();
      FLASH_KMEANS_CUDA_CHECK(cudaGraphNodeGetType(node, &types.back()));
    }
    return types;
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

TYPED_TEST(async, small_a_captured_fit_runs_again_on_other_input) {
  using T = TypeParam;
  own_stream const stream;
  // Which problems converge, and when, differs between the two; the graph cannot know.
  batch_case const first = mixed_batch(81);
  batch_case second = mixed_batch(91);
  std::swap(second.points[0], second.points[1]);
  std::swap(second.centroids[0], second.centroids[1]);
  for (fk::init_method const method : part_of({fk::init_method::given, fk::init_method::random})) {
    SCOPED_TRACE(text("init ", static_cast<int>(method)));
    fk::fit_options options = given(20, 1e-4);
    options.init = method;
    fit_buffers<T> buffers(first.points, first.centroids, first.how);
    for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      exact_workspace const memory(buffers.workspace_bytes(options, on_kernel(kernel)));
      fk::execution exec = memory.on(stream);
      exec.kernel = kernel;
      // Kernels are loaded before the capture, in which loading may not be allowed.
      buffers.queue(options, exec);
      stream.wait();
      captured_graph const graph(stream, [&] { buffers.queue(options, exec); });
      for (cudaGraphNodeType const type : graph.node_types()) {
        EXPECT_TRUE(type == cudaGraphNodeTypeKernel || type == cudaGraphNodeTypeMemset ||
                    type == cudaGraphNodeTypeMemcpy)
            << "node of type " << static_cast<int>(type);
      }
      for (batch_case const* const data :
           std::initializer_list<batch_case const*>{&first, &second, &first}) {
        buffers.points.upload(data->points);
        buffers.centroids.upload(data->centroids);
        graph.run(stream);
        auto const plain = run_fit<T>(data->points, data->centroids, options, on_kernel(kernel));
        EXPECT_TRUE(same_run(buffers.collect(), plain));
        if (method == fk::init_method::given) {
          std::size_t const moving = data == &second ? 0 : 1;
          EXPECT_EQ(plain.status[moving].iterations, 3);
        }
      }
    }
  }
}

TYPED_TEST(async, small_a_captured_fit_gives_the_same_bits_twenty_times) {
  using T = TypeParam;
  own_stream const stream;
  batch_case const data = mixed_batch(101);
  fk::fit_options const options = given(20, 1e-4);
  fit_buffers<T> buffers(data.points, data.centroids, data.how);
  exact_workspace const memory(buffers.workspace_bytes(options));
  auto const plain = run_fit<T>(data.points, data.centroids, options);
  captured_graph const graph(stream, [&] { buffers.queue(options, memory.on(stream)); });
  for (int again = 0; again < sized(20, 2); ++again) {
    buffers.centroids.upload(data.centroids);
    graph.run(stream);
    ASSERT_TRUE(same_run(buffers.collect(), plain)) << "run " << again;
  }
}

// What one more iteration adds to a captured fit: kernels only, and few. All iterations of small
// problems are one kernel; a screen is three more.
TYPED_TEST(async, an_iteration_is_at_most_five_kernels) {
  using T = TypeParam;
  own_stream const stream;
  struct row {
    shape s;
    int least, most;
  };
  for (auto const& [s, least, most] :
       {row{{500, 10, 8}, 0, 0}, row{{40000, 100, 8}, 4, 5}, row{{150000, 2048, 1}, 4, 5},
        row{{20000, 5000, 1}, 4, 4}, row{{150000, 5000, 1}, 4, 4}}) {
    SCOPED_TRACE(text(s));
    fit_buffers<T> const buffers({integer_points(s.n, s.d, 111)}, {integer_points(s.k, s.d, 112)},
                                 {});
    auto const nodes = [&](int iterations) {
      fk::fit_options const options = given(iterations, 1e-4);
      exact_workspace const memory(buffers.workspace_bytes(options));
      buffers.queue(options, memory.on(stream));
      stream.wait();
      captured_graph const graph(stream, [&] { buffers.queue(options, memory.on(stream)); });
      return graph.node_types();
    };
    auto const few = nodes(3), more = nodes(13);
    auto const kernels = [](std::vector<cudaGraphNodeType> const& types) {
      return std::count(types.begin(), types.end(), cudaGraphNodeTypeKernel);
    };
    EXPECT_EQ(more.size() - few.size(), static_cast<std::size_t>(kernels(more) - kernels(few)));
    bool const screened = std::is_same_v<T, double> &&
                          kernels_for<float>().back() == fk::assign_kernel::sm90 &&
                          fk::detail::screen_pays_double(s.n, s.k, s.d);
    int const screen = screened ? 3 : 0;
    EXPECT_GE(kernels(more) - kernels(few), 10 * (least + screen));
    EXPECT_LE(kernels(more) - kernels(few), 10 * (most + screen));
  }
}

// Iterations of a plan are rounds of a loop and what is left of a round; problems converge in the
// first round, in later ones, or not at all.
TYPED_TEST(async, small_a_plan_loops) {
  using T = TypeParam;
  own_stream const stream;
  batch_case const data = mixed_batch(151);
  fk::assign_kernel const kernel = fk::assign_kernel::simt;
  for (int const iterations : part_of({4, 8, 9, 11, 12, 60})) {
    for (bool const closing : part_of({false, true})) {
      SCOPED_TRACE(text(iterations, " iterations, closing assignment ", closing));
      fk::fit_options options = given(iterations, 0);
      options.closing_assignment = closing;
      fit_buffers<T> buffers(data.points, data.centroids, data.how);
      exact_workspace const memory(buffers.workspace_bytes(options, on_kernel(kernel)));
      fk::execution exec = memory.on(nullptr);
      exec.kernel = kernel;
      auto plan = buffers.plan(options, exec);
      auto const expected = run_fit<T>(data.points, data.centroids, options, on_kernel(kernel));
      for (int again = 0; again < 2; ++again) {
        buffers.centroids.upload(data.centroids);
        plan.fit_async(stream);
        stream.wait();
        EXPECT_TRUE(same_run(buffers.collect(), expected));
      }
      // Captured it has no loop, and does the same.
      captured_graph const graph(stream, [&] { plan.fit_async(stream); });
      buffers.centroids.upload(data.centroids);
      graph.run(stream);
      stream.wait();
      EXPECT_TRUE(same_run(buffers.collect(), expected));
    }
  }
}

// More clusters than are counted at once: blocks of the sort wait for each other inside the loop.
TYPED_TEST(async, a_plan_loops_over_many_clusters) {
  using T = TypeParam;
  own_stream const stream;
  std::vector<matrix> const points{integer_points(9000, 8, 155), integer_points(9000, 8, 156)},
      centroids{integer_points(3000, 8, 157), integer_points(3000, 8, 158)};
  layout how;
  how.batch = {2, 1};
  fk::fit_options const options = given(9, 0);
  fit_buffers<T> buffers(points, centroids, how);
  exact_workspace const memory(buffers.workspace_bytes(options));
  auto plan = buffers.plan(options, memory.on(nullptr));
  auto const expected = run_fit<T>(points, centroids, options, {}, how);
  for (int again = 0; again < 2; ++again) {
    buffers.centroids.upload(centroids);
    plan.fit_async(stream);
    stream.wait();
    EXPECT_TRUE(same_run(buffers.collect(), expected));
  }
}

TYPED_TEST(async, small_other_verbs_are_captured) {
  using T = TypeParam;
  using C = centroid_of<T>;
  own_stream const stream;
  matrix const x = integer_points(300, 24, 101), c = integer_points(20, 24, 102);
  device_matrices<T> points(x);
  device_matrices<C> centroids(c);
  device_buffer<std::int32_t> const labels(300);
  device_buffer<C> const distances(300);
  device_buffer<double> const scalars(2);
  constexpr int kJ = 3;
  device_buffer<std::int32_t> const near(300 * kJ);
  device_buffer<C> const near_distances(300 * kJ), all(300 * 20);
  fk::predict_outputs<C> const out{labels.data(), distances.data()};
  fk::top_k_outputs<C> const near_out{near.data(), near_distances.data()};
  fk::query_options inner;
  inner.metric = fk::metric::inner_product;
  fk::update_outputs const update_out{{}, scalars.data() + 1};
  exact_workspace const memory(
      std::max({fk::predict_workspace_bytes(points.view(), centroids.view()),
                fk::inertia_workspace_bytes(points.view(), centroids.view()),
                fk::top_k_workspace_bytes(points.view(), centroids.view(), kJ),
                fk::update_workspace_bytes(points.view(), centroids.view())}));
  fk::execution const exec = memory.on(stream);
  auto const queue = [&] {
    fk::init_centroids_async(points.const_view(), centroids.view(), given(1, 0), exec);
    fk::predict_async(points.const_view(), centroids.const_view(), out, {}, exec);
    fk::inertia_async(points.const_view(), centroids.const_view(), scalars.data(), {}, exec);
    fk::top_k_async(points.const_view(), centroids.const_view(), kJ, near_out, inner, exec);
    fk::transform_async(points.const_view(), centroids.const_view(),
                        fk::matrix_view<C>(all.data(), 300, 20), {}, exec);
    fk::update_centroids_async(points.const_view(), labels.data(), centroids.view(), update_out, {},
                               exec);
  };
  queue();
  stream.wait();
  captured_graph const graph(stream, queue);
  for (std::uint64_t const seed : {101, 103, 105}) {
    matrix const other_x = integer_points(300, 24, seed);
    matrix const other_c = integer_points(20, 24, seed + 1);
    points.upload({other_x});
    centroids.upload({other_c});
    graph.run(stream);
    std::vector<std::int32_t> const expected = reference_assign(other_x, other_c);
    matrix const means = reference_update(other_x, expected, other_c);
    EXPECT_EQ(labels.download(), expected);
    EXPECT_TRUE(distances_match<T>(other_x, other_c, expected, distances.download()));
    EXPECT_EQ(scalars.download()[0], reference_inertia(other_x, other_c, expected));
    // Small integers: exact.
    std::vector<std::int32_t> const nearest =
        reference_nearest(reference_metric::inner_product, other_x, other_c, kJ);
    EXPECT_EQ(near.download(), nearest);
    std::vector<C> const products = near_distances.download(), squares = all.download();
    for (std::int64_t i = 0; i < 300; ++i) {
      for (std::int64_t r = 0; r < kJ; ++r) {
        auto const at = static_cast<std::size_t>(i * kJ + r);
        ASSERT_EQ(static_cast<double>(products[at]),
                  -reference_product(other_x, i, other_c, nearest[at]))
            << "point " << i << ", number " << r;
      }
      for (std::int64_t l = 0; l < 20; ++l) {
        ASSERT_EQ(static_cast<double>(squares[static_cast<std::size_t>(i * 20 + l)]),
                  reference_distance(other_x, i, other_c, l))
            << "point " << i << ", centroid " << l;
      }
    }
    EXPECT_TRUE(same_bits(centroids.download(), to_type<C>(means)));
  }
}

}  // namespace
