#include "method/boxes.hpp"

#include "data/known_truth.hpp"
#include "data/random.hpp"
#include "run/seed.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/text.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;

namespace {

/// read_samples of the images that are wanted.
std::vector<box_sample> read_some(dataset const& from, std::vector<bool> const& wanted, std::vector<bool> const& exact,
                                  bool several, std::vector<std::string>* left_out)
{
  auto const classes = static_cast<std::int32_t>(from.class_names().size());
  std::vector<box_sample> out;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!wanted[i]) continue;
    weak_image image = from.load(i);
    auto const shape = image.photograph.shape();
    if (!exact[i] && !image.lost_box.empty()) {
      expects(left_out != nullptr, "boxes: image ", image.id, ": not all of its boxes are known: ", image.lost_box);
      left_out->push_back(image.id + ": not all of its boxes are known: " + image.lost_box);
      continue;
    }
    box_sample sample{image.id, std::move(image.photograph), exact[i], {}, {}};
    if (!out.empty()) {
      auto const first = out.front().photograph.shape();
      expects(shape == first, "boxes: image ", sample.id, " is [", shape[0], ",", shape[1], ",", shape[2], "] but ",
              out.front().id, " is [", first[0], ",", first[1], ",", first[2], "]; a batch needs one size");
    }
    expects(shape[0] > 0 && shape[1] > 0 && shape[2] == 3, "boxes: image ", sample.id, " is [", shape[0], ",", shape[1],
            ",", shape[2], "]; expected [H,W,3]");
    auto const category = [&](std::int32_t c, char const* what, std::size_t number) {
      expects(0 <= c && c < classes, "boxes: image ", sample.id, ": ", what, " ", number, " has category ", c,
              ", outside 0..", classes - 1);
      return several ? c : 0;
    };
    if (exact[i]) {
      cambium::instances<> const truth = from.truth(i);
      expects(truth.label.shape()[0] == shape[0] && truth.label.shape()[1] == shape[1], "boxes: image ", sample.id,
              " is [", shape[0], ",", shape[1], "] but its truth is [", truth.label.shape()[0], ",",
              truth.label.shape()[1], "]");
      sample.mask = cambium::make_grid<std::int32_t>({shape[0], shape[1]});
      for (index_t k = 0; k < sample.mask.size(); ++k) {
        auto const at = truth.label.data()[k];
        expects(0 <= at && at <= static_cast<std::int32_t>(truth.found.size()), "boxes: image ", sample.id,
                ": its truth names object ", at, " of ", truth.found.size());
        sample.mask.data()[k] = at == 0 ? 0
                                        : 1 + category(truth.found[static_cast<std::size_t>(at - 1)].category, "object",
                                                       static_cast<std::size_t>(at - 1));
      }
      auto const ignored = from.ignored(i);
      expects(ignored.size() == 0 || ignored.size() == sample.mask.size(), "boxes: image ", sample.id, " is [",
              shape[0], ",", shape[1], "] but what its truth ignores is ", ignored.view());
      for (index_t k = 0; k < ignored.size(); ++k)
        if (ignored.data()[k] != 0) sample.mask.data()[k] = cambium::label::ignore;
    } else {
      sample.ignored = std::move(image.ignored);
      expects(!image.boxes.empty() || image.tags.empty(), "boxes: image ", sample.id, " has tags but no boxes");
      for (std::size_t k = 0; k < image.boxes.size(); ++k) {
        auto const& b = image.boxes[k].bounds;
        expects(0 <= b.top && b.top < b.bottom && b.bottom <= shape[0] && 0 <= b.left && b.left < b.right &&
                    b.right <= shape[1],
                "boxes: image ", sample.id, ": box ", k, " has rows ", b.top, "..", b.bottom, " and columns ", b.left,
                "..", b.right, ", not inside [", shape[0], ",", shape[1], "]");
        sample.boxes.push_back({b, category(image.boxes[k].category, "box", k)});
      }
    }
    out.push_back(std::move(sample));
  }
  return out;
}

}  // namespace

std::vector<bool> choose_exact(std::size_t count, double share, std::uint64_t seed)
{
  expects(count > 0, "boxes: there is no image");
  expects(share > 0 && share <= 1, "boxes: exact_share is ", share, ", outside (0,1]");
  auto const wanted =
      std::max<std::size_t>(1, static_cast<std::size_t>(std::llround(share * static_cast<double>(count))));
  std::vector<std::size_t> list(count);
  std::iota(list.begin(), list.end(), std::size_t{0});
  dice(item_seed(seed, chance::sampling, 0, 0)).shuffle(list);
  std::vector<bool> exact(count);
  for (std::size_t i = 0; i < wanted; ++i) exact[list[i]] = true;
  return exact;
}

std::vector<bool> with_masks(dataset const& from)
{
  std::vector<bool> out(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) out[i] = has_truth(from, i);
  return out;
}

std::vector<bool> choose_exact(dataset const& from, double share, std::uint64_t seed)
{
  auto chosen = choose_exact(from.size(), share, seed);
  auto masks = with_masks(from);
  return std::find(masks.begin(), masks.end(), false) == masks.end() ? chosen : masks;
}

std::vector<bool> listed_exact(dataset const& from, std::filesystem::path const& list)
{
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < from.size(); ++i) place.emplace(from.id(i), i);
  auto const file = cambium::read_file(list);
  auto const lines = cambium::read_id_lines(
      file, list.string(), [&](std::string const& id) { return place.count(id) == 1; }, cambium::id_lines_of::ids);
  if (lines.empty()) throw cambium::io_error(list.string() + ": names no image");
  std::vector<bool> out(from.size());
  for (auto const& line : lines) {
    std::string const where = list.string() + ":" + std::to_string(line.number) + ": '" + line.id + "' ";
    auto const found = place.find(line.id);
    if (found == place.end()) throw cambium::io_error(where + "is no image that is learned from");
    if (!has_truth(from, found->second)) throw cambium::io_error(where + "has no mask, so it is not exact");
    out[found->second] = true;
  }
  return out;
}

std::vector<box_sample> read_measured(dataset const& from, bool several)
{
  return read_some(from, with_masks(from), with_masks(from), several, nullptr);
}

std::vector<box_sample> read_samples(dataset const& from, std::vector<bool> const& exact, bool several,
                                     std::vector<std::string>* left_out)
{
  expects(exact.size() == from.size(), "boxes: ", exact.size(), " marks for ", from.size(), " images");
  return read_some(from, std::vector<bool>(from.size(), true), exact, several, left_out);
}

grid<std::int32_t, 2> filled_boxes(std::vector<cambium::class_box> boxes, index_t height, index_t width)
{
  auto const area = [](cambium::class_box const& b) {
    return (b.bounds.bottom - b.bounds.top) * (b.bounds.right - b.bounds.left);
  };
  std::stable_sort(boxes.begin(), boxes.end(), [&](auto const& a, auto const& b) { return area(a) > area(b); });
  grid<std::int32_t, 2> out(height, width);
  for (auto const& b : boxes) {
    auto const part = cambium::clipped(b.bounds, height, width);
    for (index_t y = part.top; y < part.bottom; ++y)
      std::fill_n(&out(y, part.left), part.right - part.left, b.category + 1);
  }
  return out;
}

}  // namespace trainer
