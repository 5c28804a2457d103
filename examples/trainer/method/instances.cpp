#include "method/instances.hpp"

#include "data/batch.hpp"
#include "loss/losses.hpp"
#include "run/optimizer.hpp"
#include "run/recipe.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/instance/targets.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;

namespace {

/// A photograph ready to be learned from.
struct lesson_item {
  grid<float, 3> photograph;
  instance_targets targets;
};

torch::Tensor tensor_of(grid<float, 2> const& g)
{
  torch::Tensor out = torch::empty({1, g.shape()[0], g.shape()[1]}, torch::kFloat32);
  std::copy(g.cells().begin(), g.cells().end(), out.data_ptr<float>());
  return out;
}

struct lesson_batch {
  torch::Tensor photograph, semantic, centre, offset, centre_weight, offset_weight;
};

lesson_batch stacked(std::vector<lesson_item>&& items)
{
  std::vector<torch::Tensor> all[6];
  for (lesson_item const& i : items) {
    all[0].push_back(to_tensor(i.photograph)), all[1].push_back(to_tensor(i.targets.semantic));
    all[2].push_back(to_tensor(i.targets.centre)), all[3].push_back(to_tensor(i.targets.offset));
    all[4].push_back(tensor_of(i.targets.centre_weight)), all[5].push_back(tensor_of(i.targets.offset_weight));
  }
  return {torch::stack(all[0]), torch::stack(all[1]), torch::stack(all[2]),
          torch::stack(all[3]), torch::stack(all[4]), torch::stack(all[5])};
}

}  // namespace

std::string instances_recipe(dataset const& set, instance_training const& o)
{
  return recipe("instances")
      .add(set)
      .add("seed", o.seed)
      .add("steps", o.steps, o.batch, o.rate, o.warm_up)
      .add("weights", o.seg_weight, o.centre_weight, o.offset_weight)
      .add("hardest", o.hardest)
      .add("sigma", o.sigma)
      .add("background", o.trust_background)
      .add("least_score", o.least_score)
      .add(o.augmentation)
      .add("beside", o.beside)
      .words();
}

instance_targets make_instance_targets(grid<std::int32_t, 2> const& labels, std::vector<cambium::instance> const& found,
                                       std::int64_t classes, instance_training const& options)
{
  char const* const who = "make_instance_targets";
  index_t const H = labels.shape()[0], W = labels.shape()[1];
  auto const N = static_cast<std::int32_t>(found.size());
  std::vector<double> y_sum(found.size()), x_sum(found.size());
  std::vector<index_t> area(found.size());
  for (std::size_t k = 0; k < found.size(); ++k)
    expects(found[k].category >= 0 && found[k].category < classes, who, ": instance ", k, " is of class ",
            found[k].category, ", outside 0..", classes - 1);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      std::int32_t const v = labels(y, x);
      expects(v <= N, who, ": the label at row ", y, ", column ", x, " is ", v, " of ", N, " instances");
      if (v <= 0) continue;
      auto const k = static_cast<std::size_t>(v - 1);
      y_sum[k] += static_cast<double>(y), x_sum[k] += static_cast<double>(x), ++area[k];
    }
  cambium::points centres;
  for (std::size_t k = 0; k < found.size(); ++k) {
    if (area[k] == 0) continue;
    y_sum[k] /= static_cast<double>(area[k]), x_sum[k] /= static_cast<double>(area[k]);
    if (found[k].score >= options.least_score) centres.push_back({y_sum[k], x_sum[k], found[k].category, 1});
  }
  instance_targets out;
  out.centre = cambium::centre_map(cambium::cpu{.threads = 1}, centres, classes, {H, W},
                                   {.sigma = options.sigma, .rounding = cambium::stamping::exact});
  out.semantic = grid<std::int32_t, 2>(H, W);
  out.offset = grid<float, 3>(2, H, W);
  out.centre_weight = grid<float, 2>(H, W), out.offset_weight = grid<float, 2>(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      std::int32_t const v = labels(y, x);
      auto const k = static_cast<std::size_t>(std::max(v, 1) - 1);
      bool const inside = v > 0 && found[k].score >= options.least_score;
      bool const known = inside || (v == 0 && options.trust_background);
      out.semantic(y, x) = inside ? found[k].category + 1 : known ? cambium::label::background : cambium::label::ignore;
      out.centre_weight(y, x) = known;
      out.offset_weight(y, x) = inside;
      if (!inside) continue;
      out.offset(0, y, x) = static_cast<float>(y_sum[k] - static_cast<double>(y));
      out.offset(1, y, x) = static_cast<float>(x_sum[k] - static_cast<double>(x));
    }
  return out;
}

journal_entry train_instances(dataset const& set, bestie_network& network, instance_training const& options,
                              training_record const& record)
{
  char const* const who = "train_instances";
  auto const classes = network.classes();
  expects(classes == static_cast<std::int64_t>(set.class_names().size()), who, ": the network has ", classes,
          " classes but the set ", set.class_names().size());
  expects(options.steps >= 1 && options.batch >= 1, who, ": ", options.steps, " steps of ", options.batch,
          " photographs; expected at least one each");
  expects(options.augmentation.crop % network.multiple() == 0, who, ": crop is ", options.augmentation.crop,
          "; the network wants multiples of ", network.multiple());
  expects(options.hardest > 0 && options.hardest <= 1, who, ": hardest is ", options.hardest, ", outside (0,1]");

  bestie_augmentation augmentation = options.augmentation;
  augmentation.fill = -1;  // numbers of instances know no 255
  loader<lesson_item> items(set.size(), seed_of(options.seed, static_cast<std::uint64_t>(chance::order)),
                            options.workers, [&](std::size_t i, std::uint64_t seed) {
                              cambium::instances<> labels = set.truth(i);
                              weak_image image = set.load(i);
                              mark_unknown(labels.label, image.ignored, "train_instances: " + set.id(i));
                              labelled_photograph from;
                              from.photograph = std::move(image.photograph);
                              from.maps.push_back(std::move(labels.label));
                              augmented a = augment_bestie(from, seed, augmentation);
                              return lesson_item{std::move(a.photograph),
                                                 make_instance_targets(a.maps[0], labels.found, classes, options)};
                            });
  epoch_batches batches(who, items, options.batch, stacked);

  network.train();
  at::manual_seed(seed_of(options.seed, static_cast<std::uint64_t>(chance::dropout)));
  auto adam = optimizer::adam(
      {{network.parameters()}},
      rates_of(poly_schedule{options.rate, options.steps, 0.9, std::min(options.warm_up, options.steps), 0.001}));
  cambium::cpu const where{.threads = options.threads};
  training_plan const plan{.recipe = instances_recipe(set, options),
                           .steps = options.steps,
                           .checkpoint_every = 1000,
                           .shares_batches = true};
  return run_training(network, adam, plan, record, [&](std::int64_t step) -> step_result {
    auto const of = batches(step);
    auto const said = network.forward(of.photograph);
    auto const seg = hardest_pixels_of_all(where, said.seg, of.semantic, {.fraction = options.hardest}, options.batch);
    auto const centre = guided_square_error_of_all(where, said.centre, of.centre, of.centre_weight);
    auto const offset = guided_absolute_error_of_all(where, said.offset, of.offset, of.offset_weight);
    (options.seg_weight * seg + options.centre_weight * centre + options.offset_weight * offset).backward();
    return {batches.epochs(step + 1),
            {{"seg", seg.item<double>()}, {"centre", centre.item<double>()}, {"offset", offset.item<double>()}}};
  });
}

}  // namespace trainer
