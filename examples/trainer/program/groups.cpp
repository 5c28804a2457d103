#include "program/groups.hpp"

#include "network/safetensors.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace trainer {

using cambium::io_error;
using json = nlohmann::ordered_json;

std::vector<class_group> read_groups(std::filesystem::path const& file, std::string const& key, std::int64_t outputs)
{
  auto const fail = [&](std::string const& reason) { throw io_error(file.string() + ": " + reason); };
  auto const bytes = cambium::read_file(file);
  auto const content = cambium::text_of(bytes, file.string());
  json all;
  try {
    all = json::parse(content.begin(), content.end());
  } catch (json::exception const& e) {
    fail(e.what());
  }
  if (all.is_object() && all.contains("map") && all["map"].is_object()) all = json(all["map"]);
  if (!all.is_object() || all.empty()) fail("is not an object with an entry for each class");
  std::vector<class_group> out;
  std::set<int> numbers;
  std::set<std::string> lists;  // that there are, for a message
  int place = 0;
  for (auto const& [name, entry] : all.items()) {
    ++place;
    auto const of = "class '" + name + "' ";
    class_group g{place, name, {}};
    json list = entry;
    if (entry.is_object()) {
      char const* const word = entry.contains("class") ? "class" : "voc_class";
      if (!entry.contains(word) || !entry[word].is_number_unsigned()) fail(of + "has no number: an entry \"class\"");
      if (entry[word].get<std::uint64_t>() > 254) fail(of + "has the number " + entry[word].dump() + ", beyond 254");
      g.number = entry[word].get<int>();
      for (auto const& [other, value] : entry.items())
        if (value.is_array()) lists.insert(other);
      list = entry.contains(key) ? entry[key] : json::array();
    }
    if (!list.is_array()) fail(of + "has no list of indices");
    if (g.number < 1 || g.number > 254) fail(of + "has the number " + std::to_string(g.number) + ", outside 1..254");
    if (!numbers.insert(g.number).second) fail(of + "has the number " + std::to_string(g.number) + " of another class");
    for (auto const& index : list) {
      if (!index.is_number_unsigned() || index.get<std::uint64_t>() >= static_cast<std::uint64_t>(outputs))
        fail(of + "has the index " + index.dump() + "; the classifier's are 0.." + std::to_string(outputs - 1));
      g.indices.push_back(index.get<std::int64_t>());
    }
    auto sorted = g.indices;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) fail(of + "has an index twice");
    if (!g.indices.empty()) out.push_back(std::move(g));
  }
  if (out.empty()) {
    std::string known;
    for (auto const& l : lists) known += (known.empty() ? "; there are " : ", ") + l;
    fail("has no class with a list '" + key + "'" + known);
  }
  return out;
}

std::vector<class_group> each_output_alone(std::int64_t outputs)
{
  cambium::expects(outputs <= 254, "a classifier of ", outputs,
                   " outputs, but label maps hold 254 classes: groups say "
                   "which outputs speak of a class");
  std::vector<class_group> out;
  for (int c = 1; c <= outputs; ++c) out.push_back({c, std::to_string(c), {c - 1}});
  return out;
}

extra_head read_head(int number, std::filesystem::path const& file, std::int64_t features)
{
  auto const content = read_safetensors(file);
  extra_head out{number, {}, 0};
  bool biased = false;
  for (auto const& [name, tensor] : content.tensors) {
    auto const ends = [&, &text = name](std::string const& with) {
      return text.size() >= with.size() && text.compare(text.size() - with.size(), with.size(), with) == 0;
    };
    bool const fits = tensor.is_floating_point() && torch::isfinite(tensor).all().item<bool>();
    if (ends("weight") && !out.weight.defined() && fits && tensor.numel() == features) {
      out.weight = tensor.to(torch::kFloat32).flatten();
    } else if (ends("bias") && !biased && fits && tensor.numel() == 1) {
      out.bias = tensor.to(torch::kFloat32).item<float>(), biased = true;
    } else {
      throw io_error(file.string() + ": tensor '" + name +
                     "' does not belong to a head, which is one finite weight of " + std::to_string(features) +
                     " values and one bias");
    }
  }
  if (!out.weight.defined() || !biased)
    throw io_error(file.string() + ": lacks its " + (out.weight.defined() ? "bias" : "weight"));
  return out;
}

}  // namespace trainer
