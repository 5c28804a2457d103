#include <cambium/exec/parallel.hpp>

#include <cambium/exec/loops.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

/// What a call with this policy hands to its threads.
std::vector<std::pair<index_t, index_t>> shares(cpu const& where, index_t count, index_t grain)
{
  std::vector<std::pair<index_t, index_t>> all;
  std::mutex one_at_a_time;
  for_each_share(where, count, grain, [&](index_t first, index_t last) {
    std::lock_guard<std::mutex> const lock(one_at_a_time);
    all.emplace_back(first, last);
  });
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

TEST_CASE("shares cover everything exactly once", "[exec][property]")
{
  int const threads = GENERATE(0, 1, 2, 3, 8, 17);
  index_t const count = GENERATE(1, 2, 7, 16, 64, 1000, 100003);
  index_t const grain = GENERATE(1, 3, 64, 5000);
  CAPTURE(threads, count, grain);
  auto const all = shares(cpu{.threads = threads}, count, grain);
  index_t next = 0;
  for (auto const& share : all) {
    REQUIRE(share.first == next);  // no gap, no overlap
    REQUIRE(share.second > share.first);
    next = share.second;
  }
  CHECK(next == count);
  // As many threads as there are grains; one has one piece, of several each has eight at most.
  auto const size = std::min<index_t>(thread_count(cpu{.threads = threads}), (count + grain - 1) / grain);
  CHECK(static_cast<index_t>(all.size()) <= (size > 1 ? 8 * size : 1));
}

TEST_CASE("nothing to share calls nothing", "[exec][errors]")
{
  CHECK(shares(cpu{}, 0, 1).empty());
  CHECK(shares(cpu{}, -5, 1).empty());
}

TEST_CASE("a policy has at least one thread, and as many as it asks for", "[exec][reference]")
{
  CHECK(thread_count(cpu{}) >= 1);
  CHECK(thread_count(cpu{.threads = 1}) == 1);
  CHECK(thread_count(cpu{.threads = -3}) >= 1);
  CHECK(thread_count(cpu{.threads = 7}) == 7);
}

TEST_CASE("a policy that leaves it open has the threads of OMP_NUM_THREADS, or one for each core", "[exec][reference]")
{
  CHECK(usual_threads("3") == 3);
  CHECK(usual_threads("4,2") == 4);  // of the outer level
  CHECK(usual_threads("1000000") == 1024);
  for (char const* const none : {"", "0", "-2", "many"}) CHECK(usual_threads(none) == cores_of_process());
  CHECK(usual_threads(nullptr) == cores_of_process());
  CHECK(cores_of_process() >= 1);
  CHECK(cores_of_process() <= static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

TEST_CASE("an exception comes through to the caller", "[exec][errors]")
{
  int const threads = GENERATE(1, 2, 4);
  SECTION("from a share, with its type and text")
  {
    auto const fail = [&] {
      for_each_share(cpu{.threads = threads}, 100, 1, [](index_t first, index_t last) {
        if (first <= 57 && 57 < last) throw std::out_of_range("share with 57");
      });
    };
    CAMBIUM_THROWS_SAYING(fail(), std::out_of_range, "share with 57");
  }
  // The next call works.
  CHECK(shares(cpu{.threads = threads}, 10, 1).back().second == 10);
}

namespace {

int asked = 0, until = 0;
bool after_some() { return ++asked > until; }
void see_nothing(index_t, index_t) {}

}  // namespace

TEST_CASE("a call that is asked to stop ends by an exception before its next loop", "[exec][errors]")
{
  asked = 0, until = GENERATE(0, 2);
  int loops = 0;
  auto const work = [&] {
    for (int i = 0; i < 10; ++i)
      for_each_share(cpu{.threads = 1, .stop = after_some}, 4, 1, [&](index_t, index_t) { ++loops; });
  };
  CAMBIUM_THROWS_SAYING(work(), stopped, "the caller asked to stop");
  CHECK(loops == until);
}

TEST_CASE("a share whose call may be asked to stop is done in pieces", "[exec][errors]")
{
  index_t const count = GENERATE(1, 7, 100, 1000), grain = GENERATE(1, 64);
  int const threads = GENERATE(1, 3);
  std::vector<int> seen(static_cast<std::size_t>(count));
  auto const see = [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) ++seen[static_cast<std::size_t>(i)];
  };
  for_each_share(cpu{.threads = threads, .stop = [] { return false; }}, count, grain, see);
  CHECK(seen == std::vector<int>(seen.size(), 1));

  asked = 0, until = 3;
  CAMBIUM_THROWS_SAYING(for_each_share(cpu{.threads = 1, .stop = after_some}, 1600, 1, see_nothing), stopped,
                        "to stop");
}

TEST_CASE("one that asks to stop ends all threads", "[exec][errors]")
{
  int const threads = GENERATE(2, 4);
  std::atomic<index_t> done{0};
  static std::atomic<int> questions;
  questions = 0;
  auto const work = [&] {
    for_each_share(cpu{.threads = threads, .stop = [] { return ++questions > 3; }}, 1 << 20, 1,
                   [&](index_t first, index_t last) { done += last - first; });
  };
  CAMBIUM_THROWS_SAYING(work(), stopped, "the caller asked to stop");
  CHECK(done < 1 << 20);
}

TEST_CASE("a team whose items must not throw stops when its caller's thread sees the request", "[exec][errors]")
{
  static std::atomic<int> questions;
  static std::atomic<bool> by_others;
  static std::thread::id caller;
  questions = 0, by_others = false, caller = std::this_thread::get_id();
  cpu const where{.threads = 3, .stop = [] {
                    if (std::this_thread::get_id() != caller) by_others = true;
                    return ++questions > 5;
                  }};
  std::atomic<int> done{0};
  stop_of_team stop(where);
  as_team(3, 100000, claims::in_order, [&](index_t) { done += stop.seen() ? 0 : 1; });
  CHECK_FALSE(by_others);
  CHECK(done < 100000);
  CHECK_THROWS_AS(stop.throw_if_seen(), stopped);
  stop_of_team const none{cpu{}};
  none.throw_if_seen();
}

TEST_CASE("calls inside a team do their work", "[exec][property]")
{
  std::vector<std::vector<int>> seen(3, std::vector<int>(50, 0));
  for_each_share(cpu{.threads = 3}, 3, 1, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      for_each_share(cpu{.threads = 4}, 50, 1, [&](index_t a, index_t b) {
        for (index_t j = a; j < b; ++j) ++seen[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
      });
  });
  for (auto const& row : seen) CHECK(row == std::vector<int>(50, 1));
}

TEST_CASE("for_each_cell visits every cell once", "[exec][property]")
{
  int const threads = GENERATE(1, 2, 5);
  index_t const extent[3] = {3, 7, 11};
  std::vector<int> visits(3 * 7 * 11, 0);
  std::atomic<int> astray{0};
  for_each_cell(cpu{.threads = threads}, extent, [&](index_t c, index_t y, index_t x) {
    if (0 <= c && c < 3 && 0 <= y && y < 7 && 0 <= x && x < 11)
      ++visits[static_cast<std::size_t>((c * 7 + y) * 11 + x)];
    else
      ++astray;
  });
  CHECK(astray == 0);
  CHECK(visits == std::vector<int>(visits.size(), 1));
  for (int r = 0; r < 3; ++r) {
    index_t none[3] = {3, 7, 11};
    none[r] = 0;
    for_each_cell(cpu{.threads = threads}, none, [&](index_t, index_t, index_t) { ++astray; });
    CHECK(astray == 0);
  }
}

TEST_CASE("every item of a batch is worked on once, with its share of the threads", "[exec][property]")
{
  int const threads = GENERATE(1, 2, 5);
  index_t const count = GENERATE(0, 1, 2, 3, 100);
  CAPTURE(threads, count);
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
  std::atomic<int> least{1000};
  for_each_item(cpu{.threads = threads}, count, [&](cpu const& share, index_t i) {
    ++seen[static_cast<std::size_t>(i)];
    for (int now = least; share.threads < now && !least.compare_exchange_weak(now, share.threads);) {
    }
  });
  for (auto const& n : seen) REQUIRE(n == 1);
  if (count > 0) CHECK(least == (count < threads ? threads : 1));
}

TEST_CASE("a batch hands an item's exception on", "[exec][errors]")
{
  CHECK_THROWS_AS(for_each_item(cpu{.threads = 3}, 10,
                                [](cpu const&, index_t i) {
                                  if (i == 4) throw std::runtime_error("item 4");
                                }),
                  std::runtime_error);
}
