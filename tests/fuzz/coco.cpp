#include "target.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/coco_write.hpp>

using namespace cambium;

namespace {

void set_of(bytes const& file)
{
  auto const set = parse_coco(file, "coco");
  auto const text = format_coco(set);
  must(format_coco(parse_coco(bytes_of(text), "again")) == text, "the data set comes back");
  for (auto const& a : set.annotations) {
    if (std::holds_alternative<std::monostate>(a.segmentation)) continue;
    for (auto const& i : set.images) {
      if (i.id != a.image_id) continue;
      auto const mask = mask_of(a, {i.height, i.width});
      must(error_in(mask).empty(), "a sound mask");
      must(mask.area() <= i.height * i.width, "no larger than its image");
    }
  }
  static_cast<void>(match_up(set, {}));
}

void results_of(bytes const& file)
{
  auto const text = format_coco_results(parse_coco_results(file, "results"));
  must(format_coco_results(parse_coco_results(bytes_of(text), "again")) == text, "the results come back");
}

}  // namespace

void one_input(bytes const& file)
{
  if (!file.empty() && file[0] == '[')
    results_of(file);
  else
    set_of(file);
}
