#pragma once
// Puts the labels of tar shards together: label --join OUT.

#include <string>

namespace labelling {

/// Write detections.json, manifest.json and, with truth, scores.json of all shards in a folder, in the order of the run
/// that made them: the bytes of one process. Of a million images 16 MB are held, and the overlaps of objects with truth.
/// @return 0: of all images; 1: some images or shards are missing; 2: nothing was written, standard error says why
int join(std::string const& out);

}  // namespace labelling
