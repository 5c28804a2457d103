#include "study/claims.hpp"

#include <cambium/core/error.hpp>

#include <cmath>
#include <iterator>

namespace trainer::study {

using cambium::expects;

double student_quantile(std::size_t degrees)
{
  static constexpr double table[] = {12.7062047362, 4.30265272975, 3.18244630528, 2.7764451052,  2.57058183564,
                                     2.44691185114, 2.36462425159, 2.3060041352,  2.2621571628,  2.22813885199,
                                     2.20098516009, 2.17881282967, 2.16036865646, 2.14478668792, 2.13144954556,
                                     2.11990529922, 2.10981557783, 2.10092204024, 2.09302405441, 2.08596344727,
                                     2.07961384473, 2.0738730679,  2.06865761042, 2.06389856163, 2.05953855275,
                                     2.05552943864, 2.05183051648, 2.0484071418,  2.04522964213, 2.0422724563};
  expects(1 <= degrees && degrees <= std::size(table), "study: ", degrees, " degrees of freedom; expected 1..",
          std::size(table));
  return table[degrees - 1];
}

double mean_of(std::vector<double> const& values)
{
  double sum = 0;
  for (double const v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

double deviation_of(std::vector<double> const& values)
{
  if (values.size() < 2) return 0;
  double const mean = mean_of(values);
  double sum = 0;
  for (double const v : values) sum += (v - mean) * (v - mean);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

interval interval_of(std::vector<double> const& values)
{
  expects(values.size() >= 2, "study: an interval needs two values or more");
  double const mean = mean_of(values), reach = student_quantile(values.size() - 1) * deviation_of(values) /
                                               std::sqrt(static_cast<double>(values.size()));
  return {mean - reach, mean + reach};
}

std::string word_of(verdict v) { return v == verdict::yes ? "yes" : v == verdict::no ? "no" : "not shown"; }

judgement judge(claim const& c, std::vector<double> const& less, std::vector<double> const& more)
{
  expects(!more.empty(), "study: claim \"", c.name, "\" has no seed");
  expects(less.empty() || less.size() == more.size(), "study: claim \"", c.name, "\" compares ", less.size(),
          " seeds with ", more.size());
  judgement out;
  for (std::size_t s = 0; s < more.size(); ++s)
    out.differences.push_back(more[s] - (less.empty() ? 0 : c.factor * less[s]) - c.margin);
  out.difference = mean_of(out.differences);
  if (more.size() > 1) {
    out.range = interval_of(out.differences);
    out.holds = out.range->low > 0 ? verdict::yes : out.range->high < 0 ? verdict::no : verdict::not_shown;
  }
  return out;
}

}  // namespace trainer::study
