#pragma once
// What a study found: means and spread over seeds, and whether the papers' orderings came out.

#include "program/study_parts.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace trainer {

using study_results = std::map<std::string, std::map<std::string, std::vector<double>>>;  ///< method, figure, seeds

struct study_report {
  std::string text;     ///< markdown
  nlohmann::json json;  ///< {"irnet": {"cam_miou": {"mean", "std", "seeds"}}}
  bool claims_hold = true;
};

/// @param seeds    in the order of the results' lists
/// @param command  what was run
[[nodiscard]] study_report format_report(study_results const& results, std::vector<std::uint64_t> const& seeds,
                                         study_size const& size, std::string const& command);

}  // namespace trainer
