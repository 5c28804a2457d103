#include <network/batch_norm.hpp>

#include <memory>

namespace trainer {

held_batch_norm::held_batch_norm(std::int64_t channels, batch_norm_options how)
    : BatchNorm2dImpl(torch::nn::BatchNorm2dOptions(channels).momentum(how.momentum)),
      held_(how.mode != batch_norm::live)
{
  if (held_) BatchNorm2dImpl::train(false);
  if (how.mode == batch_norm::frozen)
    for (auto& p : parameters(false)) p.set_requires_grad(false);
}

void held_batch_norm::train(bool on) { BatchNorm2dImpl::train(on && !held_); }

torch::nn::BatchNorm2d make_batch_norm(std::int64_t channels, batch_norm_options options)
{
  return torch::nn::BatchNorm2d(
      std::static_pointer_cast<torch::nn::BatchNorm2dImpl>(std::make_shared<held_batch_norm>(channels, options)));
}

}  // namespace trainer
