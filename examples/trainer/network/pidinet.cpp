#include "network/pidinet.hpp"

#include "network/convolution.hpp"

#include <cambium/core/error.hpp>

#include <memory>

namespace trainer {

namespace {

std::string block_name(int stage, int i) { return "block" + std::to_string(stage) + "_" + std::to_string(i); }

}  // namespace

pidinet_options pidinet_options_of(named_tensors const& tensors, std::string const& origin)
{
  auto const shape_of = [&](std::string const& name) {
    auto const found = tensors.find(name);
    if (found == tensors.end() || found->second.dim() != 4)
      throw cambium::io_error(origin + ": is not a PiDiNet of plain convolutions: " + name + " is " +
                              (found == tensors.end() ? "missing" : "no kernel"));
    return found->second.sizes();
  };
  pidinet_options out;
  out.channels = shape_of("init_block.weight")[0];
  out.reduced = shape_of("dilations.0.conv1.weight")[0];
  std::size_t at = 0;
  out.kernels[at++] = shape_of("init_block.weight")[3];
  for (int s = 1; s <= 4; ++s)
    for (int i = 1; i <= (s == 1 ? 3 : 4); ++i) out.kernels[at++] = shape_of(block_name(s, i) + ".conv1.weight")[3];
  for (auto const k : out.kernels)
    if (k < 1 || k % 2 == 0) throw cambium::io_error(origin + ": a PiDiNet with a kernel of " + std::to_string(k));
  return out;
}

pidinet::pidinet(pidinet_options const& options)
{
  cambium::expects(options.channels >= 1 && options.reduced >= 1, "pidinet: ", options.channels, " channels, ",
                   options.reduced, " reduced");
  for (auto const k : options.kernels) cambium::expects(k >= 1 && k % 2 == 1, "pidinet: a kernel of ", k);
  std::size_t at = 0;
  init_block_ = register_module("init_block", convolution(3, options.channels, options.kernels[at++]));
  std::int64_t in = options.channels;
  auto const dilations = register_module("dilations", std::make_shared<torch::nn::Module>());
  auto const attentions = register_module("attentions", std::make_shared<torch::nn::Module>());
  auto const reduces = register_module("conv_reduces", std::make_shared<torch::nn::Module>());
  for (int s = 1; s <= 4; ++s) {
    std::int64_t const out = options.channels * (s == 1 ? 1 : s == 2 ? 2 : 4);
    stages_.emplace_back();
    for (int i = 1; i <= (s == 1 ? 3 : 4); ++i) {
      auto const module = register_module(block_name(s, i), std::make_shared<torch::nn::Module>());
      block b;
      if (i == 1 && s > 1) b.shortcut = module->register_module("shortcut", convolution(in, out, 1, {.bias = true}));
      b.conv1 = module->register_module("conv1", convolution(in, in, options.kernels[at++], {.groups = in}));
      b.conv2 = module->register_module("conv2", convolution(in, out, 1));
      stages_.back().push_back(b);
      in = out;
    }
    auto const name = std::to_string(s - 1);
    side d;
    auto const dilation = dilations->register_module(name, std::make_shared<torch::nn::Module>());
    d.reduce = dilation->register_module("conv1", convolution(in, options.reduced, 1, {.bias = true}));
    for (int k = 0; k < 4; ++k)
      d.dilated[k] = dilation->register_module(
          "conv2_" + std::to_string(k + 1), convolution(options.reduced, options.reduced, 3, {.dilation = 5 + 2 * k}));
    auto const attention = attentions->register_module(name, std::make_shared<torch::nn::Module>());
    d.attention1 = attention->register_module("conv1", convolution(options.reduced, 4, 1, {.bias = true}));
    d.attention2 = attention->register_module("conv2", convolution(4, 1, 3));
    d.score = reduces->register_module(name, std::make_shared<torch::nn::Module>())
                  ->register_module("conv", convolution(options.reduced, 1, 1, {.bias = true}));
    sides_.push_back(d);
  }
  classifier_ = register_module("classifier", convolution(4, 1, 1, {.bias = true}));
}

torch::Tensor pidinet::prepare(torch::Tensor const& rgb) const
{
  auto const row = [&](float a, float b, float c) {
    return torch::tensor({a, b, c}, rgb.options()).view({1, 3, 1, 1});
  };
  return (rgb / 255 - row(0.485F, 0.456F, 0.406F)) / row(0.229F, 0.224F, 0.225F);
}

torch::Tensor pidinet::boundaries(torch::Tensor const& prepared)
{
  std::int64_t const H = prepared.size(2), W = prepared.size(3);
  cambium::expects(H >= 8 && W >= 8, "pidinet: an image of ", H, " x ", W, "; 8 x 8 is the least");
  auto x = init_block_(prepared);
  std::vector<torch::Tensor> maps;
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    for (auto& b : stages_[s]) {
      if (!b.shortcut.is_empty()) x = torch::max_pool2d(x, 2, 2);
      auto y = b.conv2(torch::relu(b.conv1(x)));
      x = b.shortcut.is_empty() ? y + x : y + b.shortcut(x);
    }
    auto& d = sides_[s];
    auto const reduced = d.reduce(torch::relu(x));
    auto seen = d.dilated[0](reduced);
    for (int k = 1; k < 4; ++k) seen = seen + d.dilated[k](reduced);
    auto const attention = torch::sigmoid(d.attention2(d.attention1(torch::relu(seen))));
    maps.push_back(torch::upsample_bilinear2d(d.score(seen * attention), {H, W}, false));
  }
  return torch::sigmoid(classifier_(torch::cat(maps, 1)));
}

}  // namespace trainer
