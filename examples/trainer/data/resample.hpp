#pragma once
// Photographs and label maps at other sizes, by the rules of the two libraries that the originals use.

#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <vector>

namespace trainer {

/// Whose rules. They differ in what a smaller photograph is, and by half a pixel in where a nearest neighbour lies.
///
///             photograph                                      label map: cell x of n comes from, of m cells
///   pillow    a kernel as wide as the pixels get: smooth      floor((x + 1/2) m / n)
///   opencv    the two pixels beside, whatever the size        floor(x m / n)
enum class sampling { pillow, opencv };

enum class kernel {
  bilinear,
  bicubic  ///< a = -1/2; pillow only
};

/// A photograph at another size.
///
/// pillow: the sum of the pixels under the kernel, stretched by the reduction if there is one; first along rows, then,
/// rounded to bytes, along columns; weights in 22 bits: the same bytes as Pillow's. (Its newest versions begin with
/// the columns where that is less work, which can change a byte by a few.)
/// opencv: bilinear between pixel centres, rounded once, halves up; OpenCV rounds weights to 11 bits and may be off by
/// one from that.
///
/// @param photograph  [H,W,3], at least one pixel
/// @param to          at least 1 x 1
/// @return            [to.height,to.width,3]; the photograph itself where it has that size
///
/// @throws      cambium::precondition_error: an empty photograph or size, bicubic as opencv
/// @determinism the same bytes on every run; weights are computed in double
/// @source      ImagingResample, src/libImaging/Resample.c of Pillow; resize, imgproc of OpenCV, INTER_LINEAR
[[nodiscard]] cambium::grid<std::uint8_t, 3> resized(cambium::grid<std::uint8_t, 3> const& photograph,
                                                     cambium::extent2 to, sampling rules, kernel shape);

/// A label map at another size: each cell is one of the map's, at the places that sources() gives.
///
/// @param map  [H,W], at least one cell
/// @throws cambium::precondition_error: an empty map or size
[[nodiscard]] cambium::grid<std::int32_t, 2> resized(cambium::grid<std::int32_t, 2> const& map, cambium::extent2 to,
                                                     sampling rules);

/// Where each of n cells comes from, of m, when a map is made smaller or larger: ascending places in [0,m).
///
/// Where a place falls on a border exactly, the libraries' roundings decide; they are kept.
///
/// @throws cambium::precondition_error: m or n below 1
/// @source ImagingScaleAffine, src/libImaging/Geometry.c of Pillow; resizeNN, imgproc of OpenCV
[[nodiscard]] std::vector<cambium::index_t> sources(cambium::index_t m, cambium::index_t n, sampling rules);

}  // namespace trainer
