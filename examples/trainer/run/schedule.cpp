#include "run/schedule.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <cmath>

namespace trainer {

namespace {

void check(double base, std::int64_t warm_up, double factor, std::int64_t i)
{
  cambium::expects(i >= 0, "rate_at: step ", i, "; steps count from 0");
  cambium::expects(std::isfinite(base) && base >= 0, "rate_at: base is ", base, "; expected a finite rate >= 0");
  cambium::expects(warm_up >= 0, "rate_at: warm_up is ", warm_up, "; expected a number of steps >= 0");
  cambium::expects(factor >= 0 && factor <= 1, "rate_at: warm_up_factor is ", factor, ", outside [0,1]");
}

double warmed(std::int64_t warm_up, double factor, std::int64_t i)
{
  if (i >= warm_up) return 1;
  double const part = static_cast<double>(i) / static_cast<double>(warm_up);
  return factor * (1 - part) + part;
}

}  // namespace

double rate_at(poly_schedule const& s, std::int64_t i)
{
  check(s.base, s.warm_up, s.warm_up_factor, i);
  cambium::expects(s.steps >= 1, "rate_at: steps is ", s.steps, "; expected a number of steps >= 1");
  cambium::expects(s.warm_up <= s.steps, "rate_at: warm_up is ", s.warm_up, " but there are only ", s.steps, " steps");
  cambium::expects(std::isfinite(s.power) && s.power >= 0, "rate_at: power is ", s.power,
                   "; expected a finite number >= 0");
  i = std::min(i, s.steps - 1);
  double const left = 1 - static_cast<double>(i) / static_cast<double>(s.steps);
  return s.base * warmed(s.warm_up, s.warm_up_factor, i) * std::pow(left, s.power);
}

double rate_at(step_schedule const& s, std::int64_t i)
{
  check(s.base, s.warm_up, s.warm_up_factor, i);
  cambium::expects(std::isfinite(s.factor) && s.factor >= 0, "rate_at: factor is ", s.factor,
                   "; expected a finite number >= 0");
  cambium::expects(std::is_sorted(s.at.begin(), s.at.end()), "rate_at: the steps `at` do not ascend");
  auto const behind = std::upper_bound(s.at.begin(), s.at.end(), i) - s.at.begin();
  return s.base * warmed(s.warm_up, s.warm_up_factor, i) * std::pow(s.factor, static_cast<double>(behind));
}

}  // namespace trainer
