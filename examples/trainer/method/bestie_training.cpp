// BESTIE's instance network: its training on pseudo labels.

#include "method/bestie.hpp"

#include "data/batch.hpp"
#include "data/fingerprint.hpp"
#include "loss/losses.hpp"
#include "run/optimizer.hpp"
#include "run/recipe.hpp"
#include "run/sample_order.hpp"

#include <cambium/core/label.hpp>
#include <cambium/interop/torch.hpp>

#include <algorithm>
#include <utility>

namespace trainer {

using cambium::cpu;
using cambium::expects;
using cambium::grid;
using cambium::index_t;
using cambium::points;
using cambium::tensor_view;

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
                           bestie_network& network, bestie_training_options const& options,
                           training_record const& record)
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

  auto adam =
      optimizer::adam({{trainable(network), 1}},
                      rates_of(poly_schedule{.base = options.rate, .steps = options.steps, .warm_up = options.warm_up}),
                      {.weight_decay = options.weight_decay});
  network.train();
  sample_order samples(train.size(), options.seed);
  auto const mine = share_of_batch(who, options.batch);

  auto const teach = [&](std::int64_t step) {
    lesson out;
    std::vector<torch::Tensor> seen, maps;
    for (std::int64_t b = mine.begin; b < mine.end; ++b) {
      auto const [item, seed] = samples(step * options.batch + b);
      auto const image = train.load(item);
      expects_tags(image, C);
      auto const used = transfer.score == cambium::cue_score::exact
                            ? cues[item]
                            : cambium::confident_points(cues[item], transfer.pseudo_thresh);
      auto const changed =
          augment_bestie({image.photograph, {integers(semantic[item])}, used, {}}, seed, options.samples);
      seen.push_back(to_tensor(changed.photograph)), maps.push_back(to_tensor(changed.maps[0]).to(torch::kInt));
      out.classes.push_back(image.tags), out.cues.push_back(changed.points);
    }
    out.image = torch::stack(seen), out.semantic = torch::stack(maps);
    auto const H = out.image.size(2), W = out.image.size(3);
    out.centre = torch::empty({mine.size(), C, H, W});
    out.offset = torch::empty({mine.size(), 2, H, W});
    out.weight = torch::empty({mine.size(), 1, H, W});
    for (std::int64_t b = 0; b < mine.size(); ++b)
      cambium::bestie_pseudo_labels_into(
          where, tensor_view<std::int32_t const, 2>(out.semantic[b], "semantic"),
          out.classes[static_cast<std::size_t>(b)], out.cues[static_cast<std::size_t>(b)], transfer,
          {tensor_view<float, 3>(out.centre[b], "centres"), tensor_view<float, 3>(out.offset[b], "offsets"),
           tensor_view<float, 2>(out.weight[b][0], "weights")});
    if (!options.guidance)  // every pixel is background unless it is ignored
      out.weight = (out.semantic != static_cast<int>(cambium::label::ignore)).to(torch::kFloat).unsqueeze(1);
    return out;
  };

  training_plan const plan{.recipe = bestie_recipe(train, semantic, cues, options),
                           .steps = options.steps,
                           .checkpoint_every = 1000,
                           .shares_batches = true};
  return run_training(network, adam, plan, record, [&](std::int64_t step) -> step_result {
    auto const of = teach(step);
    auto const H = of.image.size(2), W = of.image.size(3);
    expects(H % network.multiple() == 0 && W % network.multiple() == 0, who, ": photographs of ", H, " x ", W,
            " for a network that wants multiples of ", network.multiple(), "; set a crop");
    auto const said = network.forward(of.image);
    auto const ce = hardest_pixels_of_all(where, said.seg, of.semantic, {.fraction = options.hardest}, options.batch);
    auto centre = guided_square_error_of_all(where, said.centre, of.centre, of.weight);
    auto offset = guided_absolute_error_of_all(where, said.offset, of.offset, of.weight);
    double known = 0;
    if (options.refinement && step >= options.refine_from) {
      auto const own = refined(where, said, of, options);
      known = processes::mean((own.weight > 0).to(torch::kFloat).mean().item<double>(),
                              static_cast<double>(own.weight.numel()));
      if (own.centre.defined())
        centre = (centre + guided_square_error_of_all(where, said.centre, own.centre, own.weight)) / 2;
      offset = (offset + guided_absolute_error_of_all(where, said.offset, own.offset, own.weight)) / 2;
    }
    (options.seg_weight * ce + options.centre_weight * centre + options.offset_weight * offset).backward();
    return {static_cast<double>((step + 1) * options.batch) / static_cast<double>(train.size()),
            {{"seg", ce.item<double>()},
             {"centre", options.centre_weight * centre.item<double>()},
             {"offset", options.offset_weight * offset.item<double>()},
             {"refined", known}}};
  });
}

}  // namespace trainer
