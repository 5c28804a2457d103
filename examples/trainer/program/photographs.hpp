#pragma once
// A folder of photographs, one npy file each: what the programs that run networks have in common.

#include "image_set.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/io/npy.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace trainer {

struct photograph_settings {
  std::string images, ids, out;
  bool overwrite = false;
  int threads = 0;
  double memory = 0;  ///< [GB] that may be taken; 0: what the machine has left
};

/// --images --ids --out --overwrite --threads --memory
void add_photograph_flags(CLI::App& app, photograph_settings& s, std::string const& what);

/// A file for all images, beside the folder of the first {id}: word "tags", ending ".txt" gives "cams/tags.txt" for
/// "cams/{id}.npy", and "tags.cam.npy.txt" for "{id}/cam.npy", so that templates do not share one by accident.
[[nodiscard]] std::filesystem::path file_beside(std::string const& path_template, std::string const& word,
                                                std::string const& ending);

struct photograph_work {
  std::string program;               ///< begins messages
  nlohmann::ordered_json made_with;  ///< what changes results; stands in file_beside(out, program, ".json")
  std::function<double(cambium::extent2)> memory;  ///< [bytes] that an image takes
  /// Whether what an earlier run wrote is what this one would; its size is looked at by the loop.
  std::function<bool(std::string const& id, cambium::npy_array const&)> keeps;
  /// @return the npy file
  std::function<cambium::bytes(std::string const& id, cambium::grid<std::uint8_t, 3> const&)> make;
  std::function<void()> save;  ///< now and then, and at the end: what stands beside the images
  std::function<cambium::extent2(cambium::extent2)> size_of;  ///< last two axes of the result
};

/// Make what is not there yet, image by image. A result is kept if it is whole, of the right size, not older than its
/// photograph, and was made with the same parameters. An image that fails is named with the reason, at once and at the
/// end, and the rest goes on; what an earlier run left for it is removed.
/// @return status: 0, 1 some images failed, 2 outputs are there that were made otherwise, and no --overwrite
int run_photographs(photograph_settings const& s, labelling::image_set const& set, photograph_work const& work);

/// FNV-1a over a file, for made_with: a changed file is told from an unchanged one, an attacker is not.
/// @throws cambium::io_error
[[nodiscard]] std::string fingerprint(std::filesystem::path const& file);

}  // namespace trainer
