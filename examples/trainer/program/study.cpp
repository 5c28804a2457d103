// study: each method and its ablations on drawn scenes, with several seeds; figures, claims with intervals, a page.
//
//   study DOCS [--seeds 21,22,23,24,25] [--arms REGEX] [--jobs N] [--work out/study] [--list]

#include "process/processes.hpp"
#include "program/commands.hpp"
#include "study/page.hpp"
#include "study/parts.hpp"
#include "study/runner.hpp"
#include "study/store.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <CLI/CLI.hpp>

#include <ATen/Parallel.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace trainer;
using namespace trainer::study;
namespace fs = std::filesystem;

namespace {

struct settings {
  std::string docs = "docs", own_docs, work, pattern, one, claims;
  std::vector<std::uint64_t> seeds{21, 22, 23, 24, 25};  ///< nobody had looked at them when settings were chosen
  std::size_t jobs = std::max(1u, std::thread::hardware_concurrency());
  study_size size;
  bool list = false;
};

/// What a person would type, without the folders of this machine.
std::string command_of(int count, char** arguments)
{
  std::string out = "./run study";
  for (int i = 2; i < count; ++i) {
    std::string const word = arguments[i];
    if (word == "--docs" || word == "--work")
      ++i;
    else if (word.rfind("--docs=", 0) != 0 && word.rfind("--work=", 0) != 0)
      out += " " + word;
  }
  return out;
}

int list(std::vector<part> const& parts, settings const& s)
{
  auto const arms = arms_of(parts);
  for (auto const& name : matching(arms, s.pattern)) {
    auto const& a = arm_of(arms, name);
    std::string known_seeds;
    for (auto const seed : s.seeds)
      if (known(arms, place_of(s.work, name, seed), nullptr)) known_seeds += " " + std::to_string(seed);
    std::printf("%s\n    %s\n", name.c_str(), a.recipe.c_str());
    for (auto const& need : a.needs) std::printf("    needs %s\n", need.c_str());
    std::printf("    measured for seeds:%s\n", known_seeds.empty() ? " none" : known_seeds.c_str());
  }
  return 0;
}

int run(std::vector<part> const& parts, settings const& s, std::string const& command)
{
  auto const arms = arms_of(parts);
  auto const names = matching(arms, s.pattern);
  std::string const self = fs::read_symlink("/proc/self/exe").string();
  run_options how{.work = s.work, .seeds = s.seeds, .at_once = s.jobs, .command = {}};
  how.command = [&](place const& at) {
    std::vector<std::string> words{self,         s.docs,
                                   "--one",      at.arm,
                                   "--seeds",    std::to_string(at.seed),
                                   "--work",     s.work,
                                   "--images",   std::to_string(s.size.images),
                                   "--held-out", std::to_string(s.size.held_out)};
    if (s.size.rehearsal) words.push_back("--rehearsal");
    return words;
  };
  auto const report = run_arms(arms, names, how);
  if (report.signal != 0) {
    std::fprintf(stderr, "study: ended by signal %d; the same command goes on from here\n", report.signal);
    return 128 + report.signal;
  }
  std::vector<std::string> missing;
  results all{.command = command, .date = today(), .machine = machine(), .seeds = s.seeds, .at_once = s.jobs};
  all.size = s.size;
  all.arms = gathered(arms, names, how, missing);
  if (!missing.empty()) {
    for (auto const& line : report.failed) std::fprintf(stderr, "study: %s\n", line.c_str());
    std::fprintf(stderr, "study: no page is written; these are missing:\n");
    for (auto const& line : missing) std::fprintf(stderr, "  %s\n", line.c_str());
    return 1;
  }
  if (report.known == 0) all.run_seconds = report.seconds;
  for (auto const& p : parts) {
    if (std::any_of(all.arms.begin(), all.arms.end(), [&](auto const& a) { return belongs(a.first, p.name); }))
      all.chosen_on.insert(all.chosen_on.end(), p.chosen.begin(), p.chosen.end());
    for (auto const& claim : judge_into(all, p.name, p.claims)) {
      all.left_out.push_back(claim);
      std::fprintf(stderr, "study: left out, since not all of its arms were asked for: %s\n", claim.c_str());
    }
    all.parts.push_back({.name = p.name, .title = p.title, .text = p.text});
  }
  auto const text = page_of(all);
  cambium::replace_file(fs::path(s.docs) / "results.md", text);
  cambium::replace_file(fs::path(s.docs) / "results.json", json_of(all).dump(1) + "\n");
  for (auto const& c : all.claims)
    std::printf("%-10s %s: %s\n", word_of(c.found.holds).c_str(), c.part.c_str(), c.what.name.c_str());
  std::printf("%s\n", (fs::path(s.docs) / "results.md").c_str());
  return 0;
}

/// Makes the folder of the page. A folder that cannot be written is found now, not after all trainings.
void prepare(fs::path const& docs)
{
  std::error_code failure;
  fs::create_directories(docs, failure);
  cambium::expects(!failure, docs.string(), ": ", failure.message());
  for (char const* const name : {"", "results.md", "results.json"}) {
    fs::path const path = *name == 0 ? docs : docs / name;
    cambium::expects(!fs::exists(path) || ::access(path.c_str(), W_OK) == 0, path.string(), ": ",
                     std::strerror(errno));
    cambium::expects(*name == 0 || !fs::is_directory(path), path.string(), " is a folder");
  }
}

/// What a child process does.
int measure_one(std::vector<part> const& parts, settings const& s)
{
  cambium::expects(s.seeds.size() == 1, "study: --one needs one seed");
  at::set_num_threads(1);
  measure(arms_of(parts), place_of(s.work, s.one, s.seeds.front()));
  return 0;
}

}  // namespace

int main(int count, char** arguments)
{
  // One thread an arm: its figures do not hang on how many run beside it, nor on the machine's cores.
  for (char const* const variable : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})
    ::setenv(variable, "1", 1);
  CLI::App app("study: every method and ablation on drawn scenes, with several seeds");
  settings s;
  std::vector<std::int64_t> given(s.seeds.begin(), s.seeds.end());
  app.add_option("DOCS", s.docs,
                 "folder for results.md and results.json of the whole study, those of a part go to WORK/page")
      ->capture_default_str();
  app.add_option("--docs", s.own_docs, "another folder for them, for a part, too");
  app.add_option("--work", s.work,
                 "folder for everything else, out/study; a study that was stopped goes on from there");
  app.add_option("--seeds", given, "of scenes and weights; at most 31")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--arms", s.pattern,
                 "only arms of whose names this regular expression matches a part, and what they need");
  app.add_option("--jobs", s.jobs, "arms at a time, each with one thread")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--images", s.size.images, "scenes to learn from")
      ->check(CLI::Range(32, 100000))
      ->capture_default_str();
  app.add_option("--held-out", s.size.held_out, "scenes to measure on")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  auto* const rehearsal =
      app.add_flag("--rehearsal", s.size.rehearsal,
                   "every arm in seconds, to see that it runs: 32 scenes, a few steps, in out/rehearsal");
  app.add_flag("--list", s.list, "say which arms there are and which are measured");
  app.add_option("--one", s.one)->group("");
  app.add_option("--claims", s.claims)->group("");  // writes study/claims.json
  CLI11_PARSE(app, count, arguments);
  s.seeds.assign(given.begin(), given.end());
  auto const home = fs::path(s.docs).parent_path();  // of the repository, wherever the user stands
  if (rehearsal->count() > 0) {
    if (app.count("--images") == 0) s.size.images = 32;
    if (app.count("--held-out") == 0) s.size.held_out = 8;
  }
  if (s.work.empty()) s.work = (home / (s.size.rehearsal ? "out/rehearsal" : "out/study")).string();
  settings const usual;
  bool const whole = s.pattern.empty() && s.seeds == usual.seeds && s.size.images == usual.size.images &&
                     s.size.held_out == usual.size.held_out && !s.size.rehearsal;
  if (!s.own_docs.empty())
    s.docs = s.own_docs;
  else if (!whole)
    s.docs = (fs::path(s.work) / "page").string();  // a trial does not replace what is published

  return run_command("study", [&] {
    cambium::expects(processes::size() == 1, "study runs as one process; there are ", processes::size());
    auto seeds = s.seeds;
    std::sort(seeds.begin(), seeds.end());
    cambium::expects(
        !seeds.empty() && seeds.size() <= 31 && std::adjacent_find(seeds.begin(), seeds.end()) == seeds.end(),
        "--seeds: expected 1 to 31 different ones");
    auto const parts = all_parts(s.size);
    if (!s.one.empty()) return measure_one(parts, s);
    if (!s.claims.empty()) {
      cambium::replace_file(s.claims, claims_of(parts).dump(1) + "\n");
      return 0;
    }
    if (s.list) return list(parts, s);
    prepare(s.docs);
    return run(parts, s, command_of(count, arguments));
  });
}
