#pragma once

#include "settings.hpp"

namespace labelling {

/// Labels the set. Messages go to standard error, the summary to standard output.
/// @return 0 all images labelled, 1 some failed, 2 the settings make no sense
int run(settings const& s);

}  // namespace labelling
