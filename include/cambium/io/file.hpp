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
#include <utility>
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

/// A file that is written piece by piece, completely or not at all. The content is written beside it under a name that
/// ends in ".partial"; finish() flushes it to the disk and renames it. Missing folders are made. An existing file is
/// replaced by finish() only.
class file_replacement {
 public:
  /// @throws io_error "path: reason", as all members do
  explicit file_replacement(std::filesystem::path path) : path_(std::move(path)), partial_(path_)
  {
    std::error_code failure;
    if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path(), failure);
    if (failure) throw io_error(path_.string() + ": cannot make its folder: " + failure.message());
    partial_ += ".partial";
    file_.reset(std::fopen(partial_.c_str(), "wb"));
    if (!file_) throw io_error(path_.string() + ": " + std::strerror(errno));
  }
  /// Without finish() an existing file is unchanged.
  ~file_replacement()
  {
    if (!file_) return;
    file_.reset();
    remove_partial();
  }
  file_replacement(file_replacement const&) = delete;
  file_replacement& operator=(file_replacement const&) = delete;

  std::filesystem::path const& path() const { return path_; }

  void write(void const* data, std::size_t size)
  {
    if (size > 0 && std::fwrite(data, 1, size, file_.get()) != size) give_up(std::strerror(errno));
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// @pre nothing is written afterwards
  void finish()
  {
    if (std::fflush(file_.get()) != 0) give_up(std::strerror(errno));
#if defined(__unix__) || defined(__APPLE__)
    if (::fsync(::fileno(file_.get())) != 0 && errno != EINVAL && errno != ENOTSUP) give_up(std::strerror(errno));
#endif
    if (std::fclose(file_.release()) != 0) give_up(std::strerror(errno));
    std::error_code failure;
    std::filesystem::rename(partial_, path_, failure);
    if (failure) give_up(failure.message());
  }

 private:
  void remove_partial()
  {
    std::error_code ignored;
    std::filesystem::remove(partial_, ignored);
  }
  [[noreturn]] void give_up(std::string const& reason)
  {
    file_.reset();
    remove_partial();
    throw io_error(path_.string() + ": " + reason);
  }

  std::filesystem::path path_, partial_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{nullptr, &std::fclose};
};

/// Write a file completely or not at all, as file_replacement does.
/// @throws io_error "path: reason"; an existing file is then unchanged
inline void replace_file(std::filesystem::path const& path, void const* data, std::size_t size)
{
  file_replacement file(path);
  file.write(data, size);
  file.finish();
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
