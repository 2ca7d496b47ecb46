// Bad input: std::invalid_argument that names the argument and its value, before anything is
// queued, with all outputs as they were. Arguments are checked before the first call into CUDA, so
// most of this file runs without a GPU too, over host memory that must not be touched either.
#include <cuda/std/array>
#include <cuda/std/mdspan>

#include <functional>
#include <memory>

#include "../gpu_test.hpp"

namespace {

using namespace testing_support;

bool on_gpu() { return why_no_gpu().empty(); }

// Poisoned memory of the device where there is one, else of the host.
template <class T>
class output_memory {
 public:
  explicit output_memory(std::int64_t count) {
    if (on_gpu()) {
      device_ = std::make_unique<device_buffer<T>>(static_cast<std::size_t>(count));
    } else {
      host_.resize(static_cast<std::size_t>(count) * sizeof(T) + alignof(T), 0xFF);
    }
  }
  T* data() {
    if (device_ != nullptr) return device_->data();
    void* start = host_.data();
    std::size_t space = host_.size();
    return static_cast<T*>(std::align(alignof(T), sizeof(T), start, space));
  }
  bool untouched() const {
    if (device_ != nullptr) return device_->untouched();
    return std::all_of(host_.begin(), host_.end(), [](unsigned char byte) { return byte == 0xFF; });
  }

 private:
  std::unique_ptr<device_buffer<T>> device_;
  std::vector<unsigned char> host_;
};

constexpr std::int64_t kN = 100, kK = 7, kD = 24;

// Everything that some verb takes.
template <class T>
struct arguments {
  using C = centroid_of<T>;
  fk::matrix_view<T const> x;
  fk::matrix_view<C> c;
  fk::matrix_view<T> sorted;
  fk::matrix_view<C> all;  // distances to all centroids
  int j = 3;
  std::int32_t* labels = nullptr;
  C* distances = nullptr;
  fk::cluster_index index;
  fk::fit_status* status = nullptr;
  fk::iteration_record* records = nullptr;
  double* scalars = nullptr;
  fk::fit_options options;
  fk::query_options query;
  fk::update_options update;
  fk::execution exec;
};

// Good arguments. All memory is poison: were it computed with, labels would not stay -1.
template <class T>
class scene {
 public:
  using C = centroid_of<T>;

  arguments<T> good() {
    arguments<T> a;
    a.x = {x_.data(), kN, kD};
    a.c = {c_.data(), kK, kD};
    a.sorted = {sorted_.data(), kN, kD};
    a.all = {all_.data(), kN, kK};
    a.labels = labels_.data();
    a.distances = distances_.data();
    a.index = {counts_.data(), offsets_.data(), order_.data(), inverse_.data()};
    a.status = status_.data();
    a.scalars = scalars_.data();
    return a;
  }

  bool untouched() const {
    return x_.untouched() && c_.untouched() && sorted_.untouched() && all_.untouched() &&
           labels_.untouched() && distances_.untouched() && counts_.untouched() &&
           offsets_.untouched() && order_.untouched() && inverse_.untouched() &&
           status_.untouched() && scalars_.untouched();
  }

 private:
  output_memory<T> x_{kN * kD}, sorted_{kN * kD};
  output_memory<C> c_{kK * kD}, all_{kN * kK};
  output_memory<std::int32_t> labels_{kN * kK}, counts_{kK}, offsets_{kK + 1}, order_{kN},
      inverse_{kN};
  output_memory<C> distances_{kN * kK};
  output_memory<fk::fit_status> status_{1};
  output_memory<double> scalars_{1};
};

template <class T>
struct verb {
  char const* name;
  unsigned kind;
  std::function<void(arguments<T> const&)> call;
};

// What a verb takes besides points and centroids.
enum : unsigned {
  kFit = 1,
  kPredict = 2,
  kInertia = 4,
  kUpdate = 8,
  kInit = 16,
  kTopK = 512,
  kTransform = 1024,
  kRuns = kFit | kPredict | kInertia | kUpdate | kInit | kTopK | kTransform,
  kSizes = 32,         // *_workspace_bytes of all verbs but the following
  kFitSize = 64,       // fit_workspace_bytes
  kTopKSize = 2048,    // top_k_workspace_bytes
  kInitSize = 4096,    // init_workspace_bytes
  kUpdateSize = 8192,  // update_workspace_bytes
  kAll = kRuns | kSizes | kFitSize | kTopKSize | kInitSize | kUpdateSize,
  // Other rows by cluster, which have no centroids.
  kSum = 128,
  kGather = 256
};

template <class T>
std::vector<verb<T>> verbs() {
  using C = centroid_of<T>;
  using A = arguments<T>;
  auto const fit_out = [](A const& a) {
    return fk::fit_outputs{a.labels, a.index, a.status, a.records};
  };
  auto const predict_out = [](A const& a) { return fk::predict_outputs<C>{a.labels, a.distances}; };
  auto const top_k_out = [](A const& a) { return fk::top_k_outputs<C>{a.labels, a.distances}; };
  auto const update_out = [](A const& a) { return fk::update_outputs{a.index, a.scalars}; };
  return {
      {"fit", kFit, [=](A const& a) { fk::fit(a.x, a.c, fit_out(a), a.options, a.exec); }},
      {"fit_async", kFit,
       [=](A const& a) { fk::fit_async(a.x, a.c, fit_out(a), a.options, a.exec); }},
      {"predict", kPredict,
       [=](A const& a) { fk::predict(a.x, a.c, predict_out(a), a.query, a.exec); }},
      {"predict_async", kPredict,
       [=](A const& a) { fk::predict_async(a.x, a.c, predict_out(a), a.query, a.exec); }},
      {"inertia", kInertia, [](A const& a) { fk::inertia(a.x, a.c, a.query, a.exec); }},
      {"inertia_async", kInertia,
       [](A const& a) { fk::inertia_async(a.x, a.c, a.scalars, a.query, a.exec); }},
      {"top_k", kTopK,
       [=](A const& a) { fk::top_k(a.x, a.c, a.j, top_k_out(a), a.query, a.exec); }},
      {"top_k_async", kTopK,
       [=](A const& a) { fk::top_k_async(a.x, a.c, a.j, top_k_out(a), a.query, a.exec); }},
      {"transform", kTransform,
       [](A const& a) { fk::transform(a.x, a.c, a.all, a.query, a.exec); }},
      {"transform_async", kTransform,
       [](A const& a) { fk::transform_async(a.x, a.c, a.all, a.query, a.exec); }},
      {"update_centroids", kUpdate,
       [=](A const& a) {
         fk::update_centroids(a.x, a.labels, a.c, update_out(a), a.update, a.exec);
       }},
      {"update_centroids_async", kUpdate,
       [=](A const& a) {
         fk::update_centroids_async(a.x, a.labels, a.c, update_out(a), a.update, a.exec);
       }},
      {"init_centroids", kInit,
       [](A const& a) { fk::init_centroids(a.x, a.c, a.options, a.exec); }},
      {"init_centroids_async", kInit,
       [](A const& a) { fk::init_centroids_async(a.x, a.c, a.options, a.exec); }},
      {"fit_workspace_bytes", kFitSize,
       [](A const& a) { fk::fit_workspace_bytes(a.x, a.c, a.options); }},
      {"init_workspace_bytes", kInitSize,
       [](A const& a) { fk::init_workspace_bytes(a.x, a.c, a.options); }},
      {"predict_workspace_bytes", kSizes,
       [](A const& a) { fk::predict_workspace_bytes(a.x, a.c, a.query); }},
      {"inertia_workspace_bytes", kSizes,
       [](A const& a) { fk::inertia_workspace_bytes(a.x, a.c, a.query); }},
      {"transform_workspace_bytes", kSizes,
       [](A const& a) { fk::transform_workspace_bytes(a.x, a.c, a.query); }},
      {"top_k_workspace_bytes", kTopKSize,
       [](A const& a) { fk::top_k_workspace_bytes(a.x, a.c, a.j, a.query); }},
      {"update_workspace_bytes", kUpdateSize,
       [](A const& a) { fk::update_workspace_bytes(a.x, a.c, a.update); }},
      {"sum_by_cluster", kSum, [](A const& a) { fk::sum_by_cluster(a.x, a.labels, a.c, a.exec); }},
      {"sum_by_cluster_async", kSum,
       [](A const& a) { fk::sum_by_cluster_async(a.x, a.labels, a.c, a.exec); }},
      {"gather_by_cluster", kGather,
       [](A const& a) { fk::gather_by_cluster(a.x, a.index.order, a.sorted, a.exec); }},
      {"gather_by_cluster_async", kGather,
       [](A const& a) { fk::gather_by_cluster_async(a.x, a.index.order, a.sorted, a.exec); }},
  };
}

// Calls and expects "flash_kmeans: <argument> is <value>...".
template <class T>
void expect_invalid(verb<T> const& v, arguments<T> const& a, std::string const& argument,
                    std::string const& value) {
  std::string const beginning = "flash_kmeans: " + argument + " is " + value;
  try {
    v.call(a);
    ADD_FAILURE() << v.name << " took it";
  } catch (std::invalid_argument const& error) {
    EXPECT_EQ(std::string(error.what()).substr(0, beginning.size()), beginning) << v.name;
  } catch (std::exception const& error) {
    ADD_FAILURE() << v.name << " threw something else: " << error.what();
  }
}

// The same on a stream that records what is queued: it must be nothing.
template <class T>
void expect_invalid_and_nothing_queued(verb<T> const& v, arguments<T> a,
                                       std::string const& argument, std::string const& value) {
  if (!on_gpu()) {
    expect_invalid(v, a, argument, value);
    return;
  }
  cudaStream_t stream = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  a.exec.stream = stream;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  expect_invalid(v, a, argument, value);
  cudaGraph_t graph = nullptr;
  FLASH_KMEANS_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  std::size_t nodes = 0;
  FLASH_KMEANS_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes, 0u) << v.name << " queued work";
  FLASH_KMEANS_CUDA_CHECK(cudaGraphDestroy(graph));
  FLASH_KMEANS_CUDA_CHECK(cudaStreamDestroy(stream));
}

// Spoils good arguments and gives them to all verbs of these kinds.
template <class T, class Spoil>
void expect_all_refuse(unsigned kinds, Spoil&& spoil, std::string const& argument,
                       std::string const& value) {
  SCOPED_TRACE(argument + " is " + value);
  scene<T> s;
  arguments<T> a = s.good();
  spoil(a);
  for (verb<T> const& v : verbs<T>()) {
    if ((v.kind & kinds) != 0) expect_invalid_and_nothing_queued(v, a, argument, value);
  }
  EXPECT_TRUE(s.untouched());
}

template <class U>
U* off_by_a_byte(U* pointer) {
  return reinterpret_cast<U*>(reinterpret_cast<std::uintptr_t>(pointer) + 1);
}

// --- Everywhere ----------------------------------------------------------------------------------

template <class T>
class errors : public ::testing::Test {};
TYPED_TEST_SUITE(errors, element_types, element_names);

TYPED_TEST(errors, small_null_pointers) {
  using T = TypeParam;
  using A = arguments<T>;
  expect_all_refuse<T>(
      kRuns, [](A& a) { a.x.data = nullptr; }, "x.data", "null");
  expect_all_refuse<T>(
      kRuns, [](A& a) { a.c.data = nullptr; }, "centroids.data", "null");
  expect_all_refuse<T>(
      kFit | kPredict | kUpdate | kTopK, [](A& a) { a.labels = nullptr; }, "labels", "null");
  expect_all_refuse<T>(
      kTransform, [](A& a) { a.all.data = nullptr; }, "distances.data", "null");
  // The sums of inertia_async are its result and not optional; inertia itself has none.
  scene<T> s;
  arguments<T> a = s.good();
  a.scalars = nullptr;
  for (verb<T> const& v : verbs<T>()) {
    if (std::string(v.name) == "inertia_async") {
      expect_invalid_and_nothing_queued(v, a, "sums", "null");
    }
  }
  EXPECT_TRUE(s.untouched());
}

TYPED_TEST(errors, small_shapes) {
  using T = TypeParam;
  using A = arguments<T>;
  expect_all_refuse<T>(
      kAll, [](A& a) { a.x.rows = 0; }, "x.rows (n)", "0");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.x.rows = -5; }, "x.rows (n)", "-5");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.x.rows = 2147483648; }, "x.rows (n)", "2147483648");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.c.rows = 0; }, "centroids.rows (k)", "0");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.c.rows = -1; }, "centroids.rows (k)", "-1");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.c.rows = 2147483648; }, "centroids.rows (k)", "2147483648");
  expect_all_refuse<T>(
      kFit | kInit | kFitSize | kInitSize, [](A& a) { a.c.rows = kN + 1; }, "centroids.rows (k)",
      "101");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.x.cols = 0; }, "x.cols (d)", "0");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.x.cols = -24; }, "x.cols (d)", "-24");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.c.cols = 0; }, "centroids.cols (d)", "0");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.c.cols = 23; }, "centroids.cols (d)", "23");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.c.cols = a.c.ld = 25; }, "centroids.cols (d)", "25");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.x.ld = 23; }, "x.ld", "23");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.x.ld = -24; }, "x.ld", "-24");
  expect_all_refuse<T>(
      kAll, [](A& a) { a.c.ld = 0; }, "centroids.ld", "0");
}

TYPED_TEST(errors, small_batches) {
  using T = TypeParam;
  using A = arguments<T>;
  auto const both = [](A& a, std::int64_t outer, std::int64_t inner) {
    a.x.batch = a.c.batch = {outer, inner};
  };
  expect_all_refuse<T>(
      kAll, [&](A& a) { both(a, 0, 1); }, "x.batch[0]", "0");
  expect_all_refuse<T>(
      kAll, [&](A& a) { both(a, 1, -2); }, "x.batch[1]", "-2");
  // 2^62 problems: nothing may be sized by them before they are refused.
  std::int64_t const many = std::int64_t{1} << 31;
  expect_all_refuse<T>(
      kAll, [&](A& a) { both(a, many, many); }, "x.batch", "2147483648 x 2147483648");
  expect_all_refuse<T>(
      kAll,
      [](A& a) {
        a.x.batch = {2, 1};
      },
      "centroids.batch", "1 x 1");
  expect_all_refuse<T>(
      kAll,
      [](A& a) {
        a.c.batch = {2, 3};
      },
      "centroids.batch", "2 x 3");
  expect_all_refuse<T>(
      kAll,
      [](A& a) {
        a.x.batch_stride = {-1, 0};
      },
      "x.batch_stride[0]", "-1");
  expect_all_refuse<T>(
      kAll,
      [](A& a) {
        a.x.batch_stride = {0, -2400};
      },
      "x.batch_stride[1]", "-2400");
  expect_all_refuse<T>(
      kAll,
      [](A& a) {
        a.c.batch_stride = {-7, 0};
      },
      "centroids.batch_stride[0]", "-7");
  // Problems whose centroids are written may not share them.
  expect_all_refuse<T>(
      kFit | kUpdate | kInit, [&](A& a) { both(a, 2, 1); }, "centroids.batch_stride[0]", "0");
  expect_all_refuse<T>(
      kFit | kUpdate | kInit,
      [&](A& a) {
        both(a, 1, 2);
        a.c.batch_stride = {0, 23};
      },
      "centroids.batch_stride[1]", "23");
}

TYPED_TEST(errors, small_misaligned_pointers) {
  using T = TypeParam;
  using A = arguments<T>;
  expect_all_refuse<T>(
      kRuns, [](A& a) { a.x.data = off_by_a_byte(a.x.data); }, "x.data", "0x");
  expect_all_refuse<T>(
      kRuns, [](A& a) { a.c.data = off_by_a_byte(a.c.data); }, "centroids.data", "0x");
  expect_all_refuse<T>(
      kFit | kPredict | kUpdate | kTopK, [](A& a) { a.labels = off_by_a_byte(a.labels); }, "labels",
      "0x");
  expect_all_refuse<T>(
      kTransform, [](A& a) { a.all.data = off_by_a_byte(a.all.data); }, "distances.data", "0x");
  expect_all_refuse<T>(
      kPredict | kTopK, [](A& a) { a.distances = off_by_a_byte(a.distances); }, "distances", "0x");
  expect_all_refuse<T>(
      kFit, [](A& a) { a.status = off_by_a_byte(a.status); }, "status", "0x");
  expect_all_refuse<T>(
      kUpdate, [](A& a) { a.scalars = off_by_a_byte(a.scalars); }, "shift", "0x");
  unsigned const with_index = kFit | kUpdate;
  expect_all_refuse<T>(
      with_index, [](A& a) { a.index.counts = off_by_a_byte(a.index.counts); }, "index.counts",
      "0x");
  expect_all_refuse<T>(
      with_index, [](A& a) { a.index.offsets = off_by_a_byte(a.index.offsets); }, "index.offsets",
      "0x");
  expect_all_refuse<T>(
      with_index, [](A& a) { a.index.order = off_by_a_byte(a.index.order); }, "index.order", "0x");
  expect_all_refuse<T>(
      with_index, [](A& a) { a.index.inverse = off_by_a_byte(a.index.inverse); }, "index.inverse",
      "0x");
}

TYPED_TEST(errors, small_options) {
  using T = TypeParam;
  using A = arguments<T>;
  unsigned const kinds = kFit | kFitSize;
  double const infinity = std::numeric_limits<double>::infinity();
  double const nan = std::numeric_limits<double>::quiet_NaN();
  expect_all_refuse<T>(
      kinds, [](A& a) { a.options.max_iterations = 0; }, "options.max_iterations", "0");
  expect_all_refuse<T>(
      kinds, [](A& a) { a.options.max_iterations = -3; }, "options.max_iterations", "-3");
  expect_all_refuse<T>(
      kinds, [](A& a) { a.options.tolerance = -0.5; }, "options.tolerance", "-0.5");
  expect_all_refuse<T>(
      kinds, [=](A& a) { a.options.tolerance = nan; }, "options.tolerance", "nan");
  expect_all_refuse<T>(
      kinds, [=](A& a) { a.options.tolerance = infinity; }, "options.tolerance", "inf");
  expect_all_refuse<T>(
      kFit | kFitSize | kInit | kInitSize,
      [](A& a) { a.options.init = static_cast<fk::init_method>(7); }, "options.init", "7");
  unsigned const seeded = kFit | kFitSize | kInit | kInitSize;
  expect_all_refuse<T>(
      seeded, [](A& a) { a.options.candidates = -1; }, "options.candidates", "-1");
  expect_all_refuse<T>(
      seeded, [](A& a) { a.options.candidates = 65; }, "options.candidates", "65");
  expect_all_refuse<T>(
      kFit | kFitSize | kInit | kInitSize,
      [](A& a) { a.options.metric = static_cast<fk::metric>(9); }, "options.metric", "9");
  expect_all_refuse<T>(
      kinds, [](A& a) { a.options.empty_cluster = static_cast<fk::empty_cluster>(5); },
      "options.empty_cluster", "5");
  expect_all_refuse<T>(
      kinds, [](A& a) { a.options.max_size_ratio = 0.5; }, "options.max_size_ratio", "0.5");
  expect_all_refuse<T>(
      kinds, [=](A& a) { a.options.max_size_ratio = nan; }, "options.max_size_ratio", "nan");
  expect_all_refuse<T>(
      kinds, [](A& a) { a.options.n_init = 0; }, "options.n_init", "0");
  expect_all_refuse<T>(
      kinds,
      [](A& a) {
        a.options.n_init = 2;
        a.options.init = fk::init_method::given;
      },
      "options.n_init", "2");
  expect_all_refuse<T>(
      kinds,
      [](A& a) {
        a.options.n_init = 3;
        a.options.closing_assignment = false;
      },
      "options.n_init", "3");
  // Weights of the other type.
  float const single = 1;
  double const full = 1;
  expect_all_refuse<T>(
      kFit | kInit,
      [&](A& a) {
        if (std::is_same_v<T, double>) {
          a.options.weights = &single;
        } else {
          a.options.weights = &full;
        }
      },
      "options.weights", std::is_same_v<T, double> ? "float" : "double");
  expect_all_refuse<T>(
      kFit | kInit,
      [](A& a) {
        a.options.weights = off_by_a_byte(static_cast<centroid_of<T> const*>(a.distances));
      },
      "options.weights", "0x");
}

// What needs a look at the device is refused by verbs that do not wait.
TYPED_TEST(errors, small_verbs_that_do_not_wait) {
  using T = TypeParam;
  scene<T> s;
  arguments<T> a = s.good();
  std::vector<verb<T>> all = verbs<T>();
  all.push_back({"fit_plan", kFit, [](arguments<T> const& b) {
                   fk::fit_plan<T>(b.x, b.c, {b.labels, b.index, b.status}, b.options, b.exec);
                 }});
  arguments<T> checked = a, told = a;
  checked.options.check_input = true;
  told.options.progress = [](int, double) { return true; };
  for (verb<T> const& v : all) {
    if (v.kind != kFit || std::string(v.name) == "fit") continue;
    expect_invalid_and_nothing_queued(v, checked, "options.check_input", "true");
    expect_invalid_and_nothing_queued(v, told, "options.progress", "a function");
  }
  EXPECT_TRUE(s.untouched());
}

TYPED_TEST(errors, small_records) {
  using T = TypeParam;
  using A = arguments<T>;
  auto const some = [](A& a) { return reinterpret_cast<fk::iteration_record*>(a.status); };
  expect_all_refuse<T>(
      kFit, [&](A& a) { a.records = off_by_a_byte(some(a)); }, "records", "0x");
  expect_all_refuse<T>(
      kFit,
      [&](A& a) {
        a.records = some(a);
        a.options.n_init = 2;
      },
      "options.n_init", "2");
}

TYPED_TEST(errors, small_query_options) {
  using T = TypeParam;
  using A = arguments<T>;
  expect_all_refuse<T>(
      kPredict | kInertia | kTopK | kTransform | kTopKSize,
      [](A& a) { a.query.metric = static_cast<fk::metric>(9); }, "options.metric", "9");
  // Weights of the other type, and ones that lie between two elements.
  constexpr bool kDouble = std::is_same_v<T, double>;
  float const some_floats[2]{};
  double const some_doubles[2]{};
  expect_all_refuse<T>(
      kInertia,
      [&](A& a) {
        if (kDouble) {
          a.query.weights = some_floats;
        } else {
          a.query.weights = some_doubles;
        }
      },
      "options.weights", kDouble ? "float" : "double");
  expect_all_refuse<T>(
      kInertia,
      [&](A& a) {
        if (kDouble) {
          a.query.weights = off_by_a_byte(some_doubles);
        } else {
          a.query.weights = off_by_a_byte(some_floats);
        }
      },
      "options.weights", "0x");
}

TYPED_TEST(errors, small_update_options) {
  using T = TypeParam;
  using A = arguments<T>;
  expect_all_refuse<T>(
      kUpdate | kUpdateSize, [](A& a) { a.update.metric = static_cast<fk::metric>(9); },
      "options.metric", "9");
  // Weights of the other type, and ones that lie between two elements.
  constexpr bool kDouble = std::is_same_v<T, double>;
  float const some_floats[2]{};
  double const some_doubles[2]{};
  expect_all_refuse<T>(
      kUpdate,
      [&](A& a) {
        if (kDouble) {
          a.update.weights = some_floats;
        } else {
          a.update.weights = some_doubles;
        }
      },
      "options.weights", kDouble ? "float" : "double");
  expect_all_refuse<T>(
      kUpdate,
      [&](A& a) {
        if (kDouble) {
          a.update.weights = off_by_a_byte(some_doubles);
        } else {
          a.update.weights = off_by_a_byte(some_floats);
        }
      },
      "options.weights", "0x");
}

TYPED_TEST(errors, small_number_of_nearest_centroids) {
  using T = TypeParam;
  using A = arguments<T>;
  for (int const j : {0, -1, static_cast<int>(kK) + 1, 65}) {
    expect_all_refuse<T>(
        kTopK | kTopKSize, [=](A& a) { a.j = j; }, "j", std::to_string(j));
  }
  // 64 at most, however many centroids there are.
  expect_all_refuse<T>(
      kTopK | kTopKSize,
      [](A& a) {
        a.c = {a.c.data, 1000, kD};
        a.j = 65;
      },
      "j", "65");
}

TYPED_TEST(errors, small_distances_to_all) {
  using T = TypeParam;
  using A = arguments<T>;
  expect_all_refuse<T>(
      kTransform, [](A& a) { a.all.rows = kN + 1; }, "distances.rows (n)", "101");
  expect_all_refuse<T>(
      kTransform, [](A& a) { a.all.rows = 0; }, "distances.rows (n)", "0");
  expect_all_refuse<T>(
      kTransform, [](A& a) { a.all.cols = a.all.ld = kK + 1; }, "distances.cols (k)", "8");
  expect_all_refuse<T>(
      kTransform, [](A& a) { a.all.ld = kK - 1; }, "distances.ld", "6");
  expect_all_refuse<T>(
      kTransform,
      [](A& a) {
        a.all.batch = {1, 2};
      },
      "distances.batch", "1 x 2");
  expect_all_refuse<T>(
      kTransform,
      [](A& a) {
        a.x.batch = a.c.batch = a.all.batch = {2, 1};
        a.all.batch_stride = {kK - 1, 0};
      },
      "distances.batch_stride[0]", "6");
}

TYPED_TEST(errors, small_other_rows_by_cluster) {
  using T = TypeParam;
  using A = arguments<T>;
  expect_all_refuse<T>(
      kSum, [](A& a) { a.labels = nullptr; }, "labels", "null");
  expect_all_refuse<T>(
      kSum, [](A& a) { a.c.data = nullptr; }, "sums.data", "null");
  expect_all_refuse<T>(
      kSum, [](A& a) { a.c.cols = kD - 1; }, "sums.cols (d)", "23");
  expect_all_refuse<T>(
      kSum, [](A& a) { a.c.ld = kD - 1; }, "sums.ld", "23");
  expect_all_refuse<T>(
      kSum, [](A& a) { a.c.batch[0] = 2; }, "sums.batch", "2 x 1");
  expect_all_refuse<T>(
      kSum,
      [](A& a) {
        a.x.batch[0] = a.c.batch[0] = 2;
        a.c.batch_stride[0] = 1;
      },
      "sums.batch_stride[0]", "1");
  expect_all_refuse<T>(
      kGather, [](A& a) { a.index.order = nullptr; }, "order", "null");
  expect_all_refuse<T>(
      kGather, [](A& a) { a.sorted.data = nullptr; }, "sorted.data", "null");
  expect_all_refuse<T>(
      kGather, [](A& a) { a.sorted.rows = kN - 1; }, "sorted.rows (n)", "99");
  expect_all_refuse<T>(
      kGather, [](A& a) { a.sorted.cols = kD - 1; }, "sorted.cols (d)", "23");
  expect_all_refuse<T>(
      kSum | kGather, [](A& a) { a.x.data = nullptr; }, "x.data", "null");
}

TYPED_TEST(errors, small_mdspan_with_features_apart) {
  using T = TypeParam;
  using extents = cuda::std::dextents<std::int64_t, 2>;
  using span_type = cuda::std::mdspan<T, extents, cuda::std::layout_stride>;
  T* const nowhere = nullptr;
  span_type const columns(
      nowhere, typename span_type::mapping_type(extents(100, 24),
                                                cuda::std::array<std::int64_t, 2>{1, 100}));
  try {
    fk::matrix_view<T> const view(columns);
    ADD_FAILURE() << "it was taken, with ld = " << view.ld;
  } catch (std::invalid_argument const& error) {
    EXPECT_NE(std::string(error.what()).find("stride 100 along the features"), std::string::npos)
        << error.what();
  }
}

// --- Where there is no GPU -----------------------------------------------------------------------

TYPED_TEST(errors, small_good_arguments_without_a_gpu) {
  using T = TypeParam;
  if (on_gpu()) GTEST_SKIP() << "there is a GPU";
  scene<T> s;
  for (verb<T> const& v : verbs<T>()) {
    if ((v.kind & kRuns) == 0) continue;
    try {
      v.call(s.good());
      ADD_FAILURE() << v.name << " found a GPU";
    } catch (fk::cuda_error const& error) {
      EXPECT_NE(error.code(), 0) << v.name;
    } catch (std::exception const& error) {
      ADD_FAILURE() << v.name << " threw something else: " << error.what();
    }
  }
  EXPECT_TRUE(s.untouched());
}

// --- On a GPU ------------------------------------------------------------------------------------

template <class T>
class errors_on_gpu : public gpu_test {};
TYPED_TEST_SUITE(errors_on_gpu, element_types, element_names);

TYPED_TEST(errors_on_gpu, small_workspace) {
  using T = TypeParam;
  scene<T> s;
  arguments<T> const good = s.good();
  std::size_t const fit_bytes = fk::fit_workspace_bytes(good.x, good.c, good.options);
  std::size_t const predict_bytes = fk::predict_workspace_bytes(good.x, good.c);
  std::size_t const inertia_bytes = fk::inertia_workspace_bytes(good.x, good.c);
  std::size_t const top_k_bytes = fk::top_k_workspace_bytes(good.x, good.c, good.j);
  fk::query_options cosine;
  cosine.metric = fk::metric::cosine;  // under others transform needs none
  std::size_t const transform_bytes = fk::transform_workspace_bytes(good.x, good.c, cosine);
  centroid_of<T> const weights[kN]{};
  fk::update_options directions;  // need memory for the factors of rows
  directions.metric = fk::metric::cosine;
  directions.weights = weights;
  std::size_t const update_bytes = fk::update_workspace_bytes(good.x, good.c, directions);
  EXPECT_GT(update_bytes, fk::update_workspace_bytes(good.x, good.c));
  fk::fit_options seeded;
  seeded.init = fk::init_method::kmeans_plus_plus;
  std::size_t const init_bytes = fk::init_workspace_bytes(good.x, good.c, seeded);
  EXPECT_EQ(fk::init_workspace_bytes(good.x, good.c), 0u) << "random points need no memory";
  device_buffer<unsigned char> const memory(
      std::max({fit_bytes, predict_bytes, inertia_bytes, update_bytes, top_k_bytes, transform_bytes,
                init_bytes}) +
      256);
  for (verb<T> const& v : verbs<T>()) {
    if ((v.kind & kRuns) == 0) continue;
    SCOPED_TRACE(v.name);
    std::size_t const needed = v.kind == kFit         ? fit_bytes
                               : v.kind == kPredict   ? predict_bytes
                               : v.kind == kInertia   ? inertia_bytes
                               : v.kind == kTopK      ? top_k_bytes
                               : v.kind == kTransform ? transform_bytes
                               : v.kind == kInit      ? init_bytes
                                                      : update_bytes;
    arguments<T> a = good;
    if (v.kind == kTransform) a.query = cosine;
    if (v.kind == kInit) a.options = seeded;
    if (v.kind == kUpdate) a.update = directions;
    a.exec.workspace = memory.data();
    for (std::size_t const bytes : {std::size_t{0}, needed / 2, needed - 1}) {
      a.exec.workspace_bytes = bytes;
      expect_invalid_and_nothing_queued(v, a, "execution.workspace_bytes", std::to_string(bytes));
    }
    for (int const off : {1, 128, 255}) {
      a.exec.workspace = memory.data() + off;
      a.exec.workspace_bytes = needed;
      expect_invalid_and_nothing_queued(v, a, "execution.workspace", "0x");
    }
  }
  EXPECT_TRUE(s.untouched());
  EXPECT_TRUE(memory.untouched());
}

TYPED_TEST(errors_on_gpu, small_forced_kernels) {
  using T = TypeParam;
  std::vector<std::pair<fk::assign_kernel, std::string>> refused{
      {fk::assign_kernel::host, "host"}, {static_cast<fk::assign_kernel>(77), "unknown"}};
  if (!is_half_v<T>) refused.emplace_back(fk::assign_kernel::sm80, "sm80");
  if (std::is_same_v<T, double>) refused.emplace_back(fk::assign_kernel::sm90, "sm90");
  for (auto const& kernel : refused) {
    expect_all_refuse<T>(
        kFit | kPredict | kInertia | kTopK, [&](arguments<T>& a) { a.exec.kernel = kernel.first; },
        "execution.kernel", kernel.second);
  }
  expect_all_refuse<T>(
      kTopK, [](arguments<T>& a) { a.exec.kernel = fk::assign_kernel::sm90; }, "execution.kernel",
      "sm90");
}

// The checks refuse nothing that is good: the same scene, with data in it, runs.
TYPED_TEST(errors_on_gpu, small_good_arguments_run) {
  using T = TypeParam;
  matrix const x = integer_points(kN, kD, 1);
  for (verb<T> const& v : verbs<T>()) {
    SCOPED_TRACE(v.name);
    scene<T> s;
    arguments<T> a = s.good();
    device_matrices<T> const points(x);
    device_matrices<centroid_of<T>> const centroids(first_rows(x, kK));
    device_buffer<std::int32_t> const labels(std::vector<std::int32_t>(kN * kK, 3));
    a.x = points.const_view();
    a.c = centroids.view();
    a.labels = labels.data();
    if (v.kind == kGather) a.index.order = labels.data();  // which it reads
    EXPECT_NO_THROW(v.call(a));
    FLASH_KMEANS_CUDA_CHECK(cudaDeviceSynchronize());
  }
}

}  // namespace
