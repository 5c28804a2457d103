#include "study/store.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include "data/fingerprint.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <random>
#include <thread>

namespace trainer::study {

namespace fs = std::filesystem;
using cambium::expects;
using nlohmann::json;

namespace {

using sizes = std::map<std::string, std::uintmax_t>;

/// The files that an arm left, folders with all that is in them.
sizes left_by(arm const& what, place const& at)
{
  sizes out;
  auto const note = [&](fs::path const& file) {
    out[file.lexically_relative(at.folder()).generic_string()] = fs::file_size(file);
  };
  for (auto const& name : what.leaves) {
    fs::path const one = at.folder() / name;
    expects(fs::exists(one), "study: ", at.arm, " has left no ", one.string());
    if (!fs::is_directory(one)) {
      note(one);
      continue;
    }
    auto const before = out.size();
    for (auto const& inside : fs::recursive_directory_iterator(one))
      if (inside.is_regular_file()) note(inside.path());
    expects(out.size() > before, "study: ", at.arm, " has left nothing in ", one.string());
  }
  return out;
}

}  // namespace

std::string today()
{
  std::time_t const now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::localtime(&now));
  return text;
}

std::string machine()
{
  std::string out = "unknown processor";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0 && line.find(':') != std::string::npos) {
      out = line.substr(line.find(':') + 2);
      break;
    }
  return out + ", " + std::to_string(std::thread::hardware_concurrency()) + " threads";
}

std::string build_of_program()
{
  auto const content = cambium::read_file("/proc/self/exe");
  return fingerprint().add(content.data(), content.size()).digits();
}

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
  sizes left;
  std::map<std::string, std::string> needs;
  try {
    auto const content = cambium::read_file(file_of(at));
    auto const is = json::parse(content.begin(), content.end());
    out = {is.at("recipe").get<std::string>(),
           is.at("figures").get<figures>(),
           is.value("seconds", 0.0),
           is.value("processor_seconds", 0.0),
           is.value("id", ""),
           is.value("date", ""),
           is.value("machine", ""),
           is.value("program", "")};
    left = is.value("left", sizes());
    needs = is.value("needs", needs);
  } catch (std::exception const& e) {
    return unusable(std::string("cannot be read (") + e.what() + ")");
  }
  if (out.found.empty()) return unusable("has no figure");
  if (out.recipe != whole_recipe(arms, at.arm)) return unusable("was measured by another recipe");
  arm const& what = arm_of(arms, at.arm);
  if (left.empty() && !what.leaves.empty()) return unusable("does not say which files belong to it");
  for (auto const& [file, bytes] : left) {
    std::error_code gone;
    auto const now = fs::file_size(at.folder() / file, gone);
    if (gone) return unusable((at.folder() / file).string() + " is gone");
    if (now != bytes) return unusable((at.folder() / file).string() + " has another size");
  }
  for (auto const& need : what.needs) {
    auto const is = known(arms, {at.seed, at.root, need}, nullptr);
    if (!is) return unusable("needs " + need + ", which is not known");
    if (is->id != needs[need]) return unusable("was measured with another " + need);
  }
  return out;
}

void measure(std::vector<arm> const& arms, place const& at)
{
  arm const& what = arm_of(arms, at.arm);
  std::map<std::string, std::string> needs;
  for (auto const& need : what.needs) {
    auto const is = known(arms, {at.seed, at.root, need}, nullptr);
    expects(is.has_value(), "study: ", at.arm, ", seed ", at.seed, ", needs ", need, ", which is not measured");
    needs[need] = is->id;
  }
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
  std::random_device random;
  json const out{{"arm", at.arm},
                 {"seed", at.seed},
                 {"recipe", whole_recipe(arms, at.arm)},
                 {"figures", found},
                 {"seconds", seconds},
                 {"processor_seconds", static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC},
                 {"id", today() + " " + std::to_string(random()) + std::to_string(random())},
                 {"needs", needs},
                 {"left", left_by(what, at)},
                 {"date", today()},
                 {"machine", machine()},
                 {"program", build_of_program()}};
  cambium::replace_file(file_of(at), out.dump(1) + "\n");
}

}  // namespace trainer::study
