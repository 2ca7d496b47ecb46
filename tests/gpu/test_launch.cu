// Launches and lifetimes. Programmatic dependent launch changes no bit of a result. Calls from many
// threads do not disturb each other. Failures leave nothing behind. Plans, streams with few
// multiprocessors and device resets work.
#include <cuda.h>
#include <cudaTypedefs.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "../gpu_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class launch : public gpu_test {};
TYPED_TEST_SUITE(launch, element_types, element_names);

// --- Programmatic dependent launch ---------------------------------------------------------------

// Turns it off for as long as the object lives.
class ordinary_launches {
 public:
  ordinary_launches() { fk::detail::programmatic_launch_enabled = false; }
  ~ordinary_launches() { fk::detail::programmatic_launch_enabled = true; }
};

struct launch_case {
  char const* name;
  problem_set problems;
  fk::fit_options options;
};

// A fit of every stage: each way to sort, to seed, to fill empty clusters and to add up.
template <class T>
std::vector<launch_case> launch_cases() {
  std::vector<launch_case> cases;
  auto const add = [&](char const* name, problem_set problems, auto&& change) {
    fk::fit_options options = given(4, 1e-4);
    change(options);
    cases.push_back({name, std::move(problems), options});
  };
  problem_set const some = normal_problems<T>(3, {700, 12, 40}, 1, true);
  problem_set unweighted = some;
  unweighted.w.clear();
  add("one launch", unweighted, [](fk::fit_options&) {});
  add("k-means++", unweighted,
      [](fk::fit_options& o) { o.init = fk::init_method::kmeans_plus_plus; });
  add("k-means||, several seedings", unweighted, [](fk::fit_options& o) {
    o.init = fk::init_method::kmeans_parallel;
    o.n_init = 2;
  });
  add("weights, farthest points", some, [](fk::fit_options& o) {
    o.init = fk::init_method::random;
    o.empty_cluster = fk::empty_cluster::farthest_point;
  });
  add("cosine, split clusters", some, [](fk::fit_options& o) {
    o.metric = fk::metric::cosine;
    o.empty_cluster = fk::empty_cluster::split_largest;
  });
  add("capped sizes", unweighted, [](fk::fit_options& o) { o.max_size_ratio = 1.2; });
  add("rows that are not finite", mixed_problems<T>(400, 5),
      [](fk::fit_options& o) { o.closing_assignment = false; });
  add("updates by changes, screens", normal_problems<T>(2, {40000, 30, 64}, 7, false),
      [](fk::fit_options& o) { o.max_iterations = 6; });
  add("radix sort", normal_problems<T>(1, {9000, 2500, 24}, 9, false), [](fk::fit_options&) {});
  return cases;
}

TYPED_TEST(launch, results_do_not_depend_on_programmatic_launch) {
  using T = TypeParam;
  for (launch_case const& of : launch_cases<T>()) {
    for (fk::assign_kernel const kernel : fit_kernels<T>()) {
      SCOPED_TRACE(text(of.name, ", ", fk::to_string(kernel)));
      auto const with = run_set<T>(of.problems, of.options, kernel);
      ordinary_launches const off;
      EXPECT_TRUE(same_run(run_set<T>(of.problems, of.options, kernel), with));
    }
  }
}

// How many kernels of a captured fit may start before the one before them has ended.
template <class T>
std::size_t programmatic_edges() {
  own_stream const stream;
  device_matrices<T> const points(normal_points(3000, 24, 3));
  device_matrices<centroid_of<T>> const centroids(matrix(40, 24, 1));
  device_buffer<std::int32_t> const labels(3000);
  fk::execution exec;
  exec.stream = stream;
  exec.kernel = fk::assign_kernel::simt;
  exec.workspace_bytes =
      fk::fit_workspace_bytes(points.const_view(), centroids.view(), given(3, 0));
  device_buffer<unsigned char> const workspace(exec.workspace_bytes);
  exec.workspace = workspace.data();
  cudaGraph_t graph = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  fk::fit_async(points.const_view(), centroids.view(), labels.data(), given(3, 0), exec);
  FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  std::size_t count = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &count));
  std::vector<cudaGraphNode_t> from(count), to(count);
  std::vector<cudaGraphEdgeData> edges(count);
  FLASH_KMEANS_CUDA_CHECK(cudaGraphGetEdges(graph, from.data(), to.data(), edges.data(), &count));
  FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));
  return static_cast<std::size_t>(
      std::count_if(edges.begin(), edges.end(), [](cudaGraphEdgeData const& edge) {
        return edge.type == cudaGraphDependencyTypeProgrammatic;
      }));
}

// What the comparison above relies on: the switch does switch.
TYPED_TEST(launch, programmatic_launch_can_be_turned_off) {
  int device = 0, major = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaGetDevice(&device));
  FLASH_KMEANS_CUDA_CHECK(
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  if (major < 9) GTEST_SKIP() << "this GPU has no programmatic dependent launch";
  EXPECT_GT(programmatic_edges<TypeParam>(), 5u);
  ordinary_launches const off;
  EXPECT_EQ(programmatic_edges<TypeParam>(), 0u);
}

// --- Launches ------------------------------------------------------------------------------------

__global__ void nothing_kernel(int) {}

// Needs no GPU: refused before CUDA is called.
TEST(launches, grids_beyond_what_cuda_counts_are_refused) {
  for (std::int64_t const blocks :
       {std::int64_t{0}, std::int64_t{1} << 31, std::int64_t{1} << 33}) {
    try {
      fk::detail::launch(nothing_kernel, "nothing_kernel", blocks, 32, nullptr, 0);
      ADD_FAILURE() << "a grid of " << blocks << " blocks was launched";
    } catch (fk::cuda_error const& error) {
      EXPECT_EQ(error.code(), static_cast<int>(cudaErrorInvalidConfiguration));
      EXPECT_NE(
          std::string(error.what()).find("nothing_kernel: a grid of " + std::to_string(blocks)),
          std::string::npos)
          << error.what();
    }
  }
}

template <class Function>
Function driver(char const* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  FLASH_KMEANS_CUDA_CHECK(
      cudaGetDriverEntryPointByVersion(name, &function, 12050, cudaEnableDefault, &found));
  return reinterpret_cast<Function>(found == cudaDriverEntryPointSuccess ? function : nullptr);
}

// A stream whose kernels run on 8 multiprocessors or so, while the device's own context is current.
class narrow_stream {
 public:
  narrow_stream() {
    auto const get = driver<PFN_cuDeviceGetDevResource_v12040>("cuDeviceGetDevResource");
    auto const split =
        driver<PFN_cuDevSmResourceSplitByCount_v12040>("cuDevSmResourceSplitByCount");
    auto const describe = driver<PFN_cuDevResourceGenerateDesc_v12040>("cuDevResourceGenerateDesc");
    auto const create = driver<PFN_cuGreenCtxCreate_v12040>("cuGreenCtxCreate");
    auto const stream = driver<PFN_cuGreenCtxStreamCreate_v12050>("cuGreenCtxStreamCreate");
    if (get == nullptr || split == nullptr || describe == nullptr || create == nullptr ||
        stream == nullptr) {
      return;
    }
    int device = 0;
    FLASH_KMEANS_CUDA_CHECK(cudaGetDevice(&device));
    FLASH_KMEANS_CUDA_CHECK(cudaFree(nullptr));
    CUdevResource all{}, few{};
    unsigned groups = 1;
    CUdevResourceDesc description = nullptr;
    succeeded_ =
        get(device, &all, CU_DEV_RESOURCE_TYPE_SM) == CUDA_SUCCESS &&
        split(&few, &groups, &all, nullptr, 0, 8) == CUDA_SUCCESS &&
        describe(&description, &few, 1) == CUDA_SUCCESS &&
        create(&context_, description, device, CU_GREEN_CTX_DEFAULT_STREAM) == CUDA_SUCCESS &&
        stream(&stream_, context_, CU_STREAM_NON_BLOCKING, 0) == CUDA_SUCCESS;
    multiprocessors_ = few.sm.smCount;
  }
  ~narrow_stream() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
    if (context_ != nullptr) driver<PFN_cuGreenCtxDestroy_v12040>("cuGreenCtxDestroy")(context_);
  }
  bool succeeded() const { return succeeded_; }
  unsigned multiprocessors() const { return multiprocessors_; }
  operator cudaStream_t() const { return stream_; }

 private:
  CUgreenCtx context_ = nullptr;
  cudaStream_t stream_ = nullptr;
  unsigned multiprocessors_ = 0;
  bool succeeded_ = false;
};

// Waits for the stream. If blocks wait for others that cannot start, the work never ends: then this
// ends the program, since nothing else can.
void expect_it_ends(cudaStream_t stream) {
  auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (cudaStreamQuery(stream) == cudaErrorNotReady) {
    cudaGetLastError();  // "not ready" is remembered like an error
    if (std::chrono::steady_clock::now() > deadline) {
      std::fprintf(stderr, "[  FAILED  ] a launch does not end\n");
      std::_Exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  cudaGetLastError();
  FLASH_KMEANS_CUDA_CHECK(cudaStreamSynchronize(stream));
}

// Blocks of the radix sort wait for each other, so there may be no more than run at the same time:
// launched and captured.
TYPED_TEST(launch, streams_with_few_multiprocessors) {
  using T = TypeParam;
  using C = centroid_of<T>;
  narrow_stream const narrow;
  if (!narrow.succeeded()) GTEST_SKIP() << "the driver has no green contexts";
  SCOPED_TRACE(text(narrow.multiprocessors(), " multiprocessors"));
  std::int64_t const n = 200000, k = 3000, d = 16;
  matrix const x = normal_points(n, d, 11), c = first_rows(x, k);
  fk::fit_options const options = given(2, 0);
  auto const wide = run_fit<T>(x, c, options);
  device_matrices<T> const points(x);
  device_matrices<C> centroids(c);
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(n));
  fk::execution exec;
  exec.stream = narrow;
  exec.workspace_bytes = fk::fit_workspace_bytes(points.const_view(), centroids.view(), options);
  device_buffer<unsigned char> const workspace(exec.workspace_bytes);
  exec.workspace = workspace.data();
  auto const expect_same = [&](char const* what) {
    SCOPED_TRACE(what);
    expect_it_ends(narrow);
    EXPECT_EQ(labels.download(), wide.labels);
    EXPECT_TRUE(same_bits(centroids.download(), wide.centroids));
    centroids.upload({c});
  };
  fk::fit_async(points.const_view(), centroids.view(), labels.data(), options, exec);
  expect_same("launched");

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(narrow, cudaStreamCaptureModeThreadLocal));
  fk::fit_async(points.const_view(), centroids.view(), labels.data(), options, exec);
  FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(narrow, &graph));
  FLASH_KMEANS_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
  FLASH_KMEANS_CUDA_CHECK(cudaGraphLaunch(executable, narrow));
  expect_same("captured");
  FLASH_KMEANS_CUDA_CHECK(cudaGraphExecDestroy(executable));
  FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));

  fk::fit_plan<T> plan(points.const_view(), centroids.view(), {labels.data()}, options, exec);
  plan.fit_async(narrow);
  expect_same("planned");
}

// --- Failures ------------------------------------------------------------------------------------

// Takes all memory of the device but a few MiB.
class exhausted_memory {
 public:
  exhausted_memory() {
    cudaMemPool_t pool = nullptr;
    int device = 0;
    FLASH_KMEANS_CUDA_CHECK(cudaGetDevice(&device));
    FLASH_KMEANS_CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, device));
    FLASH_KMEANS_CUDA_CHECK(cudaDeviceSynchronize());
    FLASH_KMEANS_CUDA_CHECK(cudaMemPoolTrimTo(pool, 0));
    std::size_t free = 0, total = 0;
    FLASH_KMEANS_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    for (std::size_t bytes = free; bytes >= std::size_t{1} << 20;) {
      void* block = nullptr;
      if (cudaMalloc(&block, bytes) == cudaSuccess) {
        blocks_.push_back(block);
      } else {
        cudaGetLastError();
        bytes /= 2;
      }
    }
  }
  ~exhausted_memory() {
    for (void* const block : blocks_) cudaFree(block);
  }
  exhausted_memory(exhausted_memory const&) = delete;
  exhausted_memory& operator=(exhausted_memory const&) = delete;

 private:
  std::vector<void*> blocks_;
};

TYPED_TEST(launch, memory_that_is_exhausted_and_freed_again) {
  using T = TypeParam;
  using C = centroid_of<T>;
  std::int64_t const n = 400000, k = 50, d = 16;
  matrix const x = normal_points(n, d, 13), c = first_rows(x, k);
  device_matrices<T> const points(x);
  device_matrices<C> centroids(c);
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(n));
  fk::fit_options const options = given(3, 0);
  auto const fit = [&] {
    centroids.upload({c});
    return fk::fit(points.const_view(), centroids.view(), labels.data(), options);
  };
  double const inertia = fit().inertia;
  auto const expected = centroids.download();
  for (int round = 0; round < 3; ++round) {
    {
      exhausted_memory const all;
      try {
        fit();
        ADD_FAILURE() << "a fit without memory";
      } catch (fk::cuda_error const& error) {
        EXPECT_EQ(error.code(), static_cast<int>(cudaErrorMemoryAllocation)) << error.what();
      }
      EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the exception has reported it";
    }
    EXPECT_EQ(fit().inertia, inertia);
    EXPECT_TRUE(same_bits(centroids.download(), expected));
  }
}

TYPED_TEST(launch, refused_calls_between_good_ones) {
  using T = TypeParam;
  using C = centroid_of<T>;
  matrix const x = normal_points(500, 20, 17), c = first_rows(x, 8);
  device_matrices<T> const points(x);
  device_matrices<C> centroids(c);
  device_buffer<std::int32_t> const labels(500);
  auto const expected = run_fit<T>(x, c, given(4, 0));
  for (int i = 0; i < 100; ++i) {
    SCOPED_TRACE(i);
    fk::fit_options bad = given(4, 0);
    fk::execution exec;
    auto view = points.const_view();
    switch (i % 4) {
      case 0: bad.max_iterations = -i; break;
      case 1: bad.tolerance = -1; break;
      case 2: view.rows = 3; break;
      default: exec.workspace = labels.data(); exec.workspace_bytes = 16;
    }
    centroids.upload({c});
    EXPECT_THROW(fk::fit(view, centroids.view(), labels.data(), bad, exec), std::invalid_argument);
    EXPECT_TRUE(same_bits(centroids.download(), to_type<C>(c)));
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    if (i % 10 != 0) continue;
    fk::fit(points.const_view(), centroids.view(), labels.data(), given(4, 0));
    EXPECT_TRUE(same_bits(centroids.download(), expected.centroids));
    EXPECT_EQ(labels.download(), expected.labels);
  }
}

// --- Calls from many threads ---------------------------------------------------------------------

// 320 fits of five kinds on eight threads and streams have the bits of the same fit alone.
TYPED_TEST(launch, concurrent_fits_have_the_bits_of_fits_alone) {
  using T = TypeParam;
  using C = centroid_of<T>;
  struct kind {
    problem_set set;
    fk::fit_options options;
    fit_run<T> alone;
  };
  std::vector<kind> kinds;
  auto const add = [&](shape const& s, fk::init_method init) {
    fk::fit_options options = given(5, 1e-4);
    options.init = init;
    problem_set set = normal_problems<T>(1, s, 19 + kinds.size(), false);
    auto const alone = run_set<T>(set, options);
    kinds.push_back({std::move(set), options, alone});
  };
  add({500, 8, 24}, fk::init_method::given);
  add({5000, 100, 64}, fk::init_method::given);
  add({6000, 2100, 16}, fk::init_method::given);  // a cooperative launch
  add({3000, 20, 33}, fk::init_method::kmeans_plus_plus);
  add({40000, 64, 32}, fk::init_method::random);  // updates by changes

  constexpr int kThreads = 8, kFits = 40;
  std::vector<std::string> failures(kThreads);
  auto const work = [&](int thread) {
    try {
      own_stream const stream;
      fk::execution exec;
      exec.stream = stream;
      auto const read = [&](auto const* from, auto& to) {
        FLASH_KMEANS_CUDA_CHECK(cudaMemcpyAsync(to.data(), from, to.size() * sizeof(to[0]),
                                                cudaMemcpyDeviceToHost, stream));
        stream.wait();
      };
      for (std::size_t i = 0; i < kinds.size(); ++i) {
        kind const& own = kinds[(i + static_cast<std::size_t>(thread)) % kinds.size()];
        device_matrices<T> const points(own.set.x.front());
        device_matrices<C> const centroids(own.set.c.front());
        std::vector<C> const start = to_type<C>(own.set.c.front());
        std::vector<std::int32_t> labels(own.alone.labels.size());
        std::vector<C> fitted(start.size());
        device_buffer<std::int32_t> const d_labels(labels.size());
        for (int fit = 0; fit < kFits / static_cast<int>(kinds.size()); ++fit) {
          FLASH_KMEANS_CUDA_CHECK(cudaMemcpyAsync(centroids.view().data, start.data(),
                                                  start.size() * sizeof(C), cudaMemcpyHostToDevice,
                                                  stream));
          fk::fit(points.const_view(), centroids.view(), d_labels.data(), own.options, exec);
          read(d_labels.data(), labels);
          read(centroids.view().data, fitted);
          if (labels != own.alone.labels || !same_bits(fitted, own.alone.centroids)) {
            failures[static_cast<std::size_t>(thread)] = text("other bits, kind ", i);
          }
        }
      }
    } catch (std::exception const& error) {
      failures[static_cast<std::size_t>(thread)] = error.what();
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(work, thread);
  for (std::thread& thread : threads) thread.join();
  for (std::string const& failure : failures) EXPECT_EQ(failure, "");
}

// --- Large ---------------------------------------------------------------------------------------

// Whole numbers from -2 to 2, so that sums are exact in float.
__global__ void small_integers_kernel(__half* values, std::int64_t count) {
  std::int64_t const step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    std::uint64_t bits = static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15ull;
    bits ^= bits >> 29;
    values[i] = __int2half_rn(static_cast<int>(bits % 5) - 2);
  }
}

// 4.4e9 values: labels and sums of all points are those of the points in pieces.
TEST_F(gpu_test, more_values_than_32_bits_count) {
  std::int64_t const d = 128, n = 34375000, k = 64, pieces = 5;
  std::size_t free = 0, total = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  if (free < std::size_t{12} << 30) GTEST_SKIP() << "needs 12 GiB of device memory";
  device_buffer<__half> const x(static_cast<std::size_t>(n * d));
  small_integers_kernel<<<4096, 256>>>(x.data(), n * d);
  FLASH_KMEANS_CUDA_CHECK(cudaGetLastError());
  matrix const c = integer_points(k, d, 23);
  device_matrices<float> const centroids(c), sums(c);
  device_buffer<std::int32_t> const labels(static_cast<std::size_t>(n)), part(labels.size());
  fk::matrix_view<__half const> const all(x.data(), n, d);
  fk::predict(all, centroids.const_view(), {labels.data()});
  fk::sum_by_cluster(all, labels.data(), sums.view());
  std::vector<float> expected(static_cast<std::size_t>(k * d), 0.0f);
  for (std::int64_t i = 0; i < pieces; ++i) {
    std::int64_t const begin = i * (n / pieces), rows = n / pieces;
    fk::matrix_view<__half const> const piece(x.data() + begin * d, rows, d);
    fk::predict(piece, centroids.const_view(), {part.data() + begin});
    device_matrices<float> const own(c);
    fk::sum_by_cluster(piece, part.data() + begin, own.view());
    std::vector<float> const values = own.download();
    for (std::size_t e = 0; e < values.size(); ++e) expected[e] += values[e];
  }
  EXPECT_EQ(n % pieces, 0);
  EXPECT_TRUE(labels.download() == part.download());
  EXPECT_TRUE(same_bits(sums.download(), expected));

  // A fit moves centroids to those means.
  fk::fit(all, centroids.view(), part.data(), given(1, 0));
  std::vector<std::int32_t> const held = labels.download();
  std::vector<std::int64_t> counts(static_cast<std::size_t>(k), 0);
  for (std::int32_t const label : held) ++counts[static_cast<std::size_t>(label)];
  std::vector<float> const means = centroids.download();
  for (std::size_t e = 0; e < means.size(); ++e) {
    auto const count = static_cast<double>(counts[e / static_cast<std::size_t>(d)]);
    ASSERT_GT(count, 0);
    EXPECT_NEAR(means[e], expected[e] / count, 1e-6) << e;
  }
}

// --- Plans ---------------------------------------------------------------------------------------

TYPED_TEST(launch, small_a_plan_is_prepared_ahead) {
  using T = TypeParam;
  using C = centroid_of<T>;
  matrix const x = normal_points(sized(3000, 200), 24, 29), c = first_rows(x, sized(30, 5));
  auto const expected = run_fit<T>(x, c, given(6, 0));
  device_matrices<T> const points(x);
  device_matrices<C> const centroids(c);
  device_buffer<std::int32_t> const labels(at(x.rows));
  own_stream const stream;
  fk::execution exec;
  exec.workspace_bytes =
      fk::fit_workspace_bytes(points.const_view(), centroids.view(), given(6, 0));
  device_buffer<unsigned char> const workspace(exec.workspace_bytes, 0, contents::scratch);
  exec.workspace = workspace.data();
  fk::fit_plan<T> plan(points.const_view(), centroids.view(), {labels.data()}, given(6, 0), exec);
  plan.prepare();
  plan.prepare({true, false});  // before a fit: graphs are built, nothing runs
  stream.wait();
  EXPECT_TRUE(labels.untouched());
  EXPECT_TRUE(same_bits(centroids.download(), to_type<C>(c)));
  plan.fit_async(stream);
  stream.wait();
  EXPECT_EQ(labels.download(), expected.labels);
  EXPECT_TRUE(same_bits(centroids.download(), expected.centroids));

  fk::fit_options drawn = given(6, 0);
  drawn.init = fk::init_method::random;
  fk::fit_plan<T> other(points.const_view(), centroids.view(), {labels.data()}, drawn, exec);
  EXPECT_THROW(other.prepare({false, true}), std::invalid_argument);
}

// A plan runs on its device, whichever is current.
TYPED_TEST(launch, a_plan_keeps_its_device) {
  using T = TypeParam;
  using C = centroid_of<T>;
  int devices = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaGetDeviceCount(&devices));
  if (devices < 2) GTEST_SKIP() << "needs two GPUs";
  matrix const x = normal_points(3000, 24, 31), c = first_rows(x, 30);
  auto const expected = run_fit<T>(x, c, given(6, 0));
  device_matrices<T> const points(x);
  device_matrices<C> const centroids(c);
  device_buffer<std::int32_t> const labels(3000);
  own_stream const stream;
  fk::execution exec;
  exec.workspace_bytes =
      fk::fit_workspace_bytes(points.const_view(), centroids.view(), given(6, 0));
  device_buffer<unsigned char> const workspace(exec.workspace_bytes);
  exec.workspace = workspace.data();
  fk::fit_plan<T> plan(points.const_view(), centroids.view(), {labels.data()}, given(6, 0), exec);
  FLASH_KMEANS_CUDA_CHECK(cudaSetDevice(1));
  plan.fit_async(stream);
  int current = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaGetDevice(&current));
  EXPECT_EQ(current, 1);
  FLASH_KMEANS_CUDA_CHECK(cudaSetDevice(0));
  stream.wait();
  EXPECT_TRUE(same_bits(centroids.download(), expected.centroids));
}

// --- Device reset --------------------------------------------------------------------------------

// The last test of the file: nothing on the device outlives it. Kernels need their attributes
// again.
TYPED_TEST(launch, a_device_reset_is_survived) {
  using T = TypeParam;
  matrix const x = normal_points(5000, 128, 37), c = first_rows(x, 200);
  auto const before = run_fit<T>(x, c, given(3, 0));
  FLASH_KMEANS_CUDA_CHECK(cudaDeviceReset());
  auto const after = run_fit<T>(x, c, given(3, 0));
  EXPECT_TRUE(same_run(before, after));
}

}  // namespace
