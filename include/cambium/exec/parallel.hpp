#pragma once
// Threads. Only this file uses OpenMP. Without OpenMP all work runs on the calling thread.

#if defined(_OPENMP) && !__has_include(<omp.h>)
#error \
    "cambium: -fopenmp is on, but this compiler has no <omp.h>. Install it (libomp-dev for clang), or leave -fopenmp out: cambium then uses one thread"
#endif

#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <utility>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace cambium {

/// The largest number of threads of a call with this policy, at least 1.
inline int thread_count(cpu const& where)
{
#if defined(_OPENMP)
  return where.threads > 0 ? where.threads : omp_get_max_threads();
#else
  static_cast<void>(where);
  return 1;
#endif
}

/// Run body(rank, size) on a team of at most `most` threads, ranks 0..size-1, and wait for all.
///
/// The team may be smaller than requested (nested regions, limits of the system). `size` is its real size. The first
/// exception, by time, is rethrown after all members have returned. A body whose members wait for each other must not
/// throw.
template <class Body>
void as_team(int most, Body const& body)
{
  if (most <= 1) return body(0, 1);
#if defined(_OPENMP)
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
#pragma omp parallel num_threads(most)
  {
    try {
      body(omp_get_thread_num(), omp_get_num_threads());
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
#else
  body(0, 1);
#endif
}

/// A request to stop for a team whose members must not throw. Member 0 asks, all see the answer, and the caller throws
/// after the team has returned.
class stop_of_team {
 public:
  explicit stop_of_team(cpu const& where) : where_(where) {}

  bool seen_by(int rank)
  {
    if (rank == 0 && wants_to_stop(where_)) wanted_ = true;
    return wanted_;
  }
  void throw_if_seen() const { expects_no_stop(wanted_); }

 private:
  cpu const& where_;
  std::atomic<bool> wanted_{false};
};

/// The number of threads for `count` items, if each gets at least `grain` of them; at least 1.
inline int team_size(cpu const& where, index_t count, index_t grain)
{
  index_t const useful = (count + grain - 1) / grain;
  return static_cast<int>(std::max<index_t>(1, std::min<index_t>(thread_count(where), useful)));
}

/// Pieces of a share, if the call may be asked to stop.
inline constexpr index_t pieces_of_share = 16;

/// Call body(first, last) on contiguous shares of 0..count-1, one share per thread. `grain` is the smallest share that
/// pays for a thread. `where.stop` is asked first, and then between the pieces into which each share is cut for that.
template <class Body>
void for_each_share(cpu const& where, index_t count, index_t grain, Body const& body)
{
  if (count <= 0) return;
  ask_to_stop(where);
  as_team(team_size(where, count, grain), [&](int rank, int size) {
    index_t const first = count * rank / size, last = count * (rank + 1) / size;
    index_t const pieces = where.stop ? std::clamp<index_t>((last - first) / grain, 1, pieces_of_share) : 1;
    for (index_t piece = 0; piece < pieces; ++piece) {
      if (piece > 0) ask_to_stop(where);
      index_t const begin = first + (last - first) * piece / pieces,
                    end = first + (last - first) * (piece + 1) / pieces;
      if (begin < end) body(begin, end);
    }
  });
}

/// Call body(share, i) for items 0..count-1, for example the images of a batch. `share` is the body's policy. If there
/// are at least as many items as threads, each item gets one core, and a free thread takes the next item, in order.
/// Fewer items run one after the other, each with all threads, because teams do not nest.
///
/// An exception ends only its own thread's work. The first one, by time, is rethrown after all threads have returned. A
/// body that must continue after an invalid item catches the exception itself.
template <class Body>
void for_each_item(cpu const& where, index_t count, Body const& body)
{
  int const threads = thread_count(where);
  if (count < threads) {
    for (index_t i = 0; i < count; ++i) body(where, i);
    return;
  }
  cpu one = where;
  one.threads = 1;
  std::atomic<index_t> next{0};
  as_team(threads, [&](int, int) {
    for (index_t i; (i = next++) < count;) body(std::as_const(one), i);
  });
}

/// The number of steps that a member of a team has finished. Other members wait for it. Each has its own cache line.
///
/// A waiting thread spins first, because its partner is usually microseconds away. Then it yields. So more threads than
/// cores slow the work down but do not stop it.
struct alignas(64) progress {
  std::atomic<index_t> done{0};

  void publish(index_t step) { done.store(step, std::memory_order_release); }

  void wait_for(index_t step) const
  {
    for (int spin = 0; done.load(std::memory_order_acquire) < step;)
      if (++spin > 2000) std::this_thread::yield();
  }
};

}  // namespace cambium
