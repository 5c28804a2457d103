#pragma once

#include <torch/nn/modules/container/sequential.h>

#include <memory>

namespace trainer {

/// Layers one behind the other that may stand inside another chain, which torch::nn::Sequential may not.
class chain : public torch::nn::SequentialImpl {
 public:
  using SequentialImpl::SequentialImpl;
  torch::Tensor forward(torch::Tensor const& x) { return SequentialImpl::forward(x); }
};

template <class... Layer>
[[nodiscard]] std::shared_ptr<chain> make_chain(Layer&&... layers)
{
  return std::make_shared<chain>(std::forward<Layer>(layers)...);
}

}  // namespace trainer
