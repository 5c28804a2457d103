#pragma once
// How large a step is at which time: learning rates as functions of the step's number. No torch in here.

#include <cstdint>
#include <vector>

namespace trainer {

/// A learning rate that falls with a power of the time left, after an optional warm-up.
///
///   rate(i) = base * w(i) * (1 - i/T)^power
///   w(i)    = 1 for i >= W, else f * (1 - i/W) + i/W
///
/// i is the number of the step that is about to be taken, from 0. At and after T, which the originals never reach with
/// a sound configuration, the rate is that of step T - 1.
///
/// @source W = 0: IRNet, PolyOptimizer of misc/torchutils.py (it too keeps the last rate after T);
///         W = 2000, f = 0.001, T = 50000: BESTIE, WarmupPolyLR of utils/my_optim.py (beyond T it is not a number)
struct poly_schedule {
  double base = 0.1;
  std::int64_t steps = 1;  ///< T > 0
  double power = 0.9;
  std::int64_t warm_up = 0;       ///< W in [0,T]
  double warm_up_factor = 0.001;  ///< f in [0,1]
};

/// A learning rate that is multiplied with `factor` at each of some steps.
///
///   rate(i) = base * w(i) * factor^(number of `at` <= i)
///
/// @source torch.optim.lr_scheduler.MultiStepLR
struct step_schedule {
  double base = 0.1;
  std::vector<std::int64_t> at;  ///< ascending
  double factor = 0.1;
  std::int64_t warm_up = 0;
  double warm_up_factor = 0.001;
};

/// The learning rate of step i.
/// @throws precondition_error: i < 0, a rate that is negative or not finite, T < 1, W outside [0,T], f outside [0,1]
[[nodiscard]] double rate_at(poly_schedule const& schedule, std::int64_t i);

/// @throws precondition_error: the same, and `at` that does not ascend
[[nodiscard]] double rate_at(step_schedule const& schedule, std::int64_t i);

}  // namespace trainer
