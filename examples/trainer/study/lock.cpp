#include "study/lock.hpp"

#include <cambium/core/error.hpp>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace trainer::study {

folder_lock::folder_lock(std::filesystem::path const& folder)
{
  std::filesystem::create_directories(folder);
  auto const path = folder / "lock";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) throw cambium::io_error(path.string() + ": " + std::strerror(errno));
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  bool const held = errno == EWOULDBLOCK;
  ::close(file_);
  if (held)
    throw cambium::io_error("another study is at work in " + folder.string() +
                            "; wait until it has ended, or take another folder with --work");
  file_ = -1;  // a file system without locks
}

folder_lock::~folder_lock()
{
  if (file_ >= 0) ::close(file_);
}

}  // namespace trainer::study
