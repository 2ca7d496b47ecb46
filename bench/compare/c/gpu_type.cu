// The GPU verbs of one type of points, POINT, behind the C interface, as the function NAME.
#include <flash_kmeans/flash_kmeans.cuh>
#include <stdexcept>

#include "gpu.hpp"

namespace flash_kmeans_c {

namespace {

using centroid = fk::centroid_t<POINT>;

fk::execution where(call_t const& call) {
  return {static_cast<CUstream_st*>(call.stream), call.workspace, call.workspace_bytes,
          fk::assign_kernel::automatic,
          call.tf32 != 0 ? fk::precision::tf32 : fk::precision::native};
}

class gpu_plan : public plan {
 public:
  gpu_plan(call_t const& call, matrix_t const& x, matrix_t const& c, std::int32_t* labels,
           fit_options_t const& options)
      : plan_(view_of<POINT const>(x), view_of<centroid>(c), outputs_of(labels, options),
              options_of(options), where(call)) {}

  void fit(CUstream_st* stream) override { plan_.fit_async(stream); }

 private:
  fk::fit_plan<POINT> plan_;
};

class gpu_backend : public backend {
 public:
  void predict(call_t const& call, matrix_t const& x, matrix_t const& c,
               std::int32_t* labels) const override {
    fk::predict_async(view_of<POINT const>(x), view_of<centroid const>(c), {labels}, {},
                      where(call));
  }

  void update(call_t const& call, matrix_t const& x, std::int32_t const* labels,
              matrix_t const& c) const override {
    fk::update_centroids_async(view_of<POINT const>(x), labels, view_of<centroid>(c), {}, {},
                               where(call));
  }

  void fit(call_t const& call, matrix_t const& x, matrix_t const& c, std::int32_t* labels,
           fit_options_t const& options) const override {
    fk::fit_async(view_of<POINT const>(x), view_of<centroid>(c), outputs_of(labels, options),
                  options_of(options), where(call));
  }

  std::unique_ptr<plan> make_plan(call_t const& call, matrix_t const& x, matrix_t const& c,
                                  std::int32_t* labels,
                                  fit_options_t const& options) const override {
    return std::make_unique<gpu_plan>(call, x, c, labels, options);
  }

  std::size_t workspace_bytes(call_t const& call, flash_kmeans_c_verb verb, matrix_t const& x,
                              matrix_t const& c, fit_options_t const* options) const override {
    auto const points = view_of<POINT const>(x);
    auto const centroids = view_of<centroid>(c);
    switch (verb) {
      case FLASH_KMEANS_C_PREDICT:
        return fk::predict_workspace_bytes(points, centroids, {}, where(call));
      case FLASH_KMEANS_C_UPDATE: return fk::update_workspace_bytes(points, centroids);
      case FLASH_KMEANS_C_FIT:
        return fk::fit_workspace_bytes(points, centroids, options_of(*options), where(call));
    }
    throw std::invalid_argument("flash_kmeans: verb is none of flash_kmeans_c_verb");
  }
};

}  // namespace

backend const& NAME() {
  static gpu_backend const instance;
  return instance;
}

}  // namespace flash_kmeans_c
