#include "data/loader.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace trainer;
using cambium::io_error;
using cambium::precondition_error;

namespace {

using item = std::pair<std::size_t, std::uint64_t>;

item plain(std::size_t index, std::uint64_t seed) { return {index, seed}; }

/// The same, after a while that differs from item to item.
item slow(std::size_t index, std::uint64_t seed)
{
  std::this_thread::sleep_for(std::chrono::microseconds(seed % 700));
  return {index, seed};
}

std::vector<item> epoch_of(loader<item>& l, std::uint64_t epoch, std::size_t first = 0)
{
  std::vector<item> out;
  l.start(epoch, first);
  while (auto i = l.next()) out.push_back(*i);
  return out;
}

std::vector<item> keep(std::vector<item>&& all) { return std::move(all); }

}  // namespace

TEST_CASE("loader: the same items in the same order for every number of workers", "[property]")
{
  loader<item> none(200, 42, 0, plain);
  auto const want0 = epoch_of(none, 0), want1 = epoch_of(none, 1);
  CHECK(want0 != want1);
  for (int const workers : {1, 2, 8}) {
    loader<item> l(200, 42, workers, slow);
    CHECK(epoch_of(l, 0) == want0);
    CHECK(epoch_of(l, 1) == want1);
    CHECK(epoch_of(l, 0) == want0);
    CHECK(epoch_of(l, 1, 50) == std::vector<item>(want1.begin() + 50, want1.end()));
    CHECK(epoch_of(l, 1, 200).empty());
  }
  loader<item> other(200, 43, 0, plain);
  CHECK(epoch_of(other, 0) != want0);
}

TEST_CASE("loader: an epoch has each item once, with a seed of its own", "[property]")
{
  loader<item> l(100, 7, 3, plain);
  std::set<std::uint64_t> seeds;
  for (std::uint64_t e = 0; e < 3; ++e) {
    auto all = epoch_of(l, e);
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(l.order()[i] == all[i].first);
    for (item const& i : all) seeds.insert(i.second);
    CHECK_FALSE(std::is_sorted(all.begin(), all.end()));
    std::sort(all.begin(), all.end());
    REQUIRE(all.size() == 100);
    for (std::size_t i = 0; i < 100; ++i) CHECK(all[i].first == i);
  }
  CHECK(seeds.size() == 300);
  loader<item> straight(5, 7, 2, plain, {.shuffle = false});
  auto const all = epoch_of(straight, 4);
  for (std::size_t i = 0; i < 5; ++i) CHECK(all[i].first == i);
}

TEST_CASE("loader: what a worker throws arrives at its item's turn, and the rest goes on", "[errors]")
{
  for (int const workers : {0, 1, 4}) {
    loader<item> l(20, 1, workers,
                   [](std::size_t i, std::uint64_t seed) {
                     if (i == 3) throw io_error("photo.jpg: is not a JPEG file");
                     if (i == 5) throw precondition_error("resize: 0 rows");
                     if (i == 9) throw std::out_of_range("map::at");
                     if (i == 12) throw 5;
                     return slow(i, seed);
                   },
                   {.shuffle = false});
    l.start(0);
    for (std::size_t i = 0; i < 20; ++i) {
      INFO(i << " with " << workers);
      switch (i) {
        case 3:
          CAMBIUM_THROWS_SAYING((void)l.next(), io_error, "item 3: photo.jpg: is not");
          break;
        case 5:
          CAMBIUM_THROWS_SAYING((void)l.next(), precondition_error, "item 5: resize");
          break;
        case 9:
          CAMBIUM_THROWS_SAYING((void)l.next(), std::runtime_error, "item 9: map::at");
          break;
        case 12:
          CAMBIUM_THROWS_SAYING((void)l.next(), std::runtime_error, "item 12: something");
          break;
        default:
          CHECK(l.next()->first == i);
      }
    }
    CHECK_FALSE(l.next().has_value());
  }
}

TEST_CASE("loader: workers look ahead so far and no farther", "[property]")
{
  std::atomic<int> made = 0;
  loader<int> l(100, 1, 4, [&](std::size_t, std::uint64_t) { return ++made, 0; }, {.look_ahead = 6});
  l.start(0);
  for (int i = 0; i < 200 && made < 6; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(made == 6);
  (void)l.next();
  for (int i = 0; i < 200 && made < 7; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(made == 7);
}

TEST_CASE("loader: several threads make items at once", "[property]")
{
  std::atomic<int> inside = 0, most = 0;
  loader<int> l(40, 1, 4, [&](std::size_t, std::uint64_t) {
    int const now = ++inside;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    --inside;
    return 0;
  });
  l.start(0);
  while (l.next()) {
  }
  CHECK(most > 1);
  CHECK(most <= 4);
}

TEST_CASE("loader: it can be left at any time", "[property]")
{
  for (int round = 0; round < 100; ++round) {
    loader<item> l(50, 1, 1 + round % 5, slow);
    if (round % 3 == 0) continue;  // never begun
    l.start(0);
    for (int i = 0; i < round % 7; ++i) (void)l.next();
    if (round % 2 == 0) l.start(1);  // while workers are busy with epoch 0
    if (round % 4 == 0) CHECK(l.next()->first == l.order()[0]);
  }
}

TEST_CASE("loader: batches", "[picture]")
{
  for (int const workers : {0, 3}) {
    loader<item> l(10, 5, workers, slow);
    auto const all = epoch_of(l, 2);
    auto const sizes = [&](std::size_t count, last_batch last, std::size_t first = 0) {
      std::vector<std::size_t> out;
      std::vector<item> joined;
      l.start(2, first);
      while (auto b = l.next_batch(count, last, keep)) {
        out.push_back(b->size());
        joined.insert(joined.end(), b->begin(), b->end());
      }
      CHECK(std::equal(joined.begin(), joined.end(), all.begin() + static_cast<std::ptrdiff_t>(first)));
      CHECK_FALSE(l.next_batch(count, last, keep).has_value());
      return out;
    };
    CHECK(sizes(4, last_batch::drop) == std::vector<std::size_t>{4, 4});
    CHECK(sizes(4, last_batch::keep) == std::vector<std::size_t>{4, 4, 2});
    CHECK(sizes(5, last_batch::drop) == std::vector<std::size_t>{5, 5});
    CHECK(sizes(5, last_batch::keep) == std::vector<std::size_t>{5, 5});
    CHECK(sizes(11, last_batch::drop).empty());
    CHECK(sizes(11, last_batch::keep) == std::vector<std::size_t>{10});
    CHECK(sizes(4, last_batch::drop, 4) == std::vector<std::size_t>{4});
    CHECK(l.batches(4, last_batch::drop) == 2);
    CHECK(l.batches(4, last_batch::keep) == 3);
  }
}

TEST_CASE("loader: items that can only be moved", "[property]")
{
  loader<std::unique_ptr<std::size_t>> l(9, 5, 2,
                                         [](std::size_t i, std::uint64_t) { return std::make_unique<std::size_t>(i); });
  l.start(0);
  std::size_t sum = 0;
  while (auto batch = l.next_batch(3, last_batch::drop, [](auto&& all) { return *all[0] + *all[1] + *all[2]; }))
    sum += *batch;
  CHECK(sum == 36);
}

TEST_CASE("loader: what is wrong is named", "[errors]")
{
  CAMBIUM_THROWS_SAYING(loader<item>(1, 1, -1, plain), precondition_error, "-1 workers");
  CAMBIUM_THROWS_SAYING(loader<item>(1, 1, 1, {}), precondition_error, "no function");
  loader<item> l(3, 1, 1, plain);
  CAMBIUM_THROWS_SAYING((void)l.next(), precondition_error, "start an epoch first");
  CAMBIUM_THROWS_SAYING(l.start(0, 4), precondition_error, "3 items cannot begin at item 4");
  l.start(0);
  CAMBIUM_THROWS_SAYING((void)l.next_batch(0, last_batch::keep, keep), precondition_error, "a batch of 0");
  loader<item> empty(0, 1, 2, plain);
  empty.start(0);
  CHECK_FALSE(empty.next().has_value());
}

TEST_CASE("dice: known numbers, ranges, moments", "[picture]")
{
  CHECK(dice(0).bits() == 0xe220a8397b1dcdafu);  // the first of splitmix64
  dice d(11);
  double sum = 0, square = 0;
  int face[6] = {};
  for (int i = 0; i < 60000; ++i) {
    double const u = d(-1, 3), n = d.normal();
    REQUIRE((u >= -1 && u < 3));
    sum += n, square += n * n;
    ++face[d.below(6)];
  }
  CHECK(std::abs(sum / 60000) < 0.02);
  CHECK(std::abs(square / 60000 - 1) < 0.03);
  for (int const f : face) CHECK(std::abs(f - 10000) < 500);
  CHECK(seed_of(1, 2, 3) != seed_of(1, 3, 2));
  CHECK(seed_of(1, 2) != seed_of(2, 1));
  CAMBIUM_THROWS_SAYING((void)d.below(0), precondition_error, "below(0)");
}
