#pragma once
// Batch normalisation that a training may stop from moving.

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>

namespace trainer {

/// What a training does to the batch normalisation of a network.
enum class batch_norm {
  live,        ///< statistics of the batch while training, weight and bias are learned
  statistics,  ///< running statistics always, weight and bias are learned: IRNet's FixedBatchNorm
  frozen       ///< running statistics always, weight and bias without gradient
};

struct batch_norm_options {
  batch_norm mode = batch_norm::live;
  double momentum = 0.1;
};

/// Batch normalisation of [B,C,H,W] with the parameters and buffers of PyTorch's BatchNorm2d, weight 1 and bias 0.
/// Where several processes train, mean and variance are those of the batches of all, as in one process.
/// A module of its own, because a library may hide the symbols that deriving from LibTorch's needs.
class held_batch_norm : public torch::nn::Module {
 public:
  held_batch_norm(std::int64_t channels, batch_norm_options options);
  [[nodiscard]] torch::Tensor forward(torch::Tensor const& x);

 private:
  batch_norm_options options_;
  torch::Tensor weight_, bias_, running_mean_, running_var_, num_batches_tracked_;
};

[[nodiscard]] std::shared_ptr<held_batch_norm> make_batch_norm(std::int64_t channels, batch_norm_options options);

}  // namespace trainer
