#pragma once

#include "settings.hpp"

namespace labelling {

/// Labels the set. Messages go to standard error, the summary to standard output.
/// @return 0: all images are labelled; 1: some images failed; 2: the settings are invalid
int run(settings const& s);

}  // namespace labelling
