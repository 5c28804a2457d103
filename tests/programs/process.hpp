#pragma once
// Programs run as people run them: as processes, on folders.

#include "support/catch.hpp"

#include <cambium/io/file.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace programs {

/// A folder that goes away with the test.
struct scratch {
  std::filesystem::path root = std::filesystem::temp_directory_path() /
                               ("cambium-label-" + std::to_string(::getpid()) + "-" + std::to_string(next++));
  scratch() { std::filesystem::create_directories(root); }
  ~scratch()
  {
    std::error_code ignored;
    std::filesystem::remove_all(root, ignored);
  }
  scratch(scratch const&) = delete;
  scratch& operator=(scratch const&) = delete;
  static inline int next = 0;

  std::string at(std::string const& name) const { return (root / name).string(); }
};

struct outcome {
  int status;
  std::string out, err;
};

/// Starts a program, whose output goes to files in a folder; the caller waits or kills.
inline pid_t start_program(std::filesystem::path const& folder, std::string const& program,
                           std::vector<std::string> const& words)
{
  std::string const out = folder / "stdout", err = folder / "stderr";
  std::vector<char*> arguments;
  arguments.push_back(const_cast<char*>(program.c_str()));
  for (auto const& w : words) arguments.push_back(const_cast<char*>(w.c_str()));
  arguments.push_back(nullptr);
  pid_t const child = ::fork();
  if (child != 0) return child;
  ::dup2(::open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDOUT_FILENO);
  ::dup2(::open(err.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDERR_FILENO);
  ::execv(program.c_str(), arguments.data());
  ::_exit(127);
}

inline std::string text_of(std::filesystem::path const& path)
{
  auto const content = cambium::read_file(path);
  return {content.begin(), content.end()};
}

inline outcome run_program(std::filesystem::path const& folder, std::string const& program,
                           std::vector<std::string> const& words)
{
  pid_t const child = start_program(folder, program, words);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  return {WEXITSTATUS(status), text_of(folder / "stdout"), text_of(folder / "stderr")};
}

/// Every file below a folder and its bytes.
inline std::map<std::string, cambium::bytes> everything(std::filesystem::path const& folder)
{
  namespace fs = std::filesystem;
  std::map<std::string, cambium::bytes> files;
  if (!fs::exists(folder)) return files;
  for (auto const& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = cambium::read_file(entry.path());
  return files;
}

inline nlohmann::json parse(std::filesystem::path const& path) { return nlohmann::json::parse(text_of(path)); }

inline bool contains(std::string const& text, std::string const& words)
{
  return text.find(words) != std::string::npos;
}

/// refused(words, says) checks that a playground's program refuses the flags with these words, and writes nothing.
template <class Playground>
auto refuses(Playground& p)
{
  return [&p](std::vector<std::string> const& words, std::string const& says) {
    auto const r = p.run(words);
    INFO(r.err);
    CHECK(r.status == 2);
    CHECK(contains(r.err, says));
    CHECK_FALSE(std::filesystem::exists(p.root / "out"));
  };
}

}  // namespace programs
