// Objects without labels: normalised cuts of a network's features, one object after another.

#include "axes.hpp"
#include "image_files.hpp"
#include "method_irnet.hpp"
#include "options.hpp"

#include <cambium/component/statistics.hpp>
#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/kept_lattices.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/pipeline/adaptive_labels.hpp>
#include <cambium/pipeline/mask_cut.hpp>

#include <algorithm>
#include <cstdio>
#include <set>

namespace labelling {

using namespace cambium;

namespace {

class cut_method : public method {
 public:
  explicit cut_method(settings& s) : s_(s)
  {
    table_ = {
        {"",
         {{"method", [] { return "cut"; }},
          {"--features", &features_, has_id(),
           "features of patches, npy float [D,h,w]; numpy.moveaxis(f, -1, 0) makes it of [h,w,D]", option_is::required},
          {"--stretched",
           &stretched_,
           {},
           "the network saw photographs that were stretched to another shape, for example to 480x480",
           option_is::unrecorded}}},
        {"Labels",
         {{"--tau", &o_.tau, within(-1, 1), "patches are alike if the cosine of their features is larger"},
          {"--eps", &o_.cut.eps, within(1e-12, 1), "affinity of patches that are not alike"},
          {"--passes", &passes_, whole(1, 254), "most objects of an image"},
          {"--corners", &corners_, whole(1, 5),
           "a side of a cut that holds so many corners of the map is background; 5: none is"},
          {"--repeats", &o_.repeats, within(0, 1), "a pass is rejected if its IoU with the one before is larger"},
          {"--smallest", &o_.smallest, within(0, 1), "and, beside the first, if it has at most this part of patches"},
          {"--smallest-first", &o_.smallest_first, within(0, 1), "the same of the first pass"},
          {"--steps", &steps_, whole(1, 1000000), "most steps of an eigenvector"},
          {"--crf", &crf_, {}, "refine objects with a dense CRF on the photograph"},
          {"--refine",
           choice(refine_, {"none", "par", "pamr"}),
           {},
           "refine objects by the colours of the photograph: 'par' or 'pamr', instead of --crf"},
          {"void_counts", [&s] { return s.void_counts; }},
          {"overlay", [&s] { return s.overlay; }},
          {"scored", [&s] { return s.scored(); }}}}};
  }

  bool needs_photographs() const override { return true; }
  bool knows_classes() const override { return false; }

  void get_ready(std::set<std::string> const&) override
  {
    if (crf_ && refine_ != adaptive::none) throw usage_error("--crf and --refine: give one of the two");
    o_.passes = static_cast<index_t>(passes_), o_.corners = static_cast<int>(corners_);
    o_.cut.steps = static_cast<index_t>(steps_);
  }

  std::vector<input_file> inputs() const override { return {{"features", features_}}; }

  answer label(cpu const& where, image_files& files) const override
  {
    auto const image = files.image_size({});
    auto const features = read_features(files, image);
    mask_cuts found;
    try {
      found = mask_cut(where, features, o_);
    } catch (precondition_error const& e) {  // too many patches
      throw io_error(files.path("features") + ": " + e.what());
    }
    answer out;
    out.objects.label = enlarged(where, found.masks, image);
    auto const present = numbers_in(out.objects.label, found.masks.size());
    if (crf_ && !present.empty())
      out.objects.label = crf_refiner(where, files.photograph(), present, &lattices_)(out.objects.label);
    else if (refine_ != adaptive::none && !present.empty())
      out.objects.label = adaptive_refiner(where, files.photograph(), present, refine_)(out.objects.label);
    find_objects(where, found, out);
    out.classes = {1};
    say_unsettled(files.path("features"), found);
    out.about["cuts"] = json::array();
    for (auto const& pass : found.passes)
      out.about["cuts"].push_back({{"lambda", pass.mode.value},
                                   {"cost", pass.cost},
                                   {"accepted", pass.accepted},
                                   {"settled", pass.mode.settled}});
    return out;
  }

  double memory(image_files& files) const override
  {
    auto const image = files.image_size({});
    auto const features = files.any_maps<3>("features");
    double const cells = static_cast<double>(image.height) * static_cast<double>(image.width);
    auto const values = static_cast<double>(features.size());
    auto const patches = static_cast<double>(features.shape()[1]) * static_cast<double>(features.shape()[2]);
    double const cut =
        8 * values + patches * (patches / 2 + 128 + 8 * std::min(patches, static_cast<double>(o_.cut.steps)));
    double const field = crf_ ? dense_crf<>::bytes_needed(image, 3, crf_preset::irn(), o_.passes + 1)
                         : refine_ != adaptive::none
                             ? adapt_labels_bytes(cpu{.threads = 1}, image.height, image.width, o_.passes + 1)
                             : 0;
    return 16 * cells + std::max(cut, field);
  }

 private:
  grid<float, 3> read_features(image_files& files, extent2 image) const
  {
    auto out = files.maps<3>("features");
    auto const path = files.path("features");
    index_t const D = out.shape()[0], h = out.shape()[1], w = out.shape()[2];
    auto const held = "holds " + shape_text(out.shape());
    demand(D >= 1 && h >= 1 && w >= 1 && h * w >= 2, path, held + "; [D,h,w] is needed, with two patches at least");
    auto const is_map = [&](extent2 e) { return e.height <= image.height && e.width <= image.width && fits(e, image); };
    demand(D > 1, path,
           held + "; [D,h,w] is needed, with two channels at least: the cosine of single numbers is 1 or -1" +
               tokens_hint(h, w, is_map));
    auto const of_image =
        ", no map of an image of " + std::to_string(image.height) + " x " + std::to_string(image.width);
    if (!stretched_) {
      demand(is_map({h, w}), path, held + of_image + scale_hint({D, h, w}, is_map));
      return out;
    }
    // any shape may be a map; but an array whose front is one of the usual maps, and its end is not, is [h,w,D]
    auto const is_usual = [&](extent2 e) { return e.height == e.width || is_map(e); };
    demand(is_usual({h, w}) || !is_usual({D, h}), path, held + "; [D,h,w] is needed" + axes_hint({D, h, w}, is_usual));
    return out;
  }

  /// "; it looks like tokens ..." if N tokens of D numbers, perhaps with a class token before, cover a map.
  std::string tokens_hint(index_t N, index_t D, auto const& is_map) const
  {
    if (N == D || is_map({N, D})) return "";  // rather a map [1,h,w]
    for (index_t const first : {0, 1})
      for (index_t h = 1; h <= N - first; ++h) {
        extent2 const map{h, (N - first) / h};
        if (map.height * map.width != N - first || (stretched_ ? map.height != map.width : !is_map(map))) continue;
        auto const text = [](index_t v) { return std::to_string(v); };
        return "; it looks like tokens [1,N,D]" + std::string(first == 1 ? ", a class token first" : "") + ": a[0" +
               (first == 1 ? ", 1:" : "") + "].T.reshape(" + text(D) + ", " + text(map.height) + ", " +
               text(map.width) + ") makes [D,h,w] of it";
      }
    return "";
  }

  void say_unsettled(std::string const& path, mask_cuts const& found) const
  {
    auto const many =
        std::count_if(found.passes.begin(), found.passes.end(), [](auto const& p) { return !p.mode.settled; });
    if (many > 0)
      std::fprintf(stderr, "note: %s: %td of %zu cuts did not reach their tolerance in --steps %td\n", path.c_str(),
                   many, found.passes.size(), o_.cut.steps);
  }

  /// The masks at the size of an image, by nearest neighbours: [H,W] number of the mask + 1, or 0.
  static grid<std::int32_t, 2> enlarged(cpu const& where, mask_set<> const& masks, extent2 image)
  {
    auto const cells = unpack_masks(where, masks);
    index_t const h = masks.image.height, w = masks.image.width;
    grid<std::int32_t, 2> owner(h, w), out(image.height, image.width);
    for (index_t p = 0; p < masks.size(); ++p)
      for (index_t y = 0; y < h; ++y)
        for (index_t x = 0; x < w; ++x)
          if (cells(p, y, x) != 0) owner(y, x) = static_cast<std::int32_t>(p + 1);
    for (index_t y = 0; y < image.height; ++y)
      for (index_t x = 0; x < image.width; ++x) out(y, x) = owner(y * h / image.height, x * w / image.width);
    return out;
  }

  /// The masks that have a pixel: only they compete for the others.
  static std::vector<int> numbers_in(grid<std::int32_t, 2> const& map, index_t most)
  {
    std::vector<bool> has(static_cast<std::size_t>(most) + 1);
    for (auto const v : map.cells()) has[static_cast<std::size_t>(v)] = true;
    std::vector<int> out;
    for (std::size_t i = 1; i < has.size(); ++i)
      if (has[i]) out.push_back(static_cast<int>(i));
    return out;
  }

  /// Objects of the masks that have a pixel, in the order of passes. Their numbers in the map become places.
  static void find_objects(cpu const& where, mask_cuts const& found, answer& out)
  {
    auto& map = out.objects.label;
    index_t const H = map.shape()[0], W = map.shape()[1];
    auto const of_pass = statistics(where, map, static_cast<index_t>(found.passes.size()));
    std::vector<std::int32_t> place(found.passes.size() + 1, 0);
    for (std::size_t p = 0; p < found.passes.size(); ++p) {
      auto const& one = of_pass(static_cast<index_t>(p) + 1);
      if (one.area == 0) continue;
      out.objects.found.push_back({0, 1 - found.passes[p].cost / 2, one.area, one.bounds});
      place[p + 1] = static_cast<std::int32_t>(out.objects.found.size());
    }
    out.semantic = grid<std::int32_t, 2>(H, W);
    for (std::size_t i = 0; i < map.cells().size(); ++i) {
      map.cells()[i] = place[static_cast<std::size_t>(map.cells()[i])];
      out.semantic.cells()[i] = map.cells()[i] != 0 ? 1 : 0;
    }
  }

  settings const& s_;
  std::string features_;
  bool stretched_ = false, crf_ = false;
  adaptive refine_ = adaptive::none;
  std::int64_t passes_ = 3, corners_ = 3, steps_ = 1000;
  mask_cut_options o_;
  mutable kept_lattices<> lattices_{2};
};

}  // namespace

std::shared_ptr<method> make_cut(settings& s) { return std::make_shared<cut_method>(s); }

}  // namespace labelling
