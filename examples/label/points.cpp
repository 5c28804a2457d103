// points: the peaks of class activation maps, as BESTIE's point files.
//
//   points --cams 'cams/{id}.npy' --images 'photos/{id}.jpg' --tags tags.txt --out Peak_points

#include "axes.hpp"
#include "image_files.hpp"
#include "options.hpp"
#include "progress.hpp"

#include <cambium/exec/parallel.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/points.hpp>
#include <cambium/io/text.hpp>
#include <cambium/pipeline/bestie.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>

using namespace cambium;
using namespace labelling;
namespace fs = std::filesystem;

namespace {

struct point_settings {
  std::string cams, mirrored_cams, images, sizes, ids, tags, out;
  tag_numbers tags_how;
  bool stretched = false;
  bestie_peak_options options;
  int threads = 0;
};

/// Lines '<id> <height> <width>' of the images that there are.
/// @throws usage_error, io_error
std::map<std::string, extent2> read_sizes(std::string const& path, std::vector<std::string> const& ids)
{
  std::map<std::string, extent2> out;
  std::set<std::string> const there(ids.begin(), ids.end());
  auto const content = read_file(path);
  for (auto const& line : read_id_lines(content, path, [&](std::string const& id) { return there.contains(id); })) {
    if (!there.contains(line.id)) continue;
    std::string const where = path + ":" + std::to_string(line.number) + ": ";
    auto const number = [](std::string_view word, index_t& to) {
      auto const [stop, failure] = std::from_chars(word.data(), word.data() + word.size(), to);
      return failure == std::errc{} && stop == word.data() + word.size();
    };
    extent2 size;
    if (line.words.size() != 2 || !number(line.words[0], size.height) || !number(line.words[1], size.width))
      throw usage_error(where + "expected '<id> <height> <width>'");
    if (size.height < 1 || size.width < 1 || size.height > 1000000 || size.width > 1000000)
      throw usage_error(where + "an image of " + std::to_string(size.height) + " x " + std::to_string(size.width));
    if (!out.emplace(line.id, size).second) throw usage_error(where + "'" + line.id + "' has two lines");
  }
  return out;
}

class extractor {
 public:
  explicit extractor(point_settings const& s)
      : s_(s), set_(find_images(s.ids, s.images.empty() ? s.cams : s.images, s.tags, s.tags_how))
  {
    std::vector<std::string> inputs{s.sizes, s.ids, s.tags};
    for (auto const* const one : {&s.cams, &s.mirrored_cams, &s.images})
      for (auto const& id : set_.ids) inputs.push_back(fill(*one, id));
    expects_inputs_kept(inputs, s.out, [&] {
      std::vector<std::string> names;
      for (auto const& id : set_.ids) names.push_back(id + ".txt");
      return names;
    });
    if (!s.sizes.empty()) sizes_ = read_sizes(s.sizes, set_.ids);
    std::error_code failure;
    fs::create_directories(s.out, failure);
    if (failure) throw usage_error("--out " + s.out + ": " + failure.message());
  }

  std::vector<std::string> const& ids() const { return set_.ids; }

  fs::path file_of(std::string const& id) const { return fs::path(s_.out) / (id + ".txt"); }

  /// @throws io_error "file: reason"
  points peaks_of(cpu const& where, std::string const& id) const
  {
    try {
      return extract(where, id);
    } catch (precondition_error const& e) {  // values that are too large
      throw io_error(fill(s_.cams, id) + ": " + e.what());
    }
  }

 private:
  points extract(cpu const& where, std::string const& id) const
  {
    std::string const path = fill(s_.cams, id);
    auto const cams = read_maps(path);
    index_t const C = cams.shape()[0];
    demand(cams.shape()[1] >= 1 && cams.shape()[2] >= 1, path, "holds " + shape_text(cams.shape()) + ", no cell");
    auto const image = size_of(id);
    auto const is_map = [&](extent2 e) { return fits(e, image); };
    if (!s_.stretched && !is_map({cams.shape()[1], cams.shape()[2]}))
      throw io_error(path + ": holds " + shape_text(cams.shape()) + "; [C,h,w] is needed, but " +
                     std::to_string(cams.shape()[1]) + " x " + std::to_string(cams.shape()[2]) +
                     " is no map of an image of " + std::to_string(image.height) + " x " + std::to_string(image.width) +
                     scale_hint({C, cams.shape()[1], cams.shape()[2]}, is_map));
    auto const classes = classes_of(id, C);
    auto const& o = s_.options;
    if (s_.mirrored_cams.empty())
      return to_vector(
          where, extract_peaks(where, smooth(where, class_maps(where, cams, image, classes), o.smoothing), o.peaks));
    std::string const other = fill(s_.mirrored_cams, id);
    auto const mirrored = read_maps(other);
    demand(mirrored.shape() == cams.shape(), other,
           "holds " + shape_text(mirrored.shape()) + ", but those of the image are " + shape_text(cams.shape()));
    return to_vector(where, bestie_peaks(where, cams, mirrored, image, classes, o));
  }

  static grid<float, 3> read_maps(std::string const& path)
  {
    auto out = to_grid<float, 3>(without_leading_ones(read_npy(path), 3), path);
    try {
      expects_finite(cpu{.threads = 1}, out.view(), "value");
    } catch (precondition_error const& e) {
      throw io_error(path + ": " + e.what());
    }
    return out;
  }

  extent2 size_of(std::string const& id) const
  {
    if (s_.sizes.empty()) {
      std::string const path = fill(s_.images, id);
      auto const photograph = read_photograph(path);
      return {photograph.shape()[0], photograph.shape()[1]};
    }
    auto const found = sizes_.find(id);
    demand(found != sizes_.end(), s_.sizes, "has no line for " + quoted_id(id));
    return found->second;
  }

  /// 0-based, ascending.
  std::vector<std::int32_t> classes_of(std::string const& id, index_t C) const
  {
    std::vector<std::int32_t> out;
    if (!set_.tagged) {
      for (index_t c = 0; c < C; ++c) out.push_back(static_cast<std::int32_t>(c));
      return out;
    }
    auto const found = set_.tags.find(id);
    demand(found != set_.tags.end(), s_.tags, "has no line for " + quoted_id(id));
    for (int const c : found->second) {
      demand(c <= C, s_.tags,
             "names class " + std::to_string(c) + " for '" + id + "', but its CAM has " + std::to_string(C) +
                 " channels, one for each class there is");
      out.push_back(c - 1);
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  point_settings const& s_;
  image_set set_;
  std::map<std::string, extent2> sizes_;
};

int run_points(point_settings const& s)
{
  std::unique_ptr<extractor> all;
  try {
    all = std::make_unique<extractor>(s);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "points: %s\n", e.what());
    return 2;
  }
  auto const& ids = all->ids();
  std::vector<std::string> failures(ids.size());
  std::vector<std::size_t> found(ids.size(), 0);
  progress_bar bar(ids.size());
  for_each_item(cpu{.threads = s.threads}, static_cast<index_t>(ids.size()), [&](cpu const& where, index_t i) {
    auto const at = static_cast<std::size_t>(i);
    bool made = false;
    try {
      auto const peaks = all->peaks_of(where, ids[at]);
      made = true;
      write_points(all->file_of(ids[at]), peaks);
      found[at] = peaks.size();
    } catch (std::exception const& e) {
      std::error_code ignored;
      failures[at] = e.what();
      // what an earlier run left is no answer for these inputs; where only writing failed it stays
      if (!made && fs::remove(all->file_of(ids[at]), ignored))
        failures[at] += "; the earlier " + all->file_of(ids[at]).string() + " is removed";
      bar.say("failed: " + failures[at]);
    }
    bar.step();
  });
  std::size_t failed = 0, points_found = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) failed += !failures[i].empty(), points_found += found[i];
  std::printf("%zu images, %zu failed; %zu points in %s\n", ids.size() - failed, failed, points_found, s.out.c_str());
  if (failed == 0) return 0;
  std::fprintf(stderr, "\n%zu of %zu images failed:\n", failed, ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (!failures[i].empty()) std::fprintf(stderr, "  %s: %s\n", ids[i].c_str(), failures[i].c_str());
  return 1;
}

}  // namespace

int labelling::points_program(int count, char const* const* arguments)
{
  point_settings s;
  auto& o = s.options;
  option_table table{
      {"",
       {{"--cams", &s.cams, has_id(),
         "class maps before any normalisation, npy float [C,h,w], a channel for each class", option_is::required},
        {"--mirrored-cams", &s.mirrored_cams, has_id(), "those of the mirror images: then both are averaged"},
        {"--images", &s.images, has_id(), "photographs, whose size points count in"},
        {"--sizes", &s.sizes, {}, "lines '<id> <height> <width>', instead of --images"},
        {"--ids",
         &s.ids,
         {},
         "list of ids, one a line; without it the template of the images, or of the CAMs, is matched against the "
         "disk"}}},
      {"", tag_options("--tags", s.tags, s.tags_how, "what an image shows; without it every class")},
      {"",
       {{"--stretched",
         &s.stretched,
         {},
         "maps are of the image squeezed to another shape, as networks with a square input see it"},
        {"--out", &s.out, {}, "folder for the point files", option_is::required},
        {both("conf-thresh"), &o.peaks.threshold, within(0, 1), "peaks have at least this confidence"},
        {both("nms-kernel"), &o.peaks.kernel, odd(), "window that a peak must dominate, in pixels"},
        {both("top-k"), &o.peaks.most, whole(1, 1000000000), "peaks of a class at most"},
        {"--smoothing", &o.smoothing, odd(), "window that is averaged, in pixels; 1: none"},
        {"--plateau",
         choice(o.peaks.plateaus, {"every", "one"}),
         {},
         "'every' cell of a flat top is a peak (the original), or 'one'"},
        {"--threads", &s.threads, whole(0, 4096), "cores to use; 0 is all"}}}};
  program_words const about{
      "points",
      "Finds the peaks of class activation maps and writes them as BESTIE's point files: 'x y class confidence'.",
      "Classes in point files count from 0, those in the tags file from 1.\n"
      "Status: 0, 1 some images failed, 2 usage."};
  return run_program("points", [&] {
    if (auto const status = parse(about, table, count, arguments)) return *status;
    if (s.images.empty() == s.sizes.empty())
      throw usage_error("one of --images and --sizes is needed, to know how large images are");
    if (s.out.empty()) throw usage_error("--out is empty");
    return run_points(s);
  });
}
