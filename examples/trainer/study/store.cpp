#include "study/store.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <ctime>

namespace trainer::study {

namespace fs = std::filesystem;
using cambium::expects;
using nlohmann::json;

place place_of(fs::path const& work, std::string const& arm, std::uint64_t seed)
{
  return {seed, work / ("seed_" + std::to_string(seed)), arm};
}

fs::path file_of(place const& at) { return at.root / (at.arm + ".json"); }

std::optional<measured> known(std::vector<arm> const& arms, place const& at, std::string* complaint)
{
  auto const unusable = [&](std::string const& why) {
    if (complaint != nullptr) *complaint = file_of(at).string() + ": " + why + "; it is measured again";
    return std::nullopt;
  };
  if (!fs::exists(file_of(at))) return std::nullopt;
  measured out;
  try {
    auto const content = cambium::read_file(file_of(at));
    auto const is = json::parse(content.begin(), content.end());
    out = {is.at("recipe").get<std::string>(), is.at("figures").get<figures>(), is.value("seconds", 0.0),
           is.value("processor_seconds", 0.0)};
  } catch (std::exception const& e) {
    return unusable(std::string("cannot be read (") + e.what() + ")");
  }
  if (out.found.empty()) return unusable("has no figure");
  if (out.recipe != whole_recipe(arms, at.arm)) return unusable("was measured by another recipe");
  for (auto const& file : arm_of(arms, at.arm).leaves)
    if (!fs::exists(at.folder() / file)) return unusable((at.folder() / file).string() + " is gone");
  return out;
}

void measure(std::vector<arm> const& arms, place const& at)
{
  arm const& what = arm_of(arms, at.arm);
  for (auto const& need : what.needs)
    expects(known(arms, {at.seed, at.root, need}, nullptr).has_value(), "study: ", at.arm, ", seed ", at.seed,
            ", needs ", need, ", which is not measured");
  fs::remove(file_of(at));
  fs::remove_all(at.folder());
  fs::create_directories(at.folder());

  auto const began = std::chrono::steady_clock::now();
  std::clock_t const processor = std::clock();
  figures const found = what.measure(at);
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  expects(!found.empty(), "study: ", at.arm, " has found no figure");
  for (auto const& [name, value] : found)
    expects(std::isfinite(value), "study: ", at.arm, ": ", name, " is ", value, "; expected a finite number");
  for (auto const& file : what.leaves)
    expects(fs::exists(at.folder() / file), "study: ", at.arm, " has left no ", (at.folder() / file).string());
  json const out{{"arm", at.arm},
                 {"seed", at.seed},
                 {"recipe", whole_recipe(arms, at.arm)},
                 {"figures", found},
                 {"seconds", seconds},
                 {"processor_seconds", static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC}};
  cambium::replace_file(file_of(at), out.dump(1) + "\n");
}

}  // namespace trainer::study
