#include "method/irnet.hpp"

#include "data/augment.hpp"
#include "data/batch.hpp"
#include "data/resample.hpp"
#include "loss/losses.hpp"
#include "network/evaluation.hpp"
#include "network/module_weights.hpp"
#include "network/resnet.hpp"
#include "run/recipe.hpp"
#include "run/seed.hpp"

#include <cambium/activation/boundary.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/component/statistics.hpp>
#include <cambium/core/label.hpp>
#include <cambium/interop/torch.hpp>

#include <algorithm>
#include <cmath>

namespace trainer {

using cambium::expects;
using cambium::extent2;
using cambium::grid;
using cambium::index_t;
using torch::Tensor;

namespace {

cambium::cpu cores(irnet_training_options const& how) { return cambium::cpu{.threads = how.threads}; }

std::shared_ptr<resnet> make_backbone(irnet_training_options const& how, batch_norm mode)
{
  resnet_options of;
  of.strides = {1, 2, 2, 1};
  of.norm.mode = how.backbone.small ? mode : batch_norm::frozen;
  if (how.backbone.small) return small_resnet(how.backbone.width, of);
  auto net = resnet50(of);
  expects(!how.backbone.weights.empty(),
          "irnet: ResNet-50 needs weights: its normalisations are frozen, so that it "
          "cannot learn from nothing");
  name_map names;
  names.passed_over = {"fc."};
  load_weights(*net, how.backbone.weights, names);
  return net;
}

/// A copy whose pixels the tensor's own memory holds, for oneDNN in its favourite order.
Tensor picture_tensor(grid<float, 3> const& photograph) { return to_tensor(photograph).unsqueeze(0); }

struct tagged {
  augmented seen;
  std::vector<std::int32_t> tags, unsure;
};

struct tagged_batch {
  Tensor photographs, tags, counts;
};

/// How a network learns: the original's SGD, parts with rates of their own; Adam on all of it, where it is small.
optimizer rule_of(irnet_training_options const& how, double rate, std::int64_t steps, std::vector<Tensor> const& all,
                  std::vector<parameter_group> const& parts)
{
  poly_schedule schedule{.base = rate, .steps = std::max<std::int64_t>(1, steps)};
  if (!how.backbone.small) return optimizer::sgd(parts, rates_of(schedule));
  schedule.warm_up = std::min<std::int64_t>(20, steps);
  return optimizer::adam({{all, 1}}, rates_of(schedule));
}

void expects_scales(std::vector<double> const& scales)
{
  expects(!scales.empty(), "irnet: no CAM scales");
  for (double const s : scales) expects(s > 0 && s <= 16, "irnet: a CAM scale is ", s, "; expected above 0, up to 16");
}

}  // namespace

std::string irnet_recipe(std::string const& what, dataset const& set, irnet_training_options const& how)
{
  recipe out(what);
  out.add(set).add("seed", how.seed);
  if (how.backbone.small)
    out.add("small", how.backbone.width);
  else
    out.add("resnet50", how.backbone.weights);
  out.add("cam", how.cam_epochs, how.cam_batch, how.cam_rate)
      .add("sides", how.cam_shortest, how.cam_longest, how.cam_crop);
  if (what == "field")
    out.add("field", how.field_epochs, how.field_batch, how.field_rate)
        .add("scales", how.field_smallest, how.field_largest, how.field_crop)
        .add("pairs", how.loss.radius, how.loss.sources)
        .add("head", how.head_width)
        .add("cam_scales", how.cam_scales)
        .add("mining", how.mining.conf_fg_thres, how.mining.conf_bg_thres, how.mining.gt_prob, how.mining.iterations);
  return out.words() + how.beside;
}

irnet_training_options small_irnet()
{
  irnet_training_options how;
  how.backbone.small = true;
  how.cam_epochs = 10, how.cam_batch = 16, how.cam_rate = 3e-3;
  how.cam_shortest = 144, how.cam_longest = 240, how.cam_crop = 192;
  how.field_epochs = 8, how.field_batch = 16, how.field_rate = 3e-3;
  how.field_smallest = 0.75, how.field_largest = 1.5, how.field_crop = 192;
  how.loss = {.radius = 5, .sources = cambium::pair_sources::all};
  how.head_width = 0.5;
  how.cam_thres = 0.35;
  how.labels.sem_seg_bg_thres = how.labels.ins_seg_bg_thres = 0.4;
  return how;
}

std::shared_ptr<cam_network> make_cam_network(std::size_t classes, irnet_training_options const& how)
{
  return std::make_shared<cam_network>(make_backbone(how, batch_norm::live), static_cast<std::int64_t>(classes),
                                       cam_network_options{.stop_after_layer2 = !how.backbone.small});
}

std::shared_ptr<boundary_displacement_network> make_field_network(irnet_training_options const& how,
                                                                  cam_network* classifier)
{
  auto backbone = make_backbone(how, batch_norm::statistics);
  if (how.backbone.small && classifier != nullptr)
    load_weights(*backbone, tensors_of(classifier->backbone()), {}, "the classifier's backbone");
  return std::make_shared<boundary_displacement_network>(
      backbone, boundary_displacement_options{.head_width = how.head_width, .detach_stages = !how.backbone.small});
}

void train_cam(dataset const& set, cam_network& network, irnet_training_options const& how,
               training_record const& record)
{
  auto const classes = static_cast<std::int64_t>(set.class_names().size());
  loader<tagged> items(
      set.size(), seed_of(how.seed, static_cast<std::uint64_t>(chance::order), 1), how.workers,
      [&](std::size_t i, std::uint64_t seed) {
        auto image = set.load(i);
        labelled_photograph of;
        of.photograph = std::move(image.photograph);
        return tagged{augment_irnet_cam(
                          of, seed, {.shortest = how.cam_shortest, .longest = how.cam_longest, .crop = how.cam_crop}),
                      std::move(image.tags), std::move(image.unsure_tags)};
      });
  auto const collate_tagged = [&](std::vector<tagged>&& all) {
    std::vector<augmented> seen;
    std::vector<std::vector<std::int32_t>> tags, unsure;
    for (auto& one : all)
      seen.push_back(std::move(one.seen)), tags.push_back(std::move(one.tags)), unsure.push_back(std::move(one.unsure));
    return tagged_batch{collate(seen).photographs, multi_hot(tags, classes), sure_tags(unsure, classes)};
  };
  epoch_batches batches("cam", items, how.cam_batch, collate_tagged);
  auto const steps = batches.per_epoch() * how.cam_epochs;
  network.train();
  auto rule = rule_of(how, how.cam_rate, steps, network.parameters(),
                      {{trainable(network.backbone()), 1}, {{network.classifier_weight()}, 10}});
  training_plan const plan{.recipe = irnet_recipe("cam", set, how), .steps = steps, .shares_batches = true};
  run_training(network, rule, plan, record, [&](std::int64_t step) -> step_result {
    auto const b = batches(step);
    auto const said = network.forward(b.photographs.contiguous(torch::MemoryFormat::ChannelsLast));
    auto const loss = tags_loss_of_all(said, b.tags, b.counts, how.cam_batch);
    loss.backward();
    return {batches.epochs(step + 1), {{"tags", loss.item<double>()}}};
  });
  network.eval();
}

cambium::cams<float> cams_of(cam_network& network, weak_image const& image, irnet_training_options const& how)
{
  expects_scales(how.cam_scales);
  evaluation const now(network);
  index_t const H = image.photograph.shape()[0], W = image.photograph.shape()[1];
  std::vector<Tensor> kept;
  std::vector<cambium::scaled_maps<float>> maps;
  for (double const scale : how.cam_scales) {
    auto const side = [&](index_t n) {
      return std::max<index_t>(1, static_cast<index_t>(std::nearbyint(static_cast<double>(n) * scale)));
    };
    extent2 const size{side(H), side(W)};
    auto const seen = picture_tensor(normalised(
        size == extent2{H, W} ? image.photograph : resized(image.photograph, size, sampling::pillow, kernel::bicubic)));
    kept.push_back(network.cam(torch::cat({seen, seen.flip({3})})).contiguous());
    auto const all = cambium::tensor_view<float const, 4>(kept.back(), "cams_of: maps");
    maps.push_back({all[0], false});
    maps.push_back({all[1], true});
  }
  std::vector<int> present(static_cast<std::size_t>(kept[0].size(1)));
  for (auto const tag : image.tags) {
    expects(0 <= tag && tag < kept[0].size(1), "cams_of: ", image.id, " has the tag ", tag, " of ", kept[0].size(1));
    present[static_cast<std::size_t>(tag)] = 1;
  }
  return cambium::make_cams(cores(how), maps, {H, W}, present);
}

grid<std::int32_t, 2> mine(weak_image const& image, cambium::cams<float> const& maps, irnet_training_options const& how)
{
  auto out = cambium::cam_to_ir_label(cores(how), image.photograph, maps.full, maps.keys, how.mining);
  for (index_t n = 0; n < image.ignored.size(); ++n)  // of crowds nobody is sure
    if (image.ignored.data()[n] != 0) out.data()[n] = cambium::label::ignore;
  return out;
}

void train_field(dataset const& set, mined_labels const& mined, boundary_displacement_network& network,
                 irnet_training_options const& how, training_record const& record)
{
  loader<augmented> items(set.size(), seed_of(how.seed, static_cast<std::uint64_t>(chance::order), 2), how.workers,
                          [&](std::size_t i, std::uint64_t seed) {
                            labelled_photograph of;
                            of.photograph = set.load(i).photograph;
                            of.maps.push_back(mined(i));
                            return augment_irnet_affinity(
                                of, seed,
                                {.smallest = how.field_smallest, .largest = how.field_largest, .crop = how.field_crop});
                          });
  struct labelled {
    Tensor photographs, labels;
  };
  auto const collate_labelled = [](std::vector<augmented>&& all) {
    std::vector<Tensor> labels;
    for (auto& one : all) {
      labels.push_back(to_tensor(quarter(one.maps[0])));
      one.maps.clear();
    }
    return labelled{collate(all).photographs, torch::stack(labels).to(torch::kInt32)};
  };
  epoch_batches batches("field", items, how.field_batch, collate_labelled);
  auto const steps = batches.per_epoch() * how.field_epochs;
  network.train();
  auto const learning = trainable(network);
  auto rule = rule_of(how, how.field_rate, steps, learning,
                      {{network.boundary_parameters(), 1}, {network.displacement_parameters(), 10}});
  training_plan const plan{.recipe = irnet_recipe("field", set, how),
                           .steps = steps,
                           .most_gradient = how.backbone.small ? 10.0 : 0,
                           .shares_batches = true};
  run_training(network, rule, plan, record, [&](std::int64_t step) -> step_result {
    auto const b = batches(step);
    auto const said = network.forward(b.photographs.contiguous(torch::MemoryFormat::ChannelsLast));
    cambium::affinity_loss_values parts;
    auto const of_all = [&](Tensor const& own) { return processes::gathered(own, how.field_batch); };
    auto const loss = affinity_displacement(cores(how), of_all(said.boundary), of_all(said.displacement),
                                            of_all(b.labels), how.loss, &parts);
    loss.backward();
    return {batches.epochs(step + 1),
            {{"boundary", (parts.positive() + parts.negative) / 2},
             {"displacement", (parts.field_foreground + parts.field_background) / 2}}};
  });

  // The mean displacement over the set, of crops from the top left corner, padding included, as the original takes it.
  torch::NoGradGuard const still;
  network.eval();
  network.mean_displacement().zero_();
  loader<augmented> corners(set.size(), 0, how.workers,
                            [&](std::size_t i, std::uint64_t) {
                              labelled_photograph of;
                              of.photograph = set.load(i).photograph;
                              return cropped(of, {0, 0, how.field_crop, how.field_crop}, cambium::label::ignore,
                                             imagenet_colours);
                            },
                            {.shuffle = false});
  corners.start(0);
  auto sum = torch::zeros({2});
  std::int64_t seen = 0;
  while (auto const photographs = corners.next_batch(
             std::min<std::size_t>(static_cast<std::size_t>(how.field_batch), set.size()), last_batch::drop,
             [](std::vector<augmented>&& all) { return collate(all).photographs; })) {
    sum += network.forward(*photographs).displacement.mean({0, 2, 3});
    ++seen;
  }
  network.mean_displacement().copy_(sum / static_cast<double>(std::max<std::int64_t>(1, seen)));
}

boundary_and_displacement field_of(boundary_displacement_network& network, grid<std::uint8_t, 3> const& photograph,
                                   irnet_training_options const& how)
{
  evaluation const now(network);
  index_t const H = photograph.shape()[0], W = photograph.shape()[1];
  expects(H >= 1 && W >= 1, "field_of: a photograph of ", H, " x ", W);
  auto const padded = [&](index_t n) { return n <= how.field_crop ? how.field_crop : (n + 15) / 16 * 16; };
  labelled_photograph of;
  of.photograph = photograph;
  auto const seen =
      picture_tensor(cropped(of, {0, 0, padded(H), padded(W)}, cambium::label::ignore, imagenet_colours).photograph);
  // the mirror image is padded at its right, too
  flip(of);
  auto const mirrored =
      picture_tensor(cropped(of, {0, 0, padded(H), padded(W)}, cambium::label::ignore, imagenet_colours).photograph);
  auto const said = network.forward(torch::cat({seen, mirrored}));
  auto const logits = said.boundary.contiguous();
  auto const field = said.displacement.contiguous();
  auto const edges = cambium::tensor_view<float const, 4>(logits, "field_of: boundary");
  auto const moves = cambium::tensor_view<float const, 4>(field, "field_of: displacement");
  extent2 const size{(H - 1) / 4 + 1, (W - 1) / 4 + 1};
  boundary_and_displacement out;
  out.boundary = cambium::boundary_from_logits(cores(how), edges[0][0], edges[1][0], size);
  out.displacement = grid<float, 3>(2, size.height, size.width);
  for (index_t k = 0; k < 2; ++k)
    for (index_t y = 0; y < size.height; ++y) std::copy_n(&moves(0, k, y, 0), size.width, &out.displacement(k, y, 0));
  return out;
}

std::vector<cambium::irnet_labels<>> irnet_labels_of(cambium::cams<float> const& maps,
                                                     boundary_and_displacement const& field, weak_image const& image,
                                                     std::vector<instances_by> const& ways,
                                                     irnet_training_options const& how)
{
  cambium::irnet_input<float> in;
  in.cams = maps.strided.view();
  in.keys = maps.keys;
  in.boundary = field.boundary.view();
  in.image = {image.photograph.shape()[0], image.photograph.shape()[1]};
  cambium::expects_irnet_options(how.labels);
  auto const seen_by = [&](instances_by apart) {
    auto out = in;
    if (apart == instances_by::displacement) out.displacement = field.displacement.view();
    return out;
  };
  bool const clusters = std::find(ways.begin(), ways.end(), instances_by::displacement) != ways.end();
  auto const all = seen_by(clusters ? instances_by::displacement : instances_by::components);
  cambium::expects_irnet_input(all);
  cambium::expects_finite(cores(how), in.cams, "irnet: cams");
  auto const walked = cambium::irnet_walk(cores(how), all, how.labels);
  std::vector<cambium::irnet_labels<>> out;
  for (auto const apart : ways) {
    auto options = how.labels;
    if (apart == instances_by::components) options.component_thres = 2;
    out.push_back(cambium::irnet_label(cores(how), walked, seen_by(apart), options));
  }
  return out;
}

cambium::irnet_labels<> cam_labels(cambium::cams<float> const& maps, irnet_training_options const& how)
{
  index_t const H = maps.full.shape()[1], W = maps.full.shape()[2];
  cambium::irnet_labels<> out;
  out.semantic = grid<std::int32_t, 2>(H, W);
  grid<float, 2> strength(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      float best = static_cast<float>(how.cam_thres);
      for (std::size_t k = 0; k < maps.keys.size(); ++k)
        if (float const v = maps.full(static_cast<index_t>(k), y, x); v > best) {
          best = v;
          out.semantic(y, x) = maps.keys[k] + 1;
          strength(y, x) = v;
        }
    }
  auto found = cambium::connected_equal(cores(how), out.semantic, cambium::c4);
  out.objects.found.resize(static_cast<std::size_t>(found.count));
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      if (found.label(y, x) > 0) {
        auto& one = out.objects.found[static_cast<std::size_t>(found.label(y, x) - 1)];
        if (one.area++ == 0) one = {out.semantic(y, x) - 1, 0, 1, {y, x, y + 1, x + 1}};
        one.score = std::max(one.score, static_cast<double>(strength(y, x)));
        one.bounds = {std::min(one.bounds.top, y), std::min(one.bounds.left, x), std::max(one.bounds.bottom, y + 1),
                      std::max(one.bounds.right, x + 1)};
      }
  out.objects.label = std::move(found.label);
  return out;
}

}  // namespace trainer
