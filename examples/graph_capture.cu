// A whole fit, convergence test included, captured into a CUDA graph: the caller's stream and
// workspace, no allocation, no synchronisation. The graph is replayed on two sets of points and
// must give the bits of a plain call.
#include <cstdint>
#include <cstdio>
#include <flash_kmeans/flash_kmeans.cuh>
#include <string>
#include <vector>

#include "device_buffer.hpp"

namespace fk = flash_kmeans;
using device_support::device_buffer;

// Throws when a CUDA call failed.
void check(cudaError_t status) { device_support::cuda_check(status, "graph_capture"); }

int main() {
  if (std::string const why = device_support::why_no_gpu(); !why.empty()) {
    std::printf("%s, so nothing was run. (host.hpp has the same verbs for CPUs.)\n", why.c_str());
    return 0;
  }
  std::int64_t const n = 10000, d = 16, k = 20;

  device_buffer<float> d_x(n * d);
  device_buffer<float> const d_c(k * d), d_plain_c(k * d);
  device_buffer<std::int32_t> const d_labels(n), d_plain_labels(n);
  device_buffer<fk::fit_status> const d_status(1);
  fk::matrix_view<float const> const x(d_x.data(), n, d);
  fk::matrix_view<float> const c(d_c.data(), k, d), plain_c(d_plain_c.data(), k, d);

  fk::fit_options options;
  options.max_iterations = 50;
  options.seed = 7;

  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  device_buffer<char> const workspace(fk::fit_workspace_bytes(x, c, options));
  fk::execution exec;
  exec.stream = stream;
  exec.workspace = workspace.data();
  exec.workspace_bytes = fk::fit_workspace_bytes(x, c, options);

  cudaGraph_t graph;
  cudaGraphExec_t replay;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  fk::fit_async(x, c, {d_labels.data(), {}, d_status.data()}, options, exec);
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&replay, graph, 0));

  bool right = true;
  for (int step = 0; step < 2; ++step) {
    std::vector<float> points(n * d);
    for (std::int64_t at = 0; at < n * d; ++at) {
      points[at] = static_cast<float>((at * 7919 + step * 31) % 1009) / 1009;
    }
    d_x.upload(points);

    check(cudaGraphLaunch(replay, stream));
    check(cudaStreamSynchronize(stream));
    fk::fit_status const status = d_status.download()[0];
    fk::fit_result const plain = fk::fit(x, plain_c, d_plain_labels.data(), options);

    bool const same = d_c.download() == d_plain_c.download() &&
                      d_labels.download() == d_plain_labels.download() &&
                      status.inertia == plain.inertia && status.iterations == plain.iterations;
    std::printf("replay %d: %d iterations, inertia %.3f, %s\n", step + 1, status.iterations,
                status.inertia, same ? "the bits of a plain call" : "WRONG: not a plain call's");
    right = right && same;
  }

  check(cudaGraphExecDestroy(replay));
  check(cudaGraphDestroy(graph));
  check(cudaStreamDestroy(stream));
  return right ? 0 : 1;
}
