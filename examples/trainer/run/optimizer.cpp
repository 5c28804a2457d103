#include "run/optimizer.hpp"

#include <torch/nn/module.h>
#include <torch/optim.h>

#include <cambium/core/error.hpp>

#include <cmath>
#include <set>
#include <utility>

namespace trainer {

using cambium::expects;

namespace {

/// The groups as torch takes them, each with options of its own.
template <class Options>
std::vector<torch::optim::OptimizerParamGroup> checked(std::vector<parameter_group> const& groups,
                                                       Options const& options)
{
  std::vector<torch::optim::OptimizerParamGroup> out;
  std::set<void const*> seen;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    expects(std::isfinite(groups[g].times) && groups[g].times >= 0, "optimizer: group ", g, ": times is ",
            groups[g].times, "; expected a finite number >= 0");
    for (std::size_t i = 0; i < groups[g].parameters.size(); ++i) {
      torch::Tensor const& p = groups[g].parameters[i];
      expects(p.defined() && p.is_leaf() && p.requires_grad(), "optimizer: group ", g, ": parameter ", i,
              " wants no gradient");
      expects(seen.insert(p.unsafeGetTensorImpl()).second, "optimizer: group ", g, ": parameter ", i,
              " occurs a second time");
    }
    out.emplace_back(groups[g].parameters, std::make_unique<Options>(options));
  }
  expects(!seen.empty(), "optimizer: there is no parameter");
  return out;
}

std::vector<double> times_of(std::vector<parameter_group> const& groups)
{
  std::vector<double> out;
  for (parameter_group const& g : groups) out.push_back(g.times);
  return out;
}

}  // namespace

std::vector<torch::Tensor> trainable(torch::nn::Module const& network)
{
  std::vector<torch::Tensor> out;
  for (auto const& p : network.parameters())
    if (p.requires_grad()) out.push_back(p);
  return out;
}

optimizer::optimizer(std::string kind, std::unique_ptr<torch::optim::Optimizer> inner, rate_function rate,
                     std::vector<double> times)
    : kind_(std::move(kind)), inner_(std::move(inner)), rate_(std::move(rate)), times_(std::move(times))
{
  expects(static_cast<bool>(rate_), "optimizer: no function of rates");
}
optimizer::optimizer(optimizer&&) noexcept = default;
optimizer& optimizer::operator=(optimizer&&) noexcept = default;
optimizer::~optimizer() = default;

optimizer optimizer::sgd(std::vector<parameter_group> const& groups, rate_function rate, sgd_settings settings)
{
  double const momentum = settings.momentum.value_or(settings.weight_decay);
  expects(settings.weight_decay >= 0 && std::isfinite(settings.weight_decay), "optimizer: weight_decay is ",
          settings.weight_decay, "; expected a finite number >= 0");
  expects(momentum >= 0 && momentum < 1, "optimizer: momentum is ", momentum, ", outside [0,1)");
  expects(!settings.nesterov || momentum > 0, "optimizer: nesterov without momentum");
  auto const options =
      torch::optim::SGDOptions(0).momentum(momentum).weight_decay(settings.weight_decay).nesterov(settings.nesterov);
  return {"sgd", std::make_unique<torch::optim::SGD>(checked(groups, options), options), std::move(rate),
          times_of(groups)};
}

optimizer optimizer::adam(std::vector<parameter_group> const& groups, rate_function rate, adam_settings settings)
{
  expects(settings.beta1 >= 0 && settings.beta1 < 1 && settings.beta2 >= 0 && settings.beta2 < 1,
          "optimizer: betas are ", settings.beta1, " and ", settings.beta2, "; expected numbers in [0,1)");
  expects(settings.epsilon >= 0 && std::isfinite(settings.epsilon) && settings.weight_decay >= 0 &&
              std::isfinite(settings.weight_decay),
          "optimizer: epsilon is ", settings.epsilon, ", weight_decay ", settings.weight_decay,
          "; expected finite numbers >= 0");
  auto const options = torch::optim::AdamOptions(0)
                           .betas({settings.beta1, settings.beta2})
                           .eps(settings.epsilon)
                           .weight_decay(settings.weight_decay);
  return {"adam", std::make_unique<torch::optim::Adam>(checked(groups, options), options), std::move(rate),
          times_of(groups)};
}

void optimizer::zero_grad()
{
  for (auto& group : inner_->param_groups())
    for (torch::Tensor& p : group.params()) p.mutable_grad().reset();
}

double optimizer::step()
{
  double const rate = rate_(steps_);
  auto& groups = inner_->param_groups();
  for (std::size_t g = 0; g < groups.size(); ++g) groups[g].options().set_lr(rate * times_[g]);
  inner_->step();
  ++steps_;
  return rate;
}

void optimizer::continue_at(std::int64_t steps)
{
  expects(steps >= 0, "optimizer: cannot continue at step ", steps);
  steps_ = steps;
}

}  // namespace trainer
