// What the cluster tool reads and clusters: a table of numbers in one of five element types.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cluster {

// Something about the input, the options or the outputs that the user can put right.
class user_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A 16-bit float as a bit pattern, so that half types are read and rounded without CUDA's headers.
template <int ExponentBits>
struct small_float {
  static constexpr int kMantissaBits = 15 - ExponentBits;
  static constexpr int kBias = (1 << (ExponentBits - 1)) - 1;
  static constexpr int kMaxExponent = (1 << ExponentBits) - 1;  // infinities and NaNs

  std::uint16_t bits = 0;

  // Rounds to nearest, ties to even; what is too large becomes an infinity.
  static small_float round(double value) {
    if (std::isnan(value)) return {static_cast<std::uint16_t>(0x7fff)};
    std::uint64_t raw;
    std::memcpy(&raw, &value, sizeof raw);
    auto const sign = static_cast<std::uint16_t>(raw >> 63 << 15);
    int exponent = static_cast<int>(raw >> 52 & 0x7ff) - 1023 + kBias;
    std::uint64_t const mantissa = (raw & 0xfffffffffffffu) | 0x10000000000000u;
    // Numbers below the normal range give up one bit of the mantissa per step.
    int shift = 52 - kMantissaBits;
    if (exponent < 1) {
      shift += 1 - exponent;
      exponent = 1;
    }
    if (shift > 54) return {sign};
    std::uint64_t const rest = mantissa & ((std::uint64_t{1} << shift) - 1);
    std::uint64_t const half = std::uint64_t{1} << (shift - 1);
    std::uint64_t kept = mantissa >> shift;
    if (rest > half || (rest == half && (kept & 1) != 0)) ++kept;
    // The leading one of kept raises the exponent by one; so does a carry out of the rounding.
    std::uint64_t const infinity = std::uint64_t{kMaxExponent} << kMantissaBits;
    std::uint64_t const result = (static_cast<std::uint64_t>(exponent - 1) << kMantissaBits) + kept;
    return {static_cast<std::uint16_t>(sign | (result < infinity ? result : infinity))};
  }

  // Exact.
  explicit operator float() const {
    std::uint32_t const exponent = (bits & 0x7fffu) >> kMantissaBits;
    std::uint32_t const mantissa = bits & ((1u << kMantissaBits) - 1);
    if (exponent == 0) {
      float const size = std::ldexp(static_cast<float>(mantissa), 1 - kBias - kMantissaBits);
      return (bits & 0x8000u) != 0 ? -size : size;
    }
    std::uint32_t const wide = exponent == kMaxExponent ? 255 : exponent - kBias + 127;
    std::uint32_t const raw =
        (bits & 0x8000u) << 16 | wide << 23 | mantissa << (23 - kMantissaBits);
    float value;
    std::memcpy(&value, &raw, sizeof value);
    return value;
  }
};

using float16 = small_float<5>;
using bfloat16 = small_float<8>;

using values = std::variant<std::vector<std::uint8_t>, std::vector<float16>, std::vector<bfloat16>,
                            std::vector<float>, std::vector<double>>;

template <class T>
double as_double(T value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return value;
  } else {
    return static_cast<float>(value);
  }
}

// The types that points may be clustered in.
enum class point_type { automatic, f16, bf16, f32, f64 };

template <class T>
constexpr char const* type_name() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return "u1";
  if constexpr (std::is_same_v<T, float16>) return "f16";
  if constexpr (std::is_same_v<T, bfloat16>) return "bf16";
  if constexpr (std::is_same_v<T, float>) return "f32";
  if constexpr (std::is_same_v<T, double>) return "f64";
}

inline char const* type_name(values const& v) {
  return std::visit(
      [](auto const& held) {
        return type_name<typename std::decay_t<decltype(held)>::value_type>();
      },
      v);
}

struct image_size {
  int width = 0, height = 0;
};

struct table {
  values data;  // [n][d]
  std::int64_t n = 0, d = 0;
  std::optional<image_size> image;  // points are the pixels of a picture, row by row
};

namespace detail {

inline std::string place(std::size_t index, std::int64_t d) {
  auto const columns = static_cast<std::size_t>(d);
  return "row " + std::to_string(index / columns) + ", column " + std::to_string(index % columns);
}

// from, element by element as To. Values that leave To's range are the user's to decide on.
template <class To, class From>
std::vector<To> convert(std::vector<From> const& from, std::int64_t d, std::string const& file) {
  std::vector<To> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    double const value = as_double(from[i]);
    if constexpr (std::is_arithmetic_v<To>) {
      to[i] = static_cast<To>(value);
    } else {
      to[i] = To::round(value);
    }
    if (!std::isfinite(as_double(to[i]))) {
      throw user_error(file + ": " + place(i, d) + " is " + std::to_string(value) +
                       ", outside the range of " + type_name<To>() + "; choose another --type");
    }
  }
  return to;
}

}  // namespace detail

// Throws where a value is not a finite number. Rows and columns count from 0.
inline void check_finite(table const& t, std::string const& file) {
  std::visit(
      [&](auto const& held) {
        for (std::size_t i = 0; i < held.size(); ++i) {
          double const value = as_double(held[i]);
          if (!std::isfinite(value)) {
            throw user_error(file + ": " + detail::place(i, t.d) + " is " +
                             (std::isnan(value) ? "not a number" : "infinite") +
                             ", points must be finite");
          }
        }
      },
      t.data);
}

// The same numbers as elements of To, moved where they already are.
template <class To>
std::vector<To> as_type(values data, std::int64_t d, std::string const& file) {
  return std::visit(
      [&](auto& held) -> std::vector<To> {
        using from = typename std::decay_t<decltype(held)>::value_type;
        if constexpr (std::is_same_v<from, To>) {
          return std::move(held);
        } else {
          return detail::convert<To>(held, d, file);
        }
      },
      data);
}

// The type that automatic stands for: that of the file for f16 and f64, else f32.
inline point_type resolve(point_type type, values const& data) {
  if (type != point_type::automatic) return type;
  if (std::holds_alternative<std::vector<float16>>(data)) return point_type::f16;
  if (std::holds_alternative<std::vector<double>>(data)) return point_type::f64;
  return point_type::f32;
}

inline char const* to_string(point_type type) {
  switch (type) {
    case point_type::automatic: return "auto";
    case point_type::f16: return type_name<float16>();
    case point_type::bf16: return type_name<bfloat16>();
    case point_type::f32: return type_name<float>();
    case point_type::f64: return type_name<double>();
  }
  return "unknown";
}

// Rounds to a point type; automatic must have been resolved.
inline values to_points(values data, std::int64_t d, point_type type, std::string const& file) {
  switch (type) {
    case point_type::f16: return as_type<float16>(std::move(data), d, file);
    case point_type::bf16: return as_type<bfloat16>(std::move(data), d, file);
    case point_type::f64: return as_type<double>(std::move(data), d, file);
    default: return as_type<float>(std::move(data), d, file);
  }
}

}  // namespace cluster
