// cluster: k-means on a file, from the command line.
//
// Reads a table of points or an image, clusters it on the GPU or the CPU, and writes centroids,
// labels and a summary. Options and report are here; files in cluster_read.hpp and
// cluster_write.hpp, the computing in cluster_run.hpp and cluster_gpu.cu.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_FAILURE_USERMSG

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <flash_kmeans/types.hpp>
#include <flash_kmeans/version.hpp>
#include <iostream>
#include <map>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "cluster_pictures.hpp"
#include "cluster_read.hpp"
#include "cluster_run.hpp"
#include "cluster_table.hpp"
#include "cluster_write.hpp"

namespace cluster {
namespace {

std::string version() {
  return std::to_string(FLASH_KMEANS_VERSION_MAJOR) + "." +
         std::to_string(FLASH_KMEANS_VERSION_MINOR) + "." +
         std::to_string(FLASH_KMEANS_VERSION_PATCH);
}

// ---- options ------------------------------------------------------------------------------------

struct options {
  std::string input;
  std::optional<std::int64_t> clusters;
  flash_kmeans::fit_options fit;
  std::string init = "random";
  std::string init_centroids;
  std::string metric = "euclidean";
  std::string empty = "keep";
  std::string weights;
  std::string type = "auto";
  std::string device = "auto";
  int threads = 0;
  std::string out = "clusters";
  std::optional<tile_shape> tile;
  bool quiet = false;
};

constexpr char const* kExamples = R"(Examples:
  cluster points.npy -k 100                    labels and centroids into clusters/
  cluster photo.jpg -k 16 -o photo_16          also photo_16/repainted.png, in 16 colours
  cluster digits.npy -k 10 --centroid-image 8x8
  cluster base.fbin -k 1024 --type f16 --device gpu --max-iterations 25
  cluster points.npy --init-centroids clusters/centroids.npy   goes on from there
  cluster words.fbin -k 500 --metric cosine --init k-means++ --n-init 3 --weights counts.npy

Metrics: euclidean (squared distances, means), cosine (1 - cos, mean directions of length 1),
  inner_product (-x.c, means). Inertia is the sum of weight x distance.
First centroids: random points, k-means++, k-means-parallel (for many clusters), or given. --n-init
  fits with as many seeds, from --seed on, and keeps the one with the lowest inertia.
Empty clusters: keep (they stay where they are), farthest (they take the points farthest from their
  centroids), split (they take half of the largest cluster).
Sizes: with --max-size-ratio R, clusters with more than R times the average size get centroids of the
  smallest ones, in every iteration. Labels stay those of the nearest centroid, so sizes come down to
  R where the points allow it. 0 is any size.
Weights: a .npy file [n], finite and not negative.
Input: .npy (f2, f4, f8, u1; two dimensions, C order), .fvecs, .bvecs, .fbin, .u8bin,
  and .png, .jpg, .jpeg, whose points are the pixels (red, green, blue).
Output, into the directory of --out: centroids.npy, labels.npy, summary.json, for an image also
  repainted.png, with --centroid-image also centroids.png; all or none.
Point types: auto is f16 for f2 files, f64 for f8 files, else f32. Points are rounded to the type
  on every device. With f16 and bf16 the GPU also rounds centroids to the type to compare distances;
  the CPU compares in f32, so near ties may fall differently. Centroids are f32, or f64 for f64.
Exit code: 0, or 2 with one line on stderr; then no file has been touched.)";

std::map<std::string, point_type> const& type_names() {
  static std::map<std::string, point_type> const names{{"auto", point_type::automatic},
                                                       {"f16", point_type::f16},
                                                       {"bf16", point_type::bf16},
                                                       {"f32", point_type::f32},
                                                       {"f64", point_type::f64}};
  return names;
}

std::map<std::string, flash_kmeans::init_method> const& init_names() {
  using flash_kmeans::init_method;
  static std::map<std::string, init_method> const names{
      {"random", init_method::random},
      {"k-means++", init_method::kmeans_plus_plus},
      {"k-means-parallel", init_method::kmeans_parallel},
      {"given", init_method::given}};
  return names;
}

std::map<std::string, flash_kmeans::metric> const& metric_names() {
  using flash_kmeans::metric;
  static std::map<std::string, metric> const names{{"euclidean", metric::euclidean},
                                                   {"cosine", metric::cosine},
                                                   {"inner_product", metric::inner_product}};
  return names;
}

std::map<std::string, flash_kmeans::empty_cluster> const& empty_names() {
  using flash_kmeans::empty_cluster;
  static std::map<std::string, empty_cluster> const names{
      {"keep", empty_cluster::keep},
      {"farthest", empty_cluster::farthest_point},
      {"split", empty_cluster::split_largest}};
  return names;
}

template <class Value>
std::vector<std::string> names_of(std::map<std::string, Value> const& table) {
  std::vector<std::string> names;
  for (auto const& [name, value] : table) names.push_back(name);
  return names;
}

bool consists_of(std::string const& text, char const* characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string::npos;
}

tile_shape parse_tile(std::string const& text) {
  tile_shape tile;
  int two = 0, three = 0;  // characters read with two numbers, and with three
  std::sscanf(text.c_str(), "%4dx%4d%nx%1d%n", &tile.height, &tile.width, &two, &tile.channels,
              &three);
  bool const complete = std::max(two, three) == static_cast<int>(text.size());
  bool const drawn = tile.channels == 1 || tile.channels == 3;
  if (!consists_of(text, "0123456789x") || !complete || !drawn) {
    throw user_error("--centroid-image: " + text + " is not HxW, HxWx1 or HxWx3");
  }
  return tile;
}

void check(options& o) {
  auto const require = [](bool holds, std::string const& message) {
    if (!holds) throw user_error(message);
  };
  auto const number = [](double value) {
    std::ostringstream text;
    text << value;
    return text.str();
  };
  if (!o.init_centroids.empty()) o.init = "given";
  require(o.init != "given" || !o.init_centroids.empty(), "--init given needs --init-centroids");
  o.fit.init = init_names().at(o.init);
  o.fit.metric = metric_names().at(o.metric);
  o.fit.empty_cluster = empty_names().at(o.empty);
  require(o.clusters || o.init == "given", "-k is missing: how many clusters?");
  require(!o.clusters || *o.clusters >= 1,
          "-k is " + std::to_string(o.clusters.value_or(0)) + ", must be at least 1");
  require(o.fit.max_iterations >= 1,
          "--max-iterations is " + std::to_string(o.fit.max_iterations) + ", must be at least 1");
  require(std::isfinite(o.fit.tolerance) && o.fit.tolerance >= 0,
          "--tolerance is " + number(o.fit.tolerance) + ", must be finite and not negative");
  double const ratio = o.fit.max_size_ratio;
  require(ratio == 0 || (std::isfinite(ratio) && ratio >= 1),
          "--max-size-ratio is " + number(ratio) + ", must be 0 or finite and at least 1");
  require(o.fit.n_init >= 1,
          "--n-init is " + std::to_string(o.fit.n_init) + ", must be at least 1");
  require(o.fit.n_init == 1 || o.init != "given",
          "--n-init is " + std::to_string(o.fit.n_init) + ", must be 1 with given centroids");
  require(o.fit.candidates >= 0 && o.fit.candidates <= 64,
          "--candidates is " + std::to_string(o.fit.candidates) + ", must be from 0 to 64");
  require(o.threads >= 0,
          "--threads is " + std::to_string(o.threads) + ", must be at least 0 (all)");
  if (o.tile) require(o.tile->height >= 1 && o.tile->width >= 1, "--centroid-image has no pixels");
}

// The options, or the exit code where the command line asks for no more than a text.
std::variant<options, int> parse(int argc, char** argv) {
  options o;
  CLI::App app("k-means clustering of a file of points or of an image's pixels, on GPU or CPU.",
               "cluster");
  app.footer(kExamples);
  app.set_version_flag("--version", "cluster (flash_kmeans) " + version());
  app.add_option("INPUT", o.input, "file of points, or an image")->required();
  app.add_option("-k,--clusters", o.clusters,
                 "number of clusters; may be left out with --init-centroids");
  app.add_option("--max-iterations", o.fit.max_iterations, "stop after so many")
      ->capture_default_str();
  app.add_option("--tolerance", o.fit.tolerance,
                 "stop when the squared centroid shifts sum to no more than this times the mean "
                 "variance of the features")
      ->capture_default_str();
  auto* const init = app.add_option("--init", o.init, "where the first centroids come from")
                         ->check(CLI::IsMember(names_of(init_names())))
                         ->capture_default_str();
  app.add_option("--init-centroids", o.init_centroids, "first centroids: a .npy file [k][d]");
  app.add_option("--n-init", o.fit.n_init, "fits to choose the best of")->capture_default_str();
  app.add_option("--candidates", o.fit.candidates,
                 "points that k-means++ chooses each centroid from; 0 is 2 + ln k, at most 8")
      ->capture_default_str();
  app.add_option("--metric", o.metric, "what near means")
      ->check(CLI::IsMember(names_of(metric_names())))
      ->capture_default_str();
  app.add_option("--weights", o.weights, "how much each point counts: a .npy file [n]");
  app.add_option("--empty", o.empty, "what becomes of a cluster without points")
      ->check(CLI::IsMember(names_of(empty_names())))
      ->capture_default_str();
  app.add_option("--max-size-ratio", o.fit.max_size_ratio,
                 "size of clusters to work towards, relative to the average; 0 is any")
      ->capture_default_str();
  // Kept from the parser, which would wrap -1 around.
  auto const whole = [](std::string const& text) -> std::string {
    errno = 0;
    std::strtoull(text.c_str(), nullptr, 10);
    bool const fits = errno == 0 && consists_of(text, "0123456789");
    return fits ? "" : text + " is not a whole number from 0 to 18446744073709551615";
  };
  app.add_option("--seed", o.fit.seed, "seed of what is drawn")
      ->check(CLI::Validator(whole, "", "seed"))
      ->capture_default_str();
  app.add_option("--type", o.type, "point type to cluster in")
      ->check(CLI::IsMember({"auto", "f16", "bf16", "f32", "f64"}))
      ->capture_default_str();
  app.add_option("--device", o.device, "where to run; auto is the GPU where one works")
      ->check(CLI::IsMember({"auto", "gpu", "cpu"}))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "CPU threads; 0 is all")->capture_default_str();
  app.add_option("-o,--out", o.out, "directory for the results")->capture_default_str();
  std::string tile;
  app.add_option("--centroid-image", tile,
                 "HxW or HxWxC: also draw every centroid as a small picture, into centroids.png");
  app.add_flag("-q,--quiet", o.quiet, "no progress, no table");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    throw user_error(error.what());
  }
  if (init->count() > 0 && o.init != "given" && !o.init_centroids.empty()) {
    throw user_error("--init " + o.init + " and --init-centroids exclude each other");
  }
  if (!tile.empty()) o.tile = parse_tile(tile);
  check(o);
  return o;
}

// ---- progress -----------------------------------------------------------------------------------

// One line on a terminal that is rewritten while the tool runs, from its second second on.
class progress_line {
 public:
  explicit progress_line(bool wanted) {
    if (wanted && isatty(STDERR_FILENO) != 0) thread_ = std::thread([this] { show(); });
  }
  ~progress_line() { finish(); }
  progress_line(progress_line const&) = delete;
  progress_line& operator=(progress_line const&) = delete;

  void say(std::string doing) {
    std::lock_guard<std::mutex> const lock(mutex_);
    doing_ = std::move(doing);
  }

  // Takes the line away.
  void finish() {
    if (!thread_.joinable()) return;
    {
      std::lock_guard<std::mutex> const lock(mutex_);
      done_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void show() {
    using clock = std::chrono::steady_clock;
    auto const start = clock::now();
    std::size_t width = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (auto next = start + std::chrono::seconds(1);
         !changed_.wait_until(lock, next, [this] { return done_; });
         next += std::chrono::milliseconds(500)) {
      auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(clock::now() - start);
      std::string line = "cluster: " + doing_ + ", " + std::to_string(seconds.count()) + " s";
      width = std::max(width, line.size());
      line.resize(width, ' ');
      std::cerr << '\r' << line << std::flush;
    }
    if (width > 0) std::cerr << '\r' << std::string(width, ' ') << '\r' << std::flush;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string doing_ = "starting";
  bool done_ = false;
  std::thread thread_;
};

// ---- the job ------------------------------------------------------------------------------------

struct cluster_sizes {
  std::int64_t smallest = 0, largest = 0, empty = 0;
  double median = 0;
};

cluster_sizes count_sizes(std::vector<std::int32_t> const& labels, std::int64_t k) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(k));
  for (std::int32_t const label : labels) ++counts[static_cast<std::size_t>(label)];
  std::sort(counts.begin(), counts.end());
  std::size_t const middle = counts.size() / 2;
  cluster_sizes sizes;
  sizes.smallest = counts.front();
  sizes.largest = counts.back();
  sizes.empty = std::count(counts.begin(), counts.end(), 0);
  sizes.median = counts.size() % 2 == 1
                     ? static_cast<double>(counts[middle])
                     : static_cast<double>(counts[middle - 1] + counts[middle]) / 2;
  return sizes;
}

// All that the table and summary.json tell.
struct report {
  std::string file_type, type, device, device_name, note;
  std::int64_t n = 0, d = 0, k = 0;
  run_result run;
  cluster_sizes sizes;
  std::vector<std::string> files;

  double seconds_per_iteration() const { return run.seconds / run.fit.iterations; }
};

std::string summary(options const& o, report const& r) {
  nlohmann::ordered_json json{{"input", o.input},
                              {"n", r.n},
                              {"d", r.d},
                              {"k", r.k},
                              {"file_type", r.file_type},
                              {"type", r.type},
                              {"device", r.device},
                              {"device_name", r.device_name},
                              {"kernel", flash_kmeans::to_string(r.run.fit.kernel)},
                              {"iterations", r.run.fit.iterations},
                              {"converged", r.run.fit.converged},
                              {"inertia", r.run.fit.inertia},
                              {"seconds", r.run.seconds},
                              {"seconds_per_iteration", r.seconds_per_iteration()},
                              {"cluster_sizes",
                               {{"smallest", r.sizes.smallest},
                                {"median", r.sizes.median},
                                {"largest", r.sizes.largest},
                                {"empty", r.sizes.empty}}},
                              {"seed", o.fit.seed},
                              {"tolerance", o.fit.tolerance},
                              {"options",
                               {{"max_iterations", o.fit.max_iterations},
                                {"init", o.init},
                                {"init_centroids", o.init_centroids},
                                {"n_init", o.fit.n_init},
                                {"candidates", o.fit.candidates},
                                {"metric", o.metric},
                                {"weights", o.weights},
                                {"empty", o.empty},
                                {"max_size_ratio", o.fit.max_size_ratio},
                                {"type", o.type},
                                {"device", o.device},
                                {"threads", o.threads}}},
                              {"files", r.files},
                              {"library", "flash_kmeans " + version()}};
  // A file name need not be UTF-8.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string printed(char const* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string duration(double seconds) {
  if (seconds < 1e-3) return printed("%.3g us", seconds * 1e6);
  if (seconds < 1) return printed("%.3g ms", seconds * 1e3);
  return printed("%.3g s", seconds);
}

void print_table(options const& o, report const& r) {
  auto const row = [](char const* name, std::string const& text) {
    std::printf("%-14s %s\n", name, text.c_str());
  };
  auto const& fit = r.run.fit;
  row("device", r.device + ", " + r.device_name + (r.note.empty() ? "" : " (" + r.note + ")"));
  row("kernel", flash_kmeans::to_string(fit.kernel));
  row("points", std::to_string(r.n) + " x " + std::to_string(r.d) + ", " + r.type +
                    (r.type == r.file_type ? "" : " from " + r.file_type));
  row("clusters", std::to_string(r.k));
  row("iterations",
      std::to_string(fit.iterations) + (fit.converged ? ", converged" : ", not converged"));
  row("inertia", printed("%.10g", fit.inertia));
  row("time", duration(r.seconds_per_iteration()) + " per iteration, " + duration(r.run.seconds) +
                  " in all");
  row("cluster sizes", "smallest " + std::to_string(r.sizes.smallest) + ", median " +
                           printed("%.10g", r.sizes.median) + ", largest " +
                           std::to_string(r.sizes.largest));
  std::string files;
  for (std::string const& name : r.files) files += " " + name;
  row("written", o.out + ":" + files);
}

// The centroids to start from; zeros where the library draws them.
template <class C>
std::vector<C> first_centroids(options const& o, table const& points, std::int64_t k) {
  if (o.init_centroids.empty()) return std::vector<C>(static_cast<std::size_t>(k * points.d));
  table given = read_table(o.init_centroids);
  check_finite(given, o.init_centroids);
  if (given.n != k || given.d != points.d) {
    throw user_error(o.init_centroids + ": holds " + std::to_string(given.n) + " x " +
                     std::to_string(given.d) + " values, need " + std::to_string(k) + " x " +
                     std::to_string(points.d));
  }
  return as_type<C>(std::move(given.data), given.d, o.init_centroids);
}

// The weights of the points; none where there is no file of them.
template <class C>
std::vector<C> read_weights(options const& o, std::int64_t n) {
  if (o.weights.empty()) return {};
  table given = read_column(o.weights);
  if (given.n != n) {
    throw user_error(o.weights + ": holds " + std::to_string(given.n) + " weights for " +
                     std::to_string(n) + " points");
  }
  std::visit(
      [&](auto const& held) {
        for (std::size_t i = 0; i < held.size(); ++i) {
          double const weight = as_double(held[i]);
          if (std::isfinite(weight) && weight >= 0) continue;
          throw user_error(o.weights + ": weight " + std::to_string(i) + " is " +
                           std::to_string(weight) + ", weights must be finite and not negative");
        }
      },
      given.data);
  return as_type<C>(std::move(given.data), 1, o.weights);
}

// C is the type of centroids that goes with the point type; fit has the weights.
template <class C>
run_result run_points(options const& o, flash_kmeans::fit_options const& fit, values points,
                      point_type type, report const& r, std::vector<C>& centroids,
                      std::vector<std::int32_t>& labels, progress_line& progress) {
  // Bytes are exact in every point type, so the CPU takes them as they lie.
  bool const as_they_lie = r.device == "cpu" && type != point_type::f64 &&
                           std::holds_alternative<std::vector<std::uint8_t>>(points);
  if (!as_they_lie) points = to_points(std::move(points), r.d, type, o.input);
  if (r.device == "gpu") {
    progress.say("running on the GPU");
    return std::visit(
        [&](auto const& held) {
          return run_on_gpu(type, held.data(), r.n, r.d, centroids.data(), r.k, labels.data(), fit);
        },
        points);
  }
  bool const half = type == point_type::f16 || type == point_type::bf16;
  if (half && !as_they_lie) points = as_type<float>(std::move(points), r.d, o.input);
  flash_kmeans::host::execution exec;
  exec.threads = o.threads;
  progress.say("starting on the CPU");
  flash_kmeans::fit_options told = fit;
  told.progress = [&](int iteration, double) {
    progress.say("iteration " + std::to_string(iteration) + " of at most " +
                 std::to_string(o.fit.max_iterations) + " on the CPU");
    return true;
  };
  return std::visit(
      [&](auto const& held) -> run_result {
        using point = typename std::decay_t<decltype(held)>::value_type;
        if constexpr (std::is_arithmetic_v<point> &&
                      std::is_same_v<flash_kmeans::centroid_t<point>, C>) {
          return run_on_cpu(held, r.n, r.d, centroids, r.k, labels, told, exec);
        } else {
          throw std::logic_error("points and centroids do not go together");
        }
      },
      points);
}

// Clusters the table's points and writes the results.
template <class C>
void cluster_and_write(options const& o, table t, point_type type, report r,
                       progress_line& progress) {
  std::vector<C> centroids = first_centroids<C>(o, t, r.k);
  std::vector<C> const weights = read_weights<C>(o, t.n);
  flash_kmeans::fit_options fit = o.fit;
  if (!weights.empty()) fit.weights = weights.data();
  std::vector<std::int32_t> labels(static_cast<std::size_t>(t.n));
  r.run = run_points(o, fit, std::move(t.data), type, r, centroids, labels, progress);
  if (!std::isfinite(r.run.fit.inertia)) {
    throw user_error(o.input + ": has values so large that distances overflow; scale them down");
  }
  r.sizes = count_sizes(labels, r.k);
  progress.say("writing " + o.out);

  std::vector<output_file> files{npy_matrix("centroids.npy", centroids, r.k, t.d),
                                 npy_vector("labels.npy", labels)};
  if (t.image) files.push_back(png_file("repainted.png", repaint(*t.image, centroids, labels)));
  if (o.tile) files.push_back(png_file("centroids.png", draw_centroids(centroids, r.k, *o.tile)));
  files.push_back(text_file("summary.json", summary(o, r)));
  write_files(o.out, files);
  progress.finish();
  if (!o.quiet) print_table(o, r);
}

void run(options const& o) {
  report r;
  gpu_status const gpu = o.device == "cpu" ? gpu_status{} : find_gpu();
  if (o.device == "gpu" && !gpu.works) throw user_error("--device gpu: no GPU: " + gpu.name);
  if (gpu.works) {
    r.device = "gpu";
    r.device_name = gpu.name;
  } else {
    unsigned const threads = o.threads > 0 ? static_cast<unsigned>(o.threads)
                                           : std::max(1u, std::thread::hardware_concurrency());
    r.device = "cpu";
    r.device_name = std::to_string(threads) + (threads == 1 ? " thread" : " threads");
    if (o.device == "auto") r.note = "no GPU: " + gpu.name;
  }

  progress_line progress(!o.quiet);
  progress.say("reading " + o.input);
  table t = read_table(o.input);
  r.n = t.n;
  r.d = t.d;
  r.k = o.clusters ? *o.clusters : read_table(o.init_centroids).n;
  if (r.k > t.n) {
    throw user_error("-k is " + std::to_string(r.k) + ", but " + o.input + " holds only " +
                     std::to_string(t.n) + (t.n == 1 ? " point" : " points"));
  }
  if (o.tile) {
    auto const size = std::int64_t{o.tile->height} * o.tile->width * o.tile->channels;
    if (size != t.d) {
      throw user_error("--centroid-image has " + std::to_string(size) + " values, points have " +
                       std::to_string(t.d));
    }
    grid_layout const fits(*o.tile, r.k);
  }
  check_finite(t, o.input);
  r.file_type = type_name(t.data);

  r.files = {"centroids.npy", "labels.npy"};
  if (t.image) r.files.push_back("repainted.png");
  if (o.tile) r.files.push_back("centroids.png");
  r.files.push_back("summary.json");
  check_writable(o.out, r.files);
  for (std::string const& name : r.files) {
    auto const target = std::filesystem::path(o.out) / name;
    for (std::string const& input : {o.input, o.weights}) {
      std::error_code missing;
      if (!input.empty() && std::filesystem::equivalent(input, target, missing)) {
        throw user_error(input + ": would be overwritten; choose another --out");
      }
    }
  }

  point_type const type = resolve(type_names().at(o.type), t.data);
  r.type = to_string(type);
  if (type == point_type::f64) {
    cluster_and_write<double>(o, std::move(t), type, std::move(r), progress);
  } else {
    cluster_and_write<float>(o, std::move(t), type, std::move(r), progress);
  }
}

int fail(std::string message) {
  // One line, whatever a file name may hold.
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' '; }, ' ');
  std::cerr << "cluster: " << message << "\n";
  return 2;
}

}  // namespace
}  // namespace cluster

int main(int argc, char** argv) {
  try {
    auto const parsed = cluster::parse(argc, argv);
    if (int const* const code = std::get_if<int>(&parsed)) return *code;
    cluster::run(std::get<cluster::options>(parsed));
    return 0;
  } catch (std::bad_alloc const&) {
    return cluster::fail("not enough memory");
  } catch (std::exception const& error) {
    return cluster::fail(error.what());
  }
}
