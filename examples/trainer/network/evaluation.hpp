#pragma once

#include <torch/nn/module.h>
#include <torch/utils.h>

namespace trainer {

/// A network in evaluation mode, without gradients, while this object lives; afterwards in the mode that it had.
class evaluation {
 public:
  explicit evaluation(torch::nn::Module& network) : network_(network), trained_(network.is_training())
  {
    network_.eval();
  }
  ~evaluation() { network_.train(trained_); }
  evaluation(evaluation const&) = delete;
  evaluation& operator=(evaluation const&) = delete;

 private:
  torch::nn::Module& network_;
  bool trained_;
  torch::NoGradGuard no_gradients_;
};

}  // namespace trainer
