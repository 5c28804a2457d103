// study_check: computes the claims of docs/results.json again from the values of its seeds. ./run study --check
//
//   study_check docs/results.json

#include "study/results.hpp"

#include <cambium/io/file.hpp>

#include <cstdio>
#include <exception>
#include <string>

int main(int count, char** arguments)
{
  if (count != 2) {
    std::fprintf(stderr, "usage: ./run study --check [RESULTS.json]\n");
    return 2;
  }
  std::string const file = arguments[1];
  try {
    auto const content = cambium::read_file(file);
    auto const faults = trainer::study::faults_of({content.begin(), content.end()});
    for (auto const& fault : faults) std::fprintf(stderr, "%s: %s\n", file.c_str(), fault.c_str());
    if (faults.empty()) std::printf("%s: every claim is what the values of the seeds give\n", file.c_str());
    return faults.empty() ? 0 : 1;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "study --check: %s\n", e.what());
    return 1;
  }
}
