#include "data/kept.hpp"

#include "data/loader.hpp"

#include <algorithm>
#include <thread>

namespace trainer {

kept::kept(dataset const& from) : from_(&from)
{
  int const workers = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
  loader<weak_image> all(from.size(), 0, workers, [&](std::size_t i, std::uint64_t) { return from.load(i); },
                         {.shuffle = false});
  all.start(0);
  while (auto one = all.next()) images_.push_back(std::move(*one));
}

}  // namespace trainer
