#pragma once

#include <cambium/core/memory.hpp>

/// Stands for gpu in a file that is not compiled by nvcc: it reaches its memory, and nobody wrote loops for it.
struct device_only {
  using memory = cambium::device;
};
template <>
inline constexpr bool cambium::reaches_v<device_only, cambium::device> = true;
