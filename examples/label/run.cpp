#include "run.hpp"

#include "hand_out.hpp"
#include "image_files.hpp"
#include "one_image.hpp"
#include "progress.hpp"
#include "record.hpp"
#include "shard_run.hpp"
#include "summary.hpp"
#include "truth.hpp"

#include <cambium/exec/parallel.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <unistd.h>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

std::string duration(double seconds)
{
  char text[64];
  if (seconds < 120)
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  else if (seconds < 7200)
    std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
  else
    std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  return text;
}

void prepare(std::string const& folder_of_all, bool files)
{
  fs::path const out(folder_of_all);
  for (char const* const folder : {"", "semantic", "instances", "records"}) {
    if (*folder != 0 && !files) break;
    std::error_code failure;
    fs::path const path = out / folder;
    if (fs::exists(path, failure) && !fs::is_directory(path, failure)) {
      if (*folder != 0) continue;  // an image's own message will say so
      throw usage_error("--out " + out.string() + " is not a folder");
    }
    fs::create_directories(path, failure);
    if (failure) throw usage_error("--out " + out.string() + ": " + failure.message());
    if (::access(path.c_str(), W_OK) != 0)
      throw usage_error("--out " + out.string() + ": " + path.string() + ": " + std::strerror(errno));
  }
}

void expects_one_folder(settings const& s, crew& workers)
{
  std::string name = ".mpi-" + std::to_string(::getpid()) + ".partial";
  workers.share(name);
  fs::path const sign = fs::path(s.out) / "records" / name;
  std::error_code ignored;
  workers.expects_ready(complaint_of([&] {
    if (workers.leads()) replace_file(sign, "for the other ranks to see\n");
  }));
  std::string const complaint = complaint_of([&] {
    if (!fs::exists(sign, ignored))
      throw usage_error("--out " + s.out + ": is not the folder that rank 0 writes to; all ranks need the same one");
    prepare(s.out);
  });
  try {
    workers.expects_ready(complaint);
  } catch (...) {
    if (workers.leads()) fs::remove(sign, ignored);
    throw;
  }
  if (workers.leads()) fs::remove(sign, ignored);
}

namespace {

double seconds_since(std::chrono::steady_clock::time_point start)
{
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// No input is among the files that this run writes or deletes.
/// @throws usage_error
void expects_inputs_kept(settings const& s, image_set const& set)
{
  std::vector<std::string> inputs{s.ids, s.tags};
  for (auto const& input : inputs_of(s))
    for (auto const& id : set.ids) inputs.push_back(fill(input.path_template, id));
  labelling::expects_inputs_kept(inputs, s.out, [&] {
    std::vector<std::string> names = summary_files();
    for (auto const& id : set.ids) {
      names.push_back("records/" + id + ".json");
      for (auto& name : possible_outputs(id)) names.push_back(std::move(name));
    }
    return names;
  });
}

/// Counts files, and labels one image in memory to tell how long all of them will take.
int rehearse(settings const& s, image_set const& set, std::vector<std::size_t> const& mine, int processes)
{
  std::size_t missing = 0;
  for (std::size_t const place : mine) {
    if (!is_utf8(set.ids[place])) {
      std::fprintf(stderr, "%s: the name is not UTF-8\n", set.ids[place].c_str());
      ++missing;
    }
    for (auto const& input : inputs_of(s)) {
      std::string const path = fill(input.path_template, set.ids[place]);
      std::error_code failure;
      if (input.optional || fs::is_regular_file(path, failure)) continue;
      if (++missing <= 10) std::fprintf(stderr, "%s: is missing\n", path.c_str());
    }
  }
  std::printf("%zu images listed, %zu in this run, %zu files missing\n", set.ids.size(), mine.size(), missing);
  for (auto const& input : inputs_of(s)) {
    auto const has = [&](std::size_t place) { return folder_source(set.ids[place]).has(input); };
    if (input.optional)
      std::printf("%td of these images have %s\n", std::count_if(mine.begin(), mine.end(), has),
                  input.path_template.c_str());
  }

  // The image of median size is typical, the largest decides memory.
  std::string const sized_by = s.how->inputs().front().path_template;
  std::vector<std::pair<std::uintmax_t, std::size_t>> by_size;
  for (std::size_t const place : mine) {
    std::error_code failure;
    auto const size = fs::file_size(fill(sized_by, set.ids[place]), failure);
    if (!failure) by_size.emplace_back(size, place);
  }
  std::sort(by_size.begin(), by_size.end());
  int const cores = processes * thread_count(cpu{.threads = s.threads});
  int const together = static_cast<int>(std::min<std::size_t>(mine.size(), static_cast<std::size_t>(cores)));
  if (!by_size.empty()) {
    try {
      std::string const& typical = set.ids[by_size[by_size.size() / 2].second];
      auto const start = std::chrono::steady_clock::now();
      folder_source const from(typical);
      image_files files(s, set, typical, from);
      static_cast<void>(s.how->label(cpu{.threads = 1}, files));
      double const each = seconds_since(start);
      std::string const& most = set.ids[by_size.back().second];
      folder_source const from_most(most);
      image_files largest(s, set, most, from_most);
      std::printf("about %s: %s took %.0f ms on one of %d cores\n",
                  duration(each * static_cast<double>(mine.size()) / std::max(1, together)).c_str(), typical.c_str(),
                  1000 * each, together);
      std::printf("about %.0f MB of memory: %d images at a time, the largest like %s\n",
                  together * s.how->memory(largest) / 1e6 + 20, together, most.c_str());
    } catch (std::exception const& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ++missing;
    }
  }
  std::puts("nothing was written (--dry-run)");
  return missing > 0 ? 1 : 0;
}

/// Gives the set to all processes, which then have to see the output folder of the one that leads.
/// @throws usage_error
void share(settings const& s, image_set& set, crew& workers)
{
  std::string text = workers.leads() ? as_text(set) : "";
  workers.share(text);
  if (!workers.leads()) set = set_of_text(text);
  if (!s.dry_run) expects_one_folder(s, workers);
}

/// Says which images of this run have no record now, though none of them failed: another program removed or replaced it, or
/// a network file system does not show it yet.
/// @param failures  in the order of the images
bool tell_lost(settings const& s, image_set const& set, summary const& total,
               std::vector<std::pair<std::size_t, std::string>> const& failures)
{
  std::size_t lost = 0, first = 0;
  auto failed = failures.begin();
  for (std::size_t const place : total.absent) {
    while (failed != failures.end() && failed->first < place) ++failed;
    if (!s.takes(place) || (failed != failures.end() && failed->first == place)) continue;
    if (lost++ == 0) first = place;
  }
  if (lost == 0) return false;
  std::fprintf(
      stderr,
      "label: %zu images were labelled but are not in the summary, %s first: their records in %s/records are gone, "
      "or of other parameters. Does another process write there? The same command with --resume labels them "
      "again.\n",
      lost, set.ids[first].c_str(), s.out.c_str());
  return true;
}

/// Labels an image and writes its files, unless an earlier run did.
outcome label_one(settings const& s, image_set const& set, std::size_t place, cpu const& where)
{
  std::string const& id = set.ids[place];
  folder_source const from(id);
  bool made = false;
  try {
    if (s.resume && still_holds(s, set, id, from)) return {outcome::kind::kept, place};
    auto const image = label_image(s, set, id, from, where);
    made = true;
    write_image(s, image);
    return {outcome::kind::labelled, place};
  } catch (std::exception const& e) {
    if (!made) forget(s, id);  // else the disk is at fault, and what lies there is no worse than before
    return {outcome::kind::failed, place, e.what()};
  }
}

}  // namespace

int run(settings const& s, crew& workers)
{
  if (!s.shard_files.empty()) return run_shards(s, workers);
  image_set set;
  try {
    workers.expects_ready(complaint_of([&] {
      if (!workers.leads()) return;
      set = find_images(s.ids, s.images.empty() ? s.how->inputs().front().path_template : s.images, s.tags, s.tags_how);
      if (auto numbers = s.how->image_numbers(set.ids)) set.numbers_ = std::move(*numbers);
      s.how->look_at(set.ids);
      expects_inputs_kept(s, set);
      std::vector<std::string> optional;
      for (auto const& input : inputs_of(s))
        if (input.optional) optional.push_back(input.path_template);
      expects_some(optional, set.ids);
      expects_objects_in_truth(set.ids, s.truth_semantic, true);
      expects_objects_in_truth(set.ids, s.truth_instances, false);
      if (!s.dry_run) prepare(s.out);
    }));
    if (workers.processes() > 1) share(s, set, workers);
  } catch (std::exception const& e) {
    if (workers.leads()) std::fprintf(stderr, "label: %s\n", e.what());
    return 2;
  }
  auto const mine = s.places(set.ids.size());
  if (s.dry_run) return workers.leads() ? rehearse(s, set, mine, workers.processes()) : 0;

  auto const start = std::chrono::steady_clock::now();
  progress_bar bar(mine.size());
  std::size_t labelled = 0, kept = 0;
  std::vector<std::pair<std::size_t, std::string>> failures;

  workers.hand_out(
      cpu{.threads = s.threads}, mine.size(),
      [&](cpu const& where, std::size_t item, report const& tell) { tell(label_one(s, set, mine[item], where)); },
      [&](outcome one) {
        labelled += one.what == outcome::kind::labelled;
        kept += one.what == outcome::kind::kept;
        if (one.what == outcome::kind::failed) {
          bar.say("failed: " + one.reason);
          failures.emplace_back(one.place, std::move(one.reason));
        }
        bar.step();
      });

  if (!workers.leads()) return 0;

  summary total;
  try {
    total = write_summary(s, set);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "label: the summary could not be written: %s\n", e.what());
    return 1;
  }
  std::printf("%zu labelled, %zu kept from before, %zu failed in %s; %zu of %zu images and %zu instances in %s",
              labelled, kept, failures.size(), duration(seconds_since(start)).c_str(), total.images, set.ids.size(),
              total.instances, s.out.c_str());
  if (total.fragments > 0) std::printf(", %zu of them fragments of score 0", total.fragments);
  std::puts("");
  print(total);
  for (auto const& note : total.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  std::sort(failures.begin(), failures.end());
  bool const lost = tell_lost(s, set, total, failures);
  if (failures.empty()) return lost ? 1 : 0;
  std::fprintf(stderr, "\n%zu of %zu images failed:\n", failures.size(), mine.size());
  for (auto const& [place, reason] : failures)
    std::fprintf(stderr, "  %s: %s\n", set.ids[place].c_str(), reason.c_str());
  return 1;
}

}  // namespace labelling
