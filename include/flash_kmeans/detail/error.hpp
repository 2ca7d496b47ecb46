// How a bad argument is reported: one sentence with its name, its value and the rule.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

#include "host/abi.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI_HOST {

template <class Value>
[[noreturn]] void throw_invalid(std::string const& argument, Value const& value,
                                std::string const& rule) {
  std::ostringstream text;
  text.precision(17);
  text << "flash_kmeans: " << argument << " is " << value << ", " << rule;
  throw std::invalid_argument(text.str());
}

template <class Value>
void require(bool holds, char const* argument, Value const& value, char const* rule) {
  if (!holds) throw_invalid(argument, value, rule);
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail
