#pragma once
// Paths from Python, and files as bytes.

#include "bindings.hpp"

#include <cambium/io/file.hpp>

#include <cerrno>
#include <filesystem>
#include <string>

#include <unistd.h>

namespace bindings {

/// A path from str, bytes or os.PathLike.
inline std::filesystem::path path_of(nb::handle given)
{
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(given.ptr(), &bytes) == 0) throw nb::python_error();
  auto const held = nb::steal<nb::bytes>(bytes);
  return std::string(static_cast<char const*>(held.data()), held.size());
}

/// The content of a file. A missing one raises FileNotFoundError, a folder IsADirectoryError, as open() does.
inline cambium::bytes content_of(std::filesystem::path const& path)
{
  std::error_code ignored;
  bool const folder = std::filesystem::is_directory(path, ignored);
  if (folder || ::access(path.c_str(), R_OK) != 0) {
    if (folder) errno = EISDIR;
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
    throw nb::python_error();
  }
  return without_gil([&] { return cambium::read_file(path); });
}

}  // namespace bindings
