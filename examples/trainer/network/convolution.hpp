#pragma once

#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>

namespace trainer {

struct convolution_options {
  std::int64_t stride = 1, dilation = 1, groups = 1;
  bool bias = false;
  std::int64_t padding = -1;  ///< [cells] at each side; -1: as many as keep the size at stride 1
};

[[nodiscard]] inline torch::nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                                   convolution_options const& o = {})
{
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel)
                               .stride(o.stride)
                               .padding(o.padding < 0 ? kernel / 2 * o.dilation : o.padding)
                               .dilation(o.dilation)
                               .groups(o.groups)
                               .bias(o.bias));
}

/// He's normal initialisation by what leaves, for weights that begin anew before a ReLU.
[[nodiscard]] inline torch::nn::Conv2d he_normal(torch::nn::Conv2d conv)
{
  torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
  return conv;
}

}  // namespace trainer
