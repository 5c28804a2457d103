#pragma once

#include "run/seed.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace trainer {

/// The images of a set in a new random order each epoch, as a function of the sample's number. A resumed training thus
/// gets the samples that it has not seen.
class sample_order {
 public:
  sample_order(std::size_t size, std::uint64_t seed) : order_(size), seed_(seed) {}

  struct sample {
    std::size_t item;
    std::uint64_t seed;  ///< of the sample's augmentation
  };

  sample operator()(std::int64_t n)
  {
    auto const epoch = static_cast<std::uint64_t>(n) / order_.size();
    if (epoch != epoch_) {
      std::iota(order_.begin(), order_.end(), std::size_t{0});
      dice(item_seed(seed_, chance::order, epoch, 0)).shuffle(order_);
      epoch_ = epoch;
    }
    auto const item = order_[static_cast<std::uint64_t>(n) % order_.size()];
    return {item, item_seed(seed_, chance::augmentation, epoch, item)};
  }

 private:
  std::vector<std::size_t> order_;
  std::uint64_t seed_, epoch_ = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace trainer
