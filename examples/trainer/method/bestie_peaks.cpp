// BESTIE's classifier and the peaks of its class maps.

#include "method/bestie.hpp"

#include "data/batch.hpp"
#include "loss/losses.hpp"
#include "network/at_size.hpp"
#include "network/evaluation.hpp"
#include "run/optimizer.hpp"
#include "run/recipe.hpp"
#include "run/sample_order.hpp"

#include <cambium/interop/torch.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainer {

using cambium::cpu;
using cambium::expects;
using cambium::index_t;
using cambium::points;
using cambium::tensor_view;

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

journal_entry train_peak_classifier(dataset const& train, vgg_pam& network, peak_classifier_options const& options,
                                    training_record const& record)
{
  char const* const who = "train_peak_classifier";
  expects(train.size() >= 1, who, ": the set is empty");
  expects(options.epochs >= 1 && options.batch >= 1, who, ": ", options.epochs, " epochs, batches of ", options.batch);
  expects(std::isfinite(options.rate) && options.rate > 0, who, ": rate is ", options.rate);
  expects(options.plain_epochs >= 0, who, ": plain_epochs is ", options.plain_epochs);
  auto const C = network.classes();
  expects(static_cast<std::int64_t>(train.class_names().size()) == C, who, ": the set has ", train.class_names().size(),
          " classes but the network ", C);

  auto const size = static_cast<std::int64_t>(train.size()), per_epoch = (size + options.batch - 1) / options.batch;
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
  sample_order samples(train.size(), options.seed);
  double const alpha = network.options().alpha;
  training_plan const plan{.recipe = peak_classifier_recipe(train, network, options),
                           .steps = options.epochs * per_epoch,
                           .checkpoint_every = per_epoch,
                           .shares_batches = true};
  auto const last = run_training(network, sgd, plan, record, [&](std::int64_t step) -> step_result {
    auto const epoch = step / per_epoch, begin = step % per_epoch * options.batch;
    auto const end = std::min(size, begin + options.batch);
    network.attend(epoch < options.plain_epochs ? 0 : alpha);
    std::vector<torch::Tensor> seen;
    std::vector<std::vector<std::int32_t>> tags, unsure;
    auto const mine = processes::share_of(end - begin);  // of an epoch's last batch it may be empty
    for (auto k = begin + mine.begin; k < begin + mine.end; ++k) {
      auto const [item, seed] = samples(epoch * size + k);
      auto const image = train.load(item);
      expects_tags(image, C);
      seen.push_back(to_tensor(augment_pam({image.photograph, {}, {}, {}}, seed, options.samples).photograph));
      tags.push_back(image.tags), unsure.push_back(image.unsure_tags);
    }
    auto const crop = options.samples.crop;
    auto const said = network.forward(seen.empty() ? torch::empty({0, 3, crop, crop}) : torch::stack(seen));
    auto const loss = tags_loss_of_all(said, multi_hot(tags, C), sure_tags(unsure, C), end - begin);
    loss.backward();
    return {static_cast<double>(epoch) + static_cast<double>(end) / static_cast<double>(size),
            {{"tags", loss.item<double>()}}};
  });
  network.attend(alpha);
  return last;
}

std::vector<points> find_cues(dataset const& images, vgg_pam& network, cue_options const& options)
{
  expects(static_cast<std::int64_t>(images.class_names().size()) == network.classes(), "find_cues: the set has ",
          images.class_names().size(), " classes but the network ", network.classes());
  evaluation const now(network);
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
    expects_tags(image, network.classes());
    auto const H = image.photograph.shape()[0], W = image.photograph.shape()[1];
    auto seen = to_tensor(normalised(image.photograph)).unsqueeze(0);
    if (options.squash.height > 0 && options.squash.width > 0)
      seen = at_size(seen, options.squash.height, options.squash.width);
    auto const maps = network.maps(torch::cat({seen, seen.flip(3)})).contiguous();
    auto const found = cambium::bestie_peaks(where, tensor_view<float const, 3>(maps[0], image.id + ": class maps"),
                                             tensor_view<float const, 3>(maps[1], image.id + ": class maps"), {H, W},
                                             image.tags, options.peaks);
    out.push_back(to_vector(where, found));
  }
  return out;
}

std::vector<points> given_cues(dataset const& images)
{
  std::vector<points> out;
  for (std::size_t i = 0; i < images.size(); ++i) out.push_back(images.load(i).points);
  return out;
}

}  // namespace trainer
