// The semantic maps that BESTIE is given, and how good the pseudo labels are that they make.

#include "method/bestie.hpp"

#include "data/random.hpp"
#include "run/seed.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace trainer {

using cambium::cpu;
using cambium::expects;
using cambium::grid;
using cambium::image_view;
using cambium::index_t;
using cambium::points;

semantic_maps read_semantic_maps(dataset const& images, std::filesystem::path const& folder)
{
  auto const C = static_cast<std::int32_t>(images.class_names().size());
  semantic_maps out;
  bool named = false;  // a class, by any map
  std::string hint;
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto const path = folder / (images.id(i) + ".png");
    auto const labels = cambium::parse_label_map(cambium::read_file(path), path.string());
    auto const image = images.load(i);
    auto const H = image.photograph.shape()[0], W = image.photograph.shape()[1];
    if (labels.shape()[0] != H || labels.shape()[1] != W)
      throw cambium::io_error(path.string() + ": " + std::to_string(labels.shape()[0]) + " x " +
                              std::to_string(labels.shape()[1]) + " labels for a photograph of " + std::to_string(H) +
                              " x " + std::to_string(W) +
                              cambium::turned_hint({labels.shape()[0], labels.shape()[1]}, {H, W}));
    grid<std::uint8_t, 2> map(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const v = labels(y, x);
        if (v < 0 || (v > C && v != 255))
          throw cambium::io_error(path.string() + ": label " + std::to_string(v) + " at (" + std::to_string(y) + "," +
                                  std::to_string(x) + "), but there are " + std::to_string(C) + " classes" +
                                  cambium::label_map_hint(labels, C));
        bool const crowd = image.ignored.size() > 0 && image.ignored(y, x) != 0;
        map(y, x) = static_cast<std::uint8_t>(crowd ? cambium::label::ignore : v);
      }
    named = named || cambium::has_class(labels);
    if (!named && hint.empty()) hint = cambium::label_map_hint(labels, C);
    out.push_back(std::move(map));
  }
  if (!named && images.size() > 0)
    throw cambium::io_error((folder / (images.id(0) + ".png")).string() + ": no map has a pixel of any class" + hint);
  return out;
}

semantic_maps spoiled_truth(dataset const& images, spoiled_truth_options const& options)
{
  expects(options.swell >= 0 && options.lost >= 0 && options.lost <= 1, "spoiled_truth: swell is ", options.swell,
          ", lost ", options.lost);
  semantic_maps out;
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto const truth = images.truth(i);
    auto const ignored = images.ignored(i);
    dice random(item_seed(options.seed, chance::sampling, 0, i));
    auto const H = truth.label.shape()[0], W = truth.label.shape()[1];
    std::vector<std::uint8_t> value{0};
    for (auto const& o : truth.found)
      value.push_back(random.chance(options.lost) ? 0 : static_cast<std::uint8_t>(o.category + 1));
    int const by = random.below(2 * options.swell + 1) - options.swell;
    grid<std::uint8_t, 2> map(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        std::uint8_t here = value[static_cast<std::size_t>(truth.label(y, x))];
        for (index_t v = std::max<index_t>(0, y - std::abs(by)); v < std::min(H, y + std::abs(by) + 1); ++v)
          for (index_t u = std::max<index_t>(0, x - std::abs(by)); u < std::min(W, x + std::abs(by) + 1); ++u) {
            auto const there = value[static_cast<std::size_t>(truth.label(v, u))];
            if (by > 0 && here == 0) here = there;  // swells over background
            if (by < 0 && there == 0) here = 0;     // shrinks from it
          }
        map(y, x) = ignored.size() > 0 && ignored(y, x) != 0 ? std::uint8_t{cambium::label::ignore} : here;
      }
    out.push_back(std::move(map));
  }
  return out;
}

label_quality pseudo_label_quality(dataset const& images, semantic_maps const& semantic,
                                   std::vector<points> const& cues, cambium::bestie_transfer_options const& options)
{
  expects(semantic.size() == images.size() && cues.size() == images.size(), "pseudo_label_quality: ", images.size(),
          " images, ", semantic.size(), " semantic maps and ", cues.size(), " lists of cues");
  auto const C = static_cast<index_t>(images.class_names().size());
  label_quality out;
  cpu const where{};
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto truth = images.truth(i);
    mark_unknown(truth.label, images.ignored(i), "pseudo_label_quality: " + images.id(i));
    auto const weak = cambium::bestie_pseudo_labels(where, semantic[i], images.load(i).tags, cues[i], C, options);
    auto kept = semantic[i];
    for (index_t y = 0; y < kept.shape()[0]; ++y)
      for (index_t x = 0; x < kept.shape()[1]; ++x)
        if (!(weak.weight(y, x) > 0)) kept(y, x) = 0;
    auto const found = cambium::connected_equal(where, image_view<std::uint8_t const>(kept.view()), cambium::c8);
    auto const T = static_cast<index_t>(truth.found.size());
    std::vector<std::uint8_t> value(static_cast<std::size_t>(found.count + 1));  // class + 1 of each component
    for (index_t y = 0; y < kept.shape()[0]; ++y)
      for (index_t x = 0; x < kept.shape()[1]; ++x) value[static_cast<std::size_t>(found.label(y, x))] = kept(y, x);
    auto const iou = cambium::label_iou(found.label, static_cast<index_t>(found.count), truth.label, T);
    out.accepted += static_cast<std::size_t>(found.count);
    out.objects += truth.found.size();
    for (index_t p = 0; p < static_cast<index_t>(found.count); ++p)
      for (index_t t = 0; t < T; ++t)
        out.right += iou(p, t) >= 0.5f && truth.found[static_cast<std::size_t>(t)].category + 1 ==
                                              std::int32_t{value[static_cast<std::size_t>(p + 1)]};
  }
  return out;
}

}  // namespace trainer
