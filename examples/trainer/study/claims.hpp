#pragma once
// What the study claims: differences of two figures, paired by seed, with their interval.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trainer::study {

/// d_s = more_s - factor * less_s - margin of each seed s is above 0.
struct claim {
  std::string name;        ///< in words; no two are the same
  std::string paper = "";  ///< what the authors report
  std::string less = "";   ///< "ARM:FIGURE"; empty: 0
  std::string more = "";
  double factor = 1;        ///< 0.97: `more` keeps 97 % of `less`
  double margin = 0;        ///< 0.10: 10 points or more; -0.01: at most a point worse
  std::string remark = "";  ///< what a reader must know of it
  bool main = false;        ///< asked for before the study; the others are further observations
};

/// What was known of seeds when settings were chosen.
struct choice {
  std::string what;                    ///< "Boxes"
  std::vector<std::uint64_t> seeds{};  ///< whose results were seen
  std::string how;                     ///< a sentence
};

struct interval {
  double low = 0, high = 0;
};

/// The two-sided 95 % quantile of Student's t.
/// @param degrees  1..30
/// @throws cambium::precondition_error
[[nodiscard]] double student_quantile(std::size_t degrees);

[[nodiscard]] double mean_of(std::vector<double> const& values);

/// The deviation of the sample, by n - 1; 0 of one value.
[[nodiscard]] double deviation_of(std::vector<double> const& values);

/// mean -+ t_{n-1} s / sqrt(n), in which the mean of what the values are drawn from lies in 95 of 100 studies, if they
/// are normal.
/// @param values  2..31
/// @throws cambium::precondition_error
[[nodiscard]] interval interval_of(std::vector<double> const& values);

enum class verdict {
  yes,       ///< the whole interval is above 0
  no,        ///< the whole interval is below 0
  not_shown  ///< it includes 0, or there is one seed
};

[[nodiscard]] std::string word_of(verdict v);  ///< "yes", "no", "not shown"

struct judgement {
  std::vector<double> differences;  ///< of each seed
  double difference = 0;            ///< their mean
  std::optional<interval> range;    ///< none with one seed
  verdict holds = verdict::not_shown;
};

/// @param less, more  of each seed; `less` may be empty: 0
/// @throws cambium::precondition_error: lists of two lengths, no seed, more than 31
[[nodiscard]] judgement judge(claim const& c, std::vector<double> const& less, std::vector<double> const& more);

}  // namespace trainer::study
