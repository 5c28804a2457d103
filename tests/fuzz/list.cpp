#include "target.hpp"

#include <cambium/io/voc.hpp>

using namespace cambium;

void one_input(bytes const& file)
{
  for (auto const& entry : parse_voc_list(file, "list")) {
    must(!entry.id.empty() && entry.id.find('/') == std::string::npos && entry.id != "..", "an id names a file");
    for (auto const tag : entry.tags) must(tag >= 0, "a class");
  }
}
