#pragma once
// Where the input files of one image come from: from folders, or from a shard that holds many images.

#include "image_set.hpp"
#include "method.hpp"

#include <cambium/io/file.hpp>

#include <string>
#include <utility>

namespace labelling {

class image_source {
 public:
  virtual ~image_source() = default;
  image_source(image_source const&) = delete;
  image_source& operator=(image_source const&) = delete;

  /// Whether the image has the file.
  virtual bool has(input_file const& input) const = 0;
  /// What messages call the file.
  virtual std::string path(input_file const& input) const = 0;
  /// @throws io_error "path: reason"
  virtual cambium::bytes read(input_file const& input) const = 0;

 protected:
  image_source() = default;
};

/// Files whose paths are the templates with the image's id.
class folder_source : public image_source {
 public:
  explicit folder_source(std::string id) : id_(std::move(id)) {}
  bool has(input_file const& input) const override;
  std::string path(input_file const& input) const override { return fill(input.path_template, id_); }
  cambium::bytes read(input_file const& input) const override;

 private:
  std::string id_;
};

}  // namespace labelling
