// The cluster tool from the outside: started as a process, judged by its exit code, its streams and
// its files. CLUSTER_PATH is the tool, CLUSTER_DATA_DIR the folder of the demo's data.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stb_image.h>
#include <stb_image_write.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using bytes = std::string;
using arguments = std::vector<std::string>;

fs::path const kData = CLUSTER_DATA_DIR;

bytes read(fs::path const& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.is_open()) << path;
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write(fs::path const& path, bytes const& content) {
  std::ofstream(path, std::ios::binary) << content;
}

template <class T>
bytes raw(T const& value) {
  return {reinterpret_cast<char const*>(&value), sizeof value};
}

template <class T>
bytes raw(std::vector<T> const& values) {
  return {reinterpret_cast<char const*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::vector<T> values_of(bytes const& content) {
  std::vector<T> values(content.size() / sizeof(T));
  std::memcpy(values.data(), content.data(), values.size() * sizeof(T));
  return values;
}

// ---- the process ------------------------------------------------------------------------------

struct outcome {
  int code = -1;
  std::string out, err;
};

std::string quoted(std::string const& word) {
  std::string result = "'";
  for (char const c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

// Every test gets an empty directory that is gone afterwards.
class cluster_tool : public testing::Test {
 protected:
  cluster_tool() {
    std::string name = (fs::temp_directory_path() / "cluster_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    home_ = name;
    out_ = home_ / "out";
  }
  ~cluster_tool() override {
    std::error_code ignored;
    fs::remove_all(home_, ignored);
  }

  // before: shell commands that change what the tool may do.
  outcome run(arguments const& args, std::string const& before = "") const {
    std::string command = before + " exec " + quoted(CLUSTER_PATH);
    for (std::string const& arg : args) command += " " + quoted(arg);
    std::string const out = (home_ / "stdout").string(), err = (home_ / "stderr").string();
    command = "(" + command + ") >" + quoted(out) + " 2>" + quoted(err) + " </dev/null";
    int const status = std::system(command.c_str());
    outcome result{WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(out), read(err)};
    fs::remove(out);
    fs::remove(err);
    return result;
  }

  // Runs on the CPU, into out_, and expects it to work.
  outcome succeed(arguments args) const {
    args.insert(args.end(), {"--device", "cpu", "-o", out_.string()});
    outcome const result = run(args);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result;
  }

  // Expects exit code 2, one line on stderr that holds `text`, nothing on stdout, and no change to
  // any file: once where the output directory is missing, once where it holds older results.
  void fail(arguments args, std::string const& text, std::string const& before = "") const {
    args.insert(args.end(), {"-o", out_.string()});
    for (bool const exists : {false, true}) {
      if (exists) {
        fs::create_directory(out_);
        for (char const* name : {"centroids.npy", "labels.npy", "summary.json"}) {
          write(out_ / name, std::string("older ") + name);
        }
      }
      auto const files = snapshot();
      outcome const result = run(args, before);
      EXPECT_EQ(result.code, 2);
      EXPECT_EQ(result.out, "");
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
      EXPECT_EQ(result.err.substr(0, 9), "cluster: ") << result.err;
      EXPECT_EQ(result.err.back(), '\n');
      EXPECT_NE(result.err.find(text), std::string::npos) << result.err << "lacks: " << text;
      EXPECT_TRUE(snapshot() == files);
    }
    fs::remove_all(out_);
  }

  // Every file and directory of the test with its content. Compared with EXPECT_TRUE, as binary
  // files are no use in a message.
  std::map<std::string, bytes> snapshot() const {
    std::map<std::string, bytes> files;
    for (auto const& entry : fs::recursive_directory_iterator(home_)) {
      files[entry.path().string()] = entry.is_regular_file() ? read(entry.path()) : "";
    }
    return files;
  }

  std::string file(std::string const& name, bytes const& content) const {
    write(home_ / name, content);
    return (home_ / name).string();
  }

  nlohmann::json summary() const { return nlohmann::json::parse(read(out_ / "summary.json")); }

  fs::path home_, out_;
};

// ---- .npy ---------------------------------------------------------------------------------------

bytes npy_text(std::string dictionary, int major = 1) {
  std::size_t const before = major == 1 ? 10 : 12;
  while ((before + dictionary.size() + 1) % 64 != 0) dictionary += ' ';
  dictionary += '\n';
  bytes const length = major == 1 ? raw(static_cast<std::uint16_t>(dictionary.size()))
                                  : raw(static_cast<std::uint32_t>(dictionary.size()));
  return bytes("\x93NUMPY") + static_cast<char>(major) + '\0' + length + dictionary;
}

bytes npy(std::string const& descr, std::string const& shape, bytes const& data, int major = 1,
          std::string const& order = "False") {
  return npy_text(
             "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }",
             major) +
         data;
}

// The data of a .npy file that the tool wrote, its header held against the format: version 1.0,
// data at a multiple of 64 bytes, the very dictionary that NumPy writes.
template <class T>
std::vector<T> npy_data(fs::path const& path, std::string const& descr, std::string const& shape) {
  bytes const content = read(path);
  EXPECT_EQ(content.substr(0, 8), bytes("\x93NUMPY\x01\x00", 8));
  std::size_t const start =
      10 + static_cast<unsigned char>(content[8]) + 256u * static_cast<unsigned char>(content[9]);
  EXPECT_EQ(start % 64, 0u);
  bytes const header = content.substr(10, start - 10);
  std::string const dictionary =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  EXPECT_EQ(header.substr(0, dictionary.size()), dictionary);
  EXPECT_EQ(header.find_first_not_of(' ', dictionary.size()), header.size() - 1);
  EXPECT_EQ(header.back(), '\n');
  EXPECT_EQ((content.size() - start) % sizeof(T), 0u);
  return values_of<T>(content.substr(start));
}

std::string shape(std::size_t rows, std::size_t columns) {
  return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

std::string shape(std::size_t size) { return "(" + std::to_string(size) + ",)"; }

// ---- every input format -------------------------------------------------------------------------

// Six points of three features around (1, 2, 3) and (101, 102, 103), whole numbers that every type
// holds; the means of the two triples are whole as well.
std::vector<int> const kPoints{1,   2,   3,   0,   1,   5,   2,   3,   1,  //
                               101, 102, 103, 100, 101, 105, 102, 103, 101};
std::vector<std::int32_t> const kLabels{0, 0, 0, 1, 1, 1};
std::vector<float> const kMeans{1, 2, 3, 101, 102, 103};
// (0 + 0 + 0) + (1 + 1 + 4) + (1 + 1 + 4), twice.
constexpr double kInertia = 24;
// Rows 0 and 3 of the points, a little off.
std::vector<float> const kStart{0, 0, 0, 90, 90, 90};

template <class T>
bytes points_as() {
  return raw(std::vector<T>(kPoints.begin(), kPoints.end()));
}

// Half precision of a whole number from 0 to 2047, from the definition of the format.
std::uint16_t small_half(int value) {
  if (value == 0) return 0;
  int exponent = 0;
  while (value >> (exponent + 1) != 0) ++exponent;
  int const fraction = (value - (1 << exponent)) << (10 - exponent);
  return static_cast<std::uint16_t>((exponent + 15) << 10 | fraction);
}

bytes points_as_half() {
  std::vector<std::uint16_t> halves;
  for (int const value : kPoints) halves.push_back(small_half(value));
  return raw(halves);
}

template <class T>
bytes points_as_vecs() {
  bytes content;
  for (int i = 0; i < 6; ++i) {
    content += raw(std::int32_t{3}) + points_as<T>().substr(i * 3 * sizeof(T), 3 * sizeof(T));
  }
  return content;
}

bytes bin_header(std::int32_t n, std::int32_t d) { return raw(n) + raw(d); }

struct format {
  std::string name;  // of the test
  std::string file;  // with its extension
  std::function<bytes()> content;
  std::string file_type, type;  // as summary.json is to tell them
};

void PrintTo(format const& f, std::ostream* to) { *to << f.name; }

class cluster_format : public cluster_tool, public testing::WithParamInterface<format> {};

TEST_P(cluster_format, is_read) {
  format const& f = GetParam();
  std::string const input = file(f.file, f.content());
  std::string const start = file("start.npy", npy("<f4", "(2, 3)", raw(kStart)));
  for (std::string const type : {"auto", "f16", "bf16", "f32", "f64"}) {
    outcome const result = succeed({input, "-k", "2", "--init-centroids", start, "--type", type});
    nlohmann::json const told = summary();
    std::string const used = type == "auto" ? f.type : type;
    EXPECT_EQ(told["type"], used);
    EXPECT_EQ(told["file_type"], f.file_type);
    EXPECT_EQ(told["n"], 6);
    EXPECT_EQ(told["d"], 3);
    EXPECT_EQ(told["inertia"], kInertia);
    EXPECT_EQ(npy_data<std::int32_t>(out_ / "labels.npy", "<i4", "(6,)"), kLabels);
    if (used == "f64") {
      std::vector<double> const means(kMeans.begin(), kMeans.end());
      EXPECT_EQ(npy_data<double>(out_ / "centroids.npy", "<f8", "(2, 3)"), means);
    } else {
      EXPECT_EQ(npy_data<float>(out_ / "centroids.npy", "<f4", "(2, 3)"), kMeans);
    }
    EXPECT_NE(result.out.find("converged"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(
    all, cluster_format,
    testing::Values(
        format{"npy_u1", "x.npy", [] { return npy("|u1", "(6, 3)", points_as<std::uint8_t>()); },
               "u1", "f32"},
        format{"npy_f2", "x.npy", [] { return npy("<f2", "(6, 3)", points_as_half()); }, "f16",
               "f16"},
        format{"npy_f4", "x.npy", [] { return npy("<f4", "(6, 3)", points_as<float>()); }, "f32",
               "f32"},
        format{"npy_f8", "x.npy", [] { return npy("<f8", "(6, 3)", points_as<double>()); }, "f64",
               "f64"},
        format{"npy_version_2", "x.npy", [] { return npy("<f4", "(6, 3)", points_as<float>(), 2); },
               "f32", "f32"},
        format{"npy_version_3", "x.NPY", [] { return npy("<f4", "(6, 3)", points_as<float>(), 3); },
               "f32", "f32"},
        format{"npy_other_spelling", "x.npy",
               [] {
                 return npy_text("{\"shape\":(6L,3L),\"fortran_order\":False,\"descr\":\"=f4\"}") +
                        points_as<float>();
               },
               "f32", "f32"},
        format{"fvecs", "x.fvecs", [] { return points_as_vecs<float>(); }, "f32", "f32"},
        format{"bvecs", "x.bvecs", [] { return points_as_vecs<std::uint8_t>(); }, "u1", "f32"},
        format{"fbin", "x.fbin", [] { return bin_header(6, 3) + points_as<float>(); }, "f32",
               "f32"},
        format{"u8bin", "x.u8bin", [] { return bin_header(6, 3) + points_as<std::uint8_t>(); },
               "u1", "f32"}),
    [](auto const& test) { return test.param.name; });

// ---- images -------------------------------------------------------------------------------------

struct image {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  // [height][width][3]
};

image decode(fs::path const& path) {
  image result;
  int channels = 0;
  stbi_uc* const data = stbi_load(path.c_str(), &result.width, &result.height, &channels, 3);
  EXPECT_NE(data, nullptr) << path;
  if (data != nullptr) {
    result.pixels.assign(data, data + std::size_t{3} * result.width * result.height);
  }
  stbi_image_free(data);
  return result;
}

bytes png(int width, int height, int channels, std::vector<std::uint8_t> const& pixels) {
  int length = 0;
  unsigned char* const data =
      stbi_write_png_to_mem(pixels.data(), width * channels, width, height, channels, &length);
  bytes const result(reinterpret_cast<char*>(data), static_cast<std::size_t>(length));
  STBIW_FREE(data);
  return result;
}

std::size_t distinct_colours(image const& picture) {
  std::set<int> colours;
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3) {
    auto const* const p = &picture.pixels[i];
    colours.insert(p[0] << 16 | p[1] << 8 | p[2]);
  }
  return colours.size();
}

TEST_F(cluster_tool, paints_an_image_in_its_own_colours) {
  // As many clusters as colours, started at the colours: the picture comes back as it was.
  std::vector<std::uint8_t> const pixels{255, 0, 0, 255, 0, 0, 0, 200, 0,  //
                                         0,   0, 7, 0,   0, 7, 0, 200, 0};
  std::string const input = file("small.png", png(3, 2, 3, pixels));
  std::vector<float> const colours{255, 0, 0, 0, 200, 0, 0, 0, 7};
  succeed({input, "--init-centroids", file("c.npy", npy("<f4", "(3, 3)", raw(colours)))});
  image const painted = decode(out_ / "repainted.png");
  EXPECT_EQ(painted.width, 3);
  EXPECT_EQ(painted.height, 2);
  EXPECT_EQ(painted.pixels, pixels);
  EXPECT_EQ((npy_data<std::int32_t>(out_ / "labels.npy", "<i4", "(6,)")),
            (std::vector<std::int32_t>{0, 0, 1, 2, 2, 1}));
  EXPECT_EQ(summary()["inertia"], 0.0);
}

TEST_F(cluster_tool, spreads_grey_and_drops_transparency) {
  std::string const grey = file("grey.png", png(2, 1, 1, {10, 250}));
  succeed({grey, "-k", "2"});
  EXPECT_EQ(decode(out_ / "repainted.png").pixels,
            (std::vector<std::uint8_t>{10, 10, 10, 250, 250, 250}));
  std::string const clear = file("clear.png", png(2, 1, 4, {1, 2, 3, 0, 201, 202, 203, 128}));
  succeed({clear, "-k", "2"});
  EXPECT_EQ(decode(out_ / "repainted.png").pixels,
            (std::vector<std::uint8_t>{1, 2, 3, 201, 202, 203}));
}

TEST_F(cluster_tool, paints_the_photograph_of_the_demo) {
  succeed({(kData / "china.jpg").string(), "-k", "16", "--seed", "8"});
  image const original = decode(kData / "china.jpg");
  image const painted = decode(out_ / "repainted.png");
  ASSERT_EQ(painted.width, original.width);
  ASSERT_EQ(painted.height, original.height);
  ASSERT_EQ(painted.pixels.size(), original.pixels.size());
  EXPECT_LE(distinct_colours(painted), 16u);
  EXPECT_GT(distinct_colours(original), 16u);

  double squares = 0;
  for (std::size_t i = 0; i < painted.pixels.size(); ++i) {
    double const difference = double{1} * painted.pixels[i] - original.pixels[i];
    squares += difference * difference;
  }
  double const values = static_cast<double>(painted.pixels.size());
  // Sixteen good colours give 27.5 dB; sixteen random pixels as colours give less than 26 dB.
  EXPECT_GT(10 * std::log10(255.0 * 255.0 / (squares / values)), 27.0);

  // Each colour is the mean of its pixels rounded to bytes, which adds at most a quarter to the
  // mean square. Means are f32, whose rounding of 255 is far below the 1e-3.
  double const inertia = summary()["inertia"];
  EXPECT_GE(squares / values, inertia / values - 1e-3);
  EXPECT_LE(squares / values, inertia / values + 0.25 + 1e-3);
}

// ---- what is written ----------------------------------------------------------------------------

// Holds labels, centroids, inertia and cluster sizes of the last run against the points, in double.
void check_results(fs::path const& out, std::vector<double> const& x, std::size_t n, std::size_t d,
                   std::size_t k) {
  auto const c = npy_data<float>(out / "centroids.npy", "<f4", shape(k, d));
  auto const labels = npy_data<std::int32_t>(out / "labels.npy", "<i4", shape(n));
  ASSERT_EQ(c.size(), k * d);
  ASSERT_EQ(labels.size(), n);
  auto const json = nlohmann::json::parse(read(out / "summary.json"));

  std::vector<std::int64_t> counts(k);
  double inertia = 0;
  for (std::size_t i = 0; i < n; ++i) {
    ASSERT_GE(labels[i], 0);
    ASSERT_LT(static_cast<std::size_t>(labels[i]), k);
    double best = std::numeric_limits<double>::infinity(), own = 0, largest = 0, norm = 0;
    for (std::size_t f = 0; f < d; ++f) norm += x[i * d + f] * x[i * d + f];
    for (std::size_t j = 0; j < k; ++j) {
      double distance = 0, centroid_norm = 0;
      for (std::size_t f = 0; f < d; ++f) {
        double const value = c[j * d + f];
        distance += (x[i * d + f] - value) * (x[i * d + f] - value);
        centroid_norm += value * value;
      }
      best = std::min(best, distance);
      if (j == static_cast<std::size_t>(labels[i])) own = distance;
      largest = std::max(largest, std::sqrt(norm * centroid_norm) + centroid_norm / 2);
    }
    // The score x.c - |c|^2/2 is computed in f32: d products and d - 1 sums, |c|^2/2 rounded once,
    // one subtraction; so it is off by at most (d + 2) u (|x||c| + |c|^2/2), u = 2^-24. A distance
    // is |x|^2 - 2 score, and a wrong winner needs both scores to be off. The last factor covers
    // terms of u^2.
    double const rounding = 2 * 2 * (static_cast<double>(d) + 2) * std::ldexp(1.0, -24) * 1.001;
    EXPECT_LE(own, best + rounding * largest) << "point " << i;
    inertia += own;
    ++counts[static_cast<std::size_t>(labels[i])];
  }
  // Sums of n d squares, none negative, in any order: each is off by a relative (n d + 2) 2^-53.
  double const rounding =
      2 * (static_cast<double>(n) * static_cast<double>(d) + 2) * std::ldexp(1.0, -53);
  EXPECT_NEAR(json["inertia"].get<double>(), inertia, rounding * inertia);

  std::sort(counts.begin(), counts.end());
  auto const& sizes = json["cluster_sizes"];
  EXPECT_EQ(sizes["smallest"], counts.front());
  EXPECT_EQ(sizes["largest"], counts.back());
  EXPECT_EQ(sizes["median"].get<double>(),
            static_cast<double>(counts[k / 2] + counts[(k - 1) / 2]) / 2);
  EXPECT_EQ(sizes["empty"], std::count(counts.begin(), counts.end(), 0));
}

std::vector<double> digits() {
  bytes const content = read(kData / "digits.npy");
  auto const values = values_of<std::uint8_t>(content.substr(content.size() - 1797 * 64));
  return {values.begin(), values.end()};
}

TEST_F(cluster_tool, clusters_the_digits_of_the_demo) {
  outcome const result = succeed(
      {(kData / "digits.npy").string(), "-k", "10", "--seed", "15", "--centroid-image", "8x8"});
  check_results(out_, digits(), 1797, 64, 10);
  nlohmann::json const told = summary();
  // The best known ten clusters of these digits have an inertia of 1165 thousand.
  EXPECT_LE(told["inertia"].get<double>(), 1.2e6);
  EXPECT_GE(told["inertia"].get<double>(), 1.16e6);
  EXPECT_EQ(told["converged"], true);
  EXPECT_EQ(told["device"], "cpu");
  EXPECT_EQ(told["kernel"], "host");
  EXPECT_EQ(told["seed"], 15);
  EXPECT_EQ(told["tolerance"], 1e-4);
  EXPECT_EQ(told["k"], 10);
  EXPECT_GE(told["iterations"], 2);
  EXPECT_GT(told["seconds_per_iteration"].get<double>(), 0);
  EXPECT_EQ(told["input"], (kData / "digits.npy").string());
  EXPECT_EQ(told["options"]["max_iterations"], 300);
  EXPECT_NE(told["library"].get<std::string>().find("flash_kmeans "), std::string::npos);
  std::set<std::string> names;
  for (auto const& entry : fs::directory_iterator(out_)) names.insert(entry.path().filename());
  EXPECT_EQ(names, (std::set<std::string>{"centroids.npy", "labels.npy", "centroids.png",
                                          "summary.json"}));
  EXPECT_EQ(told["files"].get<std::set<std::string>>(), names);

  // Purity: the share of digits that are of their cluster's most frequent digit.
  auto const labels = npy_data<std::int32_t>(out_ / "labels.npy", "<i4", "(1797,)");
  bytes const truth = read(kData / "digits_labels.npy");
  std::vector<std::vector<int>> table(10, std::vector<int>(10));
  for (std::size_t i = 0; i < 1797; ++i) {
    ++table[static_cast<std::size_t>(labels[i])]
           [static_cast<std::size_t>(truth[truth.size() - 1797 + i])];
  }
  int agreeing = 0;
  for (auto const& row : table) agreeing += *std::max_element(row.begin(), row.end());
  EXPECT_GT(agreeing / 1797.0, 0.75);

  // The table: what and value in two columns.
  std::istringstream lines(result.out);
  std::vector<std::string> first;
  for (std::string line; std::getline(lines, line);) {
    ASSERT_GT(line.size(), 15u);
    EXPECT_EQ(line[14], ' ');
    EXPECT_NE(line[15], ' ');
    first.push_back(line.substr(0, line.find("  ")).substr(0, 14));
  }
  EXPECT_EQ(first.front(), "device");
  EXPECT_EQ(first.size(), 9u);
  EXPECT_NE(result.out.find("per iteration"), std::string::npos);
}

TEST_F(cluster_tool, draws_centroids_as_pictures) {
  // Two centroids of 1 x 2 colour pixels; the smallest value of all is 0, the largest 100.
  std::vector<float> const two{0, 50, 100, 100, 0, 0, 100, 100, 100, 25, 25, 25};
  std::string const input = file("x.npy", npy("<f4", "(2, 6)", raw(two)));
  std::string const start = file("c.npy", npy("<f4", "(2, 6)", raw(two)));
  succeed({input, "--init-centroids", start, "--centroid-image", "1x2x3"});
  image const drawn = decode(out_ / "centroids.png");
  // Pixels of 48 x 48, tiles of 96 x 48, and 4 grey pixels around each.
  ASSERT_EQ(drawn.width, 2 * 100 + 4);
  ASSERT_EQ(drawn.height, 48 + 8);
  auto const at = [&](int y, int x) {
    auto const* const p = &drawn.pixels[3 * (static_cast<std::size_t>(y) * drawn.width + x)];
    return std::vector<int>{p[0], p[1], p[2]};
  };
  using colour = std::vector<int>;
  EXPECT_EQ(at(0, 0), (colour{128, 128, 128}));
  EXPECT_EQ(at(4, 4), (colour{0, 128, 255}));
  EXPECT_EQ(at(51, 51), (colour{0, 128, 255}));
  EXPECT_EQ(at(4, 52), (colour{255, 0, 0}));
  EXPECT_EQ(at(30, 101), (colour{128, 128, 128}));
  EXPECT_EQ(at(4, 104), (colour{255, 255, 255}));
  EXPECT_EQ(at(51, 199), (colour{64, 64, 64}));
}

TEST_F(cluster_tool, gives_the_same_files_every_time) {
  std::map<std::string, bytes> first;
  for (std::string const threads : {"1", "2", "7", "0"}) {
    succeed({(kData / "china.jpg").string(), "-k", "24", "--max-iterations", "5", "--threads",
             threads, "-q"});
    std::map<std::string, bytes> files;
    for (std::string const name : {"centroids.npy", "labels.npy", "repainted.png"}) {
      files[name] = read(out_ / name);
    }
    if (first.empty()) first = files;
    EXPECT_TRUE(files == first) << threads << " threads";
  }
}

TEST_F(cluster_tool, goes_on_from_given_centroids) {
  std::string const input = (kData / "digits.npy").string();
  succeed({input, "-k", "10", "--seed", "3", "--tolerance", "0"});
  nlohmann::json const first = summary();
  bytes const centroids = read(out_ / "centroids.npy");
  ASSERT_EQ(first["converged"], true);
  // Centroids that did not move stay where they are; their file may be the one that is replaced.
  succeed({input, "--init-centroids", (out_ / "centroids.npy").string(), "--tolerance", "0"});
  EXPECT_EQ(summary()["iterations"], 1);
  EXPECT_EQ(summary()["k"], 10);
  EXPECT_EQ(summary()["inertia"], first["inertia"]);
  EXPECT_TRUE(read(out_ / "centroids.npy") == centroids);
}

TEST_F(cluster_tool, obeys_its_options) {
  std::string const input = (kData / "digits.npy").string();
  succeed({input, "-k", "10", "--max-iterations", "2"});
  EXPECT_EQ(summary()["iterations"], 2);
  EXPECT_EQ(summary()["converged"], false);
  check_results(out_, digits(), 1797, 64, 10);
  bytes const seed_0 = read(out_ / "labels.npy");
  succeed({input, "-k", "10", "--max-iterations", "2", "--seed", "18446744073709551615"});
  EXPECT_EQ(summary()["seed"], 18446744073709551615u);
  EXPECT_TRUE(read(out_ / "labels.npy") != seed_0);
  succeed({input, "-k", "10", "--tolerance", "1e9"});
  EXPECT_EQ(summary()["iterations"], 1);
  outcome const quiet = succeed({input, "-k", "1797", "-q"});
  EXPECT_EQ(quiet.out, "");
  EXPECT_EQ(summary()["k"], 1797);
}

TEST_F(cluster_tool, draws_first_centroids_in_every_way) {
  std::string const input = (kData / "digits.npy").string();
  std::set<bytes> different;
  for (std::string const init : {"random", "k-means++", "k-means-parallel"}) {
    succeed({input, "-k", "10", "--init", init, "--max-iterations", "1"});
    EXPECT_EQ(summary()["options"]["init"], init);
    check_results(out_, digits(), 1797, 64, 10);
    different.insert(read(out_ / "centroids.npy"));
  }
  succeed({input, "-k", "10", "--init", "k-means++", "--candidates", "1", "--max-iterations", "1"});
  EXPECT_EQ(summary()["options"]["candidates"], 1);
  different.insert(read(out_ / "centroids.npy"));
  EXPECT_EQ(different.size(), 4u);
}

TEST_F(cluster_tool, returns_the_best_of_several_fits) {
  std::string const input = (kData / "digits.npy").string();
  double best = std::numeric_limits<double>::infinity();
  std::string winner;
  std::map<std::string, bytes> labels;
  for (std::string const seed : {"4", "5", "6"}) {
    succeed({input, "-k", "10", "--seed", seed, "--max-iterations", "5"});
    labels[seed] = read(out_ / "labels.npy");
    if (double const inertia = summary()["inertia"]; inertia < best) {
      best = inertia;
      winner = seed;
    }
  }
  ASSERT_NE(winner, "4") << "the first fit is the best: the data tests nothing";
  succeed({input, "-k", "10", "--seed", "4", "--max-iterations", "5", "--n-init", "3"});
  EXPECT_EQ(summary()["inertia"], best);
  EXPECT_EQ(summary()["options"]["n_init"], 3);
  EXPECT_TRUE(read(out_ / "labels.npy") == labels[winner]);
}

TEST_F(cluster_tool, measures_by_the_metric) {
  // Two directions, points of either at two lengths.
  std::vector<float> const points{1, 0, 100, 0, 0, 2, 0, 50};
  std::string const input = file("x.npy", npy("<f4", "(4, 2)", raw(points)));
  std::string const start =
      file("start.npy", npy("<f4", "(2, 2)", raw(std::vector<float>{3, 1, 1, 3})));
  auto const fit = [&](std::string const& metric) {
    succeed({input, "--init-centroids", start, "--metric", metric});
    EXPECT_EQ(summary()["options"]["metric"], metric);
    return npy_data<float>(out_ / "centroids.npy", "<f4", "(2, 2)");
  };
  EXPECT_EQ(fit("cosine"), (std::vector<float>{1, 0, 0, 1}));
  EXPECT_EQ(summary()["inertia"], 0);
  EXPECT_EQ(npy_data<std::int32_t>(out_ / "labels.npy", "<i4", "(4,)"),
            (std::vector<std::int32_t>{0, 0, 1, 1}));
  EXPECT_EQ(fit("inner_product"), (std::vector<float>{50.5, 0, 0, 26}));
  EXPECT_EQ(summary()["inertia"], -(101 * 50.5 + 52 * 26.0));
  // Squared distances put the three short ones together.
  EXPECT_EQ(fit("euclidean")[0], 100);
}

TEST_F(cluster_tool, weighs_points) {
  std::string const input =
      file("x.npy", npy("<f4", "(4, 1)", raw(std::vector<float>{0, 8, 90, 94})));
  std::string const start = file("start.npy", npy("<f4", "(2, 1)", raw(std::vector<float>{1, 91})));
  auto const weigh = [&](std::string const& weights, std::string const& type) {
    succeed({input, "--init-centroids", start, "--weights", weights, "--type", type});
    EXPECT_EQ(summary()["options"]["weights"], weights);
    // 3 x 2^2 + 6^2, and 94 alone, for 90 weighs nothing but is 4 away.
    EXPECT_EQ(summary()["inertia"], 48);
  };
  std::string const of_float =
      file("f4.npy", npy("<f4", "(4,)", raw(std::vector<float>{3, 1, 0, 2})));
  std::string const of_double =
      file("f8.npy", npy("<f8", "(4,)", raw(std::vector<double>{3, 1, 0, 2})));
  std::string const of_byte =
      file("u1.npy", npy("|u1", "(4,)", raw(std::vector<std::uint8_t>{3, 1, 0, 2})));
  for (std::string const& weights : {of_float, of_double, of_byte}) {
    for (std::string const type : {"f16", "bf16", "f32"}) {
      weigh(weights, type);
      EXPECT_EQ(npy_data<float>(out_ / "centroids.npy", "<f4", "(2, 1)"),
                (std::vector<float>{2, 94}));
    }
    weigh(weights, "f64");
    EXPECT_EQ(npy_data<double>(out_ / "centroids.npy", "<f8", "(2, 1)"),
              (std::vector<double>{2, 94}));
  }
}

TEST_F(cluster_tool, fills_empty_clusters_as_told) {
  std::string const input =
      file("x.npy", npy("<f4", "(5, 1)", raw(std::vector<float>{0, 1, 2, 3, 30})));
  std::string const start =
      file("start.npy", npy("<f4", "(2, 1)", raw(std::vector<float>{1, 1000})));
  for (std::string const empty : {"keep", "farthest", "split"}) {
    succeed({input, "--init-centroids", start, "--empty", empty});
    EXPECT_EQ(summary()["options"]["empty"], empty);
    EXPECT_EQ(summary()["cluster_sizes"]["empty"], empty == "keep" ? 1 : 0) << empty;
  }
  succeed({input, "--init-centroids", start, "--empty", "farthest"});
  EXPECT_EQ(npy_data<float>(out_ / "centroids.npy", "<f4", "(2, 1)"),
            (std::vector<float>{1.5, 30}));
}

TEST_F(cluster_tool, keeps_sizes_down_as_told) {
  std::string const input =
      file("x.npy", npy("<f4", "(8, 1)", raw(std::vector<float>{0, 1, 2, 3, 40, 50, 60, 1000})));
  std::string const start =
      file("start.npy", npy("<f4", "(3, 1)", raw(std::vector<float>{30, 1000, 5000})));
  succeed({input, "--init-centroids", start});
  EXPECT_EQ(summary()["options"]["max_size_ratio"], 0);
  EXPECT_EQ(summary()["cluster_sizes"]["largest"], 7);
  succeed({input, "--init-centroids", start, "--max-size-ratio", "1.5"});
  EXPECT_EQ(summary()["options"]["max_size_ratio"], 1.5);
  EXPECT_EQ(summary()["cluster_sizes"]["largest"], 4);
  EXPECT_EQ(summary()["converged"], true);
}

TEST_F(cluster_tool, makes_and_reuses_directories) {
  std::string const input = file("x.npy", npy("<f4", "(6, 3)", points_as<float>()));
  fs::path const deep = home_ / "a" / "b" / "c";
  outcome const made = run({input, "-k", "2", "--device", "cpu", "-o", deep.string() + "/"});
  EXPECT_EQ(made.code, 0) << made.err;
  write(deep / "labels.npy", "older");
  write(deep / "notes.txt", "mine");
  EXPECT_EQ(run({input, "-k", "2", "--device", "cpu", "-o", deep.string()}).code, 0);
  EXPECT_EQ(npy_data<std::int32_t>(deep / "labels.npy", "<i4", "(6,)").size(), 6u);
  EXPECT_EQ(read(deep / "notes.txt"), "mine");
  std::set<std::string> names;
  for (auto const& entry : fs::directory_iterator(deep)) names.insert(entry.path().filename());
  EXPECT_EQ(names,
            (std::set<std::string>{"centroids.npy", "labels.npy", "notes.txt", "summary.json"}));
}

TEST_F(cluster_tool, tells_its_version_and_how_to_use_it) {
  outcome const version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.err, "");
  EXPECT_EQ(version.out.substr(0, 23), "cluster (flash_kmeans) ");
  outcome const help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(help.err, "");
  for (char const* text : {"Examples:", "--clusters", "--device", ".u8bin", "centroids.npy",
                           "--metric", "--weights", "--n-init", "--candidates", "--empty",
                           "--max-size-ratio", "k-means++", "k-means-parallel", "inner_product"}) {
    EXPECT_NE(help.out.find(text), std::string::npos) << text;
  }
}

TEST_F(cluster_tool, runs_on_a_gpu_where_there_is_one) {
  std::string const input = file("x.npy", npy("<f4", "(6, 3)", points_as<float>()));
  std::string const start = file("start.npy", npy("<f4", "(2, 3)", raw(kStart)));
  outcome const result = run({input, "--init-centroids", start, "-o", out_.string()});
  ASSERT_EQ(result.code, 0) << result.err;
  if (summary()["device"] == "cpu") {
    EXPECT_NE(result.out.find("no GPU: "), std::string::npos) << result.out;
    fs::remove_all(out_);
    fail({input, "-k", "2", "--device", "gpu"}, "no GPU: ");
    return;
  }
  EXPECT_EQ(summary()["device"], "gpu");
  for (std::string const type : {"f16", "bf16", "f32", "f64"}) {
    outcome const forced = run(
        {input, "--init-centroids", start, "--device", "gpu", "--type", type, "-o", out_.string()});
    EXPECT_EQ(forced.code, 0) << forced.err;
    EXPECT_NE(summary()["kernel"], "host");
    EXPECT_EQ(summary()["inertia"], kInertia);
    EXPECT_EQ(npy_data<std::int32_t>(out_ / "labels.npy", "<i4", "(6,)"), kLabels);
  }
}

// ---- rounding to half types ---------------------------------------------------------------------

// One point is its own centroid, so that centroids.npy shows what became of the values.
class cluster_rounding : public cluster_tool {
 protected:
  std::vector<float> rounded(std::vector<double> const& values, std::string const& type) const {
    std::string const input = file("x.npy", npy("<f8", shape(1, values.size()), raw(values)));
    succeed({input, "-k", "1", "--type", type});
    return npy_data<float>(out_ / "centroids.npy", "<f4", shape(1, values.size()));
  }

  // The finite numbers of a format from 0 up: mantissa bits, exponent of the smallest normal.
  static std::vector<double> numbers(int mantissa, int lowest, int highest) {
    std::vector<double> result;
    for (int i = 0; i < 1 << mantissa; ++i) result.push_back(std::ldexp(i, lowest - mantissa));
    for (int exponent = lowest; exponent <= highest; ++exponent) {
      for (int i = 1 << mantissa; i < 2 << mantissa; ++i) {
        result.push_back(std::ldexp(i, exponent - mantissa));
      }
    }
    return result;
  }

  void check(std::vector<double> const& numbers, std::string const& type) const {
    std::vector<double> values;
    std::vector<float> expected;
    auto const add = [&](double value, double result) {
      values.insert(values.end(), {value, -value});
      expected.insert(expected.end(), {static_cast<float>(result), static_cast<float>(-result)});
    };
    for (std::size_t i = 0; i + 1 < numbers.size(); ++i) {
      double const low = numbers[i], high = numbers[i + 1], middle = (low + high) / 2;
      double const infinity = std::numeric_limits<double>::infinity();
      add(low, low);
      add(middle, i % 2 == 0 ? low : high);  // the even one of two neighbours
      add(std::nextafter(middle, 0), low);
      add(std::nextafter(middle, infinity), high);
    }
    add(numbers.back(), numbers.back());
    EXPECT_EQ(rounded(values, type), expected);
  }
};

TEST_F(cluster_rounding, to_half_is_to_nearest_even) { check(numbers(10, -14, 15), "f16"); }

TEST_F(cluster_rounding, to_bfloat16_is_to_nearest_even) { check(numbers(7, -126, 127), "bf16"); }

TEST_F(cluster_rounding, half_files_are_read_exactly) {
  std::vector<std::uint16_t> bits;
  std::vector<float> expected;
  std::vector<double> const all = numbers(10, -14, 15);
  for (std::size_t i = 0; i < all.size(); ++i) {
    bits.insert(bits.end(), {static_cast<std::uint16_t>(i), static_cast<std::uint16_t>(i | 32768)});
    expected.insert(expected.end(), {static_cast<float>(all[i]), static_cast<float>(-all[i])});
  }
  std::string const input = file("x.npy", npy("<f2", shape(1, bits.size()), raw(bits)));
  succeed({input, "-k", "1"});
  EXPECT_EQ(npy_data<float>(out_ / "centroids.npy", "<f4", shape(1, bits.size())), expected);
}

TEST_F(cluster_rounding, outside_the_range_is_an_error) {
  auto const input = [&](double value) {
    return file("x.npy", npy("<f8", "(2, 2)", raw(std::vector<double>{0, 1, 2, value})));
  };
  std::string const where = "row 1, column 1 is ";
  fail({input(65520), "-k", "1", "--type", "f16"},
       where + "65520.000000, outside the range of f16");
  fail({input(-1e300), "-k", "1", "--type", "f32"}, "outside the range of f32");
  fail({input(3.4e38), "-k", "1", "--type", "bf16"}, "outside the range of bf16");
  EXPECT_EQ(rounded({65519.99}, "f16"), std::vector<float>{65504});
}

// ---- progress -----------------------------------------------------------------------------------

TEST_F(cluster_tool, shows_progress_on_a_terminal) {
  std::mt19937 random(1);
  std::vector<std::uint8_t> values(200000 * 32);
  for (auto& value : values) value = static_cast<std::uint8_t>(random());
  std::string const input = file("x.u8bin", bin_header(200000, 32) + raw(values));

  int const terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) GTEST_SKIP() << "no terminal can be opened here";
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  std::string const name = ptsname(terminal);
  pid_t const child = fork();
  if (child == 0) {
    int const to = open(name.c_str(), O_RDWR | O_NOCTTY);
    dup2(to, STDERR_FILENO);
    std::string const out = out_.string();
    execl(CLUSTER_PATH, "cluster", input.c_str(), "-k", "512", "--tolerance", "0",
          "--max-iterations", "1000000", "--device", "cpu", "-o", out.c_str(), nullptr);
    _exit(127);
  }
  ASSERT_GT(child, 0);
  std::string seen;
  auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (seen.find("\rcluster: iteration ") == std::string::npos &&
         std::chrono::steady_clock::now() < end) {
    pollfd waiting{terminal, POLLIN, 0};
    char buffer[256];
    if (poll(&waiting, 1, 100) > 0) {
      ssize_t const length = ::read(terminal, buffer, sizeof buffer);
      if (length > 0) seen.append(buffer, static_cast<std::size_t>(length));
    }
  }
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  close(terminal);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_NE(seen.find(" of at most 1000000 on the CPU, "), std::string::npos) << seen;
  EXPECT_EQ(seen.find('\n'), std::string::npos) << seen;
  EXPECT_FALSE(fs::exists(out_));  // an interrupted run leaves nothing
}

// ---- bad input ----------------------------------------------------------------------------------

struct bad_file {
  std::string name;  // of the test
  std::string file;
  std::function<bytes()> content;
  std::string message;
};

void PrintTo(bad_file const& f, std::ostream* to) { *to << f.name; }

class cluster_bad_file : public cluster_tool, public testing::WithParamInterface<bad_file> {};

TEST_P(cluster_bad_file, is_refused) {
  bad_file const& f = GetParam();
  std::string const input = file(f.file, f.content());
  fail({input, "-k", "1", "--device", "cpu"}, f.message);
  // Every message names the file.
  fail({input, "-k", "1", "--device", "cpu"}, input + ": ");
}

bytes good_npy() { return npy("<f4", "(6, 3)", points_as<float>()); }
bytes good_png() { return png(2, 2, 3, std::vector<std::uint8_t>(12, 7)); }

// A number of a type at row 4, column 1 of the points.
template <class T>
bytes spoilt(bytes content, T value) {
  return content.replace(content.size() - 18 * sizeof(T) + 13 * sizeof(T), sizeof(T), raw(value));
}

float constexpr kNaN = std::numeric_limits<float>::quiet_NaN();
double constexpr kInfinity = std::numeric_limits<double>::infinity();

// A small PNG whose header tells of another width and height.
bytes lying_png(bytes const& size) { return good_png().replace(16, 8, size); }

INSTANTIATE_TEST_SUITE_P(
    npy, cluster_bad_file,
    testing::Values(
        bad_file{"empty", "x.npy", [] { return bytes(); }, "is empty"},
        bad_file{"magic_only", "x.npy", [] { return good_npy().substr(0, 6); }, "truncated"},
        bad_file{"half_a_header", "x.npy", [] { return good_npy().substr(0, 40); },
                 "truncated inside its .npy header"},
        bad_file{"header_only", "x.npy", [] { return good_npy().substr(0, 128); }, "truncated"},
        bad_file{"one_byte_short", "x.npy",
                 [] { return good_npy().substr(0, good_npy().size() - 1); },
                 "is truncated: 6 x 3 values of 4 bytes do not fit into the 71 bytes"},
        bad_file{"one_byte_more", "x.npy", [] { return good_npy() + "x"; },
                 "1 bytes too many after its 6 x 3 values"},
        bad_file{"version_4", "x.npy", [] { return npy("<f4", "(6, 3)", points_as<float>(), 4); },
                 "version 4.0"},
        bad_file{"fortran", "x.npy",
                 [] { return npy("<f4", "(6, 3)", points_as<float>(), 1, "True"); },
                 "Fortran order"},
        bad_file{"big_endian", "x.npy", [] { return npy(">f4", "(6, 3)", points_as<float>()); },
                 "big endian"},
        bad_file{"integers", "x.npy",
                 [] { return npy("<i4", "(6, 3)", points_as<std::int32_t>()); },
                 "elements of type '<i4', need f2, f4, f8 or u1"},
        bad_file{"signed_bytes", "x.npy", [] { return npy("|i1", "(6, 3)", bytes(18, 'x')); },
                 "'|i1'"},
        bad_file{"strings", "x.npy", [] { return npy("<U10", "(6, 3)", bytes(720, '\0')); },
                 "'<U10'"},
        bad_file{"records", "x.npy",
                 [] {
                   return npy_text(
                       "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': "
                       "(6, 3), }");
                 },
                 "holds records"},
        bad_file{"rank_0", "x.npy", [] { return npy("<f4", "()", raw(1.f)); }, "0 dimensions"},
        bad_file{"rank_1", "x.npy", [] { return npy("<f4", "(18,)", points_as<float>()); },
                 "1 dimension, need 2"},
        bad_file{"rank_3", "x.npy", [] { return npy("<f4", "(6, 3, 1)", points_as<float>()); },
                 "3 dimensions, need 2"},
        bad_file{"no_rows", "x.npy", [] { return npy("<f4", "(0, 3)", ""); }, "no points (0 x 3)"},
        bad_file{"no_columns", "x.npy", [] { return npy("<f4", "(6, 0)", ""); },
                 "no points (6 x 0)"},
        bad_file{"size_lie", "x.npy", [] { return npy("<f4", "(1000000000, 1000)", "12345678"); },
                 "truncated"},
        bad_file{"size_overflow", "x.npy",
                 [] { return npy("<f8", "(2147483647, 2147483647)", "12345678"); }, "truncated"},
        bad_file{"too_many_rows", "x.npy", [] { return npy("<f4", "(4294967296, 3)", ""); },
                 "at most 2147483647"},
        bad_file{"number_overflow", "x.npy",
                 [] { return npy("<f4", "(99999999999999999999999, 3)", ""); }, "malformed"},
        bad_file{"negative_rows", "x.npy", [] { return npy("<f4", "(-6, 3)", points_as<float>()); },
                 "malformed"},
        bad_file{"no_dictionary", "x.npy", [] { return npy_text("hello") + points_as<float>(); },
                 "malformed"},
        bad_file{"open_dictionary", "x.npy", [] { return npy_text("{'descr': '<f4', "); },
                 "malformed"},
        bad_file{"no_shape", "x.npy",
                 [] { return npy_text("{'descr': '<f4', 'fortran_order': False, }"); },
                 "malformed"},
        bad_file{"unknown_key", "x.npy", [] { return npy_text("{'colour': 'red', }"); },
                 "malformed"},
        bad_file{"open_string", "x.npy", [] { return npy_text("{'descr"); }, "malformed"},
        bad_file{"text_after_dictionary", "x.npy",
                 [] {
                   return npy_text("{'descr': '<f4', 'fortran_order': False, 'shape': (6, 3)} x") +
                          points_as<float>();
                 },
                 "malformed"},
        bad_file{"nan_f4", "x.npy", [] { return spoilt(good_npy(), kNaN); },
                 "row 4, column 1 is not a number"},
        bad_file{"infinity_f8", "x.npy",
                 [] { return spoilt(npy("<f8", "(6, 3)", points_as<double>()), -kInfinity); },
                 "row 4, column 1 is infinite"},
        bad_file{
            "nan_f2", "x.npy",
            [] { return spoilt(npy("<f2", "(6, 3)", points_as_half()), std::uint16_t{0x7e00}); },
            "row 4, column 1 is not a number"},
        bad_file{
            "infinity_f2", "x.npy",
            [] { return spoilt(npy("<f2", "(6, 3)", points_as_half()), std::uint16_t{0xfc00}); },
            "row 4, column 1 is infinite"}),
    [](auto const& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    vectors, cluster_bad_file,
    testing::Values(
        bad_file{"fvecs_empty", "x.fvecs", [] { return bytes(); }, "is empty"},
        bad_file{"fvecs_two_bytes", "x.fvecs", [] { return bytes("ab"); }, "truncated"},
        bad_file{"fvecs_short", "x.fvecs", [] { return points_as_vecs<float>().substr(0, 90); },
                 "truncated"},
        bad_file{"fvecs_no_values", "x.fvecs", [] { return raw(std::int32_t{0}); },
                 "first row has 0 values"},
        bad_file{"fvecs_negative", "x.fvecs", [] { return raw(std::int32_t{-3}) + bytes(64, 'x'); },
                 "first row has -3 values"},
        bad_file{"fvecs_lie", "x.fvecs",
                 [] { return raw(std::int32_t{2147483647}) + bytes(64, 'x'); }, "truncated"},
        bad_file{"fvecs_ragged", "x.fvecs",
                 [] { return points_as_vecs<float>().replace(32, 4, raw(std::int32_t{2})); },
                 "row 2 has 2 values, but row 0 has 3"},
        bad_file{"fvecs_nan", "x.fvecs",
                 [] { return points_as_vecs<float>().replace(24, 4, raw(kNaN)); },
                 "row 1, column 1 is not a number"},
        bad_file{"bvecs_short", "x.bvecs",
                 [] { return points_as_vecs<std::uint8_t>().substr(0, 41); }, "truncated"},
        bad_file{"fbin_empty", "x.fbin", [] { return bytes(); }, "is empty"},
        bad_file{"fbin_half_a_header", "x.fbin", [] { return raw(std::int32_t{6}); },
                 "truncated inside its header"},
        bad_file{"fbin_short", "x.fbin",
                 [] { return bin_header(6, 3) + points_as<float>().substr(4); }, "truncated"},
        bad_file{"fbin_long", "x.fbin", [] { return bin_header(6, 3) + points_as<float>() + "ab"; },
                 "2 bytes too many"},
        bad_file{"fbin_lie", "x.fbin", [] { return bin_header(2147483647, 2147483647) + "abcd"; },
                 "truncated"},
        bad_file{"fbin_negative", "x.fbin", [] { return bin_header(-1, 3) + points_as<float>(); },
                 "no points (-1 x 3)"},
        bad_file{"fbin_no_points", "x.fbin", [] { return bin_header(0, 3); }, "no points (0 x 3)"},
        bad_file{"u8bin_as_fbin", "x.fbin",
                 [] { return bin_header(6, 3) + points_as<std::uint8_t>(); }, "truncated"},
        bad_file{"fbin_as_u8bin", "x.u8bin", [] { return bin_header(6, 3) + points_as<float>(); },
                 "54 bytes too many"}),
    [](auto const& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    images, cluster_bad_file,
    testing::Values(
        bad_file{"png_empty", "x.png", [] { return bytes(); }, "is empty"},
        bad_file{"png_named_npy", "x.npy", good_png, "is named .npy but its content is PNG"},
        bad_file{"png_named_jpg", "x.jpg", good_png, "is named .jpg but its content is PNG"},
        bad_file{"png_named_fvecs", "x.fvecs", good_png, "is named .fvecs but its content is PNG"},
        bad_file{"npy_named_png", "x.png", good_npy, "is named .png but its content is .npy"},
        bad_file{"npy_named_fbin", "x.fbin", good_npy, "is named .fbin but its content is .npy"},
        bad_file{"jpeg_named_png", "x.png", [] { return read(kData / "china.jpg"); },
                 "is named .png but its content is JPEG"},
        bad_file{"text_named_jpeg", "x.jpeg", [] { return bytes("hello, world"); },
                 "its content is not JPEG"},
        bad_file{"text_named_npy", "x.npy", [] { return bytes("1,2,3\n4,5,6\n"); },
                 "its content is not .npy"},
        bad_file{"text", "x.csv", [] { return bytes("1,2,3\n4,5,6\n"); }, "unknown extension"},
        bad_file{"no_extension", "x", good_npy, "unknown extension"},
        bad_file{"png_of_256_megapixels", "x.png",
                 [] { return lying_png(bytes("\0\0\x3e\x80\0\0\x3e\x80", 8)); },
                 "bytes cannot hold 16000 x 16000 pixels"},
        bad_file{"png_of_4_gigapixels", "x.png",
                 [] { return lying_png(bytes("\0\0\xff\xff\0\0\xff\xff", 8)); },
                 "no image that can be decoded"}),
    [](auto const& test) { return test.param.name; });

TEST_F(cluster_tool, refuses_images_cut_anywhere) {
  bytes const small = good_png();
  for (std::size_t length = 8; length < small.size(); length += 3) {
    SCOPED_TRACE(length);
    fail({file("x.png", small.substr(0, length)), "-k", "1", "--device", "cpu"}, "x.png: ");
  }
  bytes const photograph = read(kData / "china.jpg");
  for (std::size_t const length :
       {std::size_t{4}, std::size_t{100}, std::size_t{500}, photograph.size() / 2,
        photograph.size() - 2000, photograph.size() - 2, photograph.size() - 1}) {
    SCOPED_TRACE(length);
    fail({file("x.jpg", photograph.substr(0, length)), "-k", "1", "--device", "cpu"}, "x.jpg: ");
  }
}

TEST_F(cluster_tool, refuses_what_is_no_file) {
  fail({(home_ / "two\nlines.npy").string(), "-k", "1"}, "two lines.npy: no such file");
  fail({(home_ / "missing.npy").string(), "-k", "1"}, "missing.npy: no such file");
  fs::create_directory(home_ / "folder.npy");
  fail({(home_ / "folder.npy").string(), "-k", "1"}, "is a directory");
  fail({"/dev/null", "-k", "1"}, "/dev/null: is not a regular file");
}

TEST_F(cluster_tool, refuses_bad_options) {
  std::string const input = file("x.npy", good_npy());
  std::vector<std::pair<arguments, std::string>> const cases{
      {{}, "INPUT is required"},
      {{input}, "-k is missing"},
      {{input, "-k"}, "--clusters"},
      {{input, "-k", "0"}, "-k is 0, must be at least 1"},
      {{input, "-k", "-2"}, "-k is -2, must be at least 1"},
      {{input, "-k", "7"}, "-k is 7, but " + input + " holds only 6 points"},
      {{input, "-k", "two"}, "two"},
      {{input, "-k", "2.5"}, "2.5"},
      {{input, "-k", "2", "--frobnicate"}, "--frobnicate"},
      {{input, input, "-k", "2"}, input},
      {{input, "-k", "2", "--max-iterations", "0"}, "--max-iterations is 0"},
      {{input, "-k", "2", "--max-iterations", "99999999999"}, "99999999999"},
      {{input, "-k", "2", "--tolerance", "-1"}, "--tolerance is -1"},
      {{input, "-k", "2", "--tolerance", "nan"}, "--tolerance is nan"},
      {{input, "-k", "2", "--tolerance", "inf"}, "--tolerance is inf"},
      {{input, "-k", "2", "--threads", "-1"}, "--threads is -1"},
      {{input, "-k", "2", "--seed", "-1"}, "--seed"},
      {{input, "-k", "2", "--seed", "99999999999999999999"}, "--seed"},
      {{input, "-k", "2", "--type", "f8"}, "--type"},
      {{input, "-k", "2", "--device", "tpu"}, "--device"},
      {{input, "-k", "2", "--init", "best"}, "--init"},
      {{input, "-k", "2", "--init", "given"}, "--init given needs --init-centroids"},
      {{input, "-k", "2", "--init", "random", "--init-centroids", input}, "exclude each other"},
      {{input, "-k", "2", "--init", "k-means++", "--init-centroids", input},
       "--init k-means++ and --init-centroids exclude each other"},
      {{input, "-k", "2", "--n-init", "0"}, "--n-init is 0, must be at least 1"},
      {{input, "--init-centroids", input, "--n-init", "2"},
       "--n-init is 2, must be 1 with given centroids"},
      {{input, "-k", "2", "--candidates", "-1"}, "--candidates is -1, must be from 0 to 64"},
      {{input, "-k", "2", "--candidates", "65"}, "--candidates is 65, must be from 0 to 64"},
      {{input, "-k", "2", "--metric", "manhattan"}, "--metric"},
      {{input, "-k", "2", "--empty", "drop"}, "--empty"},
      {{input, "-k", "2", "--max-size-ratio", "0.5"},
       "--max-size-ratio is 0.5, must be 0 or finite and at least 1"},
      {{input, "-k", "2", "--max-size-ratio", "nan"}, "--max-size-ratio is nan"},
      {{input, "-k", "2", "--max-size-ratio", "inf"}, "--max-size-ratio is inf"},
      {{input, "-k", "2", "--init-centroids", input}, "holds 6 x 3 values, need 2 x 3"},
      {{input, "-k", "2", "--init-centroids", (home_ / "no.npy").string()}, "no.npy: no such file"},
      {{input, "-k", "2", "--centroid-image", "3"}, "3 is not HxW"},
      {{input, "-k", "2", "--centroid-image", "0x3"}, "no pixels"},
      {{input, "-k", "2", "--centroid-image", "1x3x2"}, "1x3x2 is not HxW"},
      {{input, "-k", "2", "--centroid-image", "1x3x"}, "1x3x is not HxW"},
      {{input, "-k", "2", "--centroid-image", "1x3x1x1"}, "1x3x1x1 is not HxW"},
      {{input, "-k", "2", "--centroid-image", "-1x-3"}, "-1x-3"},
      {{input, "-k", "2", "--centroid-image", "2x2"}, "has 4 values, points have 3"},
  };
  for (auto const& [args, message] : cases) {
    SCOPED_TRACE(testing::PrintToString(args));
    fail(args, message);
  }
  std::string const spoilt_start = file("nan.npy", spoilt(good_npy(), kNaN));
  fail({input, "--init-centroids", spoilt_start, "--device", "cpu"}, "row 4, column 1");
}

TEST_F(cluster_tool, refuses_bad_weights) {
  std::string const input = file("x.npy", good_npy());
  auto const refuse = [&](std::string const& shape, std::vector<float> const& weights,
                          std::string const& message) {
    fail({input, "-k", "2", "--device", "cpu", "--weights",
          file("w.npy", npy("<f4", shape, raw(weights)))},
         message);
  };
  refuse("(5,)", {1, 1, 1, 1, 1}, "w.npy: holds 5 weights for 6 points");
  refuse("(6, 1)", {1, 1, 1, 1, 1, 1}, "w.npy: has 2 dimensions, need 1 (points)");
  refuse("(6,)", {1, 1, 1, -0.5, 1, 1}, "w.npy: weight 3 is -0.500000, weights must be finite");
  refuse("(6,)", {1, 1, 1, 1, 1, kNaN}, "w.npy: weight 5 is nan");
  refuse("(6,)", {1, 1}, "w.npy: is truncated");
  fail({input, "-k", "2", "--device", "cpu", "--weights", (home_ / "no.npy").string()},
       "no.npy: no such file");
  fail({input, "-k", "2", "--device", "cpu", "--weights", file("w.txt", "1 1 1 1 1 1 1 1")},
       "w.txt: is not a .npy file");
}

TEST_F(cluster_tool, refuses_distances_that_overflow) {
  std::vector<double> const values{0, 1e300, -1e300, 1};
  fail({file("x.npy", npy("<f8", "(4, 1)", raw(values))), "-k", "1", "--device", "cpu"},
       "distances overflow");
}

TEST_F(cluster_tool, refuses_outputs_that_cannot_be_written) {
  std::string const input = file("x.npy", good_npy());
  std::string const plain = file("plain", "a file");
  auto const refuse = [&](std::string const& out, std::string const& message) {
    auto const files = snapshot();
    outcome const result = run({input, "-k", "2", "--device", "cpu", "-o", out});
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(message), std::string::npos) << result.err;
    EXPECT_TRUE(snapshot() == files);
  };
  refuse(plain, "cannot be written");
  refuse(plain + "/below", "cannot be written");
  fs::create_directories(home_ / "taken" / "labels.npy");
  refuse((home_ / "taken").string(), "is a directory");
  if (geteuid() != 0) {  // to whom nothing is read-only
    fs::create_directory(home_ / "closed");
    fs::permissions(home_ / "closed", fs::perms::owner_read | fs::perms::owner_exec);
    refuse((home_ / "closed").string(), "Permission denied");
    refuse((home_ / "closed" / "below").string(), "Permission denied");
    fs::permissions(home_ / "closed", fs::perms::owner_all);
  }
}

TEST_F(cluster_tool, leaves_nothing_when_the_disk_is_full) {
  // A limit on the size of files stands in for the full disk: centroids fit, labels do not.
  fail({(kData / "digits.npy").string(), "-k", "2", "--device", "cpu"},
       "labels.npy cannot be written: File too large", "ulimit -f 8 && trap '' XFSZ &&");
}

TEST_F(cluster_tool, does_not_overwrite_its_input) {
  fs::create_directory(out_);
  write(out_ / "labels.npy", good_npy());
  auto const files = snapshot();
  outcome const result = run({(out_ / "labels.npy").string(), "-k", "2", "-o", out_.string()});
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("would be overwritten"), std::string::npos) << result.err;
  EXPECT_TRUE(snapshot() == files);
}

}  // namespace
