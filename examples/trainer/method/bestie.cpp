#include "method/bestie.hpp"

#include "data/batch.hpp"
#include "loss/losses.hpp"
#include "run/checkpoint.hpp"
#include "run/optimizer.hpp"
#include "run/recipe.hpp"
#include "run/seed.hpp"

#include <cambium/core/label.hpp>
#include <cambium/interop/torch.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <torch/nn/functional/upsampling.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

namespace trainer {

using cambium::cpu;
using cambium::expects;
using cambium::grid;
using cambium::image_view;
using cambium::index_t;
using cambium::points;
using cambium::tensor_view;

namespace {

class stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The images of a set in a new order each time it has been through: item(i) of the i-th sample of a training.
class shuffled {
 public:
  shuffled(std::size_t size, std::uint64_t seed) : order_(size), seed_(seed)
  {
    std::iota(order_.begin(), order_.end(), 0u);
  }
  std::size_t item(std::uint64_t i)
  {
    std::uint64_t const epoch = i / order_.size();
    if (epoch != epoch_) {
      std::iota(order_.begin(), order_.end(), 0u);
      dice random(item_seed(seed_, chance::order, epoch, 0));
      random.shuffle(order_);
      epoch_ = epoch;
    }
    return order_[static_cast<std::size_t>(i % order_.size())];
  }

 private:
  std::vector<std::size_t> order_;
  std::uint64_t seed_, epoch_ = std::numeric_limits<std::uint64_t>::max();
};

/// Maps [1,C,h,w] of a network at another size.
torch::Tensor at_size(torch::Tensor const& x, index_t height, index_t width)
{
  if (x.size(2) == height && x.size(3) == width) return x;
  return torch::nn::functional::interpolate(x, torch::nn::functional::InterpolateFuncOptions()
                                                   .size(std::vector<std::int64_t>{height, width})
                                                   .mode(torch::kBilinear)
                                                   .align_corners(false));
}

void check_tags(weak_image const& image, std::int64_t classes)
{
  for (auto const tag : image.tags)
    expects(0 <= tag && tag < classes, image.id, ": tag ", tag, " is outside 0..", classes - 1);
}

/// Evaluation for as long as it lives, and what it was before afterwards.
class looking {
 public:
  explicit looking(torch::nn::Module& m) : module_(m), trained_(m.is_training()) { module_.eval(); }
  ~looking() { module_.train(trained_); }
  looking(looking const&) = delete;
  looking& operator=(looking const&) = delete;

 private:
  torch::nn::Module& module_;
  bool trained_;
  torch::NoGradGuard guard_;
};

}  // namespace

// --- 1 the classifier -----------------------------------------------------------------------------

namespace {

/// Steps taken by a training whose checkpoint is there; otherwise 0.
std::int64_t resumed(std::filesystem::path const& checkpoint, torch::nn::Module& network, optimizer& rule,
                     std::string const& recipe)
{
  return !checkpoint.empty() && std::filesystem::exists(checkpoint)
             ? restore_checkpoint(checkpoint, network, rule, recipe)
             : 0;
}

}  // namespace

peak_classifier_options small_peak_classifier(index_t side)
{
  peak_classifier_options out;
  out.epochs = 12;
  out.batch = 8;
  out.rate = 0.02;
  out.rates_by_layer = false;
  out.falls = {10, 12};
  out.plain_epochs = 4;
  out.samples.size = out.samples.crop = side;
  out.samples.colour = {.brightness = 0.2, .contrast = 0.2, .saturation = 0.1, .hue = 0};
  return out;
}

std::string peak_classifier_recipe(dataset const& train, vgg_pam const& network, peak_classifier_options const& o)
{
  auto const& n = network.options();
  return recipe("peaks")
      .add(train)
      .add("seed", o.seed)
      .add("network", n.layers, n.dilated_from, n.extra, n.alpha, n.normalised)
      .add("epochs", o.epochs, o.plain_epochs, o.batch)
      .add("rate", o.rate, o.rates_by_layer, o.falls)
      .add("descent", o.momentum, o.weight_decay)
      .add(o.samples)
      .add("beside", o.beside)
      .words();
}

double train_peak_classifier(dataset const& train, vgg_pam& network, peak_classifier_options const& options,
                             step_listener const& each)
{
  char const* const who = "train_peak_classifier";
  expects(train.size() >= 1, who, ": the set is empty");
  expects(options.epochs >= 1 && options.batch >= 1, who, ": ", options.epochs, " epochs, batches of ", options.batch);
  expects(std::isfinite(options.rate) && options.rate > 0, who, ": rate is ", options.rate);
  expects(options.plain_epochs >= 0, who, ": plain_epochs is ", options.plain_epochs);
  auto const C = network.classes();
  expects(static_cast<std::int64_t>(train.class_names().size()) == C, who, ": the set has ", train.class_names().size(),
          " classes but the network ", C);

  auto const per_epoch =
      static_cast<std::int64_t>((train.size() + static_cast<std::size_t>(options.batch) - 1) / options.batch);
  std::vector<parameter_group> groups;
  for (auto const& p : network.named_parameters())
    groups.push_back({{p.value()}, options.rates_by_layer ? vgg_pam::rate_of(p.key()) : 1});
  step_schedule falling;
  falling.base = options.rate;
  for (auto const epoch : options.falls) falling.at.push_back((epoch - 1) * per_epoch);
  auto sgd = optimizer::sgd(
      groups, rates_of(falling),
      {.weight_decay = options.weight_decay, .momentum = options.momentum, .nesterov = options.momentum > 0});

  network.train();
  stopwatch const time;
  shuffled images(train.size(), options.seed);
  double mean = 0;
  std::int64_t step = 0;
  double const alpha = network.options().alpha;
  std::string const made_as = peak_classifier_recipe(train, network, options);
  std::int64_t const taken = resumed(options.checkpoint, network, sgd, made_as);
  for (std::int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    network.attend(epoch <= options.plain_epochs ? 0 : alpha);
    double sum = 0;
    std::int64_t batches = 0;
    for (std::size_t begin = 0; begin < train.size(); begin += static_cast<std::size_t>(options.batch)) {
      std::size_t const end = std::min(train.size(), begin + static_cast<std::size_t>(options.batch));
      if (step < taken) {
        ++step;
        continue;
      }
      std::vector<torch::Tensor> seen;
      std::vector<std::vector<std::int32_t>> tags, unsure;
      for (std::size_t k = begin; k < end; ++k) {
        auto const at = static_cast<std::uint64_t>(epoch - 1) * train.size() + k;
        std::size_t const item = images.item(at);
        auto const image = train.load(item);
        check_tags(image, C);
        auto const seed = item_seed(options.seed, chance::augmentation, at / train.size(), item);
        seen.push_back(to_tensor(augment_pam({image.photograph, {}, {}, {}}, seed, options.samples).photograph));
        tags.push_back(image.tags), unsure.push_back(image.unsure_tags);
      }
      sgd.zero_grad();
      auto const loss =
          multilabel_soft_margin(network.forward(torch::stack(seen)), multi_hot(tags, C), sure_tags(unsure, C));
      loss.backward();
      double const rate = sgd.step();
      double const value = loss.item<double>();
      sum += value, ++batches, ++step;
      if (each)
        each({step,
              static_cast<double>(epoch - 1) + static_cast<double>(end) / static_cast<double>(train.size()),
              rate,
              {{"tags", value}},
              time.seconds()});
    }
    if (batches == 0) continue;
    mean = sum / static_cast<double>(batches);
    if (!options.checkpoint.empty()) save_checkpoint(options.checkpoint, network, sgd, made_as);
  }
  network.attend(alpha);
  return mean;
}

// --- 2 the cues -----------------------------------------------------------------------------------

std::vector<points> find_cues(dataset const& images, vgg_pam& network, cue_options const& options)
{
  expects(static_cast<std::int64_t>(images.class_names().size()) == network.classes(), "find_cues: the set has ",
          images.class_names().size(), " classes but the network ", network.classes());
  looking const now(network);
  struct attention {  // as it was, afterwards
    vgg_pam& of;
    double alpha = of.options().alpha;
    ~attention() { of.attend(alpha); }
  } const before{network};
  if (!options.attend) network.attend(0);
  cpu const where{.threads = options.threads};
  std::vector<points> out;
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto const image = images.load(i);
    check_tags(image, network.classes());
    auto const H = image.photograph.shape()[0], W = image.photograph.shape()[1];
    auto seen = to_tensor(normalised(image.photograph)).unsqueeze(0);
    if (options.squash.height > 0 && options.squash.width > 0)
      seen = at_size(seen, options.squash.height, options.squash.width);
    auto const maps = network.maps(torch::cat({seen, seen.flip(3)})).contiguous();
    out.push_back(cambium::bestie_peaks(where, tensor_view<float const, 3>(maps[0], image.id + ": class maps"),
                                        tensor_view<float const, 3>(maps[1], image.id + ": class maps"), {H, W},
                                        image.tags, options.peaks));
  }
  return out;
}

std::vector<points> given_cues(dataset const& images)
{
  std::vector<points> out;
  for (std::size_t i = 0; i < images.size(); ++i) out.push_back(images.load(i).points);
  return out;
}

// --- 3 the semantic maps --------------------------------------------------------------------------

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

// --- 4 knowledge transfer -------------------------------------------------------------------------

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
    auto const values = cambium::values_of(found, image_view<std::uint8_t const>(kept.view()));
    auto const iou = cambium::label_iou(found.label, static_cast<index_t>(found.count), truth.label, T);
    out.accepted += static_cast<std::size_t>(found.count);
    out.objects += truth.found.size();
    for (index_t p = 0; p < static_cast<index_t>(found.count); ++p)
      for (index_t t = 0; t < T; ++t)
        out.right += iou(p, t) >= 0.5f && truth.found[static_cast<std::size_t>(t)].category + 1 ==
                                              static_cast<std::int32_t>(values[static_cast<std::size_t>(p + 1)]);
  }
  return out;
}

// --- 5 the instance network -----------------------------------------------------------------------

bestie_training_options small_bestie(std::int64_t steps, index_t side)
{
  bestie_training_options out;
  out.steps = steps;
  out.batch = 8;
  out.rate = 3e-3;
  out.warm_up = std::min<std::int64_t>(steps / 10, 50);
  out.transfer.labels.sigma = out.refine.labels.sigma = 3;
  out.transfer.labels.smallest = out.refine.smallest = 20;
  out.refine.groups.kernel = 15;
  out.refine.groups.apart = 24;
  out.centre_weight = 50, out.offset_weight = 0.1;  // of about 96 pixels, not 416: offsets are a quarter as long
  out.samples.photometric = {.brightness = 8, .contrast_low = 0.8, .contrast_high = 1.2, .hue = 0};
  out.samples.long_side = out.samples.crop = side;
  out.samples.multiple = 1;
  out.samples.scales = {1};
  return out;
}

namespace {

grid<std::int32_t, 2> integers(grid<std::uint8_t, 2> const& map)
{
  grid<std::int32_t, 2> out(map.shape()[0], map.shape()[1]);
  std::copy(map.cells().begin(), map.cells().end(), out.cells().begin());
  return out;
}

/// A batch: what is seen and what it is taught.
struct lesson {
  torch::Tensor image, semantic;         ///< [B,3,H,W], [B,H,W] int32
  torch::Tensor centre, offset, weight;  ///< [B,C,H,W], [B,2,H,W], [B,1,H,W]
  std::vector<std::vector<std::int32_t>> classes;
  std::vector<points> cues;
};

/// Centres, offsets and weights of a network's own groups.
struct refined_labels {
  torch::Tensor centre, offset, weight;
};

refined_labels refined(cpu const& where, bestie_maps const& said, lesson const& of,
                       bestie_training_options const& options)
{
  auto const seg = said.seg.detach().contiguous(), centre = said.centre.detach().contiguous(),
             offset = said.offset.detach().contiguous();
  auto const B = seg.size(0), C = centre.size(1), H = seg.size(2), W = seg.size(3);
  refined_labels out;
  if (options.cues == cambium::supervision::point) {
    out.offset = torch::zeros({B, 2, H, W});
    out.weight = torch::zeros({B, 1, H, W});
    for (std::int64_t b = 0; b < B; ++b) {
      auto const at = static_cast<std::size_t>(b);
      cambium::bestie_refined_offsets_into(where, tensor_view<float const, 3>(offset[b], "offsets"),
                                           tensor_view<std::int32_t const, 2>(of.semantic[b], "semantic"),
                                           of.classes[at], of.cues[at], C, options.border,
                                           tensor_view<float, 3>(out.offset[b], "offsets"),
                                           tensor_view<float, 2>(out.weight[b][0], "weights"));
    }
    return out;
  }
  cambium::bestie_batch<float> const in{tensor_view<float const, 4>(seg, "logits"),
                                        tensor_view<float const, 4>(centre, "centres"),
                                        tensor_view<float const, 4>(offset, "offsets")};
  auto got = cambium::bestie_refined_labels(where, in, tensor_view<std::int32_t const, 3>(of.semantic, "semantic"),
                                            of.classes, options.refine);
  return {cambium::into_tensor(std::move(got.centre)), cambium::into_tensor(std::move(got.offset)),
          cambium::into_tensor(std::move(got.weight)).unsqueeze(1)};
}

}  // namespace

std::string bestie_recipe(dataset const& train, semantic_maps const& semantic, std::vector<points> const& cues,
                          bestie_training_options const& o)
{
  fingerprint maps, places;
  for (auto const& map : semantic) maps.add(map.data(), static_cast<std::size_t>(map.size()));
  for (auto const& of_image : cues)
    for (auto const& p : of_image) places.add(p.y).add(p.x).add(p.category).add(p.score);
  auto const& t = o.transfer.labels;
  auto const& r = o.refine;
  auto const& g = o.refine.groups;
  return recipe("bestie")
      .add(train)
      .add("seed", o.seed)
      .add("maps", maps.value())
      .add("cues", places.value(), o.cues)
      .add("steps", o.steps, o.batch, o.rate, o.warm_up, o.weight_decay)
      .add("weights", o.seg_weight, o.centre_weight, o.offset_weight)
      .add("hardest", o.hardest)
      .add("guidance", o.guidance)
      .add("transfer", o.transfer.pseudo_thresh, o.transfer.score, t.sigma, t.smallest, t.centre, t.several)
      .add("refinement", o.refinement, o.refine_from, o.border)
      .add("refine", r.labels.sigma, r.labels.threshold, r.labels.most, r.labels.centre, r.smallest, r.from)
      .add("groups", g.kernel, g.beta, g.outside, g.apart, g.relative, g.plateaus)
      .add(o.samples)
      .add("beside", o.beside)
      .words();
}

journal_entry train_bestie(dataset const& train, semantic_maps const& semantic, std::vector<points> const& cues,
                           bestie_network& network, bestie_training_options const& options, step_listener const& each)
{
  char const* const who = "train_bestie";
  auto const C = network.classes();
  expects(train.size() >= 1, who, ": the set is empty");
  expects(static_cast<std::int64_t>(train.class_names().size()) == C, who, ": the set has ", train.class_names().size(),
          " classes but the network ", C);
  expects(semantic.size() == train.size() && cues.size() == train.size(), who, ": ", train.size(), " images, ",
          semantic.size(), " semantic maps and ", cues.size(), " lists of cues");
  expects(options.steps >= 1 && options.batch >= 1 && options.refine_from >= 0, who, ": ", options.steps,
          " steps, batches of ", options.batch, ", refined from step ", options.refine_from);
  cpu const where{.threads = options.threads};
  auto transfer = options.transfer;
  transfer.labels.sup = options.cues;

  std::vector<torch::Tensor> learned;
  for (auto const& p : network.parameters())
    if (p.requires_grad()) learned.push_back(p);
  auto adam = optimizer::adam(
      {{learned, 1}}, rates_of(poly_schedule{.base = options.rate, .steps = options.steps, .warm_up = options.warm_up}),
      {.weight_decay = options.weight_decay});
  network.train();
  stopwatch const time;
  shuffled images(train.size(), options.seed);

  auto const teach = [&](std::int64_t step) {
    lesson out;
    std::vector<torch::Tensor> seen, maps;
    for (std::int64_t b = 0; b < options.batch; ++b) {
      auto const n = static_cast<std::uint64_t>(step * options.batch + b);
      std::size_t const item = images.item(n);
      auto const image = train.load(item);
      check_tags(image, C);
      auto const used = transfer.score == cambium::cue_score::exact
                            ? cues[item]
                            : cambium::confident_points(cues[item], transfer.pseudo_thresh);
      auto const changed =
          augment_bestie({image.photograph, {integers(semantic[item])}, used, {}},
                         item_seed(options.seed, chance::augmentation, n / train.size(), item), options.samples);
      seen.push_back(to_tensor(changed.photograph)), maps.push_back(to_tensor(changed.maps[0]).to(torch::kInt));
      out.classes.push_back(image.tags), out.cues.push_back(changed.points);
    }
    out.image = torch::stack(seen), out.semantic = torch::stack(maps);
    auto const H = out.image.size(2), W = out.image.size(3);
    out.centre = torch::empty({options.batch, C, H, W});
    out.offset = torch::empty({options.batch, 2, H, W});
    out.weight = torch::empty({options.batch, 1, H, W});
    for (std::int64_t b = 0; b < options.batch; ++b)
      cambium::bestie_pseudo_labels_into(
          where, tensor_view<std::int32_t const, 2>(out.semantic[b], "semantic"),
          out.classes[static_cast<std::size_t>(b)], out.cues[static_cast<std::size_t>(b)], transfer,
          {tensor_view<float, 3>(out.centre[b], "centres"), tensor_view<float, 3>(out.offset[b], "offsets"),
           tensor_view<float, 2>(out.weight[b][0], "weights")});
    if (!options.guidance)  // all is background but what is ignored
      out.weight = (out.semantic != static_cast<int>(cambium::label::ignore)).to(torch::kFloat).unsqueeze(1);
    return out;
  };

  std::string const made_as = bestie_recipe(train, semantic, cues, options);
  journal_entry last;
  for (std::int64_t step = resumed(options.checkpoint, network, adam, made_as); step < options.steps; ++step) {
    auto const of = teach(step);
    auto const H = of.image.size(2), W = of.image.size(3);
    expects(H % network.multiple() == 0 && W % network.multiple() == 0, who, ": photographs of ", H, " x ", W,
            " for a network that wants multiples of ", network.multiple(), "; set a crop");
    auto const said = network.forward(of.image);
    adam.zero_grad();
    auto const ce = hardest_pixels_cross_entropy(where, said.seg, of.semantic, {.fraction = options.hardest});
    auto centre = guided_square_error(where, said.centre, of.centre, of.weight);
    auto offset = guided_absolute_error(where, said.offset, of.offset, of.weight);
    double known = 0;
    if (options.refinement && step >= options.refine_from) {
      auto const own = refined(where, said, of, options);
      known = (own.weight > 0).to(torch::kFloat).mean().item<double>();
      if (own.centre.defined()) centre = (centre + guided_square_error(where, said.centre, own.centre, own.weight)) / 2;
      offset = (offset + guided_absolute_error(where, said.offset, own.offset, own.weight)) / 2;
    }
    auto const loss = options.seg_weight * ce + options.centre_weight * centre + options.offset_weight * offset;
    loss.backward();
    double const rate = adam.step();
    last = {step + 1,
            static_cast<double>((step + 1) * options.batch) / static_cast<double>(train.size()),
            rate,
            {{"seg", ce.item<double>()},
             {"centre", options.centre_weight * centre.item<double>()},
             {"offset", options.offset_weight * offset.item<double>()},
             {"refined", known}},
            time.seconds()};
    if (each) each(last);
    if (!options.checkpoint.empty() && ((step + 1) % options.checkpoint_every == 0 || step + 1 == options.steps))
      save_checkpoint(options.checkpoint, network, adam, made_as);
  }
  return last;
}

// --- 6 instances ----------------------------------------------------------------------------------

bestie_inference_options small_bestie_inference()
{
  bestie_inference_options out;
  out.instances.smallest = 20;
  out.instances.groups.kernel = 15;
  out.instances.groups.apart = 24;
  return out;
}

cambium::bestie_labels bestie_find(grid<std::uint8_t, 3> const& photograph, bestie_network& network,
                                   bestie_inference_options const& options,
                                   std::optional<std::vector<std::int32_t>> const& tags)
{
  expects(options.multiple >= 1, "bestie_find: multiple is ", options.multiple);
  looking const now(network);
  auto const m = std::lcm(options.multiple, network.multiple());
  auto const H = photograph.shape()[0], W = photograph.shape()[1];
  auto const up = [&](index_t side) { return (side + m - 1) / m * m; };
  auto seen = to_tensor(normalised(photograph)).unsqueeze(0);
  seen = at_size(seen, up(H), up(W));
  auto const said = network.forward(options.flip ? torch::cat({seen, seen.flip(3)}) : seen);
  auto const seg = at_size(said.seg, H, W).contiguous(), centre = at_size(said.centre, H, W).contiguous(),
             offset = at_size(said.offset, H, W).contiguous();
  auto const part = [&](std::int64_t b) {
    return cambium::bestie_output<float>{tensor_view<float const, 3>(seg[b], "logits"),
                                         tensor_view<float const, 3>(centre[b], "centres"),
                                         tensor_view<float const, 3>(offset[b], "offsets")};
  };
  auto how = options.instances;
  how.seen = {up(H), up(W)};  // whose pixels the offsets count
  return cambium::bestie_instances<float>(cpu{.threads = options.threads}, part(0), tags, how,
                                          options.flip ? part(1) : cambium::bestie_output<float>{});
}

scores evaluate_bestie(dataset const& held_out, bestie_network& network, bestie_inference_options const& options)
{
  scoring all(static_cast<std::int32_t>(held_out.class_names().size()));
  for (std::size_t i = 0; i < held_out.size(); ++i) {
    auto const truth = held_out.truth(i);
    auto const ignored = held_out.ignored(i);
    auto const image = held_out.load(i);
    auto const found =
        bestie_find(image.photograph, network, options, options.tags_known ? std::optional(image.tags) : std::nullopt)
            .objects;
    all.add_instances(found, truth, ignored);
    all.add_semantic(semantic_of(found), truth, ignored);
  }
  return all.result();
}

}  // namespace trainer
