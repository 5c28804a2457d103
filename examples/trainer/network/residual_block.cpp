#include "network/residual_block.hpp"

#include "network/convolution.hpp"

#include <string>

namespace trainer {

residual_block::residual_block(residual_kind block, std::int64_t in, std::int64_t width, std::int64_t stride,
                               batch_norm_options norm)
{
  std::int64_t const out = width * expansion(block);
  auto const add = [&](std::int64_t from, std::int64_t to, std::int64_t kernel, std::int64_t step) {
    auto const number = std::to_string(steps_.size() + 1);
    auto conv = register_module("conv" + number, he_normal(convolution(from, to, kernel, {.stride = step})));
    steps_.push_back({conv, register_module("bn" + number, make_batch_norm(to, norm))});
  };
  if (block == residual_kind::basic) {
    add(in, width, 3, stride);
    add(width, width, 3, 1);
  } else {
    add(in, width, 1, 1);
    add(width, width, 3, stride);
    add(width, out, 1, 1);
  }
  if (stride != 1 || in != out)
    downsample_ = register_module(
        "downsample", make_chain(he_normal(convolution(in, out, 1, {.stride = stride})), make_batch_norm(out, norm)));
}

torch::Tensor residual_block::forward(torch::Tensor const& x)
{
  auto y = x;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    y = steps_[i].second->forward(steps_[i].first(y));
    if (i + 1 < steps_.size()) y = torch::relu(y);
  }
  return torch::relu(y + (downsample_ == nullptr ? x : downsample_->forward(x)));
}

}  // namespace trainer
