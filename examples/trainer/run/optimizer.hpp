#pragma once
// The originals' optimisers: torch's, with the originals' settings and rates.

#include "run/schedule.hpp"

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}
namespace torch::optim {
class Optimizer;
}

namespace trainer {

/// Parameters that learn at one speed.
struct parameter_group {
  std::vector<torch::Tensor> parameters;
  double times = 1;  ///< the schedule's rate is multiplied with it; IRNet's fresh layers have 10
};

/// The parameters of a network that are not frozen.
[[nodiscard]] std::vector<torch::Tensor> trainable(torch::nn::Module const& network);

/// IRNet's stochastic gradient descent.
struct sgd_settings {
  double weight_decay = 1e-4;
  /// None: the original's, which hands weight decay to the place where torch takes the momentum, so that the momentum
  /// is 0.0001 (and the argument called momentum is the schedule's power). 0.9 is what was meant.
  std::optional<double> momentum;
  bool nesterov = false;  ///< as the classifier of BESTIE's points learns, with momentum 0.9 and weight decay 5e-4
};

/// BESTIE's Adam.
struct adam_settings {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;  ///< added to the gradient
};

/// A torch optimiser whose rates follow a schedule.
///
/// The rate of a step is that of the schedule at the number of steps taken so far, times the group's.
///
/// @throws precondition_error: no parameter at all, parameters that occur twice or want no gradient, settings outside
///         their ranges
/// @source PolyOptimizer, misc/torchutils.py:9-31 of jiwoon-ahn/irn; main.py:338-340 and utils/my_optim.py:56-97 of
///         clovaai/BESTIE
class optimizer {
 public:
  using rate_function = std::function<double(std::int64_t)>;

  [[nodiscard]] static optimizer sgd(std::vector<parameter_group> const& groups, rate_function rate,
                                     sgd_settings settings = {});
  [[nodiscard]] static optimizer adam(std::vector<parameter_group> const& groups, rate_function rate,
                                      adam_settings settings = {});
  optimizer(optimizer&&) noexcept;
  optimizer& operator=(optimizer&&) noexcept;
  ~optimizer();

  /// Forget the gradients; they become undefined, not 0, so that a parameter the loss does not reach stays as it is.
  void zero_grad();
  /// Take one step with the gradients there are.
  /// @return the schedule's rate of this step
  double step();
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  /// The rate of the step to come.
  [[nodiscard]] double rate() const { return rate_(steps_); }

  // For checkpoints.
  [[nodiscard]] torch::optim::Optimizer& inner() { return *inner_; }
  [[nodiscard]] torch::optim::Optimizer const& inner() const { return *inner_; }
  [[nodiscard]] std::string const& kind() const { return kind_; }  ///< "sgd" or "adam"
  void continue_at(std::int64_t steps);

 private:
  optimizer(std::string kind, std::unique_ptr<torch::optim::Optimizer> inner, rate_function rate,
            std::vector<double> times);

  std::string kind_;
  std::unique_ptr<torch::optim::Optimizer> inner_;
  rate_function rate_;
  std::vector<double> times_;
  std::int64_t steps_ = 0;
};

/// The rates of a schedule as the function an optimiser takes.
template <class Schedule>
[[nodiscard]] optimizer::rate_function rates_of(Schedule schedule)
{
  (void)rate_at(schedule, 0);  // a bad schedule is told of here, not at the first step
  return [schedule = std::move(schedule)](std::int64_t i) { return rate_at(schedule, i); };
}

}  // namespace trainer
