#pragma once
// Threads that wait for others. They look for 50 microseconds and offer their cores to others meanwhile; then they sleep.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#if __has_include(<time.h>)
#include <time.h>
#endif

namespace cambium {

/// How long a thread looks before it sleeps. [ns]
inline constexpr std::int64_t nanoseconds_of_looking = 50'000;

inline std::int64_t nanoseconds_now()
{
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Whether ready() is true within nanoseconds_of_looking. A core that others need goes to them.
template <class Ready>
bool seen_soon(Ready const& ready)
{
  for (int look = 0; look < 64; ++look) {
    if (ready()) return true;
#if CAMBIUM_X86
    asm volatile("pause");
#endif
  }
  std::int64_t const last = nanoseconds_now() + nanoseconds_of_looking;
  do {
    std::this_thread::yield();
    if (ready()) return true;
  } while (nanoseconds_now() < last);
  return false;
}

/// [ns] that this thread has slept of its own will.
inline thread_local std::int64_t nanoseconds_slept = 0;

/// Where threads wait for others.
class waiting_place {
 public:
  /// Wait until ready() is true. The thread that makes it true does so by a sequentially consistent store and then calls
  /// wake().
  template <class Ready>
  void wait(Ready const& ready)
  {
    if (seen_soon(ready)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    std::int64_t const since = nanoseconds_now();
    ++asleep_;
    changed_.wait(lock, ready);
    --asleep_;
    nanoseconds_slept += nanoseconds_now() - since;
  }
  void wake()
  {
    if (asleep_.load() == 0) return;
    {
      std::lock_guard<std::mutex> const after_its_look(mutex_);
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<int> asleep_{0};
};

/// The number of steps that a member of a team has finished. Other members wait for it. Each has its own cache lines.
struct alignas(64) progress {
  std::atomic<index_t> done{0};
  waiting_place place;

  void publish(index_t step)
  {
    done.store(step);
    place.wake();
  }
  void wait_for(index_t step)
  {
    place.wait([&] { return done.load() >= step; });
  }
};

/// Tells how long the system kept this thread from running.
class kept_time {
 public:
  /// [ns] since the last question or the constructor: time that was neither used nor slept.
  std::int64_t ask()
  {
    std::int64_t const before = idle_;
    idle_ = idle();
    return idle_ - before;
  }

 private:
  static std::int64_t idle()
  {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    timespec used{};
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0)
      return nanoseconds_now() - nanoseconds_slept - (used.tv_sec * std::int64_t{1'000'000'000} + used.tv_nsec);
#endif
    return 0;
  }
  std::int64_t idle_ = idle();
};

}  // namespace cambium
