#pragma once

#include "hand_out.hpp"
#include "settings.hpp"

#include <string>

namespace labelling {

/// "3.0 s", "12 min", "5.1 h"
std::string duration(double seconds);

/// Makes the folder for the labels and asks whether files may be written there, before hours of work.
/// @param files  whether outputs are files, in folders of their kind
/// @throws usage_error
void prepare(std::string const& out, bool files = true);

/// All processes see the output folder of the one that leads. @pre it is prepared there
/// @throws usage_error in all of them, if one sees another folder
void expects_one_folder(settings const& s, crew& workers);

/// Labels the set. Messages go to standard error, the summary to standard output.
/// @param workers  all of its processes call this
/// @return 0: all images are labelled; 1: some images failed; 2: the settings are invalid
int run(settings const& s, crew& workers);

}  // namespace labelling
