#include "network/batch_norm.hpp"

namespace trainer {

held_batch_norm::held_batch_norm(std::int64_t channels, batch_norm_options options) : options_(options)
{
  weight_ = register_parameter("weight", torch::ones(channels), options.mode != batch_norm::frozen);
  bias_ = register_parameter("bias", torch::zeros(channels), options.mode != batch_norm::frozen);
  running_mean_ = register_buffer("running_mean", torch::zeros(channels));
  running_var_ = register_buffer("running_var", torch::ones(channels));
  num_batches_tracked_ = register_buffer("num_batches_tracked", torch::zeros({}, torch::kLong));
}

torch::Tensor held_batch_norm::forward(torch::Tensor const& x)
{
  bool const moves = is_training() && options_.mode == batch_norm::live;
  if (moves) num_batches_tracked_ += 1;
  return torch::batch_norm(x, weight_, bias_, running_mean_, running_var_, moves, options_.momentum, 1e-5, true);
}

std::shared_ptr<held_batch_norm> make_batch_norm(std::int64_t channels, batch_norm_options options)
{
  return std::make_shared<held_batch_norm>(channels, options);
}

}  // namespace trainer
