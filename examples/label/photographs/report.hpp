#pragma once
// The study's arms over all photographs: settings chosen, figures with intervals, and the page.

#include "photographs/measured.hpp"

#include <cambium/exec/cpu.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace labelling {

struct study_size {
  int draws = 2000;
  std::uint64_t seed = 1;
};

/// @param images     the arms of each photograph
/// @param boundary   the factor on all boundary maps
/// @param on_scenes  docs/results.json: the figures on drawn scenes; null without
/// @return the content of photographs.json
[[nodiscard]] json figures_of(cambium::cpu const& where, std::vector<std::vector<measured_arm>> const& images,
                              study_size const& size, double boundary, json const& on_scenes);

/// @param command  that wrote the page
/// @return the content of photographs.md
[[nodiscard]] std::string page_of(json const& figures, std::string const& command, double seconds, int threads);

}  // namespace labelling
