// Boxes and a network that knows how sure it is: what the boxes have become.

#include "method_boxes.hpp"

#include "axes.hpp"
#include "image_files.hpp"
#include "options.hpp"
#include "record.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/voc.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

grid<std::int32_t, 2> owners_of_boxes(std::vector<class_box> const& boxes, extent2 image,
                                      grid<std::int32_t, 2> const* semantic)
{
  auto const [H, W] = image;
  std::vector<box> parts;
  for (auto const& b : boxes) parts.push_back(clipped(b.bounds, H, W));
  auto const area = [&](std::size_t i) { return (parts[i].bottom - parts[i].top) * (parts[i].right - parts[i].left); };
  std::vector<std::size_t> order(boxes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return std::pair{area(a), a} > std::pair{area(b), b}; });
  grid<std::int32_t, 2> owner(H, W);  // whoever is drawn last
  for (auto const at : order) {
    auto const& b = parts[at];
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x)
        if (semantic == nullptr || (*semantic)(y, x) == boxes[at].category + 1)
          owner(y, x) = static_cast<std::int32_t>(at + 1);
  }
  return owner;
}

namespace {

enum boxes_mode : unsigned { from_xml = 1, from_coco = 2 };

/// Boxes of an image and its size, from a file.
struct boxes_of_image {
  extent2 image;
  std::vector<class_box> boxes;
  grid<std::uint8_t, 2> ignored{};  ///< [H,W] 1 where regions of several objects are; without cells: nowhere
  std::string error{};              ///< why its boxes are not known; "" where they are
};

/// The boxes of a COCO file by image; classes are the ranks of its categories' ids, as in the 80 contiguous ones.
class coco_boxes {
 public:
  coco_boxes() = default;
  coco_boxes(bytes const& content, std::string const& path, crowds how)
      : path_(path), all_(parse_coco(content, path)), how_(how)
  {
    std::sort(all_.categories.begin(), all_.categories.end(), [](auto const& a, auto const& b) { return a.id < b.id; });
    for (auto const& image : all_.images) {
      std::size_t const place = by_number_.size();
      by_number_[image.id] = place;
      std::string file_name = image.file_name;
      std::replace(file_name.begin(), file_name.end(), '\\', '/');  // Windows' folders
      fs::path const name = fs::path(file_name).lexically_normal();
      auto const put = [&](std::map<std::string, std::size_t>& to, fs::path const& key) {
        if (key.empty()) return;
        if (auto const [at, fresh] = to.try_emplace(key.generic_string(), place); !fresh) at->second = two;
      };
      put(by_path_, name.parent_path() / name.stem());
      put(by_stem_, name.stem());
      if (auto const number = number_of(name.stem().string())) {
        auto const [at, fresh] = by_number_in_name_.try_emplace(*number, place);
        if (!fresh) at->second = two;
      }
    }
    of_image_.resize(all_.images.size());
    for (std::size_t k = 0; k < all_.annotations.size(); ++k)
      of_image_[by_number_.at(all_.annotations[k].image_id)].push_back(k);
  }

  index_t classes() const { return static_cast<index_t>(all_.categories.size()); }

  /// The category of class 1, if no annotation is of it.
  std::optional<named_category> unused_first() const
  {
    if (all_.categories.empty()) return std::nullopt;
    auto const& first = all_.categories.front();
    bool const used = std::any_of(all_.annotations.begin(), all_.annotations.end(),
                                  [&](auto const& a) { return a.category_id == first.id; });
    return used ? std::nullopt : std::optional(named_category{first.id, first.name});
  }

  /// What the file says of the image of an id: a file name without its ending, with its folders or without them where
  /// no other file has that name, or the number of an image.
  std::optional<boxes_of_image> find(std::string const& id) const
  {
    auto const place = place_of(id);
    if (!place) return std::nullopt;
    auto const& image = all_.images[*place];
    boxes_of_image out{{image.height, image.width}, {}};
    for (std::size_t const k : of_image_[*place]) {
      auto const& a = all_.annotations[k];
      bool const ignored = a.iscrowd && how_ == crowds::ignore;
      if (!a.box_error.empty() && !(ignored && a.has_mask())) {
        if (out.error.empty()) out.error = a.box_error;
      } else if (ignored) {
        if (out.ignored.size() == 0) out.ignored = grid<std::uint8_t, 2>(image.height, image.width);
        mark_region(out.ignored, a);
      } else {
        out.boxes.push_back({cells_of_box(a.bbox, out.image), rank_of(a.category_id)});
      }
    }
    return out;
  }

  /// The file's own number of each image; those it does not know are numbered after its largest.
  /// @throws io_error: two ids of one image
  std::vector<std::int64_t> numbers_of(std::vector<std::string> const& ids) const
  {
    std::vector<std::int64_t> out;
    std::int64_t next = 1;
    for (auto const& image : all_.images) next = std::max(next, image.id + 1);
    std::map<std::size_t, std::string> known;
    for (auto const& id : ids) {
      auto const place = place_of(id, false);
      out.push_back(place ? all_.images[*place].id : next++);
      if (!place) continue;
      auto const [first, fresh] = known.try_emplace(*place, id);
      demand(fresh, path_,
             "'" + first->second + "' and '" + id + "' are both its image " + std::to_string(out.back()) + ", '" +
                 all_.images[*place].file_name + "'");
    }
    return out;
  }

  std::vector<named_category> categories() const  ///< by ascending id
  {
    std::vector<named_category> out;
    for (auto const& c : all_.categories) out.push_back({c.id, c.name});
    return out;
  }
  std::vector<std::string> remarks() const { return remarks_on(all_, path_, how_, false); }

 private:
  std::optional<std::size_t> place_of(std::string const& id, bool must_be_one = true) const
  {
    for (auto const* const names : {&by_path_, &by_stem_})
      if (auto const found = names->find(id); found != names->end()) {
        demand(found->second != two || !must_be_one, path_,
               "two images have the name '" + id + "'" + (names == &by_stem_ ? "; an id names their folder, too" : ""));
        return found->second == two ? std::nullopt : std::optional(found->second);
      }
    auto const number = number_of(id);
    auto const found = number ? by_number_.find(*number) : by_number_.end();
    if (found == by_number_.end()) return std::nullopt;
    auto const named = by_number_in_name_.find(*number);
    if (named == by_number_in_name_.end() || named->second == found->second || named->second == two)
      return found->second;
    demand(!must_be_one, path_,
           "'" + id + "' is the number of '" + all_.images[found->second].file_name + "', but there is also '" +
               all_.images[named->second].file_name + "'; an id is a name without its ending");
    return std::nullopt;
  }
  /// Of a text of digits.
  static std::optional<std::int64_t> number_of(std::string const& text)
  {
    if (text.empty() || text.size() > 15 || text.find_first_not_of("0123456789") != std::string::npos)
      return std::nullopt;
    return std::stoll(text);
  }
  std::int32_t rank_of(std::int64_t category_id) const
  {
    auto const& c = all_.categories;
    return static_cast<std::int32_t>(
        std::lower_bound(c.begin(), c.end(), category_id, [](auto const& a, std::int64_t id) { return a.id < id; }) -
        c.begin());
  }

  static constexpr std::size_t two = ~std::size_t{0};
  std::string path_;
  coco_dataset all_;
  crowds how_ = crowds::ignore;
  std::vector<std::vector<std::size_t>> of_image_;  ///< annotations of each image
  std::map<std::string, std::size_t> by_path_, by_stem_;
  std::map<std::int64_t, std::size_t> by_number_, by_number_in_name_;
};

/// Labels and trust of one image, decided.
struct box_labels {
  grid<std::int32_t, 2> semantic;  ///< 0, class + 1, 255 undecided
  grid<std::int32_t, 2> trusted;   ///< trust:: of that label
};

/// The label of every pixel. One against the rest, certain classes go before those that have but a box; where two claim
/// a pixel alike, or none does and one is unsure, it is undecided. Under a softmax the largest target decides.
box_labels decide_labels(cpu const& where, uncertain_targets<> const& of, class_model model)
{
  auto const& [N, H, W] = of.target.shape();
  bool const binary = model == class_model::one_vs_rest;
  box_labels out{make_grid<std::int32_t>({H, W}), make_grid<std::int32_t>({H, W})};
  for_each_share(where, H, 8, [&, N = N, W = W](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        std::int32_t best = label::background;
        float most = 0;
        std::uint8_t by = trust::certain;
        bool claimed = false, alike = false, unsure = false, boxed = false;
        for (index_t n = 0; n < N; ++n) {
          float const target = of.target(n, y, x);
          auto const trusted = of.trusted(binary ? n : 0, y, x);
          unsure = unsure || trusted == trust::ignored, boxed = boxed || trusted == trust::boxed;
          if (trusted == trust::ignored || (binary && target <= 0.5f)) continue;
          bool const first = !claimed || (trusted == trust::certain && by == trust::boxed);
          if (!first && (trusted != by || target < most)) continue;
          alike = !first && target == most;
          claimed = true, most = target, by = trusted, best = static_cast<std::int32_t>(binary ? n + 1 : n);
        }
        if (!claimed && boxed) by = trust::boxed;  // a mixed label that has become background
        bool const undecided = alike || (!claimed && unsure);
        out.semantic(y, x) = undecided ? label::ignore : best;
        out.trusted(y, x) = undecided ? trust::ignored : by;
      }
  });
  return out;
}

class boxes_method : public method {
 public:
  explicit boxes_method(settings& s) : s_(s)
  {
    auto const required = option_is::required;
    auto const iterations = whole(0, std::int64_t{1} << 62);
    auto& b = o_.bootstrap;
    table_ = {
        {"",
         {{"method", [this] { return xml() ? "boxes, xml" : "boxes, coco"; }},
          {"--boxes", &boxes_, {}, "boxes: a template of VOC's XML files, or a COCO file", required},
          {"--names", &names_file_, {}, "the classes 1..C of XML files, one name a line; without it VOC's twenty"},
          {"--mu", &mu_, has_id(), "logits' means, npy float [N,H,W]", required},
          {both("log-variance"), &log_variance_, has_id(), "their log variances, npy float [N,H,W] or [1,H,W]",
           required},
          {"--masks", &masks_, has_id(),
           "exact masks of those images that have one, PNG: 0 background, 1..C, 255 unknown"}}},
        {"Labels",
         {{"--classes",
           choice(o_.loss.classes, {"one_vs_rest", "mean_field", "sampled"}),
           {},
           "N channels are N questions (one_vs_rest), or a softmax with the background first (mean_field, sampled)"},
          {both("largest-sigma"), &o_.loss.largest_sigma, within(1e-300, 1e15), "larger ones count as this"},
          {"--mode",
           choice(b.mode, {"off", "hard", "soft"}),
           {},
           "boxes stay boxes ('off'), become masks where the network is sure ('hard'), or are mixed with it ('soft')"},
          {both("iteration"), &iteration_, iterations, "of the training, from 0"},
          {both("warm-up"), &b.warm_up, iterations, "before this iteration boxes stay boxes"},
          {both("tau-lo"), &b.tau_lo, positive(), "sigma below which a positive mean is foreground"},
          {both("tau-hi"), &b.tau_hi, positive(), "sigma above which a cell is background"},
          {"--confidence", &b.confidence, within(0.5, 1),
           "a cell is background where its probability is at most 1 less this; [0.5,1)"},
          {"--unsure",
           choice(b.unsure, {"keep_box", "ignore"}),
           {},
           "what is not decided stays the box's ('keep_box') or is 255 ('ignore')"},
          {both("min-fill"), &b.min_fill, within(0, 1), "share of its cells that a box keeps at least"},
          {"--tight", &b.tight, true_or_false(),
           "a box keeps foreground in each of its rows and columns: true, or false for loose boxes"},
          {"--keep", &b.keep, within(0, 1), "of the soft mode: the weight of the box's label"}}},
        {"Work", {{"--targets", &targets_, {}, "also what a network is to learn: targets and trust, npy"}}},
        {"",
         {{"void_counts", [&s] { return s.void_counts; }},
          {"overlay", [&s] { return s.overlay; }},
          {"scored", [&s] { return s.scored(); }},
          {"--zero-based-boxes",
           &zero_based_,
           {},
           "pixels in XML files count from 0, as VoTT's do",
           option_is::usual,
           [this] { return zero_based_ ? json(true) : json(); }}}},
        {"",
         {{"--crowds",
           choice(crowds_, {"ignore", "objects"}),
           {},
           "regions of several objects in a COCO file: their pixels count for nothing, or each is an object"},
          {"boxes_sha256", [this] { return json(shared_hash_); }}},
         from_coco},
        {"", {{"names_sha256", [this] { return shared_hash_.empty() ? json() : json(shared_hash_); }}}, from_xml}};
  }

  unsigned mode() const override { return xml() ? from_xml : from_coco; }

  void get_ready(std::set<std::string> const&) override
  {
    if (boxes_.empty()) throw usage_error("--boxes is empty");
    expects_inputs_kept({xml() ? "" : boxes_, names_file_}, s_.out, summary_files);
    if (xml() && !names_file_.empty()) {
      for (auto const& name : read_names(names_file_))
        classes_.emplace(name, static_cast<std::int32_t>(classes_.size()));
      if (classes_.contains("background") && classes_.at("background") == 0) no_class_ = "'background'";
    } else if (xml()) {
      for (auto const name : voc_class_names) classes_.emplace(name, voc_class(name) - 1);
    } else if (!names_file_.empty()) {
      throw usage_error("--names is for XML files; a COCO file has its own classes");
    }
    if (zero_based_ && !xml()) throw usage_error("--zero-based-boxes is for XML files; COCO's count from 0");
    auto const& b = o_.bootstrap;
    if (b.tau_hi < b.tau_lo)
      throw usage_error("--tau-lo is " + message_part(b.tau_lo) + " and --tau-hi " + message_part(b.tau_hi) +
                        "; tau-lo <= tau-hi is needed");
    if (!(b.confidence < 1)) throw usage_error("--confidence is 1; less is needed");
    if (!xml()) {
      auto const content = read_file(boxes_);
      coco_ = coco_boxes(content, boxes_, crowds_);
      for (auto const& remark : coco_.remarks()) std::fprintf(stderr, "label: %s\n", remark.c_str());
      shared_hash_ = hash(content);
      if (auto const first = coco_.unused_first())
        no_class_ = "category " + std::to_string(first->id) + " ('" + first->name + "'), of which no annotation is";
    } else if (!names_file_.empty()) {
      shared_hash_ = hash(read_file(names_file_));
    }
  }

  std::vector<input_file> inputs() const override
  {
    return {{"mu", mu_},
            {"log_variance", log_variance_},
            {"boxes", xml() ? boxes_ : "", !masks_.empty()},
            {"masks", masks_, true}};
  }

  std::vector<named_category> categories() const override { return coco_.categories(); }

  std::optional<std::vector<std::int64_t>> image_numbers(std::vector<std::string> const& ids) const override
  {
    return xml() ? std::nullopt : std::optional(coco_.numbers_of(ids));
  }

  answer label(cpu const& where, image_files& files) const override
  {
    auto const mu = files.maps<3>("mu"), s = files.maps<3>("log_variance");
    auto const& [N, H, W] = mu.shape();
    auto const model = o_.loss.classes;
    index_t const C = classes_of(N, model);
    if (C < 0 || C > 254 || H < 1 || W < 1)
      throw io_error(files.path("mu") + ": holds " + shape_text(mu.shape()) +
                     "; [N,H,W] is needed, with 254 classes at most" +
                     (model == class_model::one_vs_rest ? "" : " and a background channel") +
                     axes_hint({mu.shape().begin(), mu.shape().end()},
                               [image = files.image_size({})](extent2 e) { return e == image; }));
    demand((s.shape()[0] == N || s.shape()[0] == 1) && s.shape()[1] == H && s.shape()[2] == W,
           files.path("log_variance"),
           "the means are " + shape_text(mu.shape()) + ", so the same or one channel is needed; it holds " +
               shape_text(s.shape()) + axes_hint({s.shape().begin(), s.shape().end()}, [&](extent2 e) {
                 return e.height == mu.shape()[1] && e.width == mu.shape()[2];
               }));
    extent2 const size{H, W};
    auto const same_size = [&](extent2 other, std::string const& path) {
      demand(other == size, path,
             "is of an image of " + std::to_string(other.height) + " x " + std::to_string(other.width) +
                 ", but the means are " + shape_text(mu.shape()) +
                 axes_hint({mu.shape().begin(), mu.shape().end()}, [&](extent2 e) { return e == other; }));
    };
    if (files.has("image")) same_size(files.image_size(size), files.path("image"));

    weak_annotation<> known;
    grid<std::int32_t, 2> mask;
    if (files.has("masks")) {
      mask = files.labels("masks");
      auto const path = files.path("masks");
      same_size({mask.shape()[0], mask.shape()[1]}, path);
      auto const strange =
          std::find_if(mask.cells().begin(), mask.cells().end(), [C](auto v) { return v > C && v != label::ignore; });
      if (strange != mask.cells().end())
        throw io_error(path + ": holds " + std::to_string(*strange) + ", outside 0.." + std::to_string(C) +
                       " and not 255" + label_map_hint(mask, C));
      known.mask = mask.view();
    }
    auto const named = xml() ? static_cast<index_t>(classes_.size()) : coco_.classes();
    demand(C <= named, files.path("mu"),
           "holds " + shape_text(mu.shape()) + ", so there are " + std::to_string(C) + " classes, but the boxes have " +
               std::to_string(named) +
               (C == named + 1 && model == class_model::one_vs_rest
                    ? "; if the first channel is the background, say --classes mean_field"
                    : ""));
    demand(no_class_.empty() || C + 1 != named, xml() ? names_file_ : boxes_,
           "has " + std::to_string(named) + " classes, but the network " + std::to_string(C) + ". The first is " +
               no_class_ + ": leave it out, or every box counts for the next class");
    auto const found = boxes(files, size);
    std::string const boxes_path = xml() ? files.path("boxes") : boxes_;
    demand(found || mask.size() > 0, boxes_path, "says nothing about '" + files.id() + "', which has no mask either");
    if (found) {
      demand(found->error.empty() || mask.size() > 0, boxes_path, found->error);
      same_size(found->image, boxes_path);
      known.boxes = found->boxes;
      if (found->ignored.size() > 0) known.ignored = found->ignored.view();
      for (auto const& b : known.boxes)
        demand(b.category < C, boxes_path,
               "has a box of class " + std::to_string(b.category + 1) + ", but the network " + std::to_string(C) +
                   " classes");
    }
    if (mask.size() > 0 && !has_class(mask)) {  // true of an image without an object alone
      auto const path = files.path("masks"), hint = label_map_hint(mask, C);
      demand(known.boxes.empty(), path, "has no pixel of any class, but the image has boxes" + hint);
      demand(found || hint.empty(), path, "has no pixel of any class" + hint);
    }

    auto const made = box_targets(where, mu, s, known, iteration_, o_);
    auto decided = decide_labels(where, made, model);
    answer out;
    out.objects = masks_of_boxes(mu, s, known.boxes, decided.semantic);
    out.semantic = std::move(decided.semantic);
    for (int c = 1; c <= C; ++c) out.classes.push_back(c);
    static auto const palette = voc_palette();
    out.files.emplace_back("trust/" + files.id() + ".png", format_labels(decided.trusted, palette));
    if (targets_) {
      out.files.emplace_back("targets/" + files.id() + ".target.npy", format_npy(made.target.view()));
      out.files.emplace_back("targets/" + files.id() + ".trusted.npy", format_npy(made.trusted.view()));
    }
    out.about["cells"] = {
        {"foreground", made.foreground}, {"background", made.background}, {"restored", made.restored}};
    return out;
  }

  double memory(image_files& files) const override
  {
    auto const mu = files.any_maps<3>("mu");
    return static_cast<double>(mu.size()) * (4 + 4 + 4 + 1 + 5) +
           static_cast<double>(mu.shape()[1] * mu.shape()[2]) * (2 * 8 + 8 + 4 * 4);
  }

 private:
  bool xml() const { return boxes_.find("{id}") != std::string::npos; }

  /// What the boxes' file says of an image; nothing where it does not know it.
  std::optional<boxes_of_image> boxes(image_files& files, extent2 image) const
  {
    if (!xml()) return coco_.find(files.id());
    if (!files.has("boxes")) return std::nullopt;
    auto const path = files.path("boxes");
    auto const read = parse_voc_annotation(files.file("boxes"), path, {.zero_based = zero_based_, .image = image});
    for (auto const& note : read.notes) std::fprintf(stderr, "note: %s: %s\n", path.c_str(), note.c_str());
    boxes_of_image out{{read.height, read.width}, {}};
    for (auto const& object : read.objects) {
      auto const at = classes_.find(object.name);
      demand(at != classes_.end(), path, "'" + object.name + "' is no class; --names lists one's own");
      out.boxes.push_back({object.bounds, at->second});
    }
    return out;
  }

  /// The pixels of each box with a label of its class. The score is the mean probability that the network expects. Boxes
  /// without a pixel give none.
  instances<> masks_of_boxes(grid<float, 3> const& mu, grid<float, 3> const& s, std::vector<class_box> const& boxes,
                             grid<std::int32_t, 2> const& semantic) const
  {
    index_t const H = semantic.shape()[0], W = semantic.shape()[1];
    auto const owner = owners_of_boxes(boxes, {H, W}, &semantic);
    std::vector<instance> found(boxes.size());
    for (std::size_t i = 0; i < boxes.size(); ++i) found[i] = {.category = boxes[i].category, .bounds = {H, W, 0, 0}};
    std::map<std::int32_t, std::pair<grid<double, 2>, grid<double, 2>>> logits;
    for (auto const& b : boxes)
      if (!logits.contains(b.category))
        logits.emplace(b.category, class_logit(cpu{.threads = 1}, mu, s, o_.loss.classes, b.category));
    double const largest = 2 * std::log(o_.loss.largest_sigma);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        if (owner(y, x) == 0) continue;
        auto& o = found[static_cast<std::size_t>(owner(y, x) - 1)];
        auto const& [mean, spread] = logits.at(o.category);
        gaussian_logit const z{mean(y, x), std::min(spread(y, x), largest)};
        o.score += 1 / (1 + std::exp(-z.expected_logit()));
        ++o.area;
        o.bounds = {std::min(o.bounds.top, y), std::min(o.bounds.left, x), y + 1, std::max(o.bounds.right, x + 1)};
      }
    instances<> out{make_grid<std::int32_t>({H, W}), {}};
    std::vector<std::int32_t> number(boxes.size() + 1, 0);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i].area == 0) continue;
      found[i].score /= static_cast<double>(found[i].area);
      out.found.push_back(found[i]);
      number[i + 1] = static_cast<std::int32_t>(out.found.size());
    }
    for (std::size_t i = 0; i < owner.cells().size(); ++i)
      out.label.cells()[i] = number[static_cast<std::size_t>(owner.cells()[i])];
    return out;
  }

  settings const& s_;
  std::string boxes_, names_file_, mu_, log_variance_, masks_;
  box_supervision_options o_;
  std::int64_t iteration_ = 0;
  bool targets_ = false, zero_based_ = false;
  crowds crowds_ = crowds::ignore;
  std::map<std::string, std::int32_t, std::less<>> classes_;  ///< of names in XML files, 0-based
  coco_boxes coco_;
  std::string shared_hash_;
  std::string no_class_;  ///< a first class that may be none: 'background', or a category without an annotation
};

}  // namespace

std::shared_ptr<method> make_boxes(settings& s) { return std::make_shared<boxes_method>(s); }

}  // namespace labelling
