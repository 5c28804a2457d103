// Runs a target on files: those that a fuzzer once broke it with, and the seeds.
//
//   replay_png FILE-OR-FOLDER...

#include "target.hpp"

#include <filesystem>

int main(int count, char** arguments)
{
  namespace fs = std::filesystem;
  int ran = 0;
  auto const run = [&](fs::path const& path) {
    auto const file = cambium::read_file(path);
    LLVMFuzzerTestOneInput(file.data(), file.size());
    ++ran;
  };
  for (int i = 1; i < count; ++i) {
    fs::path const path(arguments[i]);
    if (!fs::is_directory(path)) run(path);
    if (fs::is_directory(path))
      for (auto const& entry : fs::directory_iterator(path)) run(entry.path());
  }
  std::printf("%d inputs\n", ran);
  return ran > 0 ? 0 : 1;
}
