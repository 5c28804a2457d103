// A shared object with a pool of helpers: its symbols are hidden. helpers_test.cpp loads and unloads it.

#include <cambium/exec/helpers.hpp>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

namespace {

int* told = nullptr;

/// Made before the helpers' keeper is: ends after it.
struct late {
  ~late()
  {
    if (told == nullptr) return;
    std::atomic<int> items{0};
    cambium::as_team(3, 10, cambium::claims::near, [&](cambium::index_t) { ++items; });
    *told = items;
  }
};
__attribute__((init_priority(200))) late const ends_late;

}  // namespace

/// @return the number of threads that worked, of three
extern "C" __attribute__((visibility("default"))) int run_a_team()
{
  std::mutex one;
  std::set<std::thread::id> seen;
  for (int n = 0; n < 20000 && seen.size() < 3; ++n)
    cambium::as_team(3, 3, cambium::claims::in_order, [&](cambium::index_t) {
      {
        std::lock_guard<std::mutex> const lock(one);
        seen.insert(std::this_thread::get_id());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  return static_cast<int>(seen.size());
}

extern "C" __attribute__((visibility("default"))) void tell_at_the_end(int* where) { told = where; }
