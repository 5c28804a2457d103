#pragma once
// Sets of which some images may have no masks.

#include "data/dataset.hpp"

#include <cstddef>

namespace trainer {

/// A dataset that says of which images it has the truth.
class known_truth {
 public:
  virtual ~known_truth() = default;
  /// Does the set have a mask of the image? It is not read for this, so it may be damaged.
  [[nodiscard]] virtual bool has_truth(std::size_t i) const = 0;

 protected:
  known_truth() = default;
  known_truth(known_truth const&) = default;
  known_truth& operator=(known_truth const&) = default;
};

/// Does a set have a mask of an image? A set that is no known_truth, as drawn scenes, has all masks.
[[nodiscard]] inline bool has_truth(dataset const& set, std::size_t i)
{
  auto const* const some = dynamic_cast<known_truth const*>(&set);
  return some == nullptr || some->has_truth(i);
}

}  // namespace trainer
