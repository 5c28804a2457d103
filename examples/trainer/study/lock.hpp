#pragma once
// One study at a time works in a folder.

#include <filesystem>

namespace trainer::study {

/// Holds FOLDER/lock until it is destroyed or its process ends. Processes that this one starts do not hold it.
class folder_lock {
 public:
  /// Makes the folder. @throws cambium::io_error: another process, or this one, holds it; the file cannot be made
  explicit folder_lock(std::filesystem::path const& folder);
  ~folder_lock();
  folder_lock(folder_lock const&) = delete;
  folder_lock& operator=(folder_lock const&) = delete;

 private:
  int file_ = -1;
};

}  // namespace trainer::study
