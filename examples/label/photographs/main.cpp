// photographs: ways from weak labels to masks, compared on photographs with truth. ./run study --real FOLDER
//
//   photographs --docs DOCS --real FOLDER
//
// Writes DOCS/photographs.md and DOCS/photographs.json.

#include "photographs/arms.hpp"
#include "photographs/report.hpp"
#include "progress.hpp"

#include <cambium/exec/parallel.hpp>
#include <cambium/io/file.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>

using namespace cambium;
using namespace labelling;
namespace fs = std::filesystem;

namespace {

struct study_settings {
  std::string docs, folder;
  double boundary_scale = 1;
  study_size size;
  std::int64_t seed = 1;
  int threads = 0;
};

json figures_on_scenes(fs::path const& file)
{
  std::error_code failure;
  if (!fs::exists(file, failure)) return nullptr;
  auto const content = read_file(file);
  return json::parse(content.begin(), content.end(), nullptr, false);
}

int run_study(study_settings const& s)
{
  auto const began = std::chrono::steady_clock::now();
  std::unique_ptr<photograph_folder> folder;
  try {
    folder = std::make_unique<photograph_folder>(s.folder, s.boundary_scale);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "study --real: %s\n", e.what());
    return 2;
  }
  auto const& ids = folder->ids();
  std::vector<std::vector<measured_arm>> images(ids.size());
  std::vector<std::string> failures(ids.size());
  progress_bar bar(ids.size());
  for_each_item(cpu{.threads = s.threads}, static_cast<index_t>(ids.size()), [&](cpu const& where, index_t i) {
    auto const at = static_cast<std::size_t>(i);
    try {
      images[at] = measure(where, folder->read(at));
    } catch (std::exception const& e) {
      failures[at] = e.what();
      bar.say("failed: " + ids[at] + ": " + failures[at]);
    }
    bar.step();
  });
  auto const failed = std::count_if(failures.begin(), failures.end(), [](auto const& f) { return !f.empty(); });
  if (failed > 0) {
    std::fprintf(stderr, "\n%td of %zu photographs failed; nothing was written:\n", failed, ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (!failures[i].empty()) std::fprintf(stderr, "  %s: %s\n", ids[i].c_str(), failures[i].c_str());
    return 1;
  }
  cpu const where{.threads = s.threads};
  auto const figures =
      figures_of(where, images, s.size, s.boundary_scale, figures_on_scenes(fs::path(s.docs) / "results.json"));
  std::string command = "./run study --real FOLDER";
  if (s.boundary_scale != 1) command += " --boundary-scale " + json(s.boundary_scale).dump();
  if (s.size.draws != study_size{}.draws) command += " --draws " + std::to_string(s.size.draws);
  if (s.size.seed != study_size{}.seed) command += " --seed " + std::to_string(s.size.seed);
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  auto const page = page_of(figures, command, seconds, thread_count(where));
  replace_file(fs::path(s.docs) / "photographs.md", page);
  replace_file(fs::path(s.docs) / "photographs.json", figures.dump(1) + "\n");
  std::printf("%s", page.c_str());
  return 0;
}

}  // namespace

int main(int count, char** arguments)
{
  study_settings s;
  option_table const table{
      {"",
       {{"--real",
         &s.folder,
         {},
         "folder of photographs with truth; docs/label.md has its layout",
         option_is::required},
        {"--docs", &s.docs, {}, "folder for photographs.md and photographs.json", option_is::required},
        {"--boundary-scale", &s.boundary_scale, positive(), "factor on all boundary maps"},
        {"--draws", &s.size.draws, whole(1, 1000000), "of the photographs, for the intervals"},
        {"--seed", &s.seed, whole(0, 1000000000), "of the draws"},
        {"--threads", &s.threads, whole(0, 4096), "cores to use; 0 is all"}}}};
  program_words const about{
      "study --real", "Compares ways from weak labels to masks on photographs with truth.",
      "Settings are chosen without the truth, as by sweep. Status: 0, 1 some photographs failed, 2 usage."};
  return run_program("study --real", [&] {
    if (auto const status = parse(about, table, count, arguments)) return *status;
    s.size.seed = static_cast<std::uint64_t>(s.seed);
    return run_study(s);
  });
}
