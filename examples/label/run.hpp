#pragma once

#include "hand_out.hpp"
#include "settings.hpp"

namespace labelling {

/// Labels the set. Messages go to standard error, the summary to standard output.
/// @param workers  all of its processes call this
/// @return 0: all images are labelled; 1: some images failed; 2: the settings are invalid
int run(settings const& s, crew& workers);

}  // namespace labelling
