#pragma once
// What a study found, as docs/results.json has it, and the check that the file says nothing that its values do not.

#include "study/arm.hpp"
#include "study/claims.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace trainer::study {

struct arm_results {
  std::string recipe;
  std::map<std::string, std::vector<double>> figures;     ///< of each seed, in the order of results::seeds
  std::vector<double> seconds, processor_seconds;         ///< of each seed; 0 where nobody knows
  std::set<std::string> dates{}, machines{}, programs{};  ///< that its seeds were measured on, and by
};

struct judged_claim {
  claim what;
  std::string part;  ///< "boxes"
  judgement found;
};

struct results {
  std::string command, date, machine;
  std::string note{};  ///< what a reader must know of the run
  std::vector<std::uint64_t> seeds;
  std::vector<choice> chosen_on{};  ///< on which seeds settings were chosen; none: nobody kept them
  std::size_t at_once = 1;          ///< processes
  double run_seconds = 0;           ///< of the run that wrote this; 0 where it measured not all arms itself
  std::map<std::string, arm_results> arms{};
  std::vector<judged_claim> claims{};
  std::vector<std::string> left_out{};  ///< names of claims, since an arm was not asked for
  std::vector<part> parts{};            ///< name, title and text of what the page tells
  study_size size{};

  /// @return the sum over all arms and seeds
  [[nodiscard]] double seconds() const;
  [[nodiscard]] double processor_seconds() const;
};

/// Whether an arm is one of a part: "boxes/exact" and "boxes" of "boxes".
[[nodiscard]] bool belongs(std::string const& arm, std::string const& part);

/// Whether a figure is a number: of things, or a correlation. The others are shares, which are shown as percent.
[[nodiscard]] bool is_number(std::string const& figure);

/// The values of "ARM:FIGURE".
/// @return nullptr where there are none
[[nodiscard]] std::vector<double> const* values_of(std::map<std::string, arm_results> const& arms,
                                                   std::string const& name);

/// Adds the claims whose figures are there. @param part  which the claims belong to
/// @return the claims that were left out, since an arm was not asked for
/// @throws cambium::precondition_error: two claims of one name; an arm that is there has no such figure; as judge
std::vector<std::string> judge_into(results& all, std::string const& part, std::vector<claim> const& claims);

/// {"command", "date", "machine", "note", "seeds", "chosen_on": [{"what", "seeds", "how"}], "jobs", "seconds", "processor_seconds", "run_seconds",
///  "size": {"images", "held_out", "rehearsal"}, "parts": [{"name", "title", "text"}], "left_out": [NAME],
///  "arms": {NAME: {"recipe", "figures": {NAME: [of each seed]}, "seconds": [...], "processor_seconds": [...],
///           "dates": [...], "machines": [...], "programs": [...]}},
///  "claims": [{"part", "name", "paper", "less", "more", "factor", "margin", "main", "remark", "differences", "difference",
///              "interval": [low, high] or null, "holds": "yes", "no" or "not shown"}]}
[[nodiscard]] nlohmann::ordered_json json_of(results const& all);

/// What json_of has written.
/// @throws nlohmann::json::exception: it has another form; cambium::precondition_error: as judge
[[nodiscard]] results results_of(nlohmann::json const& from);

/// All claims of the study, with what they compare and without what was found: study/claims.json. The program writes it
/// (`study DOCS --claims FILE`), so that the check knows them without LibTorch.
[[nodiscard]] nlohmann::ordered_json claims_of(std::vector<part> const& parts);

/// Reads the text of docs/results.json again and recomputes each claim from the values of the seeds.
/// @return a sentence for each fault; none: the file is right. No JSON, and JSON of another form, are faults.
[[nodiscard]] std::vector<std::string> faults_of(std::string const& text);

}  // namespace trainer::study
