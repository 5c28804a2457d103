#include "program/commands.hpp"

#include "process/environment.hpp"
#include "process/processes.hpp"
#include "run/memory.hpp"

#include <ATen/Parallel.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

namespace trainer {

int run_command(char const* name, std::function<int()> const& command)
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
