#pragma once

#include <cambium/core/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <unistd.h>
#endif

namespace cambium {

using bytes = std::vector<unsigned char>;

/// The whole content of a file.
/// @throws io_error "path: reason"
inline bytes read_file(std::filesystem::path const& path)
{
  std::error_code failure;
  auto const status = std::filesystem::status(path, failure);
  if (!failure && std::filesystem::is_directory(status)) throw io_error(path.string() + ": is a folder");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw io_error(path.string() + ": " + std::strerror(errno));
  bytes content;
  auto const size = std::filesystem::file_size(path, failure);
  if (!failure) content.reserve(static_cast<std::size_t>(size));
  unsigned char part[65536];
  for (std::size_t n; (n = std::fread(part, 1, sizeof part, file.get())) > 0;)
    content.insert(content.end(), part, part + n);
  if (std::ferror(file.get()) != 0) throw io_error(path.string() + ": " + std::strerror(errno));
  return content;
}

/// Write a file completely or not at all. The content is written beside it under a name that ends in ".partial",
/// flushed to the disk, then renamed. Missing folders are made. An existing file is replaced.
/// @throws io_error "path: reason"; an existing file is then unchanged
inline void replace_file(std::filesystem::path const& path, void const* data, std::size_t size)
{
  namespace fs = std::filesystem;
  std::error_code failure;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), failure);
  if (failure) throw io_error(path.string() + ": cannot make its folder: " + failure.message());
  fs::path partial = path;
  partial += ".partial";
  auto const give_up = [&](std::string const& reason) {
    fs::remove(partial, failure);
    throw io_error(path.string() + ": " + reason);
  };
  {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(partial.c_str(), "wb"), &std::fclose);
    if (!file) throw io_error(path.string() + ": " + std::strerror(errno));
    if (size > 0 && std::fwrite(data, 1, size, file.get()) != size) give_up(std::strerror(errno));
    if (std::fflush(file.get()) != 0) give_up(std::strerror(errno));
#if defined(__unix__) || defined(__APPLE__)
    if (::fsync(::fileno(file.get())) != 0 && errno != EINVAL && errno != ENOTSUP) give_up(std::strerror(errno));
#endif
    if (std::fclose(file.release()) != 0) give_up(std::strerror(errno));
  }
  fs::rename(partial, path, failure);
  if (failure) give_up(failure.message());
}

inline void replace_file(std::filesystem::path const& path, std::string_view text)
{
  replace_file(path, text.data(), text.size());
}
inline void replace_file(std::filesystem::path const& path, bytes const& content)
{
  replace_file(path, content.data(), content.size());
}

}  // namespace cambium
