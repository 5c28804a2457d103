#include "program/commands.hpp"

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
  // Unless told how many, LibTorch would take half of the cores.
  if (std::getenv("OMP_NUM_THREADS") == nullptr)
    at::set_num_threads(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  try {
    return command();
  } catch (std::exception const& e) {
    std::fprintf(stderr, "trainer %s: %s\n", name, e.what());
    return 1;
  }
}

int tell_failures(std::vector<std::string> const& failed)
{
  if (failed.empty()) return 0;
  std::fprintf(stderr, "%zu images failed:\n", failed.size());
  for (auto const& line : failed) std::fprintf(stderr, "  %s\n", line.c_str());
  return 1;
}

}  // namespace trainer
