// label, sweep and points in one file, which is smaller than three: the Python package has it.
//
//   programs label --images 'in/{id}.jpg' ...

#include "settings.hpp"

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

int main(int count, char** arguments)
{
  std::string_view const name = count > 1 ? arguments[1] : "";
  auto* const program = name == "label"    ? labelling::label
                        : name == "sweep"  ? labelling::sweep_program
                        : name == "points" ? labelling::points_program
                                           : nullptr;
  if (program == nullptr) {
    std::fputs("The first word is the name of a program: label, sweep or points.\n", stderr);
    return 2;
  }
  std::string const called = std::string(arguments[0]) + " " + arguments[1];  // what --help calls it
  std::vector<char const*> words(arguments + 1, arguments + count);
  words[0] = called.c_str();
  return program(count - 1, words.data());
}
