#pragma once
// What was measured: one JSON file an arm and seed, WORK/seed_S/ARM.json, whole or not there.
//
//   {"arm": "irnet", "seed": 1, "recipe": "...", "figures": {"cam_miou": 0.62}, "seconds": 180, "processor_seconds": 178,
//    "id": "...", "needs": {ARM: its id}, "left": {FILE: its bytes}, "date": "2026-12-01", "machine": "...", "program": "..."}

#include "study/arm.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace trainer::study {

struct measured {
  std::string recipe;  ///< whole_recipe of its arm
  figures found;
  double seconds = 0, processor_seconds = 0;  ///< 0 where the file does not say
  std::string id;                             ///< of this measurement: no other one has it
  std::string date, machine, program;         ///< where and when; empty where the file does not say
};

[[nodiscard]] std::string today();             ///< "2026-12-01"
[[nodiscard]] std::string machine();           ///< "AMD EPYC, 2 threads"
[[nodiscard]] std::string build_of_program();  ///< a number of this program's file, as hexadecimal digits

/// The place of an arm in a folder of work.
[[nodiscard]] place place_of(std::filesystem::path const& work, std::string const& arm, std::uint64_t seed);

[[nodiscard]] std::filesystem::path file_of(place const& at);

/// What is known of an arm and can be used: its file has this recipe, all files that it left are there and as large as
/// they were, and what it needs is known and was not measured again.
/// @param complaint  gets a sentence where a file is there and cannot be used
[[nodiscard]] std::optional<measured> known(std::vector<arm> const& arms, place const& at, std::string* complaint);

/// Measures an arm in an empty folder of its own, and keeps what was found.
/// @throws cambium::precondition_error: what it needs is not known, it returns no figure or one that is not finite;
///         cambium::io_error; all that the arm throws
void measure(std::vector<arm> const& arms, place const& at);

}  // namespace trainer::study
