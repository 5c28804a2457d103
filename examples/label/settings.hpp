#pragma once
// What the command line says, whatever the method.

#include <cstddef>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace labelling {

class method;

/// The command line and the lists it names do not make sense: status 2, nothing was written.
class usage_error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// How the numbers of a tags file are meant.
struct tag_numbers {
  bool zero_based = false;  ///< classes count from 0
  bool classes = false;     ///< they are classes even where they look like flags of one class
};

/// Tables of options point to its members: it stays where it is.
struct settings {
  settings() = default;
  settings(settings const&) = delete;
  settings& operator=(settings const&) = delete;

  std::shared_ptr<method const> how;

  // where files are; every {id} stands for the image's id
  std::string images, truth_instances, truth_semantic;
  std::string ids, tags, out;
  tag_numbers tags_how;
  std::vector<std::string> shard_files;             ///< tar shards that hold the inputs; empty: files in folders
  std::map<std::string, std::string> shard_unread;  ///< endings of inputs that the first shard lacks, and their flags
  std::vector<std::string> shard_outputs;  ///< their outputs' names without ending; empty: outputs are files in folders

  // what changes results: this is what the manifest records, with the method's own parameters
  bool void_counts = false;
  bool overlay = false;

  // how the work is done: none of this changes a byte of the outputs
  int threads = 0;
  int shard = 1, shards = 1;
  bool mpi = false;
  bool resume = false;
  bool dry_run = false;

  /// Whether --shard leaves this place of a list to this run.
  bool takes(std::size_t place) const
  {
    return place % static_cast<std::size_t>(shards) == static_cast<std::size_t>(shard - 1);
  }
  /// The places among `count` that it leaves to this run.
  std::vector<std::size_t> places(std::size_t count) const
  {
    std::vector<std::size_t> mine;
    for (std::size_t i = 0; i < count; ++i)
      if (takes(i)) mine.push_back(i);
    return mine;
  }

  bool scored() const { return !truth_instances.empty() || !truth_semantic.empty(); }
};

/// The program label: reads its command line and labels.
/// @return the status: 0 all images labelled, 1 some failed, 2 the command line makes no sense
int label(int count, char const* const* arguments);

/// The program sweep: tries thresholds on kept scores. Status as label's.
int sweep_program(int count, char const* const* arguments);

/// The program points: writes the peaks of class activation maps as point files. Status as label's.
int points_program(int count, char const* const* arguments);

}  // namespace labelling
