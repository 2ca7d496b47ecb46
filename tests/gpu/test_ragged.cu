// Sequences of different lengths in one call, and centroids that are added to others.
#include "../gpu_test.hpp"
#include "../sequences.hpp"

namespace {

using namespace testing_support;

struct gpu {
  template <class V>
  class buffer : public device_buffer<V> {
   public:
    explicit buffer(std::vector<V> const& values) : device_buffer<V>(values) {}
  };

  static thread_local fk::execution exec;

  template <class X, class C>
  static fk::fit_result fit(X const& x, C const& c, fk::fit_outputs const& out,
                            fk::fit_options const& options) {
    return fk::fit(x, c, out, options, exec);
  }
  template <class T, class X, class C>
  static void predict(X const& x, C const& c, fk::predict_outputs<centroid_of<T>> const& out) {
    fk::predict(x, c, out, {}, exec);
  }
  template <class X, class C>
  static fk::fit_result append(X const& x, C const& c, std::int64_t first,
                               fk::fit_outputs const& out, fk::fit_options const& options) {
    return fk::append(x, c, first, out, options, exec);
  }
};
thread_local fk::execution gpu::exec{};

// The shortest have all iterations in one launch, the longest do not.
std::vector<sequence_shape> const kShapes{
    {1, 1}, {37, 5}, {sized(9000, 4100), sized(40, 3)}, {64, 64}, {sized(700, 70), 2}};

template <class T>
class ragged : public gpu_test {
 protected:
  void TearDown() override {
    gpu::exec = {};
    gpu_test::TearDown();
  }
};
TYPED_TEST_SUITE(ragged, element_types, element_names);

TYPED_TEST(ragged, small_sequences_are_fits_of_their_own) {
  using T = TypeParam;
  for (std::int64_t const heads : part_of({1, 2})) {
    sequence_set set = some_sequences<T>(kShapes, heads, 24, 100);
    spoil(set, 2, heads - 1, 17);
    for (sequence_layout const& how : part_of(kSequenceLayouts)) {
      for (fk::assign_kernel const kernel : part_of(fit_kernels<T>())) {
        SCOPED_TRACE(fk::to_string(kernel));
        gpu::exec = on_kernel(kernel);
        expect_fits_of_sequences<gpu, T>(set, how, given(5, 1e-4), heads == 2);
      }
    }
  }
}

TYPED_TEST(ragged, every_option_counts_in_every_sequence) {
  using T = TypeParam;
  sequence_set const set = some_sequences<T>({{40, 3}, {600, 17}, {90, 9}}, 2, 20, 200);
  expect_options_in_every_sequence<gpu, T>(set);
}

TYPED_TEST(ragged, small_clusters_that_are_known) {
  for (sequence_layout const& how : part_of(kSequenceLayouts)) {
    for (fk::assign_kernel const kernel : part_of(fit_kernels<TypeParam>())) {
      SCOPED_TRACE(fk::to_string(kernel));
      gpu::exec = on_kernel(kernel);
      expect_blobs_of_sequences<gpu, TypeParam>(how);
    }
  }
}

TYPED_TEST(ragged, small_appended_centroids_are_those_of_a_fit_of_the_new_points) {
  fk::fit_options options;
  options.max_iterations = 5;
  options.seed = 3;
  for (std::int64_t const there : part_of({0, 1, 40})) {
    for (fk::init_method const init : part_of({fk::init_method::random, fk::init_method::given})) {
      options.init = init;
      expect_append<gpu, TypeParam>(3, {120, 9}, 24, there, options, false);
      expect_append<gpu, TypeParam>(2, {sized(3000, 300), sized(100, 10)}, 24, there, options,
                                    true);
    }
  }
}

TYPED_TEST(ragged, small_a_batch_in_two_calls_draws_as_in_one) {
  expect_numbers_of_problems<gpu, TypeParam>();
}

// Exactly as much workspace as is asked for, and the same bits launched and in a graph.
TYPED_TEST(ragged, small_captured_in_an_exact_workspace) {
  using T = TypeParam;
  using C = centroid_of<T>;
  sequence_set const set = some_sequences<T>(kShapes, 2, 24, 300);
  sequence_layout const how = kSequenceLayouts[0];
  sequence_image<T> const points(set.x, 2, how);
  sequence_image<C> const centroids(set.c, 2, how);
  device_buffer<T> const x(points.values());
  device_buffer<C> plain_c(centroids.values()), c(centroids.values());
  auto const x_view = points.template view<T const>(x.data());
  auto const c_view = centroids.template view<C>(c.data());
  fit_values room;
  for (std::int64_t i = 0; i < set.sequences(); ++i) {
    room.add(2, set.x_of(i).rows, set.c_of(i).rows, 3);
  }
  fk::fit_options const options = given(3, 0);
  fit_memory_of<gpu> const plain(room), out(room);
  fk::fit(x_view, centroids.template view<C>(plain_c.data()), plain.outputs(true), options);

  cudaStream_t stream = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  device_buffer<unsigned char> memory(
      fk::fit_workspace_bytes(x_view, c_view, options, {}, out.outputs(true)));
  fk::execution exec;
  exec.stream = stream;
  exec.workspace = memory.data();
  exec.workspace_bytes = memory.size();
  FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  fk::fit_async(x_view, c_view, out.outputs(true), options, exec);
  cudaGraph_t graph = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t ready = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaGraphInstantiate(&ready, graph, 0));
  for (int run = 0; run < 2; ++run) {
    c.upload(centroids.values());
    FLASH_KMEANS_CUDA_CHECK(cudaGraphLaunch(ready, stream));
    FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
    expect_same_values(out.download(), plain.download());
    EXPECT_TRUE(same_bits(c.download(), plain_c.download()));
  }
  exec.workspace_bytes -= 1;
  expect_refused(
      [&] { fk::fit_async(x_view, c_view, out.outputs(true), options, exec); },
      "flash_kmeans: execution.workspace_bytes is " + std::to_string(exec.workspace_bytes));
  FLASH_KMEANS_CUDA_CHECK(cudaGraphExecDestroy(ready));
  FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));
  FLASH_KMEANS_CUDA_CHECK(cudaStreamDestroy(stream));
}

TYPED_TEST(ragged, small_check_input_names_the_problem_and_writes_nothing) {
  using T = TypeParam;
  using C = centroid_of<T>;
  sequence_set set = some_sequences<T>(kShapes, 2, 6, 100);
  spoil(set, 3, 1, 60);
  sequence_image<T> const points(set.x, 2, kSequenceLayouts[0]);
  sequence_image<C> const centroids(set.c, 2, kSequenceLayouts[0]);
  device_buffer<T> const x(points.values());
  device_buffer<C> const c(centroids.values());
  device_buffer<std::int32_t> const labels(2 * (1 + 37 + 9000 + 64 + 700));
  fk::fit_options options;
  options.check_input = true;
  expect_refused(
      [&] {
        fk::fit(points.template view<T const>(x.data()), centroids.template view<C>(c.data()),
                labels.data(), options);
      },
      "flash_kmeans: x of problem 7, row 60, feature 3 is inf");
  EXPECT_TRUE(labels.untouched());
  EXPECT_TRUE(same_bits(c.download(), centroids.values()));
}

// --- Arguments: no GPU is needed ------------------------------------------------------------------

template <class T>
class ragged_errors : public ::testing::Test {};
TYPED_TEST_SUITE(ragged_errors, element_types, element_names);

TYPED_TEST(ragged_errors, small_bad_sequences_are_refused) {
  using T = TypeParam;
  std::int32_t labels[8] = {};
  expect_bad_sequences_are_refused<T>(
      [&](auto const& x, auto const& c) { fk::fit(x, c, labels, given(3, 0)); }, true, true);
  expect_bad_sequences_are_refused<T>(
      [&](auto const& x, auto const& c) { fk::fit_async(x, c, labels, given(3, 0)); }, true, true);
  expect_bad_sequences_are_refused<T>(
      [&](auto const& x, auto const& c) { fk::predict(x, c, labels); }, false, false);
  fk::ragged_view<T const> const none;
  fk::ragged_view<centroid_of<T>> const no_centroids;
  expect_refused([&] { fk::fit_workspace_bytes(none, no_centroids); },
                 "flash_kmeans: x.sequences is 0");
  expect_refused([&] { fk::predict_workspace_bytes(none, no_centroids); },
                 "flash_kmeans: x.sequences is 0");
}

TYPED_TEST(ragged_errors, small_append_refuses) {
  using T = TypeParam;
  using C = centroid_of<T>;
  alignas(16) static T x[40];
  alignas(16) static C c[40];
  std::int32_t labels[10] = {};
  auto const refuses = [&](std::int64_t first, std::int64_t rows, fk::fit_options const& options,
                           std::string const& what) {
    fk::matrix_view<T const> const points{x, 10, 4};
    fk::matrix_view<C> const centroids{c, rows, 4};
    expect_refused([&] { fk::append(points, centroids, first, labels, options); }, what);
    expect_refused([&] { fk::append_async(points, centroids, first, labels, options); }, what);
    expect_refused([&] { fk::append_workspace_bytes(points, centroids, first, options); }, what);
  };
  refuses(-1, 4, {}, "flash_kmeans: first is -1, must not be negative");
  refuses(4, 4, {}, "flash_kmeans: first is 4, must be less than centroids.rows (4)");
  refuses(2, 13, {}, "flash_kmeans: centroids.rows - first is 11, must be at most x.rows");
  fk::fit_options options;
  options.first_problem = -2;
  refuses(1, 4, options, "flash_kmeans: options.first_problem is -2");
}

}  // namespace
