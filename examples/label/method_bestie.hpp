#pragma once
// BESTIE's first labels without a network.

#include <cambium/exec/cpu.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/pipeline/bestie.hpp>

#include <cstdint>

namespace labelling {

/// The components of a semantic map that exactly one cue, or with `split` at least one, says to be objects.
/// @param present  [H,W] 0, class + 1
/// @return scores are those of the cues
[[nodiscard]] cambium::instances<> accepted_components(cambium::cpu const& where,
                                                       cambium::grid<std::int32_t, 2> const& present,
                                                       cambium::points const& cues,
                                                       cambium::transfer_options const& rules);

}  // namespace labelling
