// The verbs of one type of points on one device, behind an interface without templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <flash_kmeans/types.hpp>
#include <memory>

#include "flash_kmeans_c.h"

namespace flash_kmeans_c {

namespace fk = flash_kmeans;
using call_t = flash_kmeans_c_call;
using matrix_t = flash_kmeans_c_matrix;
using fit_options_t = flash_kmeans_c_fit_options;

template <class T>
fk::matrix_view<T> view_of(matrix_t const& m) {
  return {static_cast<T*>(m.data),
          m.rows,
          m.cols,
          m.ld,
          {m.batch[0], m.batch[1]},
          {m.batch_stride[0], m.batch_stride[1]}};
}

inline fk::fit_options options_of(fit_options_t const& given) {
  fk::fit_options options;
  options.max_iterations = given.max_iterations;
  options.tolerance = given.tolerance;
  options.closing_assignment = given.closing_assignment != 0;
  options.init = fk::init_method::given;
  return options;
}

inline fk::fit_outputs outputs_of(std::int32_t* labels, fit_options_t const& given) {
  return {labels, {}, static_cast<fk::fit_status*>(given.status)};
}

// A fit_plan of any type.
class plan {
 public:
  virtual ~plan() = default;
  virtual void fit(CUstream_st* stream) = 0;
};

// Throws what the C++ verbs throw.
class backend {
 public:
  virtual ~backend() = default;
  virtual void predict(call_t const& call, matrix_t const& x, matrix_t const& c,
                       std::int32_t* labels) const = 0;
  virtual void update(call_t const& call, matrix_t const& x, std::int32_t const* labels,
                      matrix_t const& c) const = 0;
  virtual void fit(call_t const& call, matrix_t const& x, matrix_t const& c, std::int32_t* labels,
                   fit_options_t const& options) const = 0;
  virtual std::unique_ptr<plan> make_plan(call_t const& call, matrix_t const& x, matrix_t const& c,
                                          std::int32_t* labels,
                                          fit_options_t const& options) const = 0;
  virtual std::size_t workspace_bytes(call_t const& call, flash_kmeans_c_verb verb,
                                      matrix_t const& x, matrix_t const& c,
                                      fit_options_t const* options) const = 0;
};

backend const& cpu_float();
backend const& cpu_double();

}  // namespace flash_kmeans_c
