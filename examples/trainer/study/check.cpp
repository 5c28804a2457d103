// study_check: computes the claims of docs/results.json again from the values of its seeds, and the page beside it; compares
// the claims with the program's. ./run study --check
//
//   study_check docs/results.json examples/trainer/study/claims.json

#include "study/published.hpp"

#include <cambium/io/file.hpp>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

int main(int count, char** arguments)
{
  if (count != 3) {
    std::fprintf(stderr, "usage: ./run study --check [RESULTS.json]; results.md is read beside it\n");
    return 2;
  }
  std::string const file = arguments[1];
  auto const text_of = [](std::filesystem::path const& path) {
    auto const content = cambium::read_file(path);
    return std::string(content.begin(), content.end());
  };
  try {
    std::string remark;
    auto const page = std::filesystem::path(file).replace_extension(".md");
    auto const faults =
        trainer::study::faults_of_published(text_of(file), text_of(page), text_of(arguments[2]), remark);
    for (auto const& fault : faults) std::fprintf(stderr, "%s: %s\n", file.c_str(), fault.c_str());
    if (faults.empty()) std::printf("%s: every claim is what the values of the seeds give\n", file.c_str());
    if (!remark.empty()) std::printf("%s: %s\n", file.c_str(), remark.c_str());
    return faults.empty() ? 0 : 1;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "study --check: %s\n", e.what());
    return 1;
  }
}
