#include "network/squeezenet.hpp"

#include "network/convolution.hpp"

#include <cambium/core/error.hpp>

#include <memory>
#include <string>

namespace trainer {

namespace {

torch::Tensor pool(torch::Tensor const& x) { return torch::max_pool2d(x, 3, 2, 0, 1, true); }

}  // namespace

squeezenet::squeezenet(std::int64_t classes)
{
  cambium::expects(classes >= 1, "squeezenet: ", classes, " classes");
  conv1_ = register_module("conv1", convolution(3, 96, 7, {.stride = 2, .bias = true, .padding = 0}));
  std::int64_t in = 96;
  for (std::int64_t const squeezed : {16, 16, 32, 32, 48, 48, 64, 64}) {
    auto const module =
        register_module("fire" + std::to_string(fires_.size() + 2), std::make_shared<torch::nn::Module>());
    fire f;
    f.squeeze1x1 = module->register_module("squeeze1x1", convolution(in, squeezed, 1, {.bias = true}));
    f.expand1x1 = module->register_module("expand1x1", convolution(squeezed, 4 * squeezed, 1, {.bias = true}));
    f.expand3x3 = module->register_module("expand3x3", convolution(squeezed, 4 * squeezed, 3, {.bias = true}));
    fires_.push_back(f);
    in = 8 * squeezed;
  }
  conv10_ = register_module("conv10", convolution(in, classes, 1, {.bias = true, .padding = 1}));
}

torch::Tensor squeezenet::prepare(torch::Tensor const& rgb) const
{
  return rgb.flip(1) - torch::tensor({104.F, 117.F, 123.F}, rgb.options()).view({1, 3, 1, 1});
}

torch::Tensor squeezenet::features(torch::Tensor const& prepared)
{
  auto x = pool(torch::relu(conv1_(prepared)));
  for (std::size_t i = 0; i < fires_.size(); ++i) {
    auto& f = fires_[i];
    auto const s = torch::relu(f.squeeze1x1(x));
    x = torch::relu(torch::cat({f.expand1x1(s), f.expand3x3(s)}, 1));
    if (i == 2 || i == 6) x = pool(x);  // behind fire4 and fire8
  }
  return x;
}

torch::Tensor squeezenet::logits(torch::Tensor const& features) { return torch::relu(conv10_(features)).mean({2, 3}); }

torch::Tensor squeezenet::class_weights() const { return conv10_->weight.flatten(1); }

}  // namespace trainer
