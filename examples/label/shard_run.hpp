#pragma once
// Labels tar shards: into tar shards, or into the folders of files that photographs in folders become.

#include "hand_out.hpp"
#include "settings.hpp"

#include <string>
#include <vector>

namespace labelling {

/// The files of a shard's labels, below --out. The record is written last: with it the shard is finished.
struct files_of_shard {
  std::string tar, images, detections, record;
  explicit files_of_shard(std::string const& name)
      : tar(name + ".tar"),
        images(name + ".images.jsonl"),
        detections(name + ".detections.jsonl"),
        record(name + ".json")
  {
  }
  std::vector<std::string> all() const { return {record, tar, images, detections}; }
};

/// Names the shards of a run, in their order, for join(): below --out.
inline constexpr char shard_list[] = "shards.json";

/// The name of an output in a shard: semantic/a/b.png is a/b.semantic.png, targets/a.centre.npy is a.targets.centre.npy.
std::string name_in_shard(std::string const& id, std::string const& name);

/// Labels the shards of the settings.
/// @return the status, as run()
int run_shards(settings const& s, crew& workers);

}  // namespace labelling
