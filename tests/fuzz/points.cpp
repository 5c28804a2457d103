#include "target.hpp"

#include <cambium/io/points.hpp>

#include <cmath>

using namespace cambium;

void one_input(bytes const& file)
{
  auto all = parse_points(file, "points");
  for (auto& p : all) p.x = std::trunc(p.x), p.y = std::trunc(p.y);
  auto const text = [&]() -> std::string {
    try {
      return format_points(all);
    } catch (precondition_error const&) {
      return "";  // a confidence beyond what is written
    }
  }();
  must(format_points(parse_points(bytes_of(text), "again")) == text, "points come back");
}
