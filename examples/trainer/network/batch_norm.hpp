#pragma once
// Batch normalisation that a training may stop from moving.

#include <torch/nn/modules/batchnorm.h>

#include <cstdint>

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

/// A BatchNorm2d that obeys batch_norm: it stays in evaluation when the network around it is told to train.
class held_batch_norm : public torch::nn::BatchNorm2dImpl {
 public:
  held_batch_norm(std::int64_t channels, batch_norm_options how);
  void train(bool on = true) override;

 private:
  bool held_;
};

/// A batch normalisation for `channels`, weight 1 and bias 0.
[[nodiscard]] torch::nn::BatchNorm2d make_batch_norm(std::int64_t channels, batch_norm_options options);

}  // namespace trainer
