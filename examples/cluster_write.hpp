// How the cluster tool writes: all files complete and together, or none at all.
#pragma once

#include <stb_image_write.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cluster_pictures.hpp"
#include "cluster_table.hpp"

namespace cluster {

// A file to be written: its name and a function that hands its bytes, piece by piece, to a sink.
struct output_file {
  using sink = std::function<void(void const* data, std::size_t bytes)>;
  std::string name;
  std::function<void(sink const&)> write;
};

namespace detail {

// A .npy header of version 1.0, filled up so that the data starts at a multiple of 64 bytes.
inline std::string npy_header_text(char const* descr, std::string const& shape) {
  std::string dictionary =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': " + shape + ", }";
  std::size_t const before = 10;  // magic, version, length
  std::size_t const total = (before + dictionary.size() + 1 + 63) / 64 * 64;
  dictionary.append(total - before - dictionary.size() - 1, ' ');
  dictionary += '\n';
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(dictionary.size() & 0xff);
  text += static_cast<char>(dictionary.size() >> 8);
  return text + dictionary;
}

template <class T>
output_file npy_file(std::string name, std::vector<T> const& data, std::string shape) {
  char const* const descr = std::is_same_v<T, double>  ? "<f8"
                            : std::is_same_v<T, float> ? "<f4"
                                                       : "<i4";
  return {std::move(name), [&data, descr, shape = std::move(shape)](output_file::sink const& sink) {
            std::string const header = npy_header_text(descr, shape);
            sink(header.data(), header.size());
            sink(data.data(), data.size() * sizeof(T));
          }};
}

// Set while files are being written and the user interrupts.
inline volatile std::sig_atomic_t interrupted = 0;

// Turns an interrupt into an error for as long as it lives, so that the clean-up runs.
class interrupt_guard {
 public:
  interrupt_guard() {
    for (int i = 0; i < 2; ++i) {
      before_[i] = std::signal(kSignals[i], [](int) { interrupted = 1; });
      // A program started in the background ignores interrupts.
      if (before_[i] == SIG_IGN) std::signal(kSignals[i], SIG_IGN);
    }
  }
  ~interrupt_guard() {
    for (int i = 0; i < 2; ++i) std::signal(kSignals[i], before_[i]);
  }
  interrupt_guard(interrupt_guard const&) = delete;
  interrupt_guard& operator=(interrupt_guard const&) = delete;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM};
  void (*before_[2])(int);
};

// A directory for unfinished files inside the output directory, so on the same file system. Takes
// away what it made, the output directory included, unless told to keep that.
class staging {
 public:
  explicit staging(std::filesystem::path const& directory) : directory_(directory) {
    namespace fs = std::filesystem;
    try {
      make_directories(fs::absolute(directory).lexically_normal());
      std::random_device random;
      do {
        path_ = directory / (".cluster-" + std::to_string(random()) + ".tmp");
      } while (!fs::create_directory(path_));
    } catch (fs::filesystem_error const& error) {
      path_.clear();
      clean_up();
      throw user_error(directory.string() + ": cannot be written: " + error.code().message());
    }
  }
  ~staging() { clean_up(); }
  staging(staging const&) = delete;
  staging& operator=(staging const&) = delete;

  std::filesystem::path const& path() const { return path_; }
  void keep_directory() { made_.clear(); }

 private:
  void make_directories(std::filesystem::path const& directory) {
    namespace fs = std::filesystem;
    if (fs::exists(directory)) {
      if (fs::is_directory(directory)) return;
      throw fs::filesystem_error("", directory, std::make_error_code(std::errc::not_a_directory));
    }
    if (directory.has_parent_path() && directory.parent_path() != directory) {
      make_directories(directory.parent_path());
    }
    if (fs::create_directory(directory)) made_.push_back(directory);
  }

  void clean_up() noexcept {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    // Innermost first; a directory that somebody else has put something in stays.
    for (auto it = made_.rbegin(); it != made_.rend(); ++it) std::filesystem::remove(*it, ignored);
  }

  std::filesystem::path directory_, path_;
  std::vector<std::filesystem::path> made_;
};

inline void write_file(std::filesystem::path const& path, output_file const& file) {
  auto const check = [&](std::ofstream const& stream) {
    if (!stream) {
      throw user_error(file.name + " cannot be written: " + std::strerror(errno));
    }
  };
  std::ofstream stream(path, std::ios::binary);
  check(stream);
  file.write([&](void const* data, std::size_t bytes) {
    constexpr std::size_t kPiece = 1 << 22;
    auto const* at = static_cast<char const*>(data);
    for (; bytes > 0 && stream; at += std::min(bytes, kPiece), bytes -= std::min(bytes, kPiece)) {
      if (interrupted != 0) throw user_error("interrupted while writing, nothing was written");
      stream.write(at, static_cast<std::streamsize>(std::min(bytes, kPiece)));
    }
    check(stream);
  });
  stream.close();
  check(stream);
}

}  // namespace detail

// The caller keeps data until the file has been written.
template <class T>
output_file npy_matrix(std::string name, std::vector<T> const& data, std::int64_t rows,
                       std::int64_t columns) {
  return detail::npy_file(std::move(name), data,
                          "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")");
}

template <class T>
output_file npy_vector(std::string name, std::vector<T> const& data) {
  return detail::npy_file(std::move(name), data, "(" + std::to_string(data.size()) + ",)");
}

inline output_file text_file(std::string name, std::string text) {
  return {std::move(name), [text = std::move(text)](output_file::sink const& sink) {
            sink(text.data(), text.size());
          }};
}

inline output_file png_file(std::string name, picture const& p) {
  std::vector<char> bytes;
  auto const append = [](void* to, void* data, int count) {
    auto* const from = static_cast<char*>(data);
    static_cast<std::vector<char>*>(to)->insert(static_cast<std::vector<char>*>(to)->end(), from,
                                                from + count);
  };
  if (stbi_write_png_to_func(append, &bytes, p.width, p.height, 3, p.pixels.data(), 3 * p.width) ==
      0) {
    throw std::bad_alloc();
  }
  return {std::move(name), [bytes = std::move(bytes)](output_file::sink const& sink) {
            sink(bytes.data(), bytes.size());
          }};
}

// Throws where files of these names cannot be written, so that nobody computes in vain. Leaves
// nothing behind.
inline void check_writable(std::filesystem::path const& directory,
                           std::vector<std::string> const& names) {
  detail::staging const trial(directory);
  for (std::string const& name : names) {
    if (std::filesystem::is_directory(directory / name)) {
      throw user_error((directory / name).string() + ": is a directory, cannot be replaced");
    }
  }
}

// Writes all files into the directory, which is made where it is missing. Files of the same names
// are replaced. Until the last one is complete nothing in the directory changes.
inline void write_files(std::filesystem::path const& directory,
                        std::vector<output_file> const& files) {
  detail::interrupt_guard const guard;
  detail::staging stage(directory);
  for (output_file const& file : files) detail::write_file(stage.path() / file.name, file);
  for (output_file const& file : files) {
    std::error_code error;
    std::filesystem::rename(stage.path() / file.name, directory / file.name, error);
    if (error) throw user_error(file.name + " cannot be replaced: " + error.message());
  }
  stage.keep_directory();
}

}  // namespace cluster
