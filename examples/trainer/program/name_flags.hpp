#pragma once
// How the tensors of a weights file are called.

#include "network/module_weights.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace trainer {

struct name_settings {
  std::string prefix;
  std::vector<std::string> renames, passed_over;

  name_map map() const
  {
    name_map out{prefix, {}, passed_over, {}};
    for (std::size_t i = 0; i + 1 < renames.size(); i += 2) out.renames.emplace_back(renames[i], renames[i + 1]);
    return out;
  }
};

/// --prefix, --rename, --pass-over
inline void add_name_flags(CLI::App& app, name_settings& s)
{
  std::string const names = "Names in the weights file";
  app.add_option("--prefix", s.prefix, "only tensors whose names begin so, without it")->group(names);
  app.add_option("--rename", s.renames, "REGEX NEW, may be repeated: matches become NEW")->type_size(2)->group(names);
  app.add_option("--pass-over", s.passed_over, "tensors whose names begin so are not needed")->group(names);
}

}  // namespace trainer
