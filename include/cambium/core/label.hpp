#pragma once

/// The two values that all label maps of the field share. Classes are 1..C.
namespace cambium::label {

inline constexpr int background = 0;
inline constexpr int ignore = 255;  ///< void in ground truth, uncertain in a pseudo label

}  // namespace cambium::label
