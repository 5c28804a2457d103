#pragma once
// Threads of the library's own, and teams of them.
//
// OpenMP's regions end at a barrier of all threads. One that the system does not run holds all up for a time slice:
// with four processes on two cores, two threads took four to five times as long as one. Here the work is cut into items,
// and threads claim them. No item waits for a thread that does not run: a helper that is not running claims nothing, and
// the caller does its items. The caller waits only for items that are claimed and not finished.

#include <cambium/core/index.hpp>
#include <cambium/exec/waiting.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif
#if __has_include(<pthread.h>)
#include <pthread.h>
#endif

namespace cambium {

/// Whether other processes use the cores. A helper that is kept from running then holds up those that wait for its item.
/// So helpers rest for a while and are tried again, at first soon and then more seldom.
class core_demand {
 public:
  /// Longer than an interrupt, shorter than another process's time slice. [ns]
  static constexpr std::int64_t least_kept = 300'000;

  bool high() const { return nanoseconds_now() < until_.load(std::memory_order_relaxed); }

  /// A thread of a team was kept from running for some time, or 0.
  void note(std::int64_t nanoseconds_kept)
  {
    std::int64_t const now = nanoseconds_now(), last = until_.load(std::memory_order_relaxed);
    if (nanoseconds_kept < least_kept) {
      if (now > last + calm) pause_.store(shortest, std::memory_order_relaxed);
      return;
    }
    std::int64_t const pause = pause_.load(std::memory_order_relaxed);
    until_.store(now + pause, std::memory_order_relaxed);
    if (now > last) pause_.store(std::min(2 * pause, longest), std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t shortest = 10'000'000, longest = 160'000'000, calm = 50'000'000;  // [ns]
  std::atomic<std::int64_t> until_{0}, pause_{shortest};
};

/// What helpers are called for.
struct helper_call {
  void (*work)(helper_call&, int rank) = nullptr;
};

/// A thread that sleeps until it is called. It belongs to one call at a time.
struct alignas(64) helper {
  std::atomic<helper_call*> mail{nullptr};  ///< a call; `taken` while the helper works for it; then null
  std::atomic<bool> dismissed{false};
  int rank = 0;
  std::int64_t kept = 0;    ///< [ns] from running, in the last call
  std::int64_t spent = 0;   ///< [ns] on the last call, without that
  helper* next = nullptr;   ///< in the list of the free, or of a team
  helper* older = nullptr;  ///< in the list of all
  waiting_place morning, evening;
  std::thread thread;

  void call(helper_call& to)
  {
    mail.store(&to);
    morning.wake();
  }
  /// Withdraw a call that is not answered, and wait for the end of one that is.
  void release(helper_call& from)
  {
    helper_call* unread = &from;
    if (!mail.compare_exchange_strong(unread, nullptr)) evening.wait([&] { return mail.load() == nullptr; });
  }
  void live();

 private:
  static inline helper_call taken;
};

/// Whether this thread works in a team. Calls that it makes then run on this thread alone.
inline thread_local bool in_team = false;

inline void helper::live()
{
  in_team = true;
  for (;;) {
    morning.wait([&] { return mail.load() != nullptr || dismissed.load(); });
    helper_call* to = mail.load();
    if (to == nullptr) {
      if (dismissed.load()) return;
      continue;  // the call was withdrawn
    }
    if (!mail.compare_exchange_strong(to, &taken)) continue;
    std::int64_t const begin = nanoseconds_now();
    kept_time here;
    to->work(*to, rank);
    kept = here.ask();
    spent = nanoseconds_now() - begin - kept;
    mail.store(nullptr);
    evening.wake();
  }
}

/// All helpers of the process, or of one shared object that hides its symbols. They are started when they are first
/// needed. A process that was forked has none at first, and starts its own.
class helper_pool {
 public:
  core_demand demand;

  static helper_pool& of_process();

  /// At most `count` free helpers, as a list with ranks 1, 2, ... New ones are started as long as there are fewer than
  /// `most` in all. None at the end of the process.
  helper* take(int count, int most)
  {
    std::lock_guard<std::mutex> const one(mutex_);
    helper* first = nullptr;
    helper** end = &first;
    for (int rank = 1; rank <= count && (free_ != nullptr || start_another(most)); ++rank) {
      *end = std::exchange(free_, free_->next);
      (*end)->rank = rank;
      end = &(*end)->next;
    }
    *end = nullptr;
    return first;
  }
  /// The next team gets them with the same ranks: their caches hold what they did.
  void give_back(helper* first)
  {
    std::lock_guard<std::mutex> const one(mutex_);
    helper* last = first;
    while (last->next != nullptr) last = last->next;
    last->next = std::exchange(free_, first);
  }

  /// Dismiss and join the free ones. The others work while the process ends: the system ends them.
  void close()
  {
    std::lock_guard<std::mutex> const one(mutex_);
    closed_ = true;
    for (helper* h = free_; h != nullptr; h = h->next) {
      h->dismissed.store(true);
      h->morning.wake();
    }
    for (helper* h = std::exchange(free_, nullptr); h != nullptr; h = h->next) h->thread.join();
    for (helper** at = &all_; *at != nullptr;) {
      helper* const h = *at;
      if (h->thread.joinable()) {
        h->thread.detach();
        at = &h->older;
      } else {
        *at = h->older;
        delete h;
      }
    }
  }
  /// The child of a fork has the memory of its parent's helpers, but not their threads, and perhaps a lock that nobody
  /// opens.
  void forget()
  {
    new (&mutex_) std::mutex;
    free_ = nullptr;
    lost_ = std::exchange(all_, nullptr);
    number_ = 0;
  }

 private:
  bool start_another(int most)
  {
    if (closed_ || number_ >= most) return false;
    try {
      auto fresh = std::make_unique<helper>();
      fresh->thread = std::thread([h = fresh.get()] { h->live(); });
      fresh->older = std::exchange(all_, fresh.get());
      free_ = fresh.release();
      ++number_;
      return true;
    } catch (std::system_error const&) {  // the system has no more threads: the team is smaller
      return false;
    }
  }

  std::mutex mutex_;
  helper *free_ = nullptr, *all_ = nullptr;
  helper* lost_ = nullptr;  ///< of the parent
  int number_ = 0;
  bool closed_ = false;
};

/// The pool is never destroyed: threads that are still at work when the process ends may call it.
union lasting_pool {
  helper_pool pool;
  constexpr lasting_pool() : pool() {}
  ~lasting_pool() {}
};
constinit inline lasting_pool pool_of_process;

/// Notices forks. Joins sleeping helpers at the end of the process, or before the shared object with their code is
/// unloaded.
struct pool_keeper {
#if __has_include(<pthread.h>)
  pool_keeper()
  {
    pthread_atfork(nullptr, nullptr, [] { pool_of_process.pool.forget(); });
  }
#endif
  ~pool_keeper() { pool_of_process.pool.close(); }
};
inline pool_keeper const keeps_pool{};

inline helper_pool& helper_pool::of_process() { return pool_of_process.pool; }

/// How the threads of a team claim items. Where a helper may hold up the caller (near, chained), helpers rest while other
/// processes use the cores.
enum class claims {
  near,      ///< each in a range of its own, and then what is left of the others'
  in_order,  ///< the next one
  chained,   ///< the next one; an item may wait for those before it
};

/// The items of a team, and who has claimed them.
template <class Body>
class team_items : public helper_call {
 public:
  team_items(int size, index_t count, claims how, Body const& body, core_demand& demand)
      : body_(body), demand_(demand), how_(how), ranges_(how == claims::near ? std::min(size, most_ranges) : 1)
  {
    work = [](helper_call& self, int rank) { static_cast<team_items&>(self).claim(rank); };
    for (int r = 0; r < ranges_; ++r) {
      range_[r].next.store(count * r / ranges_, std::memory_order_relaxed);
      range_[r].end = count * (r + 1) / ranges_;
    }
  }

  /// Run all items, with these helpers.
  void run(helper* helpers)
  {
    resting_ = how_ != claims::in_order && demand_.high() ? helpers : nullptr;
    if (resting_ == nullptr) call(helpers);
    if (how_ == claims::chained) resting_ = helpers;  // they go when they are kept from running
    in_team = true;
    claim(0);
    in_team = false;
    std::int64_t const end = nanoseconds_now();
    std::int64_t kept = 0, spared = core_demand::least_kept;
    for (helper* h = helpers; h != nullptr; h = h->next) {
      h->release(*this);
      kept = std::max(kept, std::exchange(h->kept, 0));
      spared += std::exchange(h->spent, 0);
    }
    // A helper that is kept from running does harm where the caller waits for longer than it would have worked alone.
    if (how_ == claims::near) demand_.note(nanoseconds_now() - end > spared ? kept : 0);
  }
  void rethrow() const
  {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  static constexpr int most_ranges = 32;
  struct alignas(64) range {
    std::atomic<index_t> next;
    index_t end;
  };

  void claim(int rank)
  {
    try {
      for (int r = 0; r < ranges_; ++r) claim_from(range_[(rank + r) % ranges_], rank);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
  }
  void claim_from(range& from, int rank)
  {
    bool const chained = how_ == claims::chained;
    std::optional<kept_time> kept;
    if (chained) kept.emplace();
    while (!failed_.load(std::memory_order_relaxed) && from.next.load(std::memory_order_relaxed) < from.end) {
      if (chained && rank > 0 && demand_.high()) return;
      index_t const item = from.next.fetch_add(1, std::memory_order_relaxed);
      if (item >= from.end) return;
      body_(item);
      if (chained) demand_.note(kept->ask());
      if (rank == 0 && resting_ != nullptr && !demand_.high()) call(resting_);
    }
  }

  /// Call those who are not here.
  void call(helper* helpers)
  {
    for (helper* h = helpers; h != nullptr; h = h->next)
      if (h->mail.load() == nullptr) h->call(*this);
  }

  Body const& body_;
  core_demand& demand_;
  claims how_;
  int ranges_;
  range range_[most_ranges];
  helper* resting_ = nullptr;  ///< those who may have to be called later; known to the caller alone
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
};

/// The number of cores that the process may use, at least 1.
inline int cores_of_process()
{
#if defined(__linux__)
  static int const allowed = [] {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;  // 0: more than 1024 cores
  }();
  if (allowed > 0) return allowed;
#endif
  static int const all = static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, all);
}

/// The largest number of helpers, whatever a call asks for.
inline constexpr int most_helpers = 1023;

/// Run body(item) for items 0..count-1 on the calling thread and at most `most` - 1 helpers, and wait for all.
///
/// A team may be smaller: helpers that work for other calls, or that the system does not run, claim nothing. All teams
/// together have a helper less than the process has cores, or than the largest team asked for. A call inside an item
/// runs on its thread alone.
///
/// After an exception in an item no further item begins. The first one, by time, is rethrown when all that had begun
/// have ended. Items that wait for others (claims::chained) must not throw.
template <class Body>
void as_team(int most, index_t count, claims how, Body const& body)
{
  most = static_cast<int>(std::min<index_t>(most, count));
  helper_pool& pool = helper_pool::of_process();
  int const in_all = std::min(std::max(most, cores_of_process()) - 1, most_helpers);
  helper* const helpers = most > 1 && !in_team ? pool.take(most - 1, in_all) : nullptr;
  if (helpers == nullptr) {
    for (index_t item = 0; item < count; ++item) body(item);
    return;
  }
  team_items<Body> items(most, count, how, body, pool.demand);
  items.run(helpers);
  pool.give_back(helpers);
  items.rethrow();
}

/// The number of threads that a team of claims::chained has at its begin, of `most`.
inline int team_of_chain(index_t most)
{
  return in_team || helper_pool::of_process().demand.high() ? 1 : static_cast<int>(most);
}

}  // namespace cambium
