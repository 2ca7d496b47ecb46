// The threads of a call.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "../error.hpp"
#include "abi.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Multiply-adds that take about as long as it takes to wake a thread.
inline constexpr double kWorthAThread = 1e5;

// The calling thread and up to threads - 1 others. They start when the first region that is worth
// them does, sleep between regions and are joined by the destructor.
class team {
 public:
  // 0: as many as the machine runs at once.
  explicit team(int threads)
      : size_(threads > 0 ? threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {}

  team(team const&) = delete;
  team& operator=(team const&) = delete;

  ~team() {
    {
      std::lock_guard<std::mutex> const lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int size() const { return size_; }

  // Calls body(begin, end) for disjoint ranges that cover [0, count), concurrently. cost is that of
  // one item in multiply-adds. Which thread gets which range, and where ranges end, is left open:
  // what body writes must not depend on it. The first exception that body throws ends the region
  // and is rethrown.
  template <class Body>
  void for_ranges(std::int64_t count, double cost, Body const& body) {
    if (count <= 0) return;
    double const worth = static_cast<double>(count) * cost / kWorthAThread;
    std::int64_t const most = std::min<std::int64_t>(size_, count);
    std::int64_t const workers =
        worth < static_cast<double>(most) ? static_cast<std::int64_t>(worth) : most;
    if (workers <= 1) {
      body(std::int64_t{0}, count);
      return;
    }
    // Small enough ranges that a thread which starts late or is held up costs little.
    std::int64_t const grain = std::max<std::int64_t>(1, count / (workers * 8));
    std::atomic<std::int64_t> next{0};
    run(static_cast<std::size_t>(workers - 1), [&] {
      try {
        for (;;) {
          std::int64_t const begin = next.fetch_add(grain);
          if (begin >= count) return;
          body(begin, std::min(begin + grain, count));
        }
      } catch (...) {
        next = count;
        throw;
      }
    });
  }

 private:
  // Runs job here and on up to helpers threads; returns when all that took it up are done.
  void run(std::size_t helpers, std::function<void()> const& job) {
    start(helpers);
    {
      std::lock_guard<std::mutex> const lock(mutex_);
      job_ = &job;
      seats_ = std::min(helpers, threads_.size());
    }
    wake_.notify_all();
    take_part(job);
    std::exception_ptr error;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      seats_ = 0;  // what is not taken up by now is done
      done_.wait(lock, [&] { return active_ == 0; });
      job_ = nullptr;
      std::swap(error, error_);
    }
    if (error) std::rethrow_exception(error);
  }

  void start(std::size_t helpers) {
    try {
      threads_.reserve(helpers);
      while (threads_.size() < helpers) threads_.emplace_back([this] { serve(); });
    } catch (std::system_error const&) {
      // The system gives no more threads: those that there are do the work.
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopping_ || seats_ > 0; });
      if (stopping_) return;
      --seats_;
      ++active_;
      std::function<void()> const& job = *job_;
      lock.unlock();
      take_part(job);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  void take_part(std::function<void()> const& job) noexcept {
    try {
      job();
    } catch (...) {
      std::lock_guard<std::mutex> const lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  int const size_;
  vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::function<void()> const* job_ = nullptr;
  std::size_t seats_ = 0;   // helpers that the running job still takes
  std::size_t active_ = 0;  // helpers inside it
  std::exception_ptr error_;
  bool stopping_ = false;
};

inline void check_threads(int threads) {
  require(threads >= 0, "execution.threads", threads, "must not be negative");
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
