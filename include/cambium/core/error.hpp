#pragma once

#include <charconv>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace cambium {

/// The caller broke a documented precondition: a shape, a range, an alias, a NaN.
/// Thrown before anything is written.
class precondition_error : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A file could not be read or written. The message begins with its name.
class io_error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A call of the device's runtime failed. It is not the caller's fault, so it is not a precondition_error.
class gpu_error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The caller asked a running call to stop (cpu::stop). Its outputs are unspecified.
class stopped : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A piece of an error message: text, a number, or a shape.
template <class Part>
std::string message_part(Part const& part)
{
  if constexpr (std::is_floating_point_v<Part>) {
    char digits[64];  // the fewest that identify this number
    return {digits, std::to_chars(digits, digits + sizeof digits, part).ptr};
  } else if constexpr (std::is_arithmetic_v<Part>) {
    return std::to_string(part);
  } else {
    return std::string(part);
  }
}

/// Throw precondition_error unless `holds`. The parts are joined into the message only on failure. The first part names
/// the public function: "random_walk: ...".
template <class... Part>
void expects(bool holds, Part const&... parts)
{
  if (!holds) throw precondition_error((std::string{} + ... + message_part(parts)));
}

}  // namespace cambium
