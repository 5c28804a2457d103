#pragma once

#include "process/processes.hpp"

#include <torch/nn/functional/dropout.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <vector>

namespace trainer {

/// torch::nn::Dropout. Where several processes train, each draws the numbers of the whole batch and uses those of its
/// share, so that a sample sees the ones that it sees in one process.
class batch_dropout : public torch::nn::Module {
 public:
  explicit batch_dropout(double probability) : probability_(probability) {}

  [[nodiscard]] torch::Tensor forward(torch::Tensor const& x)
  {
    if (!is_training() || processes::size() == 1 || probability_ == 0)
      return torch::nn::functional::detail::dropout(x, probability_, is_training(), false);
    torch::Tensor samples = torch::tensor({x.size(0)}, torch::kLong);
    processes::sum({samples});
    auto const mine = processes::share_of(samples.item<std::int64_t>());
    auto shape = x.sizes().vec();
    shape[0] = samples.item<std::int64_t>();
    // torch's own dropout of as many ones: in which order it draws differs between versions
    auto const kept =
        torch::dropout(torch::ones(shape, x.options()).contiguous(x.suggest_memory_format()), probability_, true);
    return x * kept.slice(0, mine.begin, mine.end);
  }

 private:
  double probability_;
};

}  // namespace trainer
