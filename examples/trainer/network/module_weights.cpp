#include "network/module_weights.hpp"

#include "process/difference.hpp"
#include "process/processes.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/module.h>

#include <algorithm>
#include <cstdio>
#include <regex>

namespace trainer {

using cambium::io_error;
using cambium::precondition_error;

namespace {

bool begins_with_any(std::string const& name, std::vector<std::string> const& prefixes)
{
  return std::any_of(prefixes.begin(), prefixes.end(), [&](auto const& p) { return name.rfind(p, 0) == 0; });
}

/// Of each tensor that counts: its name, and what becomes of it.
std::vector<std::pair<std::string, std::string>> new_names(named_tensors const& tensors, name_map const& names)
{
  std::vector<std::pair<std::regex, std::string>> renames;
  for (auto const& [pattern, replacement] : names.renames) {
    try {
      renames.emplace_back(std::regex(pattern), replacement);
    } catch (std::regex_error const& e) {
      throw precondition_error("load_weights: '" + pattern + "' is not a regular expression: " + e.what());
    }
  }
  std::vector<std::pair<std::string, std::string>> out;
  for (auto const& [name, tensor] : tensors) {
    if (name.rfind(names.prefix, 0) != 0) continue;
    std::string other = name.substr(names.prefix.size());
    for (auto const& [pattern, replacement] : renames) other = std::regex_replace(other, pattern, replacement);
    if (!begins_with_any(other, names.passed_over)) out.emplace_back(name, other);
  }
  return out;
}

bool counts_batches(std::string const& name)
{
  std::string const last = "num_batches_tracked";
  return name.size() >= last.size() && name.compare(name.size() - last.size(), last.size(), last) == 0;
}

/// Why a tensor cannot become another one; empty if it can.
std::string misfit(torch::Tensor const& from, torch::Tensor const& to)
{
  if (from.sizes() != to.sizes()) return "is " + describe(from) + ", the network's is " + describe(to);
  bool const fits =
      from.is_floating_point() == to.is_floating_point() &&
      (from.scalar_type() == torch::kBool) == (to.scalar_type() == torch::kBool) &&
      (from.is_floating_point() || c10::promoteTypes(from.scalar_type(), to.scalar_type()) == to.scalar_type());
  if (!fits) return "is " + describe(from) + ", which cannot become " + describe(to);
  if (from.is_floating_point()) {
    if (!torch::isfinite(from).all().item<bool>()) return "holds values that are not finite";
    if (!torch::isfinite(from.to(to.scalar_type())).all().item<bool>())
      return "holds values beyond " + describe(to).substr(0, describe(to).find(' '));
  }
  return {};
}

}  // namespace

named_tensors tensors_of(torch::nn::Module const& module)
{
  named_tensors out;
  for (auto const& p : module.named_parameters()) out[p.key()] = p.value();
  for (auto const& b : module.named_buffers())
    if (b.value().defined()) out[b.key()] = b.value();
  return out;
}

named_tensors renamed(named_tensors const& tensors, name_map const& names)
{
  named_tensors out;
  for (auto const& [name, other] : new_names(tensors, names)) out.emplace(other, tensors.at(name));
  return out;
}

void load_weights(torch::nn::Module& module, named_tensors const& tensors, name_map const& names,
                  std::string const& origin)
{
  auto const wanted = tensors_of(module);
  std::map<std::string, std::string> origins;  // of a name of the module: the name in the file
  std::vector<std::string> problems;
  for (auto const& [name, renamed] : new_names(tensors, names)) {
    auto const& tensor = tensors.at(name);
    std::string const known_as = renamed == name ? in_quotes(name) : in_quotes(name) + " (" + in_quotes(renamed) + ")";
    if (auto const [at, added] = origins.emplace(renamed, name); !added) {
      problems.push_back(known_as + " and " + in_quotes(at->second) + " have become the same");
      continue;
    }
    auto const found = wanted.find(renamed);
    if (found == wanted.end())
      problems.push_back(known_as + " " + describe(tensor) + " is superfluous");
    else if (auto const why = misfit(tensor, found->second); !why.empty())
      problems.push_back(known_as + " " + why);
  }
  for (auto const& [name, tensor] : wanted)
    if (origins.count(name) == 0 && !begins_with_any(name, names.allowed_missing) && !counts_batches(name))
      problems.push_back(in_quotes(name) + " " + describe(tensor) + " is missing");
  if (!problems.empty()) {
    std::string text = origin + ": does not fit the network:";
    for (auto const& p : problems) text += "\n  " + p;
    throw io_error(text);
  }
  torch::NoGradGuard const guard;
  for (auto const& [renamed, name] : origins) torch::Tensor(wanted.at(renamed)).copy_(tensors.at(name));
}

std::map<std::string, std::string> load_weights(torch::nn::Module& module, std::filesystem::path const& file,
                                                name_map const& names)
{
  auto const content = read_safetensors(file);
  load_weights(module, content.tensors, names, file.string());
  return content.metadata;
}

void save_weights(torch::nn::Module const& module, std::filesystem::path const& file,
                  std::map<std::string, std::string> const& metadata)
{
  write_safetensors(file, tensors_of(module), metadata);
}

namespace {

bool is_made_by(std::string const& recipe, std::filesystem::path const& file)
{
  if (!std::filesystem::exists(file)) return false;
  auto const made = read_safetensors(file).metadata;
  auto const words = made.find("recipe");
  auto const compare = words == made.end() ? recipes::others : compared(words->second, recipe);
  if (compare == recipes::others || compare == recipes::of_other_contents)
    throw io_error(file.string() + ": was made with other settings (" +
                   (words == made.end() ? "none are said; now " + recipe : reason_of(words->second, recipe)) +
                   "); choose another folder, leave the step out, or remove the file");
  if (compare == recipes::same_but_unrecorded)
    std::fprintf(stderr,
                 "note: %s does not say which photographs and labels it learned from; they are taken for these\n",
                 file.c_str());
  return true;
}

}  // namespace

bool made_by(std::string const& recipe, std::filesystem::path const& file)
{
  return processes::from_first(processes::first() && is_made_by(recipe, file));
}

}  // namespace trainer
