#pragma once

#include <cambium/core/error.hpp>

#include <filesystem>
#include <random>
#include <string>
#include <system_error>

namespace support {

/// A folder of one test's own, under a name nobody else has. Gone, with all that is in it, when the test is.
class temporary_folder {
 public:
  temporary_folder()
  {
    std::random_device bits;
    do {
      path_ = std::filesystem::temp_directory_path() / ("cambium-" + std::to_string(bits()) + std::to_string(bits()));
    } while (!std::filesystem::create_directory(path_));
  }
  ~temporary_folder()
  {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(temporary_folder const&) = delete;
  temporary_folder& operator=(temporary_folder const&) = delete;

  std::filesystem::path operator/(std::string const& name) const { return path_ / name; }
  std::filesystem::path const& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The message of the E that a call throws, "" when it throws nothing. Everything else passes through.
template <class E = cambium::io_error, class Call>
std::string refusal(Call const& call)
{
  try {
    call();
  } catch (E const& e) {
    return e.what();
  }
  return "";
}

}  // namespace support
