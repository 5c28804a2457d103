// Boxes and a network that knows how sure it is: what the boxes have become.

#include "method_boxes.hpp"

#include "axes.hpp"
#include "box_files.hpp"
#include "image_files.hpp"
#include "options.hpp"
#include "summary.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <set>

namespace labelling {

using namespace cambium;

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
         {{"method", [this] { return boxes_.xml() ? "boxes, xml" : "boxes, coco"; }},
          {"--boxes", &boxes_.path, {}, "boxes: a template of VOC's XML files, or a COCO file", required},
          boxes_.names_option(),
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
          boxes_.zero_based_option()}},
        {"", {boxes_.crowds_option(), {"boxes_sha256", [this] { return json(boxes_.shared_hash()); }}}, from_coco},
        {"",
         {{"names_sha256", [this] { return boxes_.shared_hash().empty() ? json() : json(boxes_.shared_hash()); }}},
         from_xml}};
  }

  unsigned mode() const override { return boxes_.xml() ? from_xml : from_coco; }

  void get_ready(std::set<std::string> const&) override
  {
    if (boxes_.path.empty()) throw usage_error("--boxes is empty");
    expects_inputs_kept({boxes_.shared_path(), boxes_.names_file}, s_.out, summary_files);
    auto const& b = o_.bootstrap;
    if (b.tau_hi < b.tau_lo)
      throw usage_error("--tau-lo is " + message_part(b.tau_lo) + " and --tau-hi " + message_part(b.tau_hi) +
                        "; tau-lo <= tau-hi is needed");
    if (!(b.confidence < 1)) throw usage_error("--confidence is 1; less is needed");
    boxes_.open();
  }

  std::vector<input_file> inputs() const override
  {
    return {{"mu", mu_},
            {"log_variance", log_variance_},
            {"boxes", boxes_.path_template(), !masks_.empty()},
            {"masks", masks_, true}};
  }

  std::vector<named_category> categories() const override { return boxes_.categories(); }

  void look_at(std::vector<std::string> const& ids) const override
  {
    if (auto const note = boxes_.note_on(ids); !note.empty()) std::fprintf(stderr, "note: %s\n", note.c_str());
  }

  std::optional<std::vector<std::int64_t>> image_numbers(std::vector<std::string> const& ids) const override
  {
    return boxes_.image_numbers(ids);
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
    bool const photographed = files.has("image");
    bool sure = false;  // the photograph has the size of the means: then they are no other axes
    auto const same_size = [&](extent2 other, std::string const& path) {
      demand(other == size, path,
             "is of an image of " + std::to_string(other.height) + " x " + std::to_string(other.width) + ", but the " +
                 (sure ? "photograph and the means" : "means") + " are " + shape_text(mu.shape()) +
                 (sure ? extent2{other.width, other.height} == size ? "; its height and width are exchanged" : ""
                       : axes_hint({mu.shape().begin(), mu.shape().end()}, [&](extent2 e) { return e == other; })));
    };
    if (photographed) same_size(files.image_size(size), files.path("image"));
    sure = photographed;

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
    auto const named = boxes_.classes();
    demand(C <= named, files.path("mu"),
           "holds " + shape_text(mu.shape()) + ", so there are " + std::to_string(C) + " classes, but the boxes have " +
               std::to_string(named) +
               (C == named + 1 && model == class_model::one_vs_rest
                    ? "; if the first channel is the background, say --classes mean_field"
                    : ""));
    demand(boxes_.no_class().empty() || C + boxes_.no_classes() != named,
           boxes_.xml() ? boxes_.names_file : boxes_.path,
           "has " + std::to_string(named) + " classes, but the network " + std::to_string(C) +
               (boxes_.no_classes() == 1 ? ". The first is " + boxes_.no_class() + ": leave it out"
                                         : ". The first are " + boxes_.no_class() + ": leave them out") +
               ", or every box counts for " + (boxes_.no_classes() == 1 ? "the next" : "another") + " class");
    auto const found = boxes_.find(files, size);
    std::string const boxes_path = boxes_.path_of(files);
    demand(found || mask.size() > 0, boxes_path, "says nothing about '" + files.id() + "', which has no mask either");
    if (found) {
      found->say_notes();
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

    if (mask.size() > 0 && !known.boxes.empty()) expects_classes_of_boxes(mask, known.boxes, files.path("masks"));

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
  /// A mask that has none of the classes of its image's boxes has other numbers of classes.
  void expects_classes_of_boxes(grid<std::int32_t, 2> const& mask, std::vector<class_box> const& boxes,
                                std::string const& path) const
  {
    std::set<std::int32_t> drawn = numbers_of(mask), boxed;
    drawn.erase(label::background), drawn.erase(label::ignore);
    for (auto const& b : boxes) boxed.insert(b.category + 1);
    bool const apart = std::none_of(drawn.begin(), drawn.end(), [&](auto c) { return boxed.contains(c); });
    std::set<std::int32_t> ids;  // of the boxes' categories
    auto const categories = boxes_.categories();
    for (auto const c : boxed)
      if (!categories.empty()) ids.insert(static_cast<std::int32_t>(categories[static_cast<std::size_t>(c - 1)].id));
    bool const in_ids = drawn == ids && drawn != boxed;
    auto const text = [](std::set<std::int32_t> const& classes) {
      std::string out;
      for (auto const c : classes) out += (out.empty() ? "" : ", ") + std::to_string(c);
      return out;
    };
    demand(!apart && !in_ids, path,
           "has the classes " + text(drawn) + ", but the boxes of its image the classes " + text(boxed) +
               (categories.empty() ? ": masks hold the numbers of the names, from 1"
                                   : ": masks hold ranks of categories, from 1, not the categories' ids"));
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
  box_files boxes_;
  std::string mu_, log_variance_, masks_;
  box_supervision_options o_;
  std::int64_t iteration_ = 0;
  bool targets_ = false;
};

}  // namespace

std::shared_ptr<method> make_boxes(settings& s) { return std::make_shared<boxes_method>(s); }

}  // namespace labelling
