#include <cambium/exec/helpers.hpp>
#include <cambium/exec/waiting.hpp>

#include "support/catch.hpp"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// Its threads cannot be started in the child of a process with threads, and it delays signals.
#if defined(__SANITIZE_THREAD__)
#define CAMBIUM_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAMBIUM_THREAD_SANITIZER 1
#endif
#endif

using namespace cambium;

namespace {

using namespace std::chrono_literals;

/// Wait for another thread, at most a minute.
template <class Ready>
bool comes_true(Ready const& ready)
{
  auto const last = std::chrono::steady_clock::now() + 60s;
  bool seen = false;
  while (!(seen = ready()) && std::chrono::steady_clock::now() < last) std::this_thread::sleep_for(100us);
  return seen;
}

#if !defined(CAMBIUM_THREAD_SANITIZER)
/// Runs teams until helpers have worked in one, since helpers rest while other processes use the cores.
/// @return the thread of one of them
pthread_t some_helper(int most)
{
  auto const caller = std::this_thread::get_id();
  std::atomic<bool> found{false};
  pthread_t out{};
  REQUIRE(comes_true([&] {
    as_team(most, most, claims::in_order, [&](index_t) {
      if (std::this_thread::get_id() != caller && !found.exchange(true)) out = pthread_self();
      std::this_thread::sleep_for(1ms);
    });
    return found.load();
  }));
  return out;
}

std::atomic<bool> held{false}, let_go{false};
/// A thread in this handler is one that the system does not run.
void hold(int)
{
  held = true;
  while (!let_go) usleep(1000);
  held = false;
}
#endif

}  // namespace

TEST_CASE("a team runs every item once", "[exec][property]")
{
  auto const how = GENERATE(claims::near, claims::in_order, claims::chained);
  int const most = GENERATE(-1, 1, 2, 3, 8, 40);
  index_t const count = GENERATE(0, 1, 2, 7, 100, 5000);
  CAPTURE(static_cast<int>(how), most, count);
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
  as_team(most, count, how, [&](index_t item) { ++seen.at(static_cast<std::size_t>(item)); });
  for (auto const& n : seen) REQUIRE(n == 1);
}

TEST_CASE("a thread takes items in order", "[exec][property]")
{
  auto const how = GENERATE(claims::in_order, claims::chained);
  thread_local index_t last = -1;
  thread_local int call = 0;
  std::atomic<bool> ordered{true};
  for (int n = 1; n <= 50; ++n)
    as_team(3, 200, how, [&, n](index_t item) {
      if (call == n && item <= last) ordered = false;
      call = n, last = item;
    });
  call = 0;
  CHECK(ordered);
}

TEST_CASE("threads begin in shares of their own", "[exec][property]")
{
  // The helper has the second half. Neither ends an item before both have begun one, so each has begun its own.
  auto const caller = std::this_thread::get_id();
  REQUIRE(comes_true([&] {
    std::atomic<int> by_caller{-1}, by_helper{-1};
    as_team(2, 10, claims::near, [&](index_t item) {
      auto& first = std::this_thread::get_id() == caller ? by_caller : by_helper;
      int none = -1;
      if (!first.compare_exchange_strong(none, static_cast<int>(item))) return;
      for (int i = 0; i < 100 && (by_caller == -1 || by_helper == -1); ++i) std::this_thread::sleep_for(1ms);
    });
    return by_caller == 0 && by_helper == 5;
  }));
}

TEST_CASE("all items but its own are done while a helper is held up in one", "[exec][property]")
{
  auto const how = GENERATE(claims::near, claims::in_order);
  auto const caller = std::this_thread::get_id();
  bool was_held = false;
  REQUIRE(comes_true([&] {
    std::atomic<int> done{0};
    std::atomic<bool> began{false}, in_time{true};
    as_team(2, 40, how, [&](index_t) {
      if (std::this_thread::get_id() != caller && !began.exchange(true)) {
        was_held = true;
        in_time = comes_true([&] { return done == 39; });
      } else {
        std::this_thread::sleep_for(100us);
      }
      ++done;
    });
    return was_held ? in_time.load() : false;
  }));
}

#if !defined(CAMBIUM_THREAD_SANITIZER)
TEST_CASE("a helper that does not run holds up nobody", "[exec][property]")
{
  auto const how = GENERATE(claims::near, claims::in_order, claims::chained);
  pthread_t const slow = some_helper(2);
  struct sigaction before{}, now{};
  now.sa_handler = hold;
  now.sa_flags = SA_RESTART;
  REQUIRE(sigaction(SIGUSR2, &now, &before) == 0);
  let_go = false;
  REQUIRE(pthread_kill(slow, SIGUSR2) == 0);
  REQUIRE(comes_true([] { return held.load(); }));
  for (int n = 0; n < 3; ++n) {
    std::vector<int> seen(1000, 0);
    as_team(2, 1000, how, [&](index_t item) { ++seen[static_cast<std::size_t>(item)]; });
    CHECK(seen == std::vector<int>(1000, 1));
  }
  CHECK(held);
  let_go = true;
  CHECK(comes_true([] { return !held; }));
  REQUIRE(sigaction(SIGUSR2, &before, nullptr) == 0);
  some_helper(2);  // it works again
}
#endif

TEST_CASE("after an exception no further item begins", "[exec][errors]")
{
  auto const how = GENERATE(claims::near, claims::in_order);
  int const most = GENERATE(1, 2, 5);
  auto const caller = std::this_thread::get_id();
  REQUIRE(comes_true([&] {
    std::atomic<bool> thrown{false}, helped{false};
    std::atomic<int> begun{0};
    auto const fail = [&] {
      as_team(most, 1000, how, [&](index_t item) {
        ++begun;
        if (std::this_thread::get_id() != caller) helped = true;
        if (item == 5) {
          for (int i = 0; i < 50 && !helped && most > 1; ++i) std::this_thread::sleep_for(1ms);
          thrown = true;
          throw std::runtime_error("item 5");
        }
        if (item > 5) std::this_thread::sleep_for(thrown ? 3ms : 200us);
      });
    };
    CAMBIUM_THROWS_SAYING(fail(), std::runtime_error, "item 5");
    CHECK(begun < 1000);
    return most == 1 || helped;
  }));
  CHECK_THROWS_AS(as_team(most, 10, how, [](index_t) { throw 42; }), int);
  int once = 0;
  as_team(most, 1, how, [&](index_t) { ++once; });  // the next call works
  CHECK(once == 1);
}

TEST_CASE("the exception of a helper reaches the caller when all have ended", "[exec][errors]")
{
  auto const caller = std::this_thread::get_id();
  REQUIRE(comes_true([&] {
    std::atomic<int> at_work{0};
    try {
      as_team(3, 30, claims::in_order, [&](index_t) {
        ++at_work;
        std::this_thread::sleep_for(1ms);
        --at_work;
        if (std::this_thread::get_id() != caller) throw std::out_of_range("a helper");
      });
    } catch (std::out_of_range const& e) {
      CHECK(at_work == 0);
      return std::string(e.what()) == "a helper";
    }
    return false;
  }));
}

TEST_CASE("a call inside an item runs on its thread", "[exec][property]")
{
  std::vector<std::vector<int>> seen(8, std::vector<int>(50, 0));
  std::atomic<bool> alone{true};
  as_team(4, 8, claims::in_order, [&](index_t item) {
    auto const own = std::this_thread::get_id();
    as_team(4, 50, claims::near, [&](index_t inner) {
      ++seen[static_cast<std::size_t>(item)][static_cast<std::size_t>(inner)];
      if (std::this_thread::get_id() != own) alone = false;
    });
  });
  for (auto const& row : seen) CHECK(row == std::vector<int>(50, 1));
  CHECK(alone);
}

TEST_CASE("threads of a user call at once", "[exec][property]")
{
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (int u = 0; u < 6; ++u)
    users.emplace_back([&, u] {
      for (int n = 0; n < 200; ++n) {
        std::vector<index_t> out(static_cast<std::size_t>(20 + n));
        auto const body = [&](index_t i) { out[static_cast<std::size_t>(i)] = i * u + n; };
        as_team(1 + (u + n) % 4, static_cast<index_t>(out.size()), n % 2 ? claims::near : claims::in_order, body);
        for (std::size_t i = 0; i < out.size(); ++i) wrong += out[i] != static_cast<index_t>(i) * u + n;
      }
    });
  for (auto& user : users) user.join();
  CHECK(wrong == 0);
}

TEST_CASE("items wait for those before them", "[exec][property]")
{
  // Item r writes place s only after item r-1 has: the order of a queue.
  constexpr int steps = 200, items = 12;
  int const most = GENERATE(1, 2, 4);
  std::vector<std::vector<int>> line(items, std::vector<int>(steps, -1));
  std::vector<progress> finished(items);
  std::atomic<bool> ordered{true};
  as_team(most, items, claims::chained, [&](index_t item) {
    auto const r = static_cast<std::size_t>(item);
    for (int s = 0; s < steps; ++s) {
      if (r > 0) {
        finished[r - 1].wait_for(s + 1);
        if (line[r - 1][static_cast<std::size_t>(s)] != s) ordered = false;
      }
      line[r][static_cast<std::size_t>(s)] = s;
      if (s % 50 == 7) std::this_thread::sleep_for(200us);  // longer than others look: they sleep
      finished[r].publish(s + 1);
    }
  });
  CHECK(ordered);
  for (auto const& row : line) CHECK(row.back() == steps - 1);
  finished[0].wait_for(steps);  // long done: returns at once
}

TEST_CASE("time that a thread was kept from running is neither used nor slept", "[exec][property]")
{
  kept_time kept;
  std::this_thread::sleep_for(30ms);  // as little under the thread's control as another process's time slice
  CHECK(kept.ask() > 25'000'000);

  waiting_place place;
  std::atomic<bool> ready{false};
  std::thread other([&] {
    std::this_thread::sleep_for(400ms);
    ready = true;
    place.wake();
  });
  kept.ask();
  place.wait([&] { return ready.load(); });
  CHECK(ready);
  CHECK(kept.ask() < 300'000'000);
  other.join();
}

TEST_CASE("helpers rest while the cores are in demand, at most 160 ms, and first 10", "[exec][property]")
{
  core_demand demand;
  CHECK_FALSE(demand.high());
  demand.note(core_demand::least_kept - 1);
  CHECK_FALSE(demand.high());
  auto const rest = [&] {  // [s]
    auto const begin = std::chrono::steady_clock::now();
    demand.note(core_demand::least_kept);
    while (demand.high()) std::this_thread::sleep_for(100us);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  CHECK(rest() >= 0.0099);
  CHECK(rest() >= 0.0199);
  CHECK(rest() >= 0.0399);
  CHECK(rest() >= 0.0799);
  for (int n = 0; n < 2; ++n) CHECK(rest() >= 0.1599);
  // After a calm time the first rest is short again. A busy machine makes any rest longer.
  REQUIRE(comes_true([&] {
    std::this_thread::sleep_for(60ms);
    demand.note(0);
    return rest() < 0.1;
  }));
}

#if !defined(CAMBIUM_THREAD_SANITIZER)
TEST_CASE("a forked process has helpers of its own", "[exec][property]")
{
  some_helper(3);
  // another thread is in the middle of calls when the process forks
  std::atomic<bool> ended{false};
  std::thread busy([&] {
    while (!ended) as_team(3, 10, claims::near, [](index_t) {});
  });
  for (int n = 0; n < 5; ++n) {
    pid_t const child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      alarm(60);
      auto const caller = std::this_thread::get_id();
      std::atomic<bool> helped{false};
      for (int i = 0; i < 20000 && !helped; ++i)
        as_team(2, 4, claims::in_order, [&](index_t) {
          if (std::this_thread::get_id() != caller) helped = true;
          usleep(500);
        });
      index_t sum = 0;
      std::mutex one;
      as_team(4, 100, claims::near, [&](index_t item) {
        std::lock_guard<std::mutex> const lock(one);
        sum += item;
      });
      _exit(helped && sum == 4950 ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  ended = true;
  busy.join();
  some_helper(3);  // the parent still has its own
}
#endif

#if defined(CAMBIUM_TEAM_MODULE)
namespace {

std::size_t threads_of_process()
{
  auto const all = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("a shared object takes its helpers with it", "[exec][property]")
{
  if (!std::filesystem::exists("/proc/self/task")) return;
  std::size_t const before = threads_of_process();
  for (int n = 0; n < 10; ++n) {
    void* const module = dlopen(CAMBIUM_TEAM_MODULE, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(module != nullptr);
    auto const run = reinterpret_cast<int (*)()>(dlsym(module, "run_a_team"));
    auto const tell = reinterpret_cast<void (*)(int*)>(dlsym(module, "tell_at_the_end"));
    REQUIRE(run != nullptr);
    REQUIRE(tell != nullptr);
    CHECK(run() == 3);  // threads
    CHECK(threads_of_process() == before + 2);
    int at_the_end = 0;
    tell(&at_the_end);
    REQUIRE(dlclose(module) == 0);
    REQUIRE(dlopen(CAMBIUM_TEAM_MODULE, RTLD_NOW | RTLD_NOLOAD) == nullptr);  // it is gone
    CHECK(at_the_end == 10);  // a call when helpers are gone runs all items
    CHECK(comes_true([&] { return threads_of_process() == before; }));
  }
}
#endif
