#include "target.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/coco_write.hpp>
#include <cambium/io/mask_runs.hpp>
#include <cambium/io/proposals.hpp>

#include <cmath>

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

void proposals_of(bytes const& file)
{
  for (auto const& p : parse_proposals(file, "proposals")) {
    must(std::isfinite(p.score) && std::isfinite(p.stability), "scores are numbers");
    auto const& [height, width, counts] = p.segmentation;
    if (height * width > 1 << 20) continue;
    auto const packed = pack_masks(cpu{.threads = 1}, {&p.segmentation, 1}, {height, width});
    must(packed.masks(0).area == p.segmentation.area(), "a packed mask has its area");
    auto const again = encode_rle(packed, 0);
    must(decode_rle(again) == decode_rle(p.segmentation), "a packed mask has its cells");
  }
}

}  // namespace

void one_input(bytes const& file)
{
  if (!file.empty() && file[0] == '[') {
    try {
      proposals_of(file);
    } catch (io_error const&) {
    }
    results_of(file);
  } else {
    set_of(file);
  }
}
