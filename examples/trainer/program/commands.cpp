#include "program/commands.hpp"

#include "process/environment.hpp"
#include "process/processes.hpp"
#include "run/memory.hpp"

#include <cambium/core/error.hpp>

#include <ATen/Parallel.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <set>
#include <sstream>
#include <string>
#include <thread>

namespace trainer {

namespace {

/// The flags that were given, a line each. Paths may differ from machine to machine.
std::string lines_of(CLI::App const& flags)
{
  std::set<std::string> const apart{
      "--help",    "--quiet",       "--out",         "--data",          "--list",      "--held-out-list",
      "--tags",    "--point-files", "--photographs", "--held-out-json", "--scribbles", "--held-out-photographs",
      "--weights", "--classifier",  "--vgg-weights", "--semantic",      "--pseudo",    "--exact-list"};
  std::string out;
  for (auto const* const flag : flags.get_options()) {
    if (flag->count() == 0 || apart.contains(flag->get_name())) continue;
    out += flag->get_name();
    for (auto const& value : flag->results()) out += " " + value;
    out += "\n";
  }
  return out;
}

/// A line of one that the other does not have.
std::string first_of(std::string const& these, std::string const& others)
{
  std::istringstream lines(these);
  for (std::string one; std::getline(lines, one);)
    if (("\n" + others).find("\n" + one + "\n") == std::string::npos) return one;
  return "no such flag";
}

void expects_same_flags(CLI::App const& flags)
{
  auto const own = lines_of(flags), firsts = processes::from_first(own);
  cambium::expects(own == firsts, "rank ", processes::rank(), " was started with ", first_of(own, firsts),
                   " but rank 0 with ", first_of(firsts, own), "; only paths and --quiet may differ");
}

}  // namespace

int run_command(char const* name, std::function<int()> const& command, CLI::App const* flags)
{
  keep_freed_memory();
  try {
    auto const place = processes::place_of_this_process();
    // Unless told how many, LibTorch would take half of the cores; processes would take each other's.
    if (std::getenv("OMP_NUM_THREADS") == nullptr) {
      at::set_num_threads(place.size > 1 ? 1 : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
      if (place.size > 1) ::setenv("OMP_NUM_THREADS", "1", 1);  // for cambium, which reads it
    }
    processes::join(place);
    if (flags != nullptr) expects_same_flags(*flags);
    int const status = command();
    processes::leave(status);
    return status;
  } catch (std::exception const& e) {
    std::string const what = std::string("trainer ") + name + ": " + e.what();
    processes::fail(what);
    std::fprintf(stderr, "%s\n", what.c_str());
    return 1;
  }
}

void say(std::string const& line)
{
  if (processes::first()) std::fprintf(stderr, "%s\n", line.c_str());
}

int tell_failures(std::vector<std::string> const& failed)
{
  if (failed.empty()) return 0;
  std::fprintf(stderr, "%zu images failed:\n", failed.size());
  for (auto const& line : failed) std::fprintf(stderr, "  %s\n", line.c_str());
  return 1;
}

}  // namespace trainer
