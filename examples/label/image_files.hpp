#pragma once
// The inputs of one image, from wherever they come. A file is read on request, and its hash is kept.

#include "image_set.hpp"
#include "image_source.hpp"
#include "method.hpp"

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/io/npy.hpp>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace labelling {

/// All files of an image that the command line asks for: the photograph, the method's inputs, the truth.
std::vector<input_file> inputs_of(settings const& s);

inline void demand(bool holds, std::string const& path, std::string const& reason)
{
  if (!holds) throw cambium::io_error(path + ": " + reason);
}

/// "[2,3]"
template <class Extents>
std::string shape_text(Extents const& extents)
{
  std::string text = "[";
  for (cambium::index_t const e : extents) text += (text.size() > 1 ? "," : "") + std::to_string(e);
  return text + "]";
}

/// Drop axes of extent 1 before the last `rank` ones: a batch of one is read as its element.
inline cambium::npy_array without_leading_ones(cambium::npy_array array, std::size_t rank)
{
  while (array.shape.size() > rank && array.shape[0] == 1) array.shape.erase(array.shape.begin());
  return array;
}

class image_files {
 public:
  /// @param from  for as long as the object lives
  image_files(settings const& s, image_set const& set, std::string const& id, image_source const& from);

  std::string const& id() const { return id_; }
  settings const& of() const { return s_; }

  /// Whether the image has this file: the command line asks for it and, if it is optional, it exists.
  bool has(std::string const& name) const;
  /// What messages call it; empty if the command line does not ask for it.
  std::string path(std::string const& name) const;
  /// @throws io_error
  cambium::bytes file(std::string const& name);

  /// A float array; leading axes of extent 1 beyond the rank are dropped.
  /// @throws io_error naming the first value that is NaN, infinite or outside the range
  template <int Rank>
  cambium::grid<float, Rank> maps(std::string const& name, float low = std::numeric_limits<float>::lowest(),
                                  float high = std::numeric_limits<float>::max(), char const* what = "a finite number")
  {
    auto out = any_maps<Rank>(name);
    demand_range(name, out, low, high, what);
    return out;
  }

  /// The same without checks of values.
  template <int Rank>
  cambium::grid<float, Rank> any_maps(std::string const& name)
  {
    auto const array = without_leading_ones(cambium::parse_npy(file(name), path(name)), Rank);
    return cambium::to_grid<float, Rank>(array, path(name));
  }
  template <int Rank>
  void demand_range(std::string const& name, cambium::grid<float, Rank> const& g,
                    float low = std::numeric_limits<float>::lowest(), float high = std::numeric_limits<float>::max(),
                    char const* what = "a finite number") const
  {
    try {
      cambium::expects_inside(cambium::cpu{.threads = 1}, g.view(), low, high, "value", what);
    } catch (cambium::precondition_error const& e) {
      throw cambium::io_error(path(name) + ": " + e.what());
    }
  }

  /// A map of classes, PNG.
  /// @throws io_error naming the format that the file has instead
  cambium::grid<std::int32_t, 2> labels(std::string const& name);

  /// [H,W,3]; empty without photographs.
  cambium::grid<std::uint8_t, 3> const& photograph();
  /// The photograph's size, or `otherwise` without photographs. Unless it is needed, the photograph is not kept.
  cambium::extent2 image_size(cambium::extent2 otherwise);

  /// The classes 1..C of an image's CAM channels.
  std::vector<int> channel_classes(std::int64_t channels) const;
  /// @throws io_error: the tags name a class, but the file that would say where it is is missing
  void expects_no_class(std::string const& lacks) const;
  /// The classes 1..C of the image; empty without a tags file.
  std::optional<std::vector<int>> tags(std::int64_t classes) const;

  std::map<std::string, std::string> const& hashes() const { return hashes_; }

 private:
  input_file const* find(std::string const& name) const;
  /// What messages call the tags: the list, or the member of a shard.
  std::string tags_path() const;
  /// @throws io_error: a shard has classes, but this image's are missing
  void expects_tags() const;

  settings const& s_;
  image_set const& set_;
  std::string const& id_;
  image_source const& from_;
  std::vector<input_file> inputs_;
  std::map<std::string, std::string> hashes_;
  std::optional<cambium::grid<std::uint8_t, 3>> photograph_;
  std::optional<cambium::extent2> size_;
};

}  // namespace labelling
