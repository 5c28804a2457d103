#pragma once
// The program's one door to libarchive: tar archives, read and written member by member.

#include <cambium/io/file.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace labelling {

/// The content of a file is at fault, not the disk: it will not be better the next time.
class content_error : public cambium::io_error {
  using cambium::io_error::io_error;
};

struct tar_member {
  std::string name;
  std::uint64_t size = 0;
  std::string odd;  ///< why it is no plain file: "is a link"; empty for plain files
  bool folder = false;
};

enum class tar_step { entry, damage, cut, end };

/// Reads an uncompressed archive from its begin to its end. Names of any length (PAX, GNU) are UTF-8.
class tar_reader {
 public:
  /// @throws io_error "path: reason"; content_error: the file is no archive
  explicit tar_reader(std::string const& path);
  ~tar_reader();

  /// Go to the next member. After `damage` a header could not be read, and reading goes on behind it. After `cut` and
  /// `end` there is nothing more.
  /// @throws content_error: the file is no archive
  /// @throws io_error: the disk fails
  tar_step next(tar_member& to);

  /// What the last step ran into, in words.
  std::string const& reason() const;

  /// The content of the member.
  /// @throws io_error: the file ends before it
  cambium::bytes content(tar_member const& one);

  /// SHA-256 of the whole file. Reads to its end.
  std::string hash();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Writes an archive completely or not at all. The same members give the same bytes: no time, no owner, mode 0644.
class tar_writer {
 public:
  /// @throws io_error "path: reason", as all members do
  explicit tar_writer(std::string const& path);
  ~tar_writer();  ///< without finish() an existing file is unchanged

  void add(std::string const& name, void const* data, std::size_t size);

  /// End the archive.
  /// @return its SHA-256
  std::string close();
  /// Put it in its place. @pre close()
  void finish();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace labelling
