#include "program/photographs.hpp"

#include "program/flags.hpp"
#include "run/memory.hpp"

#include "progress.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/photograph.hpp>

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <new>
#include <thread>
#include <vector>

#include <unistd.h>

namespace trainer {

using cambium::io_error;
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

void add_photograph_flags(CLI::App& app, photograph_settings& s, std::string const& what)
{
  add_template(app, "--images", s.images, "photographs, JPEG or PNG")->required();
  app.add_option("--ids", s.ids, "list of ids, one a line; without it --images is matched against the disk");
  add_template(app, "--out", s.out, what)->required();
  add_switch(app, "--overwrite", s.overwrite, "make everything anew; otherwise what an earlier run finished is kept");
  app.add_option("--threads", s.threads, "cores to use; 0 is all")->check(CLI::Range(0, 4096));
  app.add_option("--memory", s.memory, "GB that may be taken; 0 is what the machine has left")
      ->check(CLI::Range(0.0, 1e6));
}

fs::path file_beside(std::string const& path_template, std::string const& word, std::string const& ending)
{
  auto const at = path_template.find("{id}");
  auto const slash = path_template.rfind('/', at);
  std::size_t const begin = slash == std::string::npos ? 0 : slash + 1;
  std::string middle;
  if (auto const rest = labelling::fill(path_template.substr(begin), ""); rest != ".npy") {
    for (char const c : rest)
      if (c != '/' && c != '.')
        middle += c;
      else if (!middle.empty() && middle.back() != '.')
        middle += '.';
    middle = "." + middle;
  }
  return fs::path(path_template.substr(0, begin)) / (word + middle + ending);
}

std::string fingerprint(fs::path const& file)
{
  std::uint64_t hash = 14695981039346656037U;
  for (unsigned char const c : cambium::read_file(file)) hash = (hash ^ c) * 1099511628211U;
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

namespace {

/// [bytes] that programs can take without driving others out.
double memory_left()
{
  std::ifstream info("/proc/meminfo");
  std::string word;
  while (info >> word)
    if (double kilobytes = 0; word == "MemAvailable:" && info >> kilobytes) return 1024 * kilobytes;
  return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

std::string gigabytes(double bytes)
{
  char text[32];
  std::snprintf(text, sizeof text, "%.3g GB", bytes / 1e9);
  return text;
}

/// The last write of a file; the beginning of time if it is not there.
fs::file_time_type written(fs::path const& path)
{
  std::error_code failure;
  auto const t = fs::last_write_time(path, failure);
  return failure ? fs::file_time_type::min() : t;
}

/// An error of LibTorch without its stack.
std::string reason_of(std::exception const& e)
{
  if (auto const* const torch_error = dynamic_cast<c10::Error const*>(&e)) return torch_error->what_without_backtrace();
  if (dynamic_cast<std::bad_alloc const*>(&e) != nullptr) return "memory ran out";
  return e.what();
}

class photographs {
 public:
  photographs(photograph_settings const& s, labelling::image_set const& set, photograph_work const& work)
      : s_(s), set_(set), work_(work), stamp_(file_beside(s.out, work.program, ".json")), bar_(set.ids.size())
  {
  }

  int run()
  {
    begin();
    std::vector<std::pair<std::string, std::string>> failures;
    std::size_t kept = 0;
    auto saved = std::chrono::steady_clock::now();
    for (auto const& id : set_.ids) {
      fs::path const out = labelling::fill(s_.out, id);
      bool made = false;
      try {
        std::string const path = labelling::fill(s_.images, id);
        auto const photograph = cambium::read_photograph(path);
        if (keeps(id, out, path, photograph)) {
          ++kept;
        } else {
          cambium::extent2 const size{photograph.shape()[0], photograph.shape()[1]};
          demand_memory(size, path);
          auto const content = work_.make(id, photograph);
          made = true;
          cambium::replace_file(out, content);
        }
      } catch (std::exception const& e) {
        std::error_code ignored;
        if (!made) fs::remove(out, ignored);
        failures.emplace_back(id, reason_of(e));
        bar_.say("failed: " + id + ": " + failures.back().second);
      }
      bar_.step();
      if (auto const now = std::chrono::steady_clock::now(); now - saved > std::chrono::seconds(10))
        work_.save(), saved = now;
    }
    work_.save();
    std::printf("%zu images, %zu kept of an earlier run, %zu failed\n", set_.ids.size() - failures.size(), kept,
                failures.size());
    if (failures.empty()) return 0;
    std::fprintf(stderr, "\n%zu of %zu images failed:\n", failures.size(), set_.ids.size());
    for (auto const& [id, why] : failures) std::fprintf(stderr, "  %s: %s\n", id.c_str(), why.c_str());
    return 1;
  }

 private:
  /// Says how outputs are made. Those that are older than this file were made otherwise.
  void begin()
  {
    std::error_code failure;
    if (fs::exists(stamp_, failure) && !s_.overwrite) {
      auto const content = cambium::read_file(stamp_);
      auto const before = json::parse(content.begin(), content.end(), nullptr, false);
      if (before == work_.made_with) return;
      std::string differs;
      auto const name = [&](std::string const& key) { differs += (differs.empty() ? "" : ", ") + key; };
      for (auto const& [key, value] : work_.made_with.items())
        if (!before.is_object() || !before.contains(key) || before[key] != value) name(key);
      if (before.is_object())
        for (auto const& [key, value] : before.items())
          if (!work_.made_with.contains(key)) name(key);
      throw labelling::usage_error(stamp_.string() + ": what lies there was made otherwise (" + differs +
                                   "); --overwrite makes it anew");
    }
    if (!s_.overwrite)
      for (auto const& id : set_.ids)
        if (fs::path const out = labelling::fill(s_.out, id); fs::exists(out, failure))
          throw labelling::usage_error(out.string() + " is there, but no " + stamp_.string() +
                                       " says how it was made; --overwrite makes it anew");
    cambium::replace_file(stamp_, work_.made_with.dump(2) + "\n");
  }

  bool keeps(std::string const& id, fs::path const& out, fs::path const& image,
             cambium::grid<std::uint8_t, 3> const& photograph) const
  {
    std::error_code failure;
    if (!fs::exists(out, failure)) return false;
    auto const when = written(out);
    if (when < written(stamp_) || when < written(image)) return false;
    try {
      auto const array = cambium::read_npy(out);
      auto const size = work_.size_of({photograph.shape()[0], photograph.shape()[1]});
      std::size_t const n = array.shape.size();
      return n >= 2 && array.shape[n - 2] == size.height && array.shape[n - 1] == size.width && work_.keeps(id, array);
    } catch (io_error const&) {
      return false;  // damaged: it is made anew
    }
  }

  void demand_memory(cambium::extent2 size, std::string const& path) const
  {
    double const needed = work_.memory(size), there = s_.memory > 0 ? 1e9 * s_.memory : 0.9 * memory_left();
    if (needed > there)
      throw io_error(path + ": a photograph of " + std::to_string(size.height) + " x " + std::to_string(size.width) +
                     " takes about " + gigabytes(needed) + " of memory, " + gigabytes(there) +
                     (s_.memory > 0 ? " are allowed by --memory" : " are there") +
                     "; make it smaller, or leave out the largest scale where there are several");
  }

  photograph_settings const& s_;
  labelling::image_set const& set_;
  photograph_work const& work_;
  fs::path stamp_;
  labelling::progress_bar bar_;
};

}  // namespace

int run_photographs(photograph_settings const& s, labelling::image_set const& set, photograph_work const& work)
{
  keep_freed_memory();
  at::set_num_threads(s.threads > 0 ? s.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  try {
    return photographs(s, set, work).run();
  } catch (std::exception const& e) {  // the folder beside, not an image
    std::fprintf(stderr, "%s: %s\n", work.program.c_str(), reason_of(e).c_str());
    return 2;
  }
}

}  // namespace trainer
