#pragma once

/// The two values every label map of the field agrees on. Classes are 1..C.
namespace cambium::label {

inline constexpr int background = 0;
inline constexpr int ignore = 255;  ///< void in ground truth, "not sure" in a pseudo label

}  // namespace cambium::label
