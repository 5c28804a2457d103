#pragma once
// One process at a time changes what belongs to a whole output folder.

#include <cerrno>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace labelling {

/// A name for what this process writes before it is renamed to `path`. No other process takes it, on this host or another.
inline std::filesystem::path name_of_this_process(std::filesystem::path path)
{
  char host[256] = {};
  static_cast<void>(::gethostname(host, sizeof host - 1));
  return path += std::string(".") + host + "-" + std::to_string(::getpid()) + ".partial";
}

/// One process at a time puts the summary together; the others wait. The lock is a file that is open for writing: network
/// file systems lock no folders. It goes away with its holder.
class folder_lock {
 public:
  explicit folder_lock(std::filesystem::path const& folder) : path_(folder / ".summary.lock")
  {
    while ((file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) >= 0) {
      int locked = 0;
      while ((locked = ::flock(file_, LOCK_EX)) != 0 && errno == EINTR) {
      }
      struct stat mine = {}, there = {};
      bool const same = ::fstat(file_, &mine) == 0 && ::stat(path_.c_str(), &there) == 0 && mine.st_ino == there.st_ino;
      if (same || locked != 0) break;  // without locks of files several go on; the one that renames last wins
      ::close(file_);                  // its holder removed it meanwhile
    }
  }
  ~folder_lock()
  {
    if (file_ < 0) return;
    ::unlink(path_.c_str());
    ::close(file_);
  }
  folder_lock(folder_lock const&) = delete;
  folder_lock& operator=(folder_lock const&) = delete;

 private:
  std::filesystem::path path_;
  int file_ = -1;
};

}  // namespace labelling
