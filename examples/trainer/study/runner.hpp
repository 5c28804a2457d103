#pragma once
// A whole study: what is not measured yet is measured, one process an arm and seed.

#include "study/arm.hpp"
#include "study/results.hpp"

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace trainer::study {

struct run_options {
  std::filesystem::path work;
  std::vector<std::uint64_t> seeds;
  std::size_t at_once = 1;  ///< processes
  /// The command that measures an arm and stores it, as measure does.
  std::function<std::vector<std::string>(place const&)> command;
  std::FILE* screen = stderr;
};

struct run_report {
  std::vector<std::string> failed;  ///< "boxes/exact, seed 3: ended with status 1: its last line"
  std::size_t measured = 0;         ///< in this run
  std::size_t known = 0;            ///< before it
  double seconds = 0;               ///< of this run
  int signal = 0;                   ///< that ended it
};

/// Measures arms and what they need, where they are not known. A line on the screen an arm: its figures, seconds, how
/// many are left and for about how long. What an arm writes goes to WORK/seed_S/ARM.log.
[[nodiscard]] run_report run_arms(std::vector<arm> const& arms, std::vector<std::string> const& names,
                                  run_options const& options);

/// All figures of arms.
/// @param missing  gets "ARM, seed S" where one is not known
[[nodiscard]] std::map<std::string, arm_results> gathered(std::vector<arm> const& arms,
                                                          std::vector<std::string> const& names,
                                                          run_options const& options,
                                                          std::vector<std::string>& missing);

/// "0.918" as "91.8 %"; "count_objects" as "412".
[[nodiscard]] std::string shown(std::string const& figure, double value);

}  // namespace trainer::study
