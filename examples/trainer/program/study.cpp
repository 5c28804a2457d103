// study: each method and its ablations on drawn scenes, with several seeds; means, spread and the claims.
//
//   study DOCS [--seeds 1,2,3] [--parts irnet,bestie,boxes] [--work out/study]

#include "process/processes.hpp"
#include "program/commands.hpp"
#include "program/data_flags.hpp"
#include "program/study_parts.hpp"
#include "program/study_report.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

using namespace trainer;
namespace fs = std::filesystem;

namespace {

/// What the figures of a part hang on, beside its seed.
std::string recipe_of(std::string const& part, study_size const& size)
{
  auto const words = [](std::size_t images, std::size_t held_out) {
    return "images " + std::to_string(images) + " held out " + std::to_string(held_out);
  };
  if (part == "bestie") return words(size.images, size.measured_on()) + " steps " + std::to_string(size.bestie_steps);
  if (part == "boxes")
    return words(size.boxes_images(), size.measured_on()) + " steps " + std::to_string(size.boxes_steps) +
           " with boxinst";
  return words(size.images, size.held_out);
}

/// A part that was measured for a seed is read, not measured again.
figures measured(fs::path const& file, std::string const& recipe, auto const& measure)
{
  if (fs::exists(file)) {
    auto const content = cambium::read_file(file);
    auto const is = nlohmann::json::parse(content.begin(), content.end(), nullptr, false);
    if (!is.is_discarded() && is.value("recipe", "") == recipe) return is.at("figures").get<figures>();
  }
  figures const out = measure();
  cambium::replace_file(file, nlohmann::json{{"recipe", recipe}, {"figures", out}}.dump(1) + "\n");
  return out;
}

}  // namespace

int main(int count, char** arguments)
{
  CLI::App app("study: every method and ablation on drawn scenes, with several seeds");
  std::string docs = "docs", work = "out/study";
  std::vector<std::uint64_t> seeds{1, 2, 3};
  std::vector<std::string> parts{"irnet", "bestie", "boxes"};
  study_size size;
  app.add_option("DOCS", docs, "folder for results.md and results.json")->capture_default_str();
  app.add_option("--work", work, "folder for everything else; a study that was stopped goes on from there")
      ->capture_default_str();
  app.add_option("--seeds", seeds, "of scenes and trainings")->delimiter(',')->capture_default_str();
  app.add_option("--parts", parts, "which methods")
      ->delimiter(',')
      ->check(CLI::IsMember({"irnet", "bestie", "boxes"}))
      ->capture_default_str();
  app.add_option("--images", size.images, "scenes to learn from")->check(CLI::Range(32, 100000))->capture_default_str();
  app.add_option("--held-out", size.held_out, "scenes to measure on")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  CLI11_PARSE(app, count, arguments);

  return run_command("study", [&] {
    cambium::expects(processes::size() == 1, "study runs as one process; there are ", processes::size());
    study_results all;
    for (auto const seed : seeds) {
      fs::path const folder = fs::path(work) / ("seed_" + std::to_string(seed));
      auto const add = [&](std::string const& part, auto const& measure) {
        std::fprintf(stderr, "\n== %s, seed %llu\n", part.c_str(), static_cast<unsigned long long>(seed));
        auto const found = measured(folder / (part + ".json"), recipe_of(part, size), measure);
        for (auto const& [name, value] : found) {
          std::fprintf(stderr, "%-36s %.1f\n", name.c_str(), 100 * value);
          all[part][name].push_back(value);
        }
      };
      for (auto const& part : parts)
        if (part == "irnet")
          add(part, [&] { return study_irnet(seed, size, folder / "irnet"); });
        else if (part == "bestie")
          add(part, [&] { return study_bestie(seed, size, folder / "irnet"); });
        else
          add(part, [&] { return study_boxes(seed, size, folder / "irnet"); });
    }
    std::string command = "./run study";
    for (int i = 2; i < count; ++i) command += std::string(" ") + arguments[i];
    auto const report = format_report(all, seeds, size, command);
    cambium::replace_file(fs::path(docs) / "results.md", report.text);
    cambium::replace_file(fs::path(docs) / "results.json", report.json.dump(1) + "\n");
    std::printf("%s", report.text.c_str());
    return report.claims_hold ? 0 : 3;
  });
}
