#pragma once
// Everything the command line says.

#include <cambium/pipeline/irnet.hpp>

#include <optional>
#include <string>
#include <vector>

namespace labelling {

struct settings {
  // where files are; every {id} stands for the image's id
  std::string images, cams, boundaries, displacements, truth_instances, truth_semantic;
  std::string ids, tags, out;
  bool zero_based = false;

  // what changes results: this is what the manifest records
  cambium::irnet_options irnet;
  double boundary_scale = 1;
  double cam_eval_thres = 0.15;  ///< of the CAM baseline printed beside the scores
  bool void_counts = false;
  cambium::index_t tile = 0, overlap = 512;  ///< [pixels] of walks tile by tile; 0: images are walked whole
  bool crf = false;                          ///< refine semantic labels with the photograph

  bool overlay = false;
  bool keep_scores = false;

  // how the work is done: none of this changes a byte of the outputs
  int threads = 0;
  int shard = 1, shards = 1;
  bool resume = false;
  bool dry_run = false;

  bool scored() const { return !truth_instances.empty() || !truth_semantic.empty(); }
};

/// The words for choices, in the order of their enumerations.
inline std::vector<std::string> const fragment_words{"zero", "drop", "keep"};
inline std::vector<std::string> const scale_words{"image", "class", "instance"};
inline std::vector<std::string> const piece_words{"separate", "merged"};

/// Reads the command line. Empty: there is nothing to do, and `status` is what the program ends with.
std::optional<settings> parse_command_line(int count, char const* const* arguments, int& status);

}  // namespace labelling
