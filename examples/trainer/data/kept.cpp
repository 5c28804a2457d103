#include "data/kept.hpp"

#include "data/loader.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

namespace trainer {

kept::kept(dataset const& from) : from_(&from)
{
  int const workers = std::clamp(at::get_num_threads(), 1, 64);
  loader<weak_image> all(from.size(), 0, workers, [&](std::size_t i, std::uint64_t) { return from.load(i); },
                         {.shuffle = false});
  all.start(0);
  while (auto one = all.next()) images_.push_back(std::move(*one));
}

}  // namespace trainer
