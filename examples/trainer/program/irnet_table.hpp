#pragma once
// The rows of IRNet's comparison, for terminals and pages.

#include "method/irnet_run.hpp"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace trainer {

/// "41.8", or "" where nothing was measured.
[[nodiscard]] inline std::string percent(double v)
{
  if (std::isnan(v)) return "";
  char text[16];
  std::snprintf(text, sizeof text, "%.1f", 100 * v);
  return text;
}

[[nodiscard]] inline std::vector<std::vector<std::string>> irnet_table(irnet_run_scores const& s)
{
  std::vector<std::vector<std::string>> rows{{"percent", "mIoU", "AP@.25", "AP@.5", "AP@.7", "AP@.75"}};
  auto const add = [&](char const* name, scores const& of, bool semantic) {
    rows.push_back({name, semantic ? percent(of.miou) : "", percent(of.ap25), percent(of.ap50), percent(of.ap70),
                    percent(of.ap75)});
  };
  add("CAM, its components", s.cam, true);
  add("CAM and walk, components", s.walk, true);
  add("CAM and walk, components parted by boundaries", s.walk_boundary, false);
  add("CAM and walk, instances by displacement", s.walk_displacement, false);
  return rows;
}

inline void print_table(std::vector<std::vector<std::string>> const& rows)
{
  for (auto const& row : rows) {
    std::printf("%-48s", row[0].c_str());
    for (std::size_t i = 1; i < row.size(); ++i) std::printf(" %7s", row[i].c_str());
    std::printf("\n");
  }
}

}  // namespace trainer
