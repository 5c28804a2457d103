#include "photographs/drawn.hpp"

#include <cambium/component/skeleton.hpp>
#include <cambium/core/label.hpp>

#include <algorithm>
#include <limits>
#include <map>

namespace labelling {

using namespace cambium;

namespace {

/// The region of each pixel: place of the object + 1, their number + 1 for the background, 0 void.
/// @param frame  [pixels] of no region around the image
grid<std::int32_t, 2> regions_of(truth const& is, std::vector<true_object> const& objects, index_t frame)
{
  index_t const H = is.instances.shape()[0], W = is.instances.shape()[1];
  std::map<std::int32_t, std::int32_t> number;
  for (std::size_t i = 0; i < objects.size(); ++i) number[objects[i].id] = static_cast<std::int32_t>(i + 1);
  grid<std::int32_t, 2> region(H + 2 * frame, W + 2 * frame);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      if (auto const found = number.find(is.instances(y, x)); found != number.end())
        region(y + frame, x + frame) = found->second;
      else if (is.instances(y, x) == 0 && is.semantic(y, x) == label::background)
        region(y + frame, x + frame) = static_cast<std::int32_t>(objects.size() + 1);
  return region;
}

}  // namespace

std::vector<true_object> objects_of(truth const& is)
{
  struct tally {
    std::map<std::int32_t, index_t> votes;  ///< pixels of each class
    box bounds{std::numeric_limits<index_t>::max(), std::numeric_limits<index_t>::max(), 0, 0};
    index_t area = 0, y = 0, x = 0;
  };
  std::map<std::int32_t, tally> found;
  for (index_t y = 0; y < is.instances.shape()[0]; ++y)
    for (index_t x = 0; x < is.instances.shape()[1]; ++x) {
      auto const id = is.instances(y, x);
      if (id <= 0) continue;
      auto& t = found[id];
      if (auto const c = is.semantic(y, x); c != label::ignore) ++t.votes[c];
      t.bounds = {std::min(t.bounds.top, y), std::min(t.bounds.left, x), std::max(t.bounds.bottom, y + 1),
                  std::max(t.bounds.right, x + 1)};
      ++t.area, t.y += y, t.x += x;
    }
  std::vector<true_object> out;
  for (auto const& [id, t] : found) {
    auto const most = std::max_element(t.votes.begin(), t.votes.end(),
                                       [](auto const& a, auto const& b) { return a.second < b.second; });
    if (most == t.votes.end() || most->first == label::background) continue;
    auto const area = static_cast<double>(t.area);
    out.push_back({id, most->first - 1, t.bounds, static_cast<double>(t.y) / area, static_cast<double>(t.x) / area});
  }
  return out;
}

points centre_points(truth const& is, std::vector<true_object> const& objects)
{
  points out;
  for (auto const& object : objects) {
    point best{.category = object.category};
    double least = std::numeric_limits<double>::infinity();
    for (index_t y = object.bounds.top; y < object.bounds.bottom; ++y)
      for (index_t x = object.bounds.left; x < object.bounds.right; ++x) {
        if (is.instances(y, x) != object.id) continue;
        double const dy = static_cast<double>(y) - object.y, dx = static_cast<double>(x) - object.x;
        if (double const d = dy * dy + dx * dx; d < least)
          least = d, best.y = static_cast<double>(y), best.x = static_cast<double>(x);
      }
    out.push_back(best);
  }
  return out;
}

grid<std::int32_t, 2> scribbles(truth const& is, std::vector<true_object> const& objects)
{
  index_t const H = is.instances.shape()[0], W = is.instances.shape()[1];
  auto const region = regions_of(is, objects, 1);
  grid<std::int32_t, 2> depth(H + 2, W + 2);
  auto const depth_at = [&](index_t y, index_t x, std::int32_t of) { return region(y, x) == of ? depth(y, x) : 0; };
  auto const pass = [&](index_t y, index_t x, index_t step) {
    auto const of = region(y, x);
    if (of == 0) return;
    auto least = std::min({depth_at(y, x - step, of), depth_at(y - step, x - 1, of), depth_at(y - step, x, of),
                           depth_at(y - step, x + 1, of)});
    depth(y, x) = step > 0 ? least + 1 : std::min(depth(y, x), least + 1);
  };
  for (index_t y = 1; y <= H; ++y)
    for (index_t x = 1; x <= W; ++x) pass(y, x, 1);
  for (index_t y = H; y >= 1; --y)
    for (index_t x = W; x >= 1; --x) pass(y, x, -1);
  std::vector<std::int32_t> deepest(objects.size() + 2, 0);
  for (std::size_t i = 0; i < region.cells().size(); ++i) {
    auto& most = deepest[static_cast<std::size_t>(region.cells()[i])];
    most = std::max(most, depth.cells()[i]);
  }
  grid<std::int32_t, 2> out(H, W);
  for (index_t y = 1; y <= H; ++y)
    for (index_t x = 1; x <= W; ++x) {
      auto const of = region(y, x), here = depth(y, x);
      if (of == 0 || 2 * here < deepest[static_cast<std::size_t>(of)]) continue;
      bool ridge = true;
      for (index_t dy = -1; dy <= 1; ++dy)
        for (index_t dx = -1; dx <= 1; ++dx) ridge = ridge && depth_at(y + dy, x + dx, of) <= here;
      if (ridge) out(y - 1, x - 1) = of;
    }
  return out;
}

grid<std::int32_t, 2> skeletons(cpu const& where, truth const& is, std::vector<true_object> const& objects)
{
  return skeleton(where, regions_of(is, objects, 0));
}

}  // namespace labelling
