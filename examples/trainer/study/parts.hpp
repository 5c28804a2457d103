#pragma once
// The parts of the study: the arms of each system, its claims and its words.

#include "study/arm.hpp"

#include <cambium/grid/grid.hpp>

#include <string>
#include <vector>

namespace trainer::study {

constexpr cambium::index_t irnet_side = 192;  ///< [pixels] of IRNet's scenes and of the peak classifiers'
constexpr cambium::index_t small_side = 96;   ///< [pixels] of BESTIE's and the boxes' scenes: the same layouts

/// The arm "irnet". It leaves cam.safetensors, the classifier; train/semantic/ID.png, its labels of the scenes that were
/// learned from.
[[nodiscard]] part irnet_part(study_size const& size);

[[nodiscard]] part bestie_part(study_size const& size);

[[nodiscard]] part boxes_part(study_size const& size);

/// All of them. @throws cambium::precondition_error: as check_arms and check_claims
[[nodiscard]] std::vector<part> all_parts(study_size const& size);

/// Of all parts, in their order.
[[nodiscard]] std::vector<arm> arms_of(std::vector<part> const& parts);

}  // namespace trainer::study
