#include "data/drawn_marks.hpp"

#include "data/fingerprint.hpp"

#include <cambium/component/farthest_points.hpp>
#include <cambium/component/skeleton.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>

#include <algorithm>
#include <utility>

namespace trainer {

using cambium::cpu;
using cambium::expects;
using cambium::grid;
using cambium::index_t;

grid<std::int32_t, 2> draw_marks(cambium::instances<> const& truth, mark_rule rule)
{
  auto const objects = static_cast<std::int32_t>(truth.found.size());
  for (auto const& o : truth.found)
    expects(0 <= o.category && o.category < cambium::label::ignore - 1, "draw_marks: an object is of class ",
            o.category, ", outside 0..", cambium::label::ignore - 2);
  index_t const W = truth.label.shape()[1];
  auto regions = truth.label;  // 0 unknown, 1 background, then the objects
  for (index_t n = 0; n < regions.size(); ++n) {
    auto& v = regions.data()[n];
    expects(v <= objects, "draw_marks: the label at row ", n / W, ", column ", n % W, " is ", v, " of ", objects,
            " objects");
    v = std::max(v, -1) + 1;
  }
  auto const mark_of = [&](std::int32_t region) {
    return region == 1 ? cambium::label::background : truth.found[static_cast<std::size_t>(region - 2)].category + 1;
  };
  cpu const where{.threads = 1};
  grid<std::int32_t, 2> out(truth.label.shape()[0], W);
  std::fill(out.cells().begin(), out.cells().end(), cambium::label::ignore);
  if (rule == mark_rule::skeleton) {
    auto const lines = cambium::skeleton(where, regions);
    for (index_t n = 0; n < lines.size(); ++n)
      if (lines.data()[n] != 0) out.data()[n] = mark_of(lines.data()[n]);
    return out;
  }
  for (auto const& at : cambium::farthest_points(where, regions, objects + 1, 1).at)
    out(at.y, at.x) = mark_of(regions(at.y, at.x));
  return out;
}

std::uint64_t drawn_marks::weak_labels() const
{
  return fingerprint().add(from_->weak_labels()).add(static_cast<int>(rule_)).value();
}

weak_image drawn_marks::load(std::size_t i) const
{
  auto out = from_->load(i);
  auto truth = from_->truth(i);
  mark_unknown(truth.label, from_->ignored(i), "drawn_marks: " + id(i));
  out.scribbles = draw_marks(truth, rule_);
  out.points.clear();
  out.boxes.clear();
  return out;
}

}  // namespace trainer
