#include <cambium/exec/parallel.hpp>

#include <cambium/exec/loops.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
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
  auto const most = static_cast<index_t>(thread_count(cpu{.threads = threads}));
  CHECK(static_cast<index_t>(all.size()) <= std::min(most, (count + grain - 1) / grain));
}

TEST_CASE("nothing to share calls nothing", "[exec][errors]")
{
  CHECK(shares(cpu{}, 0, 1).empty());
  CHECK(shares(cpu{}, -5, 1).empty());
}

TEST_CASE("a team has ranks 0..size-1, once each", "[exec][property]")
{
  int const most = GENERATE(-1, 0, 1, 2, 5, 12);
  std::vector<int> called(12, 0), sizes;
  std::mutex one_at_a_time;
  as_team(most, [&](int rank, int size) {
    std::lock_guard<std::mutex> const lock(one_at_a_time);
    ++called.at(static_cast<std::size_t>(rank));
    sizes.push_back(size);
  });
  REQUIRE(!sizes.empty());
  auto const size = static_cast<std::size_t>(sizes[0]);
  CHECK(size <= static_cast<std::size_t>(std::max(1, most)));
  CHECK(sizes == std::vector<int>(size, sizes[0]));  // everyone learns the same size
  for (std::size_t rank = 0; rank < 12; ++rank) CHECK(called[rank] == (rank < size ? 1 : 0));
}

TEST_CASE("a policy has at least one thread, and as many as it asks for", "[exec][reference]")
{
  CHECK(thread_count(cpu{}) >= 1);
  CHECK(thread_count(cpu{.threads = 1}) == 1);
  CHECK(thread_count(cpu{.threads = -3}) >= 1);
#if defined(_OPENMP)
  CHECK(thread_count(cpu{.threads = 7}) == 7);
#else
  CHECK(thread_count(cpu{.threads = 7}) == 1);
#endif
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
  SECTION("one of them when all throw, and only when all have come back")
  {
    std::vector<int> entered(4, 0);
    auto const fail = [&] {
      as_team(threads, [&](int rank, int) {
        entered[static_cast<std::size_t>(rank)] = 1;
        throw std::runtime_error("member " + std::to_string(rank));
      });
    };
    CAMBIUM_THROWS_SAYING(fail(), std::runtime_error, "member ");
    CHECK(std::count(entered.begin(), entered.end(), 1) >= 1);
    CHECK(std::count(entered.begin(), entered.end(), 1) <= threads);
  }
  SECTION("whatever is thrown")
  {
    CHECK_THROWS_AS(as_team(threads, [](int, int) { throw 42; }), int);
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

#if defined(_OPENMP)
TEST_CASE("a call leaves the process as it was", "[exec][property]")
{
  int const before = omp_get_max_threads();
  for_each_share(cpu{.threads = before + 3}, 1000, 1, [](index_t, index_t) {});
  CHECK(omp_get_max_threads() == before);
}
#endif

TEST_CASE("members wait for the steps of others", "[exec][property]")
{
  // Member r writes place s only after member r-1 has: the order of a queue.
  constexpr int steps = 200;
  std::vector<std::vector<int>> line(4, std::vector<int>(steps, -1));
  std::vector<progress> finished(4);
  std::atomic<bool> ordered{true};
  as_team(4, [&](int rank, int) {
    auto const r = static_cast<std::size_t>(rank);
    for (int s = 0; s < steps; ++s) {
      if (r > 0) {
        finished[r - 1].wait_for(s + 1);
        if (line[r - 1][static_cast<std::size_t>(s)] != s) ordered = false;
      }
      line[r][static_cast<std::size_t>(s)] = s;
      finished[r].publish(s + 1);
    }
  });
  CHECK(ordered);
  finished[0].wait_for(steps);  // long done: returns at once
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
