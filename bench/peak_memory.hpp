#pragma once
// The memory of a call: what the resident set grows by at its highest (VmHWM, reset through /proc/self/clear_refs) over
// what was resident before. Freed memory is handed back first. Inputs are not counted, nor is code that has run before.

#include <malloc.h>
#include <fstream>
#include <string>

namespace bench {

/// [bytes], or 0 where the system does not tell.
inline double resident(std::string const& which)
{
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (double kilobytes = 0; word == which && status >> kilobytes) return 1024 * kilobytes;
  return 0;
}

template <class Work>
double peak_of(Work const& work)
{
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
  double const before = resident("VmRSS:");
  work();
  return resident("VmHWM:") - before;
}

}  // namespace bench
