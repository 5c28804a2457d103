#include "network/trained_weights.hpp"

#include "network/module_weights.hpp"
#include "process/difference.hpp"
#include "process/processes.hpp"

#include <cambium/core/error.hpp>

#include <cstdio>
#include <set>

namespace trainer {

namespace {

std::string with_commas(std::vector<std::string> const& classes)
{
  std::string out;
  for (auto const& name : classes) out += (out.empty() ? "" : ",") + name;
  return out;
}

void note(std::string const& sentence)
{
  static std::set<std::string> said;
  if (processes::first() && said.insert(sentence).second) std::fprintf(stderr, "note: %s\n", sentence.c_str());
}

}  // namespace

std::map<std::string, std::string> trained_as(std::vector<std::string> const& classes, std::string const& recipe)
{
  return {{"classes", with_commas(classes)}, {"recipe", recipe}};
}

void load_trained(torch::nn::Module& module, std::filesystem::path const& file, std::vector<std::string> const& classes,
                  std::string const& recipe)
{
  auto const content = read_safetensors(file);
  auto const said = [&](char const* what) {
    auto const at = content.metadata.find(what);
    return at == content.metadata.end() ? std::string() : at->second;
  };
  std::string const now = with_commas(classes), name = file.string();
  if (auto const was = said("classes"); was.empty()) {
    note(name + " does not say its classes; they are taken for " + now);
  } else if (was != now) {
    auto const [then, today] = difference(was, now);
    throw cambium::io_error(name + ": its classes are " + then + ", but those of the set are " + today +
                            ": both need the same in the same order");
  }
  load_weights(module, content.tensors, {}, name);
  if (auto const was = said("recipe"); !recipe.empty() && !was.empty())
    if (auto const how = compared(was, recipe); how == recipes::others || how == recipes::of_other_contents)
      note(name + " was made with other settings (" + reason_of(was, recipe) + ")");
}

}  // namespace trainer
