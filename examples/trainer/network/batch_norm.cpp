#include "network/batch_norm.hpp"

#include "process/processes.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <tuple>

namespace trainer {

namespace {

using torch::Tensor;

/// One number a channel, beside [B,C,H,W].
Tensor by_channel(Tensor const& v) { return v.view({1, -1, 1, 1}); }

/// Mean and variance of a batch that several processes share.
struct batch_statistics {
  double count = 0;  ///< cells a channel
  Tensor mean, var;  ///< [C] of x's type; the variance is that of the cells themselves
};

batch_statistics statistics_of_all(Tensor const& x)
{
  auto const C = x.size(1);
  double const own = static_cast<double>(x.numel()) / static_cast<double>(C);
  Tensor sums = torch::zeros({2 * C + 1}, torch::kDouble);
  if (own > 0) {
    auto const [mean, var] = at::batch_norm_update_stats(x, {}, {}, 0);
    Tensor const m = mean.to(torch::kDouble);
    sums.slice(0, 0, C).copy_(m * own);
    sums.slice(0, C, 2 * C).copy_((var.to(torch::kDouble) + m * m) * own);
    sums[2 * C] = own;
  }
  processes::sum({sums});
  batch_statistics out;
  out.count = sums[2 * C].item<double>();
  Tensor const mean = sums.slice(0, 0, C) / out.count;
  out.mean = mean.to(x.scalar_type());
  out.var = (sums.slice(0, C, 2 * C) / out.count - mean * mean).clamp_min(0).to(x.scalar_type());
  return out;
}

/// y = weight * (x - mean) / sqrt(var + eps) + bias, where mean and var depend on the x of all processes.
struct shared_norm : public torch::autograd::Function<shared_norm> {
  static Tensor forward(torch::autograd::AutogradContext* context, Tensor const& x, Tensor const& weight,
                        Tensor const& bias, Tensor const& mean, Tensor const& var, double count, double eps)
  {
    context->save_for_backward({x, weight, mean, var});
    context->saved_data["count"] = count;
    context->saved_data["eps"] = eps;
    if (x.numel() == 0) return torch::empty_like(x);  // a process without a sample
    return std::get<0>(at::native_batch_norm(x, weight, bias, mean, var, false, 0, eps));
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients)
  {
    auto const saved = context->get_saved_variables();
    Tensor const &x = saved[0], &weight = saved[1], &mean = saved[2], &var = saved[3];
    double const count = context->saved_data["count"].toDouble(), eps = context->saved_data["eps"].toDouble();
    // as if mean and var were constants; then what they owe to x
    auto const [by_x, by_weight, by_bias] =
        x.numel() == 0 ? std::tuple(torch::empty_like(x), torch::zeros_like(weight), torch::zeros_like(weight))
                       : at::native_batch_norm_backward(gradients[0], x, weight, mean, var, {}, {}, false, eps,
                                                        {true, true, true});
    Tensor sums = torch::stack({by_weight, by_bias}).to(torch::kDouble);
    processes::sum({sums});
    Tensor const inverse = (var.to(torch::kDouble) + eps).rsqrt(), w = weight.to(torch::kDouble) * inverse / count;
    Tensor const slope = w * inverse * sums[0], level = w * sums[1] - slope * mean.to(torch::kDouble);
    Tensor const owed = x * by_channel(slope.to(x.scalar_type())) + by_channel(level.to(x.scalar_type()));
    return {by_x - owed, by_weight, by_bias, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

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
  if (moves && processes::size() > 1) {
    auto const all = statistics_of_all(x.detach());
    double const m = options_.momentum, unbiased = all.count / std::max(all.count - 1, 1.0);
    running_mean_.mul_(1 - m).add_(all.mean, m);
    running_var_.mul_(1 - m).add_(all.var, m * unbiased);
    return shared_norm::apply(x, weight_, bias_, all.mean, all.var, all.count, 1e-5);
  }
  return torch::batch_norm(x, weight_, bias_, running_mean_, running_var_, moves, options_.momentum, 1e-5, true);
}

std::shared_ptr<held_batch_norm> make_batch_norm(std::int64_t channels, batch_norm_options options)
{
  return std::make_shared<held_batch_norm>(channels, options);
}

}  // namespace trainer
