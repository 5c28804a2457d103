#pragma once
// What every target shares. A reader given any bytes answers or throws io_error; it never crashes, hangs or asks for
// memory out of proportion. What it reads comes back from what is written of it.

#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

/// Defined by each target.
void one_input(cambium::bytes const& file);

/// A property that any input must keep.
inline void must(bool holds, char const* what)
{
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

inline cambium::bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

extern "C" [[gnu::used]] inline int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
  try {
    one_input({data, data + size});
  } catch (cambium::io_error const&) {
    // a refusal: the only other answer there is
  }
  return 0;
}
