#pragma once
// Shared by the bindings of instances and of BESTIE: targets as results, and options by name.

#include "bindings.hpp"

#include <cambium/instance/targets.hpp>
#include <cambium/instance/transfer.hpp>

#include <string>

namespace bindings {

/// Targets as Python holds them.
struct python_targets {
  nb::object centre, offset, weight;
};

/// Targets as Python's `CentreTargets`.
nb::object to_python(cambium::centre_targets<>&& targets);

/// 'truncated' or 'exact'.
cambium::centroid centroid_choice(std::string const& given, char const* what);

/// Options of transfer. `who` begins messages.
cambium::transfer_options transfer_choice(std::string const& who, std::string const& sup, int sigma,
                                          cambium::index_t smallest, std::string const& centre,
                                          std::string const& several);

}  // namespace bindings
