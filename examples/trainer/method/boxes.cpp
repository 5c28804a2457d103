#include "method/boxes.hpp"

#include "data/augment.hpp"
#include "data/batch.hpp"
#include "data/random.hpp"
#include "loss/losses.hpp"
#include "method/boxes_order.hpp"
#include "network/irnet_heads.hpp"
#include "network/resnet.hpp"
#include "network/uncertain_head.hpp"
#include "run/optimizer.hpp"
#include "run/recipe.hpp"
#include "run/schedule.hpp"
#include "run/seed.hpp"

#include <cambium/core/label.hpp>
#include <cambium/interop/torch.hpp>
#include <cambium/io/file.hpp>
#include <cambium/loss/lab.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;

namespace {

/// What decides what is learned: a checkpoint of another recipe is refused, and so are processes that differ.
std::string boxes_recipe(box_supervision_kind kind, std::vector<box_sample> const& samples, std::int64_t classes,
                         boxes_options const& o)
{
  fingerprint images;
  for (box_sample const& s : samples) {
    images.add(s.id).add(s.exact).add(s.boxes.size()).add(s.photograph.shape()[0]).add(s.photograph.shape()[1]);
    images.add(s.photograph.data(), static_cast<std::size_t>(s.photograph.size()));
    images.add(s.mask.data(), static_cast<std::size_t>(s.mask.size()) * sizeof(std::int32_t));
    images.add(s.ignored.data(), static_cast<std::size_t>(s.ignored.size())).add(s.ignored.size());
    for (auto const& [at, category] : s.boxes)
      images.add(at.top).add(at.left).add(at.bottom).add(at.right).add(category);
  }
  fingerprint chosen, classifier;
  if (kind == box_supervision_kind::exact && paired(o))  // others have it in their samples
    for (bool const e : o.exact_images) chosen.add(e);
  if (!o.classifier.empty()) {
    auto const file = cambium::read_file(o.classifier);
    classifier.add(file.data(), file.size());
  }
  auto const& [loss, bootstrap] = o.supervision;
  auto const& [projection, pairs, rise, weight] = o.boxinst;
  return recipe("boxes")
      .add("kind", name_of(kind))
      .add("images", samples.size(), classes, images.value())
      .add("seed", o.seed)
      .add("steps", o.steps, o.batch, o.rate, o.weight_decay)
      .add("width", o.width, o.log_variance, o.classifier.empty(), classifier.value())
      .add("exact", o.exact_share, o.exact_seen, o.exact_batch, o.box_batch, chosen.value())
      .add("loss", loss.classes, loss.largest_sigma, loss.box_weight, loss.samples)
      .add("bootstrap", bootstrap.mode, o.warm_up, bootstrap.tau_lo, bootstrap.tau_hi, bootstrap.confidence)
      .add("boxes", bootstrap.unsure, bootstrap.min_fill, bootstrap.tight, bootstrap.keep)
      .add("boxinst", weight, rise, projection.smooth, pairs.size, pairs.dilation, pairs.threshold)
      .words();
}

void check(boxes_options const& options)
{
  expects(options.steps >= 1, "boxes: ", options.steps, " steps");
  expects(options.batch >= 1, "boxes: a batch of ", options.batch);
  expects(std::isfinite(options.rate) && options.rate > 0, "boxes: rate is ", options.rate, ", not above 0");
  expects(options.width >= 1, "boxes: width is ", options.width);
  expects(options.warm_up >= 0 && options.warm_up <= 1, "boxes: warm_up is ", options.warm_up, ", outside [0,1]");
  expects(options.boxinst.warm_up >= 0 && options.boxinst.warm_up <= 1, "boxes: boxinst.warm_up is ",
          options.boxinst.warm_up, ", outside [0,1]");
  expects(options.boxinst.weight >= 0 && std::isfinite(options.boxinst.weight), "boxes: boxinst.weight is ",
          options.boxinst.weight, "; expected a finite number >= 0");
  expects(std::isfinite(options.log_variance), "boxes: log_variance is ", options.log_variance);
  expects(options.exact_batch >= 0 && options.box_batch >= 0, "boxes: a step of ", options.exact_batch, " exact and ",
          options.box_batch, " other images");
  expects(options.exact_seen >= 0 && options.exact_seen < 1, "boxes: exact_seen is ", options.exact_seen,
          ", outside [0,1)");
}

/// Channels of the network, without and with the background.
std::int64_t outputs_for(std::size_t classes, boxes_options const& options)
{
  auto const n = options.several ? static_cast<std::int64_t>(classes) : 1;
  return n + (options.supervision.loss.classes == cambium::class_model::one_vs_rest ? 0 : 1);
}

/// [1,3,H,W], channels normalised as ImageNet's.
at::Tensor picture_of(grid<std::uint8_t, 3> const& photograph)
{
  return to_tensor(normalised(photograph)).unsqueeze(0);
}

/// What a training sees of a sample: boxes or a mask, mirrored or not.
struct seen {
  std::vector<cambium::class_box> boxes;
  grid<std::int32_t, 2> mask;
  grid<std::uint8_t, 2> ignored;

  seen(box_sample const& sample, bool as_mask, bool mirrored)
  {
    index_t const H = sample.photograph.shape()[0], W = sample.photograph.shape()[1];
    if (!sample.exact) boxes = sample.boxes;
    if (sample.exact) {
      mask = sample.mask;
    } else if (as_mask) {
      mask = filled_boxes(std::move(boxes), H, W);
      boxes.clear();
      for (index_t n = 0; n < sample.ignored.size(); ++n)
        if (sample.ignored.data()[n] != 0) mask.data()[n] = cambium::label::ignore;
    } else {
      ignored = sample.ignored;
    }
    if (!mirrored) return;
    for (index_t y = 0; ignored.size() > 0 && y < H; ++y) std::reverse(&ignored(y, 0), &ignored(y, 0) + W);
    for (auto& b : boxes) b.bounds = {b.bounds.top, W - b.bounds.right, b.bounds.bottom, W - b.bounds.left};
    for (index_t y = 0; mask.size() > 0 && y < H; ++y) std::reverse(&mask(y, 0), &mask(y, 0) + W);
  }
};

/// The photographs of a step, mirrored or not.
grid<std::uint8_t, 3> seen_photograph(grid<std::uint8_t, 3> const& photograph, bool mirrored)
{
  if (!mirrored) return photograph;
  auto out = photograph;
  index_t const W = out.shape()[1];
  for (index_t y = 0; y < out.shape()[0]; ++y)
    for (index_t x = 0; x < W; ++x)
      for (index_t c = 0; c < 3; ++c) out(y, x, c) = photograph(y, W - 1 - x, c);
  return out;
}

/// BoxInst's two losses of a step. They are undefined where the step has no box.
struct boxinst_terms {
  at::Tensor projection, pairwise;

  /// @param maps         [B,C,H,W] logits
  /// @param photographs  of the images with boxes; the others' are not read
  boxinst_terms(at::Tensor const& maps, std::vector<seen> const& known,
                std::vector<grid<std::uint8_t, 3>> const& photographs, double warm, boxes_options const& options)
  {
    index_t const C = maps.size(1), H = maps.size(2), W = maps.size(3);
    std::vector<cambium::boxed_instance> list;
    std::vector<std::int64_t> planes;
    grid<std::uint32_t, 3> pairs(maps.size(0), H, W);
    for (std::size_t b = 0; b < known.size(); ++b) {
      if (known[b].boxes.empty()) continue;
      auto const image = static_cast<index_t>(b);
      grid<std::uint8_t, 2> counts(H, W);
      for (index_t n = 0; n < counts.size(); ++n)
        counts.data()[n] = known[b].ignored.size() == 0 || known[b].ignored.data()[n] == 0;
      cambium::similar_pairs_into(options.where, cambium::lab_colours(options.where, photographs[b]), counts,
                                  options.boxinst.pairs, pairs.view()[image]);
      for (auto const& box : known[b].boxes) {
        list.push_back({cambium::clipped(box.bounds, H, W), image});
        planes.push_back(image * C + box.category);
      }
    }
    if (list.empty()) return;
    auto const N = static_cast<index_t>(list.size());
    cambium::view<cambium::boxed_instance const, 1> const instances(list.data(), {N});
    auto const of_box = maps.flatten(0, 1).index_select(0, at::tensor(planes));
    auto outside = at::ones({N, H, W}, at::kBool);
    for (index_t n = 0; n < N; ++n) {
      auto const& in = list[static_cast<std::size_t>(n)].cells;
      outside[n].slice(0, in.top, in.bottom).slice(1, in.left, in.right).fill_(false);
    }
    double constexpr background = -20;  // a logit: outside its box an object is certainly not
    projection =
        box_projection(options.where, of_box.masked_fill(outside, background), instances, options.boxinst.projection);
    auto how = options.boxinst.pairs;
    how.warm = warm;
    pairwise = trainer::pairwise(options.where, of_box, instances, pairs.view(), how);
  }
};

}  // namespace

std::string name_of(box_supervision_kind kind)
{
  switch (kind) {
    case box_supervision_kind::exact:
      return "exact";
    case box_supervision_kind::uncertainty:
      return "uncertainty";
    case box_supervision_kind::boxes_as_masks:
      return "boxes_as_masks";
    case box_supervision_kind::exact_part:
      return "exact_part";
    case box_supervision_kind::boxinst:
      return "boxinst";
  }
  throw cambium::precondition_error("boxes: no such supervision");
}

cambium::box_supervision_options boxes_options::careful()
{
  cambium::box_supervision_options out;
  out.loss.largest_sigma = 5;
  out.loss.box_weight = 0.6;
  out.bootstrap.tau_lo = 4;
  out.bootstrap.tau_hi = 5;  // not below largest_sigma: sigma alone makes nothing background
  out.bootstrap.confidence = 0.9;
  out.bootstrap.unsure = cambium::undecided::ignore;
  return out;
}

namespace {

/// The exact images and the others that a training sees; checked.
std::pair<std::vector<std::size_t>, std::vector<std::size_t>> seen_images(box_supervision_kind kind,
                                                                          std::vector<bool> const& masks,
                                                                          boxes_options const& options)
{
  using enum box_supervision_kind;
  check(options);
  auto part = masks;
  if (kind == exact && paired(options) && !masks.empty()) {
    auto const& chosen = options.exact_images;
    expects(chosen.empty() || chosen.size() == masks.size(), "boxes: exact_images has ", chosen.size(), " marks for ",
            masks.size(), " images");
    part = chosen.empty() ? choose_exact(masks.size(), options.exact_share, options.seed) : chosen;
  }
  std::pair<std::vector<std::size_t>, std::vector<std::size_t>> out;
  auto& [few, others] = out;
  for (std::size_t i = 0; i < masks.size(); ++i)
    if (part[i])
      few.push_back(i);
    else if (kind != exact_part)
      others.push_back(i);
  std::string const name = name_of(kind);
  expects(!few.empty() || !others.empty(), "boxes: ", name, " has no image to learn from");
  if (paired(options)) {
    expects(!few.empty() || options.exact_batch == 0, "boxes: ", name, ": no image is exact, and a step takes ",
            options.exact_batch);
    expects(!others.empty() || options.box_batch == 0 || kind == exact_part, "boxes: ", name,
            ": all images are exact, and a step takes ", options.box_batch, " others");
    expects(kind != exact_part || options.exact_batch > 0, "boxes: ", name, ": a step takes no exact image");
    expects(few.empty() || options.exact_batch > 0, "boxes: ", name, ": ", few.size(),
            " images are exact, and no step takes one; ", "box_batch (--box-batch) is ", options.box_batch,
            ", so set exact_batch (--exact-batch), too");
    expects(others.empty() || options.box_batch > 0, "boxes: ", name, ": ", others.size(),
            " images are not exact, and no step takes one; ", "exact_batch (--exact-batch) is ", options.exact_batch,
            ", so set box_batch (--box-batch), too");
  }
  expects(kind != boxinst || options.supervision.loss.classes == cambium::class_model::one_vs_rest,
          "boxes: boxinst: its losses are of single classes; expected class_model::one_vs_rest");
  return out;
}

std::shared_ptr<uncertain_network> make_network(std::size_t classes, boxes_options const& options)
{
  resnet_options body{.pool = false};
  if (!options.classifier.empty()) body.strides = {1, 2, 2, 1};
  auto const backbone = small_resnet(options.width, body);
  if (!options.classifier.empty()) load_cam_backbone(*backbone, options.classifier);
  return std::make_shared<uncertain_network>(backbone,
                                             uncertain_network_options{.outputs = outputs_for(classes, options),
                                                                       .width = options.width,
                                                                       .initial_log_variance = options.log_variance});
}

}  // namespace

void expects_trainable(box_supervision_kind kind, std::vector<bool> const& exact, boxes_options const& options)
{
  expects(kind != box_supervision_kind::exact || std::find(exact.begin(), exact.end(), false) == exact.end(),
          "boxes: exact: not all images have masks; leave it out of the trainings (--train)");
  (void)seen_images(kind, exact, options);
}

boxes_training train_with(box_supervision_kind kind, std::vector<box_sample> const& samples, std::size_t classes,
                          boxes_options const& options, training_record const& record)
{
  std::vector<bool> masks;
  for (auto const& s : samples) {
    expects(kind != box_supervision_kind::exact || s.exact, "boxes: exact: image ", s.id, " has no mask");
    masks.push_back(s.exact);
  }
  auto [exact, others] = seen_images(kind, masks, options);
  bool const boxinst = kind == box_supervision_kind::boxinst;

  seed_everything(options.seed);
  boxes_training out{make_network(classes, options), {}, {}};
  auto& network = *out.network;
  network.train();
  auto descent = optimizer::adam({{network.parameters(), 1}},
                                 rates_of(poly_schedule{.base = options.rate, .steps = options.steps}),
                                 {.weight_decay = options.weight_decay});
  auto rules = options.supervision;
  rules.bootstrap.warm_up = std::llround(options.warm_up * static_cast<double>(options.steps));
  if (boxinst) {  // pixels in boxes have no label
    rules.bootstrap.warm_up = options.steps + 1;
    rules.loss.box_weight = 1e-30;
  }
  auto const rise =
      std::max<std::int64_t>(1, std::llround(options.boxinst.warm_up * static_cast<double>(options.steps)));
  double const all = static_cast<double>(exact.size() + others.size());
  box_batches batches(std::move(exact), std::move(others), options);
  bool const as_masks = kind == box_supervision_kind::boxes_as_masks;

  auto const mine = share_of_batch("boxes", batches.size());
  training_plan const plan{
      .recipe = boxes_recipe(kind, samples, classes, options), .steps = options.steps, .shares_batches = true};
  run_training(network, descent, plan, record, [&](std::int64_t step) -> step_result {
    std::vector<at::Tensor> photographs;
    std::vector<seen> known;
    std::vector<grid<std::uint8_t, 3>> coloured(static_cast<std::size_t>(boxinst ? batches.size() : 0));
    auto const& images = batches(step);
    for (std::int64_t b = 0; b < batches.size(); ++b) {
      box_sample const& sample = samples[images[static_cast<std::size_t>(b)]];
      bool const mirrored = dice(item_seed(options.seed, chance::augmentation, static_cast<std::uint64_t>(step),
                                           static_cast<std::uint64_t>(b)))
                                .chance(0.5);
      if (mine.begin <= b && b < mine.end)  // labels are known of the whole batch, the network sees its share
        photographs.push_back(mirrored ? picture_of(sample.photograph).flip({3}) : picture_of(sample.photograph));
      known.emplace_back(sample, as_masks, mirrored);
      if (boxinst && !known.back().boxes.empty())
        coloured[static_cast<std::size_t>(b)] = seen_photograph(sample.photograph, mirrored);
    }
    std::vector<cambium::weak_annotation<>> annotations;
    for (seen const& k : known)
      annotations.push_back({k.boxes, k.mask.size() > 0 ? k.mask.view() : cambium::image_view<std::int32_t const>{},
                             k.ignored.size() > 0 ? k.ignored.view() : cambium::image_view<std::uint8_t const>{}});

    auto const logits = network.forward(at::cat(photographs).contiguous(c10::MemoryFormat::ChannelsLast));
    auto const mean = processes::gathered(logits.mean, batches.size()).contiguous(),
               spread = processes::gathered(logits.log_variance, batches.size()).contiguous();
    double replaced = 0, boxed = 0;
    at::Tensor loss = cambium::differentiable({mean, spread}, [&](at::Tensor const& m, at::Tensor const& s) {
      rules.loss.seed = static_cast<std::uint64_t>(step);
      auto got = cambium::box_supervision(options.where, cambium::tensor_view<float const, 4>(m, "boxes: mean"),
                                          cambium::tensor_view<float const, 4>(s, "boxes: log_variance"), annotations,
                                          step, rules);
      replaced = static_cast<double>(got.foreground + got.background);
      boxed = static_cast<double>(got.loss.boxed);
      return cambium::with_gradients(got.loss.value, std::move(got.loss.by_mean), std::move(got.loss.by_log_variance));
    });
    step_result result{static_cast<double>((step + 1) * batches.size()) / all, {}};
    if (boxinst) {
      boxinst_terms const terms(mean, known, coloured, cambium::pairwise_warm_up(step + 1, rise), options);
      if (terms.projection.defined()) loss = loss + options.boxinst.weight * (terms.projection + terms.pairwise);
      auto const value = [](at::Tensor const& t) { return t.defined() ? t.item<double>() : 0; };
      result.losses = {{"projection", value(terms.projection)}, {"pairwise", value(terms.pairwise)}};
    }
    loss.backward();
    out.loss.push_back(loss.item<double>());
    out.replaced.push_back(replaced + boxed > 0 ? replaced / (replaced + boxed) : 0);
    result.losses.insert(result.losses.begin(), {{"loss", out.loss.back()}, {"replaced", out.replaced.back()}});
    return result;
  });
  return out;
}

}  // namespace trainer
