// Readers of the cluster tool: .npy, .fvecs, .bvecs, .fbin, .u8bin, PNG and JPEG. A file is read in
// its own element type, and nothing is allocated before its header has been held against its size.
//
// The numbers of all these formats are little endian, as is every machine that CUDA runs on.
#pragma once

#include <stb_image.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cluster_table.hpp"

namespace cluster {

namespace detail {

inline constexpr std::int64_t kMaxPoints = std::numeric_limits<std::int32_t>::max();

// A file that is open for reading, with its size and its name for messages.
class input_file {
 public:
  explicit input_file(std::string const& path) : path_(path) {
    namespace fs = std::filesystem;
    std::error_code error;
    auto const status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found) fail("no such file");
    if (error) fail("cannot be read: " + error.message());
    if (fs::is_directory(status)) fail("is a directory, need a file");
    if (!fs::is_regular_file(status)) fail("is not a regular file");
    size_ = fs::file_size(path, error);
    if (error) fail("cannot be read: " + error.message());
    stream_.open(path, std::ios::binary);
    if (!stream_) fail("cannot be opened for reading");
    if (size_ == 0) fail("is empty");
  }

  std::uint64_t size() const { return size_; }

  [[noreturn]] void fail(std::string const& what) const { throw user_error(path_ + ": " + what); }

  // Bytes that lie where the header said they lie, so their lack means a short file.
  void read(void* to, std::uint64_t bytes) {
    stream_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    if (static_cast<std::uint64_t>(stream_.gcount()) != bytes) fail("is truncated");
  }

  template <class T>
  T read() {
    T value;
    read(&value, sizeof value);
    return value;
  }

  void seek(std::uint64_t offset) { stream_.seekg(static_cast<std::streamoff>(offset)); }

  // The first bytes, zero-filled, without moving.
  std::array<unsigned char, 8> peek_start() {
    std::array<unsigned char, 8> start{};
    stream_.read(reinterpret_cast<char*>(start.data()), start.size());
    stream_.clear();
    seek(0);
    return start;
  }

 private:
  std::string path_;
  std::ifstream stream_;
  std::uint64_t size_ = 0;
};

// Holds n x d elements of `element` bytes after `offset` against the size of the file.
inline void check_extent(input_file const& file, std::int64_t n, std::int64_t d,
                         std::uint64_t element, std::uint64_t offset) {
  std::string const shape = std::to_string(n) + " x " + std::to_string(d);
  if (n < 1 || d < 1) file.fail("holds no points (" + shape + ")");
  if (n > kMaxPoints || d > kMaxPoints) {
    file.fail("says that it holds " + shape + " values, at most 2147483647 either way are taken");
  }
  // Below 2^31 x 2^31 x 8 = 2^65: only the last factor can overflow.
  std::uint64_t const count = static_cast<std::uint64_t>(n) * static_cast<std::uint64_t>(d);
  std::uint64_t const available = file.size() - offset;
  if (count > available / element) {
    file.fail("is truncated: " + shape + " values of " + std::to_string(element) +
              (element == 1 ? " byte" : " bytes") + " do not fit into the " +
              std::to_string(available) + " bytes after its header");
  }
  if (std::uint64_t const extra = available - count * element; extra != 0) {
    file.fail("has " + std::to_string(extra) + " bytes too many after its " + shape + " values");
  }
}

template <class T>
std::vector<T> read_values(input_file& file, std::int64_t n, std::int64_t d) {
  std::vector<T> data(static_cast<std::size_t>(n) * static_cast<std::size_t>(d));
  file.read(data.data(), data.size() * sizeof(T));
  return data;
}

// ---- .npy -----------------------------------------------------------------------------------

struct npy_header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// Reads the Python dictionary that a .npy header is: three keys in any order.
class npy_header_parser {
 public:
  npy_header_parser(input_file const& file, std::string const& text) : file_(file), text_(text) {}

  npy_header parse() {
    npy_header header;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      std::string const key = string();
      expect(':');
      if (key == "descr" && !descr) {
        descr = true;
        if (peek() == '[') file_.fail("holds records, need f2, f4, f8 or u1");
        header.descr = string();
      } else if (key == "fortran_order" && !order) {
        order = true;
        header.fortran_order = boolean();
      } else if (key == "shape" && !shape) {
        shape = true;
        header.shape = tuple();
      } else {
        malformed();
      }
      if (!accept(',') && peek() != '}') malformed();
    }
    if (!descr || !order || !shape || peek() != '\0') malformed();
    return header;
  }

 private:
  [[noreturn]] void malformed() const { file_.fail("has a malformed .npy header"); }

  char peek() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) malformed();
  }

  std::string string() {
    char const quote = peek();
    if (quote != '\'' && quote != '"') malformed();
    std::size_t const end = text_.find(quote, at_ + 1);
    if (end == std::string::npos) malformed();
    std::string const result = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return result;
  }

  bool boolean() {
    peek();
    for (bool value : {true, false}) {
      std::string const word = value ? "True" : "False";
      if (text_.compare(at_, word.size(), word) == 0) {
        at_ += word.size();
        return value;
      }
    }
    malformed();
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> result;
    expect('(');
    while (!accept(')')) {
      result.push_back(number());
      if (!accept(',') && peek() != ')') malformed();
    }
    return result;
  }

  std::int64_t number() {
    if (!std::isdigit(static_cast<unsigned char>(peek()))) malformed();
    std::int64_t value = 0;
    for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])); ++at_) {
      if (value > (std::numeric_limits<std::int64_t>::max() - 9) / 10) malformed();
      value = value * 10 + (text_[at_] - '0');
    }
    accept('L');  // written by Python 2
    return value;
  }

  input_file const& file_;
  std::string const& text_;
  std::size_t at_ = 0;
};

// dimensions: 2 for a table, 1 for a column of it.
inline table read_npy(input_file& file, std::size_t dimensions = 2) {
  std::array<unsigned char, 8> start{};
  file.read(start.data(), start.size());
  int const major = start[6], minor = start[7];
  if (major < 1 || major > 3 || minor != 0) {
    file.fail("is .npy version " + std::to_string(major) + "." + std::to_string(minor) +
              ", need 1.0, 2.0 or 3.0");
  }
  std::uint64_t const length = major == 1 ? file.read<std::uint16_t>() : file.read<std::uint32_t>();
  std::uint64_t const offset = (major == 1 ? 10 : 12) + length;
  if (offset > file.size()) file.fail("is truncated inside its .npy header");
  std::string text(length, '\0');
  file.read(text.data(), length);

  npy_header const header = npy_header_parser(file, text).parse();
  if (header.shape.size() != dimensions) {
    file.fail("has " + std::to_string(header.shape.size()) + " dimension" +
              (header.shape.size() == 1 ? "" : "s") + ", need " +
              (dimensions == 2 ? "2 (points, features)" : "1 (points)"));
  }
  std::string const& descr = header.descr;
  if (descr == ">f2" || descr == ">f4" || descr == ">f8") {
    file.fail("is big endian ('" + descr + "'), need '<" + descr.substr(1) + "'");
  }
  bool const known = descr.size() == 3 && std::strchr("<=|", descr[0]) != nullptr;
  std::string const type = known ? descr.substr(1) : "";
  if (type != "f2" && type != "f4" && type != "f8" && type != "u1") {
    file.fail("has elements of type '" + descr + "', need f2, f4, f8 or u1");
  }
  if (header.fortran_order) {
    file.fail("is in Fortran order (column by column), need C order (row by row)");
  }

  table t;
  t.n = header.shape[0];
  t.d = dimensions == 2 ? header.shape[1] : 1;
  check_extent(file, t.n, t.d, static_cast<std::uint64_t>(type[1] - '0'), offset);
  if (type == "u1") t.data = read_values<std::uint8_t>(file, t.n, t.d);
  if (type == "f2") t.data = read_values<float16>(file, t.n, t.d);
  if (type == "f4") t.data = read_values<float>(file, t.n, t.d);
  if (type == "f8") t.data = read_values<double>(file, t.n, t.d);
  return t;
}

// ---- .fvecs, .bvecs: every row is an int32 d and d values --------------------------------------

template <class T>
table read_vecs(input_file& file) {
  table t;
  t.d = file.read<std::int32_t>();
  if (t.d < 1) file.fail("says that its first row has " + std::to_string(t.d) + " values");
  std::uint64_t const row = 4 + static_cast<std::uint64_t>(t.d) * sizeof(T);
  if (file.size() % row != 0) {
    file.fail("is truncated or mislabelled: its " + std::to_string(file.size()) +
              " bytes are no whole number of rows of " + std::to_string(t.d) + " values");
  }
  t.n = static_cast<std::int64_t>(file.size() / row);
  if (t.n > kMaxPoints) {
    file.fail("holds " + std::to_string(t.n) + " points, at most 2147483647 are taken");
  }
  auto const d = static_cast<std::size_t>(t.d);
  std::vector<T> data(static_cast<std::size_t>(t.n) * d);
  for (std::int64_t i = 0; i < t.n; ++i) {
    auto const row_d = i == 0 ? static_cast<std::int32_t>(t.d) : file.read<std::int32_t>();
    if (row_d != t.d) {
      file.fail("says that row " + std::to_string(i) + " has " + std::to_string(row_d) +
                " values, but row 0 has " + std::to_string(t.d));
    }
    file.read(data.data() + static_cast<std::size_t>(i) * d, d * sizeof(T));
  }
  t.data = std::move(data);
  return t;
}

// ---- .fbin, .u8bin: int32 n, int32 d, n x d values ----------------------------------------------

template <class T>
table read_bin(input_file& file) {
  if (file.size() < 8) file.fail("is truncated inside its header");
  table t;
  t.n = file.read<std::int32_t>();
  t.d = file.read<std::int32_t>();
  check_extent(file, t.n, t.d, sizeof(T), 8);
  t.data = read_values<T>(file, t.n, t.d);
  return t;
}

// ---- PNG, JPEG ----------------------------------------------------------------------------------

// Whether a JPEG reaches its end-of-image marker; the decoder fills up what is missing.
inline bool jpeg_is_complete(std::vector<unsigned char> const& bytes) {
  std::size_t at = 2;  // after start-of-image
  while (at + 1 < bytes.size()) {
    if (bytes[at] != 0xff) {  // compressed data
      ++at;
      continue;
    }
    unsigned char const marker = bytes[at + 1];
    if (marker == 0xd9) return true;
    bool const is_fill = marker == 0xff;
    bool const is_bare = marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    if (is_fill) {
      ++at;
    } else if (is_bare || at + 3 >= bytes.size()) {
      at += 2;
    } else {  // a segment with its length; thumbnails hide in these
      at += 2 + (static_cast<std::size_t>(bytes[at + 2]) << 8 | bytes[at + 3]);
    }
  }
  return false;
}

// Whether a PNG's chunks (length, type, data, checksum) reach the one that ends it.
inline bool png_is_complete(std::vector<unsigned char> const& bytes) {
  std::size_t at = 8;  // after the signature
  while (at + 12 <= bytes.size()) {
    if (std::memcmp(bytes.data() + at + 4, "IEND", 4) == 0) return true;
    std::size_t length = 0;
    for (int i = 0; i < 4; ++i) length = length << 8 | bytes[at + i];
    at += 12 + length;
  }
  return false;
}

inline table read_image(input_file& file, bool is_jpeg) {
  if (file.size() > std::uint64_t{1} << 30) file.fail("is larger than 1 GiB, too large an image");
  std::vector<unsigned char> bytes(file.size());
  file.read(bytes.data(), bytes.size());
  auto const length = static_cast<int>(bytes.size());

  int width = 0, height = 0, channels = 0;
  auto const fail = [&] {
    file.fail(std::string("is no image that can be decoded: ") + stbi_failure_reason());
  };
  if (stbi_info_from_memory(bytes.data(), length, &width, &height, &channels) == 0) fail();
  // Deflate shrinks at most 1032-fold and a byte holds at most 8 pixels; JPEG stays far below that.
  std::int64_t const n = std::int64_t{width} * height;
  if (n > static_cast<std::int64_t>(bytes.size()) * 1032 * 8) {
    file.fail("is truncated: its " + std::to_string(bytes.size()) + " bytes cannot hold " +
              std::to_string(width) + " x " + std::to_string(height) + " pixels");
  }
  if (!(is_jpeg ? jpeg_is_complete(bytes) : png_is_complete(bytes))) file.fail("is truncated");

  // Grey is spread over three channels and transparency is dropped.
  std::unique_ptr<stbi_uc, void (*)(void*)> const pixels(
      stbi_load_from_memory(bytes.data(), length, &width, &height, &channels, 3), stbi_image_free);
  if (pixels == nullptr) fail();
  table t;
  t.n = n;
  t.d = 3;
  t.image = image_size{width, height};
  t.data = std::vector<std::uint8_t>(pixels.get(), pixels.get() + 3 * n);
  return t;
}

// ---- which one
// -----------------------------------------------------------------------------------

// What the first bytes give away; empty where they say nothing.
inline std::string sniff(std::array<unsigned char, 8> const& s) {
  auto const starts = [&](char const* with, std::size_t bytes) {
    return std::memcmp(s.data(), with, bytes) == 0;
  };
  if (starts("\x93NUMPY", 6)) return ".npy";
  if (starts("\x89PNG\r\n\x1a\n", 8)) return "PNG";
  if (starts("\xff\xd8\xff", 3) && s[3] >= 0xc0) return "JPEG";
  return "";
}

inline std::string extension(std::string const& path) {
  std::string result = std::filesystem::path(path).extension().string();
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

}  // namespace detail

// Reads any of the formats; throws user_error with the file's name and what is wrong with it.
inline table read_table(std::string const& path) {
  using namespace detail;
  input_file file(path);
  std::string const name = extension(path);
  std::string expected;  // what the content must look like
  if (name == ".npy") {
    expected = ".npy";
  } else if (name == ".png") {
    expected = "PNG";
  } else if (name == ".jpg" || name == ".jpeg") {
    expected = "JPEG";
  } else if (name != ".fvecs" && name != ".bvecs" && name != ".fbin" && name != ".u8bin") {
    file.fail("has an unknown extension, need .npy .fvecs .bvecs .fbin .u8bin .png .jpg or .jpeg");
  }
  if (std::string const found = sniff(file.peek_start()); found != expected) {
    file.fail("is named " + name + " but its content is " +
              (found.empty() ? "not " + expected : found));
  }
  if (name == ".npy") return read_npy(file);
  if (name == ".fvecs") return read_vecs<float>(file);
  if (name == ".bvecs") return read_vecs<std::uint8_t>(file);
  if (name == ".fbin") return read_bin<float>(file);
  if (name == ".u8bin") return read_bin<std::uint8_t>(file);
  return read_image(file, expected == "JPEG");
}

// Reads a .npy file of one dimension; d is 1.
inline table read_column(std::string const& path) {
  using namespace detail;
  input_file file(path);
  if (sniff(file.peek_start()) != ".npy") file.fail("is not a .npy file");
  return read_npy(file, 1);
}

}  // namespace cluster
