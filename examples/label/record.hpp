#pragma once
// What is kept of each image for --resume and for putting shards together: records/<id>.json below --out.

#include "image_set.hpp"
#include "image_source.hpp"
#include "method.hpp"
#include "settings.hpp"

#include <cambium/io/file.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace labelling {

/// SHA-256 of what is added, in hexadecimal, as `sha256sum` prints it.
class hasher {
 public:
  hasher();
  ~hasher();
  hasher(hasher const&) = delete;
  hasher& operator=(hasher const&) = delete;

  void add(void const* data, std::size_t size);
  /// @pre nothing is added afterwards
  std::string text();

 private:
  struct state;
  std::unique_ptr<state> state_;
};
std::string hash(cambium::bytes const& content);

/// Hash of the parameters and of the version: equal fingerprints and equal inputs give equal outputs.
std::string fingerprint(settings const& s);

std::filesystem::path record_path(settings const& s, std::string const& id);

/// The record of an image, of any parameters; nothing without one.
std::optional<json> any_record(settings const& s, std::string const& id);

/// The record of an image; nothing without one of the same fingerprint.
std::optional<json> read_record(settings const& s, std::string const& id);

/// The record of an earlier run if it still holds: same fingerprint and tags, inputs and outputs unchanged.
bool still_holds(settings const& s, image_set const& set, std::string const& id, image_source const& from);

/// The tags of an image as its record keeps them; null without a tags file.
json tags_of(image_set const& set, std::string const& id);

/// Every file that labels of an image may have, of any method: names below --out.
std::vector<std::string> possible_outputs(std::string const& id);

/// Delete the outputs that a record lists, but those in `kept`. A file with another hash stays: someone else wrote it.
/// @param kept  an object with names of outputs
void remove_recorded(settings const& s, json const& record, json const& kept);

/// Delete what an earlier run wrote for an image that now fails. Without a record nothing is deleted.
void forget(settings const& s, std::string const& id);

}  // namespace labelling
