// The semantic maps that BESTIE is given, and how good the pseudo labels are that they make.

#include "method/bestie.hpp"

#include "data/batch.hpp"
#include "data/random.hpp"
#include "network/evaluation.hpp"
#include "run/seed.hpp"

#include <cambium/core/label.hpp>
#include <cambium/interop/torch.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace trainer {

using cambium::cpu;
using cambium::expects;
using cambium::grid;
using cambium::image_view;
using cambium::index_t;
using cambium::points;
using cambium::tensor_view;

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

namespace {

/// Adds the labels of an image. Pixels of one label have one class, and their offsets end at one point.
void add_labels(label_quality& to, dataset const& images, std::size_t image, grid<std::uint8_t, 2> const& semantic,
                cambium::centre_targets_view<cambium::host> const& labels, char const* who)
{
  auto truth = images.truth(image);
  mark_unknown(truth.label, images.ignored(image), who + (": " + images.id(image)));
  std::map<std::tuple<int, long, long>, std::int32_t> number;  // of (class + 1, point in 1/64 of a pixel)
  std::vector<int> value{0};                                   // class + 1 of each label
  auto const H = semantic.shape()[0], W = semantic.shape()[1];
  grid<std::int32_t, 2> found(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      if (!(labels.weight(y, x) > 0)) continue;
      auto const end = [](index_t at, float by) { return std::lround(64 * (static_cast<double>(at) + double{by})); };
      int const category = semantic(y, x);
      auto const [at, is_new] =
          number.try_emplace({category, end(y, labels.offset(0, y, x)), end(x, labels.offset(1, y, x))},
                             static_cast<std::int32_t>(value.size()));
      if (is_new) value.push_back(category);
      found(y, x) = at->second;
    }
  auto const P = static_cast<index_t>(value.size()) - 1, T = static_cast<index_t>(truth.found.size());
  auto const iou = cambium::label_iou(found, P, truth.label, T);
  to.accepted += static_cast<std::size_t>(P);
  to.objects += truth.found.size();
  for (index_t p = 0; p < P; ++p)
    for (index_t t = 0; t < T; ++t)
      to.right += iou(p, t) >= 0.5f &&
                  truth.found[static_cast<std::size_t>(t)].category + 1 == value[static_cast<std::size_t>(p + 1)];
}

}  // namespace

label_quality pseudo_label_quality(dataset const& images, semantic_maps const& semantic,
                                   std::vector<points> const& cues, cambium::bestie_transfer_options const& options)
{
  expects(semantic.size() == images.size() && cues.size() == images.size(), "pseudo_label_quality: ", images.size(),
          " images, ", semantic.size(), " semantic maps and ", cues.size(), " lists of cues");
  auto const C = static_cast<index_t>(images.class_names().size());
  label_quality out;
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto weak = cambium::bestie_pseudo_labels(cpu{}, semantic[i], images.load(i).tags, cues[i], C, options);
    add_labels(out, images, i, semantic[i], {weak.centre, weak.offset, weak.weight}, "pseudo_label_quality");
  }
  return out;
}

label_quality refined_label_quality(dataset const& images, semantic_maps const& semantic, bestie_network& network,
                                    cambium::bestie_refine_options const& options, int threads)
{
  char const* const who = "refined_label_quality";
  expects(semantic.size() == images.size(), who, ": ", images.size(), " images and ", semantic.size(),
          " semantic maps");
  expects(static_cast<std::int64_t>(images.class_names().size()) == network.classes(), who, ": the set has ",
          images.class_names().size(), " classes but the network ", network.classes());
  expects(options.from == cambium::foreground::semantic, who, ": counts labels by the class of the semantic map");
  evaluation const now(network);
  label_quality out;
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto const image = images.load(i);
    auto const H = image.photograph.shape()[0], W = image.photograph.shape()[1];
    expects(H % network.multiple() == 0 && W % network.multiple() == 0, who, ": ", image.id, " has ", H, " x ", W,
            " pixels; the network wants multiples of ", network.multiple());
    auto const said = network.forward(to_tensor(normalised(image.photograph)).unsqueeze(0));
    auto const seg = said.seg.contiguous(), centre = said.centre.contiguous(), offset = said.offset.contiguous();
    grid<std::int32_t, 3> classes(1, H, W);
    std::copy(semantic[i].cells().begin(), semantic[i].cells().end(), classes.cells().begin());
    auto own =
        cambium::bestie_refined_labels(cpu{.threads = threads},
                                       cambium::bestie_batch<float>{tensor_view<float const, 4>(seg, "logits"),
                                                                    tensor_view<float const, 4>(centre, "centres"),
                                                                    tensor_view<float const, 4>(offset, "offsets")},
                                       classes, {image.tags}, options);
    add_labels(out, images, i, semantic[i], own[0], who);
  }
  return out;
}

}  // namespace trainer
