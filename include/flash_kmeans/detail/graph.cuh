// CUDA graphs: work that is queued again and again at the cost of one launch, and loops in it whose
// end the device decides.
#pragma once

#include <cstddef>
#include <utility>

#include "config.cuh"
#include "launch.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Conditional nodes; before 13.0 the runtime had other signatures for what loops need.
inline constexpr bool kGraphLoops = CUDART_VERSION >= 13000;

#if CUDART_VERSION >= 13000
using loop_handle = cudaGraphConditionalHandle;
#else
using loop_handle = unsigned long long;
#endif

inline bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status{};
  check_cuda(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

// A stream of its own, on which something is captured.
class capture_stream {
 public:
  capture_stream() {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  ~capture_stream() {
    if (is_capturing_) {  // what was captured threw
      cudaGraph_t graph = nullptr;
      if (cudaStreamEndCapture(stream_, &graph) != cudaSuccess) cudaGetLastError();
      if (graph != nullptr && !into_) cudaGraphDestroy(graph);
    }
    cudaStreamDestroy(stream_);
  }
  capture_stream(capture_stream const&) = delete;
  capture_stream& operator=(capture_stream const&) = delete;

  operator cudaStream_t() const { return stream_; }

  // Into a new graph, or into one that somebody else owns.
  void begin() {
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed),
               "cudaStreamBeginCapture");
    is_capturing_ = true;
  }
#if CUDART_VERSION >= 13000
  void begin(cudaGraph_t graph) {
    check_cuda(cudaStreamBeginCaptureToGraph(stream_, graph, nullptr, nullptr, 0,
                                             cudaStreamCaptureModeRelaxed),
               "cudaStreamBeginCaptureToGraph");
    is_capturing_ = into_ = true;
  }
#endif
  cudaGraph_t end() {
    cudaGraph_t graph = nullptr;
    is_capturing_ = false;
    check_cuda(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    return graph;
  }

 private:
  cudaStream_t stream_ = nullptr;
  bool is_capturing_ = false, into_ = false;
};

// Captured on `stream`: rounds of body(stream, handle), the first one always and the next one while
// the last kernel of a round has set the handle. Only where kGraphLoops; a graph with a loop cannot
// become a part of another.
template <class Body>
void capture_loop([[maybe_unused]] cudaStream_t stream, [[maybe_unused]] Body&& body) {
#if CUDART_VERSION >= 13000
  cudaStreamCaptureStatus status{};
  cudaGraph_t graph = nullptr;
  cudaGraphNode_t const* before = nullptr;
  cudaGraphEdgeData const* edges = nullptr;
  std::size_t count = 0;
  check_cuda(cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph, &before, &edges, &count),
             "cudaStreamGetCaptureInfo");
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  check_cuda(cudaGraphConditionalHandleCreate(&params.conditional.handle, graph, 1,
                                              cudaGraphCondAssignDefault),
             "cudaGraphConditionalHandleCreate");
  params.conditional.type = cudaGraphCondTypeWhile;
  params.conditional.size = 1;
  cudaGraphNode_t loop = nullptr;
  check_cuda(cudaGraphAddNode(&loop, graph, before, edges, count, &params), "cudaGraphAddNode");
  capture_stream inner;
  inner.begin(params.conditional.phGraph_out[0]);
  body(static_cast<cudaStream_t>(inner), params.conditional.handle);
  inner.end();
  check_cuda(cudaStreamUpdateCaptureDependencies(stream, &loop, nullptr, 1,
                                                 cudaStreamSetCaptureDependencies),
             "cudaStreamUpdateCaptureDependencies");
#endif
}

// What body(stream) queues, to be launched as often as wanted.
class graph {
 public:
  graph() = default;
  ~graph() {
    if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
  }
  graph(graph&& other) noexcept : exec_(std::exchange(other.exec_, nullptr)) {}
  graph& operator=(graph&& other) noexcept {
    std::swap(exec_, other.exec_);
    return *this;
  }

  bool is_there() const { return exec_ != nullptr; }

  template <class Body>
  void capture(Body&& body) {
    capture_stream stream;
    stream.begin();
    body(static_cast<cudaStream_t>(stream));
    cudaGraph_t const captured = stream.end();
    cudaError_t const status = cudaGraphInstantiate(&exec_, captured, 0);
    cudaGraphDestroy(captured);
    check_cuda(status, "cudaGraphInstantiate");
  }

  void launch(cudaStream_t stream) const {
    check_cuda(cudaGraphLaunch(exec_, stream), "cudaGraphLaunch");
  }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
