// Runs every case of the golden format found below the folders given, against the stages cambium has.
//
//   conformance DIR...        one line a failure, then "N passed, M failed, K skipped"
//   conformance               the folders named by CAMBIUM_GOLDEN, separated by ':'
//
// Status 0: everything passed or was skipped, and something passed. 1: a failure. 2: usage. 77: nothing to run.

#include "golden_case.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <utility>

int main(int count, char** arguments)
{
  namespace fs = std::filesystem;
  std::vector<fs::path> roots(arguments + 1, arguments + count);
  if (roots.empty())
    if (char const* const folders = std::getenv("CAMBIUM_GOLDEN")) {
      std::istringstream list(folders);
      for (std::string part; std::getline(list, part, ':');)
        if (!part.empty()) roots.emplace_back(part);
    }
  if (roots.empty()) {
    std::puts("skipped: no golden folder is given and CAMBIUM_GOLDEN is not set");
    return 77;
  }

  std::vector<fs::path> cases;
  for (auto const& root : roots) {
    std::error_code failure;
    if (!fs::is_directory(root, failure)) {
      std::fprintf(stderr, "%s: is not a folder\n", root.c_str());
      return 2;
    }
    for (auto const& entry : fs::recursive_directory_iterator(root, fs::directory_options::follow_directory_symlink))
      if (entry.path().filename() == "manifest.json") cases.push_back(entry.path().parent_path());
  }
  std::sort(cases.begin(), cases.end());

  int passed = 0, failed = 0, skipped = 0;
  std::map<std::string, int> unknown;
  for (auto const& folder : cases) {
    try {
      auto const manifest = conformance::json::parse(cambium::read_file(folder / "manifest.json"));
      if (!manifest.is_object() || manifest.value("schema", "") != "cambium-golden/1") {
        ++skipped;
        ++unknown["not of schema cambium-golden/1"];
        continue;
      }
      conformance::golden_case c(folder);
      bool known = false;
      using conformance::stage_table;
      std::pair<char const*, stage_table const*> const tables[] = {
          {"irnet", &conformance::irnet_stages()},           {"irnet", &conformance::irnet_training_stages()},
          {"bestie", &conformance::bestie_stages()},         {"bestie", &conformance::bestie_loss_stages()},
          {"bestie", &conformance::evaluation_stages()},     {"blocks", &conformance::box_loss_stages()},
          {"blocks", &conformance::pixel_adaptive_stages()}, {"blocks", &conformance::proposal_stages()},
          {"blocks", &conformance::tree_stages()},           {"blocks", &conformance::attention_stages()},
          {"blocks", &conformance::mask_cut_stages()}};
      for (auto const& [system, table] : tables) {
        auto const found = table->find(c.stage);
        if (c.system != system || found == table->end()) continue;
        found->second(c);
        known = true;
      }
      if (!known) {
        ++skipped;
        ++unknown["stage " + c.system + "/" + c.stage];
        continue;
      }
      c.finish();
      for (auto const& fault : c.faults) std::printf("FAIL %s %s\n", c.name().c_str(), fault.c_str());
      c.faults.empty() ? ++passed : ++failed;
    } catch (std::exception const& e) {
      std::printf("FAIL %s %s\n", folder.string().c_str(), e.what());
      ++failed;
    }
  }
  for (auto const& [what, n] : unknown) std::printf("skipped %d: %s\n", n, what.c_str());
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  if (failed > 0) return 1;
  return passed > 0 ? 0 : 77;
}
