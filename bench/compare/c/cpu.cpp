// The CPU backend behind the C interface: float and double points.
#include <flash_kmeans/host.hpp>
#include <stdexcept>

#include "backend.hpp"

namespace flash_kmeans_c {

namespace {

template <class P>
class cpu_backend : public backend {
  using centroid = fk::centroid_t<P>;

 public:
  void predict(call_t const& call, matrix_t const& x, matrix_t const& c,
               std::int32_t* labels) const override {
    fk::host::predict(view_of<P const>(x), view_of<centroid const>(c), {labels}, {},
                      {call.threads});
  }

  void update(call_t const& call, matrix_t const& x, std::int32_t const* labels,
              matrix_t const& c) const override {
    fk::host::update_centroids(view_of<P const>(x), labels, view_of<centroid>(c), {}, {},
                               {call.threads});
  }

  void fit(call_t const& call, matrix_t const& x, matrix_t const& c, std::int32_t* labels,
           fit_options_t const& options) const override {
    fk::host::fit(view_of<P const>(x), view_of<centroid>(c), outputs_of(labels, options),
                  options_of(options), {call.threads});
  }

  std::unique_ptr<plan> make_plan(call_t const&, matrix_t const&, matrix_t const&, std::int32_t*,
                                  fit_options_t const&) const override {
    throw std::invalid_argument("flash_kmeans: device is CPU, plans need the GPU");
  }

  std::size_t workspace_bytes(call_t const&, flash_kmeans_c_verb, matrix_t const&, matrix_t const&,
                              fit_options_t const*) const override {
    return 0;
  }
};

}  // namespace

backend const& cpu_float() {
  static cpu_backend<float> const instance;
  return instance;
}

backend const& cpu_double() {
  static cpu_backend<double> const instance;
  return instance;
}

}  // namespace flash_kmeans_c
