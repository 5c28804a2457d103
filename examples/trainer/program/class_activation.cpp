#include "program/class_activation.hpp"

#include <cambium/activation/fuse.hpp>
#include <cambium/activation/normalise.hpp>
#include <cambium/core/error.hpp>

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>

namespace trainer {

using namespace cambium;

torch::Tensor to_tensor(grid<std::uint8_t, 3> const& photograph)
{
  auto const bytes = torch::from_blob(const_cast<std::uint8_t*>(photograph.data()),
                                      {photograph.shape()[0], photograph.shape()[1], 3}, torch::kUInt8);
  return bytes.permute({2, 0, 1}).unsqueeze(0).to(torch::kFloat32).contiguous();
}

class_activation::class_activation(std::shared_ptr<classifier> network, std::vector<class_group> groups,
                                   std::vector<extra_head> heads, class_activation_options options)
    : network_(std::move(network)), groups_(std::move(groups)), heads_(std::move(heads)), options_(std::move(options))
{
  expects(!options_.scales.empty(), "class_activation: no scale");
  for (double const s : options_.scales) expects(s > 0 && s <= 8, "class_activation: a scale of ", s);
  std::set<int> seen;
  for (auto const& g : groups_) expects(seen.insert(g.number).second, "class_activation: class ", g.number, " twice");
  for (auto const& h : heads_) expects(seen.insert(h.number).second, "class_activation: class ", h.number, " twice");
  network_->eval();
}

namespace {

torch::Tensor resized(torch::Tensor const& rgb, double scale, classifier const& network)
{
  std::int64_t const m = network.multiple();
  auto const extent = [&](std::int64_t e) {
    auto const parts = std::llrint(static_cast<double>(e) * scale / static_cast<double>(m));
    return std::max<std::int64_t>(std::max<std::int64_t>(1, parts) * m, network.least_extent());
  };
  std::int64_t const h = extent(rgb.size(2)), w = extent(rgb.size(3));
  if (h == rgb.size(2) && w == rgb.size(3)) return rgb;
  return torch::upsample_bicubic2d(rgb, {h, w}, false).round_().clamp_(0, 255);  // bytes, as OpenCV's
}

/// The network's features. The photograph's channels come last in memory: oneDNN's convolutions need no copies then.
torch::Tensor features_of(classifier& network, torch::Tensor const& rgb)
{
  return network.features(network.prepare(rgb).contiguous(at::MemoryFormat::ChannelsLast));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

class_activations class_activation::of(cpu const& where, grid<std::uint8_t, 3> const& photograph,
                                       std::optional<std::vector<int>> const& classes) const
{
  index_t const H = photograph.shape()[0], W = photograph.shape()[1];
  expects(H >= 1 && W >= 1, "class_activation: a photograph of ", H, " x ", W);
  at::NoGradGuard const guard;
  auto const rgb = to_tensor(photograph);
  auto const weights = network_->class_weights();

  auto seen = features_of(*network_, resized(rgb, 1, *network_));  // says how to mix each group
  auto const logits = network_->logits(seen)[0].to(torch::kFloat64).contiguous();
  auto const group_logits = [&](class_group const& g) {
    return logits.index_select(0, torch::tensor(g.indices, torch::kInt64));
  };

  class_activations out;
  if (classes) {
    out.classes = *classes;
  } else {
    std::vector<std::pair<double, int>> scores;
    for (auto const& g : groups_) {
      auto const both = torch::logsumexp(group_logits(g), 0).item<double>();
      scores.emplace_back(options_.logits == logit_kind::sigmoid
                              ? sigmoid(both)
                              : std::exp(both - torch::logsumexp(logits, 0).item<double>()),
                          g.number);
    }
    for (auto const& h : heads_) {
      auto const cells = torch::mv(seen[0].flatten(1).t(), h.weight);
      auto const count = std::max<std::int64_t>(1, std::llrint(options_.head_top * static_cast<double>(cells.numel())));
      scores.emplace_back(sigmoid(std::get<0>(cells.topk(count)).mean().item<double>() + static_cast<double>(h.bias)),
                          h.number);
    }
    expects(!scores.empty(), "class_activation: neither groups nor heads");
    for (auto const& [score, number] : scores)
      if (score >= options_.least_score) out.classes.push_back(number);
    if (out.classes.empty()) out.classes.push_back(std::max_element(scores.begin(), scores.end())->second);
    std::sort(out.classes.begin(), out.classes.end());
  }

  std::vector<torch::Tensor> mixed;
  for (int const number : out.classes) {
    auto const g = std::find_if(groups_.begin(), groups_.end(), [&](auto const& e) { return e.number == number; });
    auto const h = std::find_if(heads_.begin(), heads_.end(), [&](auto const& e) { return e.number == number; });
    expects(g != groups_.end() || h != heads_.end(), "class ", number, " has neither a group nor a head");
    if (h != heads_.end()) {
      mixed.push_back(h->weight);
    } else {
      auto const share = torch::softmax(group_logits(*g), 0).to(torch::kFloat32);
      mixed.push_back(torch::mv(weights.index_select(0, torch::tensor(g->indices, torch::kInt64)).t(), share));
    }
  }
  if (mixed.empty()) {
    out.maps = make_grid<float>({0, (H - 1) / 4 + 1, (W - 1) / 4 + 1});
    return out;
  }
  auto const mixer = torch::stack(mixed);  // [C,F]

  std::vector<grid<float, 3>> kept;
  std::vector<bool> mirrored;
  for (double const scale : options_.scales) {
    auto const at_scale = resized(rgb, scale, *network_);
    for (bool const mirror : {false, true}) {  // one by one: half the memory
      if (scale != 1 || mirror || !seen.defined()) {
        seen = torch::Tensor();
        seen = features_of(*network_, mirror ? at_scale.flip(3) : at_scale);
      }
      auto const cams = torch::relu(torch::einsum("fhw,cf->chw", {seen[0], mixer})).contiguous();
      seen = torch::Tensor();
      auto& maps = kept.emplace_back(make_grid<float>({cams.size(0), cams.size(1), cams.size(2)}));
      std::copy_n(cams.data_ptr<float>(), cams.numel(), maps.data());
      mirrored.push_back(mirror);
    }
  }
  std::vector<scaled_maps<float>> all;
  for (std::size_t i = 0; i < kept.size(); ++i) all.push_back({kept[i].view(), mirrored[i]});
  out.maps = normalise(where, fuse(where, all, {(H - 1) / 4 + 1, (W - 1) / 4 + 1}));
  return out;
}

double class_activation::memory(extent2 image) const
{
  double const largest = std::max(1.0, *std::max_element(options_.scales.begin(), options_.scales.end()));
  auto const pixels = static_cast<double>(image.height) * static_cast<double>(image.width);
  return 1.3e9 + pixels * (30 + 350 * largest * largest);  // measured; what is fixed grows with the sizes a run meets
}

}  // namespace trainer
