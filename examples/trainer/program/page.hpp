#pragma once
// Pictures of what networks and cambium say, and a page that shows them beside each other.

#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trainer {

using picture = cambium::grid<std::uint8_t, 3>;  ///< [H,W,3] RGB

/// Each class in its colour, as bright as its map, over a dim photograph.
/// @param maps     [C,h,w] in [0,1], at any size
/// @param classes  C, from 0
[[nodiscard]] picture paint_cams(picture const& photograph, cambium::grid<float, 3> const& maps,
                                 std::vector<std::int32_t> const& classes);

/// Dark where a boundary is. @param boundary [h,w] in [0,1], stretched to H x W
[[nodiscard]] picture paint_boundary(cambium::grid<float, 2> const& boundary, cambium::extent2 size);

/// Direction as hue, length as saturation: the displacement wheel. @param field [2,h,w]
[[nodiscard]] picture paint_wheel(cambium::grid<float, 3> const& field, cambium::extent2 size);

/// Classes in VOC's colours.
[[nodiscard]] picture paint_classes(cambium::grid<std::int32_t, 2> const& labels);

/// Instances over a dim photograph, each in a colour of its own.
[[nodiscard]] picture paint_instances(picture const& photograph, cambium::grid<std::int32_t, 2> const& labels);

/// A page with a text, tables and rows of pictures, written beside the pictures it names.
class page {
 public:
  explicit page(std::string title);
  void text(std::string const& html);
  void table(std::vector<std::vector<std::string>> const& rows);  ///< the first row is its head
  void begin_rows(std::vector<std::string> const& titles);
  void picture_in_row(std::string const& file);  ///< relative to the page
  void end_rows();
  void picture_alone(std::string const& file);
  /// @throws cambium::io_error
  void write(std::filesystem::path const& file) const;

 private:
  std::string body_;
};

}  // namespace trainer
