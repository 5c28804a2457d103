#pragma once
// The arms of the study on one photograph, each with all of its settings.

#include "photographs/measured.hpp"

#include <cambium/exec/cpu.hpp>

#include <vector>

namespace labelling {

/// Label a photograph by every arm and compare.
/// @return the arms in the order of the tables, the same for every photograph
[[nodiscard]] std::vector<measured_arm> measure(cambium::cpu const& where, photograph const& in);

}  // namespace labelling
