#pragma once
// A set for trainings of seconds.

#include "data/dataset.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace trainer {

/// Discs of two classes, light and dark, on grey; the disc touches all sides of its box. Counts who asks for the truth.
class discs : public dataset {
 public:
  explicit discs(std::size_t count, cambium::index_t side = 32) : count_(count), side_(side) {}

  std::size_t size() const override { return count_; }
  std::vector<std::string> const& class_names() const override { return names_; }
  std::string id(std::size_t i) const override { return "disc" + std::to_string(i); }

  weak_image load(std::size_t i) const override
  {
    weak_image out{id(i), cambium::grid<std::uint8_t, 3>(side_, side_, 3), {}, {}, {}};
    auto const mask = truth(i, false);
    for (cambium::index_t y = 0; y < side_; ++y)
      for (cambium::index_t x = 0; x < side_; ++x)
        for (cambium::index_t c = 0; c < 3; ++c) {
          auto const grain = static_cast<int>((y * 7 + x * 13 + c * 5 + static_cast<cambium::index_t>(i)) % 11);
          int const tone = mask.label(y, x) == 0 ? 110 : mask.found[0].category == 0 ? 220 : 20;
          out.photograph(y, x, c) = static_cast<std::uint8_t>(tone + grain);
        }
    out.tags = {mask.found[0].category};
    out.boxes = {{mask.found[0].bounds, mask.found[0].category}};
    return out;
  }

  cambium::instances<> truth(std::size_t i) const override { return truth(i, true); }

  std::set<std::size_t> mutable asked;  ///< whose truth was asked for

 protected:
  cambium::instances<> truth(std::size_t i, bool from_outside) const
  {
    if (from_outside) {
      std::lock_guard const guard(one_at_a_time_);
      asked.insert(i);
    }
    auto const n = static_cast<cambium::index_t>(i);
    cambium::index_t const r = 5 + n % 4, cy = r + 1 + n * 5 % (side_ - 2 * r - 2),
                           cx = r + 1 + n * 11 % (side_ - 2 * r - 2);
    cambium::instances<> out{cambium::grid<std::int32_t, 2>(side_, side_), {}};
    cambium::index_t area = 0;
    for (cambium::index_t y = 0; y < side_; ++y)
      for (cambium::index_t x = 0; x < side_; ++x)
        if ((y - cy) * (y - cy) + (x - cx) * (x - cx) <= r * r) out.label(y, x) = 1, ++area;
    out.found.push_back({static_cast<std::int32_t>(i % 2), 1, area, {cy - r, cx - r, cy + r + 1, cx + r + 1}});
    return out;
  }

 private:
  std::mutex mutable one_at_a_time_;
  std::size_t count_;
  cambium::index_t side_;
  std::vector<std::string> names_{"light", "dark"};
};

}  // namespace trainer
