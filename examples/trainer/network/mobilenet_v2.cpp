#include "network/mobilenet_v2.hpp"

#include "network/convolution.hpp"

#include <cambium/core/error.hpp>

#include <memory>
#include <string>

namespace trainer {

namespace {

torch::Tensor pad_for_halving(torch::Tensor const& x) { return torch::constant_pad_nd(x, {0, 1, 0, 1}); }

/// ReLU6, in place.
torch::Tensor clamp6(torch::Tensor x) { return x.clamp_(0, 6); }

/// What one entry of the paper's table says: expansion, output channels, repetitions, stride of the first.
struct stage {
  std::int64_t expansion, channels, repetitions, stride;
};
constexpr stage stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                            {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

}  // namespace

mobilenet_v2::mobilenet_v2(mobilenet_v2_options options)
{
  cambium::expects(options.stride == 16 || options.stride == 32, "mobilenet_v2: a stride of ", options.stride,
                   "; 16 and 32 are possible");
  cambium::expects(options.classes >= 1, "mobilenet_v2: ", options.classes, " classes");
  conv1_ = register_module("conv1", convolution(3, 32, 3, {.stride = 2, .bias = true, .padding = 0}));
  std::int64_t in = 32, reached = 2, dilation = 1;
  for (auto const& s : stages)
    for (std::int64_t i = 0; i < s.repetitions; ++i) {
      bottleneck b;
      auto const name = "block" + std::to_string(blocks_.size());
      auto const block = register_module(name, std::make_shared<torch::nn::Module>());
      std::int64_t const wide = in * s.expansion, stride = i == 0 ? s.stride : 1;
      b.halves = stride == 2 && reached < options.stride;
      if (s.expansion > 1) b.expand = block->register_module("expand", convolution(in, wide, 1, {.bias = true}));
      b.dw = block->register_module(
          "dw", convolution(wide, wide, 3,
                            b.halves ? convolution_options{.stride = 2, .groups = wide, .bias = true, .padding = 0}
                                     : convolution_options{.dilation = dilation, .groups = wide, .bias = true}));
      b.project = block->register_module("project", convolution(wide, s.channels, 1, {.bias = true}));
      b.residual = stride == 1 && in == s.channels;
      if (b.halves) reached *= 2;
      if (stride == 2 && !b.halves) dilation *= 2;  // of the blocks behind
      in = s.channels;
      blocks_.push_back(b);
    }
  conv_last_ = register_module("conv_last", convolution(in, 1280, 1, {.bias = true}));
  fc_ = register_module("fc", convolution(1280, options.classes, 1, {.bias = true}));
}

torch::Tensor mobilenet_v2::prepare(torch::Tensor const& rgb) const { return rgb / 127.5 - 1; }

torch::Tensor mobilenet_v2::features(torch::Tensor const& prepared)
{
  auto x = clamp6(conv1_(pad_for_halving(prepared)));
  for (auto& b : blocks_) {
    auto y = x;
    if (!b.expand.is_empty()) y = clamp6(b.expand(y));
    if (b.halves) y = pad_for_halving(y);
    y = clamp6(b.dw(y));
    y = b.project(y);
    x = b.residual ? x + y : y;
  }
  return clamp6(conv_last_(x));
}

torch::Tensor mobilenet_v2::logits(torch::Tensor const& features)
{
  return fc_(features.mean({2, 3}, true)).flatten(1);
}

torch::Tensor mobilenet_v2::class_weights() const { return fc_->weight.flatten(1); }

}  // namespace trainer
