#include "method/scribbles.hpp"

#include "data/batch.hpp"
#include "data/fingerprint.hpp"
#include "data/loader.hpp"
#include "loss/losses.hpp"
#include "method/scores.hpp"
#include "network/at_size.hpp"
#include "network/batch_norm.hpp"
#include "network/chain.hpp"
#include "network/convolution.hpp"
#include "network/evaluation.hpp"
#include "run/optimizer.hpp"
#include "run/recipe.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/interop/torch.hpp>

#include <torch/nn/modules/activation.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;
using cambium::label::background;
using cambium::label::ignore;

namespace {

char const* const who = "train_scribbles";

struct sample_batch {
  torch::Tensor photograph;  ///< [B,3,H,W]
  torch::Tensor labels;      ///< [B,H,W]
  torch::Tensor unlabelled;  ///< [B,1,H,W] 1 on unlabelled pixels of the photograph
};

sample_batch stacked(std::vector<scribble_sample>&& items)
{
  std::vector<torch::Tensor> photographs, labels, unlabelled;
  for (scribble_sample const& s : items) {
    photographs.push_back(to_tensor(s.photograph));
    labels.push_back(to_tensor(s.labels));
    unlabelled.push_back(to_tensor(s.unlabelled).unsqueeze(0).to(torch::kFloat));
  }
  return {torch::stack(photographs), torch::stack(labels), torch::stack(unlabelled)};
}

/// What learns: the network, and the layer that makes features for the high tree.
class training_network : public torch::nn::Module {
 public:
  training_network(std::shared_ptr<bestie_network> network, tree_energy_settings const& tree)
      : own_(register_module("network", std::move(network)))
  {
    if (tree.weight > 0 && tree.high)
      embedding_ = register_module(
          "embedding", make_chain(he_normal(convolution(own_->feature_channels(), tree.embedding, 1)),
                                  make_batch_norm(tree.embedding, batch_norm_options{}), torch::nn::ReLU()));
  }
  [[nodiscard]] semantic_half semantic(torch::Tensor const& image) { return own_->semantic(image); }
  /// Features for the high tree; undefined without it.
  [[nodiscard]] torch::Tensor embedded(torch::Tensor const& features)
  {
    return embedding_ == nullptr ? torch::Tensor() : embedding_->forward(features);
  }

 private:
  std::shared_ptr<bestie_network> own_;
  std::shared_ptr<chain> embedding_;
};

/// The cross entropy of the labelled pixels.
torch::Tensor loss_of_marks(cambium::cpu const& where, torch::Tensor const& logits, torch::Tensor const& labels,
                            bool balance)
{
  if (!balance) return cross_entropy(where, logits, labels);
  auto const ground = cross_entropy(where, logits, labels.masked_fill(labels != background, ignore));
  return (ground + cross_entropy(where, logits, labels.masked_fill(labels == background, ignore))) / 2;
}

/// Normalised photographs as colours in 0..1.
torch::Tensor colours_of(torch::Tensor const& photographs, colour_scale const& scale)
{
  auto const row = [](auto const& three) {
    return torch::tensor({static_cast<float>(three[0]), static_cast<float>(three[1]), static_cast<float>(three[2])})
        .view({1, 3, 1, 1});
  };
  return photographs * row(scale.deviation) + row(scale.mean);
}

void check(dataset const& set, bestie_network const* network, scribble_training const& o)
{
  expects(network != nullptr, who, ": no network");
  expects(network->classes() == static_cast<std::int64_t>(set.class_names().size()), who, ": the network has ",
          network->classes(), " classes but the set ", set.class_names().size());
  expects(o.steps >= 1 && o.batch >= 1, who, ": ", o.steps, " steps of ", o.batch,
          " photographs; expected at least one each");
  expects(o.augmentation.crop % network->multiple() == 0, who, ": crop is ", o.augmentation.crop,
          "; the network wants multiples of ", network->multiple());
  expects(o.tree.weight >= 0 && std::isfinite(o.tree.weight), who, ": tree.weight is ", o.tree.weight,
          "; expected a finite number >= 0");
  expects(o.tree.low.sigma > 0 && std::isfinite(o.tree.low.sigma), who, ": tree.low.sigma is ", o.tree.low.sigma,
          "; expected a finite number > 0");
  expects(o.spreading.limit > 0, who, ": spreading.limit is ", o.spreading.limit, "; expected a number > 0");
  expects(o.tree.embedding >= 1, who, ": tree.embedding is ", o.tree.embedding, " channels");
  expects(o.spreading.confidence >= 0 && o.spreading.confidence <= 1, who, ": spreading.confidence is ",
          o.spreading.confidence, ", outside [0,1]");
}

}  // namespace

scribble_training small_scribbles(std::int64_t steps, index_t side)
{
  scribble_training out;
  out.steps = steps, out.batch = 8, out.rate = 3e-3, out.warm_up = std::min<std::int64_t>(50, steps / 10);
  out.augmentation.long_side = out.augmentation.crop = side;
  out.augmentation.multiple = 1;
  out.augmentation.scales = {1};
  out.tree.embedding = 32;
  out.balance = true;
  return out;
}

grid<std::int32_t, 2> marks_of(weak_image const& image, std::int64_t classes, scribble_training const& options)
{
  index_t const H = image.photograph.shape()[0], W = image.photograph.shape()[1];
  grid<std::int32_t, 2> out(H, W);
  std::fill(out.cells().begin(), out.cells().end(), ignore);
  if (image.scribbles.size() > 0) {
    expects(image.scribbles.shape() == out.shape(), "image ", image.id, ": the photograph is ", out.view(),
            " but its scribbles are ", image.scribbles.view());
    for (index_t n = 0; n < out.size(); ++n) {
      auto const v = image.scribbles.data()[n];
      expects((0 <= v && v <= classes) || v == ignore, "image ", image.id, ": the scribble at row ", n / W, ", column ",
              n % W, " is ", v, ", outside 0..", classes, " and not 255");
      out.data()[n] = v;
    }
  }
  for (std::size_t i = 0; options.points && i < image.points.size(); ++i) {
    auto const& p = image.points[i];
    expects(p.y >= -0.5 && p.y + 0.5 < static_cast<double>(H) && p.x >= -0.5 && p.x + 0.5 < static_cast<double>(W),
            "image ", image.id, ": point ", i, " is at (", p.y, ",", p.x, "), outside the photograph of ", H, " x ", W);
    expects(0 <= p.category && p.category < classes, "image ", image.id, ": point ", i, " is of class ", p.category,
            ", outside 0..", classes - 1);
    auto const [y, x] = cambium::cell_of(p, {H, W});
    auto& cell = out(y, x);
    expects(cell == ignore || cell == p.category + 1, "image ", image.id, ": point ", i, " of class ", p.category,
            " is on a mark of ", cell == background ? "the background" : "another class");
    cell = p.category + 1;
  }
  if (options.frame)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; x += y == 0 || y + 1 == H ? 1 : std::max<index_t>(1, W - 1))
        if (out(y, x) == ignore) out(y, x) = background;
  return out;
}

grid<std::int32_t, 2> labels_of_marks(weak_image const& image, grid<std::int32_t, 2> const& marks,
                                      scribble_training const& options)
{
  if (!options.spread) return marks;
  auto how = options.spreading;
  how.frame = false;                                // the marks have it
  how.objects = cambium::scribbled_object::class_;  // two strokes of a class do not compete
  cambium::scribble_input<float> in;
  in.image = image.photograph.view();
  in.scribbles = marks.view();
  return cambium::scribble_labels(cambium::cpu{.threads = 1}, in, how).semantic;
}

scribble_sample sample_of_marks(weak_image image, std::uint64_t seed, std::int64_t classes,
                                scribble_training const& options)
{
  auto const marks = marks_of(image, classes, options);
  labelled_photograph from;
  index_t const W = marks.shape()[1];
  for (index_t n = 0; n < marks.size(); ++n)
    if (marks.data()[n] != ignore)
      from.points.push_back({static_cast<double>(n / W), static_cast<double>(n % W), marks.data()[n], 1});
  if (options.spread) from.maps.push_back(labels_of_marks(image, marks, options));
  from.photograph = std::move(image.photograph);
  auto how = options.augmentation;
  how.fill = ignore, how.exact_points = true;
  augmented a = augment_bestie(from, seed, how);
  scribble_sample out{std::move(a.photograph), {}, {}};
  index_t const h = out.photograph.shape()[1], w = out.photograph.shape()[2];
  if (options.spread) {
    out.labels = std::move(a.maps[0]);
  } else {
    out.labels = grid<std::int32_t, 2>(h, w);
    std::fill(out.labels.cells().begin(), out.labels.cells().end(), ignore);
  }
  for (auto const& p : a.points)
    out.labels(std::clamp<index_t>(static_cast<index_t>(std::floor(p.y + 0.5)), 0, h - 1),
               std::clamp<index_t>(static_cast<index_t>(std::floor(p.x + 0.5)), 0, w - 1)) = p.category;
  out.unlabelled = grid<std::int32_t, 2>(h, w);
  for (index_t y = a.seen.top; y < a.seen.bottom; ++y)
    for (index_t x = a.seen.left; x < a.seen.right; ++x) out.unlabelled(y, x) = out.labels(y, x) == ignore ? 1 : 0;
  return out;
}

std::uint64_t expects_marks(dataset const& set, scribble_training const& options)
{
  struct found {
    bool any = false, ground = false, object = false;
    std::uint64_t marks = 0;
  };
  auto const classes = static_cast<std::int64_t>(set.class_names().size());
  loader<found> images(set.size(), 0, options.workers,
                       [&](std::size_t i, std::uint64_t) {
                         auto const marks = marks_of(set.load(i), classes, options);
                         found out;
                         for (auto const v : marks.cells()) {
                           out.any = out.any || v != ignore;
                           out.ground = out.ground || v == background;
                           out.object = out.object || (v != background && v != ignore);
                         }
                         fingerprint all;
                         all.add(marks.shape()[0]).add(marks.shape()[1]);
                         out.marks = all.add(marks.data(), marks.cells().size() * sizeof(std::int32_t)).value();
                         return out;
                       },
                       {.shuffle = false});
  images.start(0);
  fingerprint all;
  std::size_t place = 0, first = 0, without = 0;
  bool ground = false, object = false;
  for (; auto const image = images.next(); ++place) {
    if (!image->any && without++ == 0) first = place;
    ground = ground || image->ground, object = object || image->object;
    all.add(image->marks);
  }
  expects(without < set.size(), who, ": no image of the set is marked, neither by a scribble nor by a point");
  expects(without == 0, who, ": image ", set.id(first), " has no marked pixel",
          without > 1 ? ", nor have " + std::to_string(without - 1) + " others" : std::string());
  expects(ground, who,
          ": no image has a mark of the background, so every pixel would be an object; "
          "frame (--frame) marks the outermost pixels, or draw scribbles of it (0)");
  expects(
      object, who,
      ": no image has a mark of a class, so every pixel would be background; a scribble has the number of its class, "
      "1..",
      classes, ", where 0 is background and 255 unmarked");
  return all.value();
}

std::string scribbles_recipe(dataset const& set, scribble_training const& o, std::uint64_t marks)
{
  recipe words("scribbles");
  words.add(set)
      .add("seed", o.seed)
      .add("steps", o.steps, o.batch, o.rate, o.warm_up)
      .add("marks", marks, o.points, o.frame, o.balance)
      .add("tree", o.tree.weight, o.tree.low.sigma, o.tree.low.groups, o.tree.high, o.tree.embedding);
  if (o.spread)
    words.add("spread", o.spreading.cost.step, o.spreading.cost.image, o.spreading.limit, o.spreading.unreached,
              o.spreading.confidence);
  return words.add(o.augmentation).add("beside", o.beside).words();
}

journal_entry train_scribbles(dataset const& set, std::shared_ptr<bestie_network> const& network,
                              scribble_training const& options, training_record const& record)
{
  check(set, network.get(), options);
  auto const classes = network->classes();
  loader<scribble_sample> items(
      set.size(), seed_of(options.seed, static_cast<std::uint64_t>(chance::order)), options.workers,
      [&](std::size_t i, std::uint64_t seed) { return sample_of_marks(set.load(i), seed, classes, options); });
  epoch_batches batches(who, items, options.batch, stacked);
  auto const marks = expects_marks(set, options);

  at::manual_seed(seed_of(options.seed, static_cast<std::uint64_t>(chance::dropout)));
  auto const learns = std::make_shared<training_network>(network, options.tree);
  learns->train();
  auto adam = optimizer::adam(
      {{learns->parameters()}},
      rates_of(poly_schedule{options.rate, options.steps, 0.9, std::min(options.warm_up, options.steps), 0.001}));
  cambium::cpu const where{.threads = options.threads};
  training_plan const plan{scribbles_recipe(set, options, marks), options.steps, 1000};
  return run_training(*learns, adam, plan, record, [&](std::int64_t step) -> step_result {
    auto const of = batches(step);
    auto const H = of.photograph.size(2), W = of.photograph.size(3);
    auto const said = learns->semantic(of.photograph);
    auto loss = loss_of_marks(where, at_size(said.logits, H, W, true), of.labels, options.balance);
    step_result out{batches.epochs(step + 1), {{"marks", loss.item<double>()}}};
    if (options.tree.weight > 0) {
      auto const h = said.logits.size(2), w = said.logits.size(3);
      auto const tree = tree_energy(where, at::softmax(said.logits, 1), at::upsample_nearest2d(of.unlabelled, {h, w}),
                                    at_size(colours_of(of.photograph, options.augmentation.colours), h, w),
                                    learns->embedded(said.features), options.tree.low);
      out.losses.emplace_back("tree", tree.item<double>());
      loss = loss + options.tree.weight * tree;
    }
    loss.backward();
    return out;
  });
}

grid<std::int32_t, 2> find_semantic(grid<std::uint8_t, 3> const& photograph, bestie_network& network,
                                    semantic_inference_options const& options)
{
  index_t const H = photograph.shape()[0], W = photograph.shape()[1];
  expects(H > 0 && W > 0 && photograph.shape()[2] == 3, "find_semantic: photograph is ", photograph.view(),
          "; expected [H,W,3]");
  expects(options.long_side >= 0, "find_semantic: long_side is ", options.long_side);
  evaluation const now(network);
  double const factor =
      options.long_side == 0 ? 1 : static_cast<double>(options.long_side) / static_cast<double>(std::max(H, W));
  auto const m = network.multiple();
  auto const side = [&](index_t n) {
    auto const wanted = std::max<index_t>(1, static_cast<index_t>(static_cast<double>(n) * factor));
    return (wanted + m - 1) / m * m;
  };
  auto const small = resized(photograph, {side(H), side(W)}, sampling::opencv, kernel::bilinear);
  auto const image = to_tensor(normalised(small)).unsqueeze(0);
  auto seg = at::softmax(network.semantic(options.flip ? torch::cat({image, image.flip(3)}) : image).logits, 1);
  if (options.flip) seg = (seg.narrow(0, 0, 1) + seg.narrow(0, 1, 1).flip(3)) / 2;
  auto const best = at_size(seg, H, W, true).argmax(1).to(torch::kInt).contiguous();
  auto const from = cambium::tensor_view<std::int32_t const, 3>(best, "find_semantic: labels");
  grid<std::int32_t, 2> out(H, W);
  std::copy_n(from.data, from.size(), out.data());
  return out;
}

double semantic_miou(dataset const& held_out, bestie_network& network, semantic_inference_options const& options)
{
  scoring all(static_cast<std::int32_t>(held_out.class_names().size()));
  for (std::size_t i = 0; i < held_out.size(); ++i)
    all.add_semantic(find_semantic(held_out.load(i).photograph, network, options), held_out.truth(i),
                     held_out.ignored(i));
  return all.result().miou;
}

}  // namespace trainer
