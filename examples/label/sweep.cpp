// sweep: tries background thresholds on the scores of label --keep-scores, without walking again.
//
//   sweep --labels labels [--truth-semantic 'true/{id}.png' [--truth-instances ...]] [--images 'photos/{id}.jpg' --crf --refine par]

#include "criterion.hpp"
#include "image_files.hpp"
#include "kept_scores.hpp"
#include "method_irnet.hpp"
#include "options.hpp"
#include "truth.hpp"

#include <cambium/exec/parallel.hpp>
#include <cambium/io/photograph.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>

using namespace cambium;
using namespace labelling;
namespace fs = std::filesystem;

namespace {

struct sweep_settings {
  std::string labels, truth_semantic, truth_instances, images, image_labels;
  double from = 0.05, to = 0.95, step = 0.05, least_area = 0.001;
  bool crf = false, void_counts = false;
  adaptive refine = adaptive::none;
  tag_numbers labels_how;
  int threads = 0;
};

/// What one threshold does to the labels of all images.
struct tally {
  explicit tally(std::size_t count) : instances(count), judged(count) {}

  confusion_matrix confusion{256};
  std::vector<image_result> instances;  ///< in the order of the images, which decides between equal scores
  std::vector<judged_labels> judged;    ///< in the same order; all zero of an image that failed
};

std::vector<double> thresholds(sweep_settings const& s)
{
  std::vector<double> out;
  for (int i = 0; s.from + i * s.step <= s.to + 1e-9; ++i) out.push_back(s.from + i * s.step);
  return out;
}

json parse_json(fs::path const& path)
{
  auto const content = read_file(path);
  return json::parse(content.begin(), content.end());
}

/// A refinement to try at each threshold.
struct refinement {
  std::string key, title;
  std::function<refiner(cpu const&, grid<std::uint8_t, 3> const& photograph, std::vector<int> const& classes)> made;
};
std::vector<refinement> refinements(sweep_settings const& s)
{
  std::vector<refinement> out;
  if (s.crf)
    out.push_back(
        {"crf", "labels after the CRF",
         [kept = std::make_shared<kept_lattices<>>(2)](cpu const& where, auto const& photograph, auto const& classes) {
           return crf_refiner(where, photograph, classes, kept.get());
         }});
  if (s.refine == adaptive::par)
    out.push_back({"par", "labels after PAR", [](cpu const& where, auto const& photograph, auto const& classes) {
                     return adaptive_refiner(where, photograph, classes, adaptive::par);
                   }});
  if (s.refine == adaptive::pamr)
    out.push_back({"pamr", "labels after PAMR", [](cpu const& where, auto const& photograph, auto const& classes) {
                     return adaptive_refiner(where, photograph, classes, adaptive::pamr);
                   }});
  return out;
}

class sweeper {
 public:
  sweeper(sweep_settings const& s, irnet_options const& options, std::map<std::string, std::vector<int>> shown,
          std::size_t images)
      : s_(s), options_(options), shown_(std::move(shown)), thresholds_(thresholds(s)), by(refinements(s))
  {
    plain.resize(thresholds_.size(), tally(images));
    refined.resize(by.size(), plain);
  }

  std::vector<tally> plain;
  std::vector<std::vector<tally>> refined;  ///< one a refinement
  odd_truth odd;
  odd_count other_classes;  ///< images whose labels have none of the classes that --image-labels names

  /// Adds one image, all of it or nothing.
  /// @throws io_error "file: reason"
  void add(std::size_t place, std::string const& id, cpu const& where)
  {
    fs::path const record_file = fs::path(s_.labels) / "records" / (id + ".json");
    try {
      add(place, id, parse_json(record_file), where);
    } catch (json::exception const& e) {
      throw io_error(record_file.string() + ": " + e.what());
    }
  }

 private:
  /// What an image says of one threshold, without its pixels.
  struct answer {
    confusion_matrix confusion{256};
    image_result instances;
    judged_labels judged;
  };

  void add(std::size_t place, std::string const& id, json const& record, cpu const& where)
  {
    if (!record.contains("scores")) throw io_error(id + ": its record has no scores; label with --keep-scores");
    std::string const scores_file = (fs::path(s_.labels) / "scores" / (id + ".png")).string();
    auto const content = read_file(scores_file);
    if (json(hash(content)) != record.at("outputs").at("scores/" + id + ".png"))
      throw io_error(scores_file + ": is not what its record says");
    auto const scores = parse_scores(content, scores_file, record.at("scores"));
    extent2 const image{record.at("height"), record.at("width")};
    auto const classes = record.at("classes").get<std::vector<int>>();
    auto const named = shown_.find(id);
    if (!s_.image_labels.empty() && named == shown_.end())
      throw io_error(s_.image_labels + ": has no line for " + quoted_id(id));
    auto const& shown = named == shown_.end() ? classes : named->second;

    truth is;
    auto const read_truth = [&](std::string const& name, bool semantic) {
      std::string const path = fill(name, id);
      return parse_truth(read_file(path), path, image, semantic);
    };
    if (!s_.truth_semantic.empty()) is.semantic = read_truth(s_.truth_semantic, true);
    if (!s_.truth_instances.empty()) is.instances = read_truth(s_.truth_instances, false);
    std::vector<refiner> refiners;
    if (!by.empty()) {
      std::string const path = fill(s_.images, id);
      auto const photograph = read_photograph(path);
      if (photograph.shape()[0] != image.height || photograph.shape()[1] != image.width)
        throw io_error(path + ": is not of the size that was labelled");
      for (auto const& r : by) refiners.push_back(r.made(where, photograph, classes));
    }

    kept_labels const labels(where, scores, classes, image, options_);
    std::vector<answer> answers;
    std::size_t without_class = 0;  // the same for all thresholds
    std::vector<std::vector<answer>> of_refined(by.size());
    for (double const thres : thresholds_) {
      auto const semantic = labels.semantic(thres);
      double const stable = agreement(labels.semantic(thres / nearby), labels.semantic(thres * nearby));
      answers.push_back(judge_one(semantic, is, shown, stable));
      if (is.instances.size() > 0)
        answers.back().instances = compare_instances(labels.objects(thres), is, s_.void_counts, &without_class);
      for (std::size_t r = 0; r < by.size(); ++r)
        of_refined[r].push_back(judge_one(refiners[r](semantic), is, shown, stable));
    }
    std::lock_guard const lock(guard_);
    odd.void_only.add(id, is_void_only(is.semantic) ? 1 : 0);
    odd.void_only_instances.add(id, has_void_instances_only(is) ? 1 : 0);
    odd.without_class.add(id, without_class);
    auto const shares = [&](int c) { return std::find(shown.begin(), shown.end(), c) != shown.end(); };
    other_classes.add(
        id, !shown.empty() && !classes.empty() && std::none_of(classes.begin(), classes.end(), shares) ? 1 : 0);
    odd.looked_for.insert(shown.begin(), shown.end());
    put(place, answers, plain);
    for (std::size_t r = 0; r < by.size(); ++r) put(place, of_refined[r], refined[r]);
  }

  answer judge_one(grid<std::int32_t, 2> const& labels, truth const& is, std::vector<int> const& shown,
                   double stable) const
  {
    answer out;
    if (is.semantic.size() > 0) accumulate(out.confusion, labels, is.semantic);
    out.judged = judge_labels(labels, shown, s_.least_area, stable);
    return out;
  }

  static void put(std::size_t place, std::vector<answer>& answers, std::vector<tally>& to)
  {
    for (std::size_t i = 0; i < answers.size(); ++i) {
      tally& t = to[i];
      answer& a = answers[i];
      for (std::size_t k = 0; k < t.confusion.count.size(); ++k) t.confusion.count[k] += a.confusion.count[k];
      t.instances[place] = std::move(a.instances);
      t.judged[place] = a.judged;
    }
  }

  sweep_settings const& s_;
  irnet_options options_;
  std::map<std::string, std::vector<int>> shown_;
  std::vector<double> thresholds_;
  std::mutex guard_;

 public:
  std::vector<refinement> const by;
};

/// One line a threshold; what is best by truth is marked *, what the criterion chooses <.
json print(std::string const& title, std::vector<double> const& thres, std::vector<tally> const& curve, bool semantic,
           bool instances)
{
  double const nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> miou, ap50;
  for (auto const& t : curve) {
    miou.push_back(!semantic ? 0 : has_class(t.confusion) ? mean_iou(t.confusion) : nan);
    ap50.push_back(instances ? instance_ap(t.instances, 0.5).mean : 0);
  }
  auto const best = [&](auto const& value) { return place_of_largest(curve.size(), value); };
  auto const largest = best([&](std::size_t i) { return judge(curve[i].judged).product(); });
  bool const is_chosen = judge(curve[largest].judged).product() > 0;  // else the first is no better than any other
  auto const by_miou = best([&](std::size_t i) { return miou[i]; });
  auto const by_ap = best([&](std::size_t i) { return ap50[i]; });
  std::printf("\n%s\n background   survive   clean  stable  product", title.c_str());
  std::printf("%s%s\n", semantic ? "      mIoU" : "", instances ? "     AP50" : "");
  json lines = json::array();
  for (std::size_t i = 0; i < curve.size(); ++i) {
    auto const c = judge(curve[i].judged);
    std::printf("      %5.3f    %6.2f  %6.2f  %6.2f  %6.2f %c", thres[i], 100 * c.survive, 100 * c.clean,
                100 * c.stable, 100 * c.product(), is_chosen && i == largest ? '<' : ' ');
    json line{{"background", thres[i]},
              {"survive", c.survive},
              {"clean", c.clean},
              {"stable", c.stable},
              {"product", c.product()}};
    if (semantic) {
      std::printf("  %s %c", percent(miou[i]).c_str(), i == by_miou && !std::isnan(miou[i]) ? '*' : ' ');
      line["miou"] = std::isnan(miou[i]) ? json(nullptr) : json(miou[i]);
    }
    if (instances) {
      std::printf(" %s %c", percent(ap50[i]).c_str(), i == by_ap && !std::isnan(ap50[i]) ? '*' : ' ');
      line["ap50"] = std::isnan(ap50[i]) ? json(nullptr) : json(ap50[i]);
    }
    std::puts("");
    lines.push_back(line);
  }
  json out{{"curve", lines}, {"chosen", nullptr}};
  if (is_chosen) {
    std::printf("without the truth: %.3f", thres[largest]);
    out["chosen"] = thres[largest];
    if (semantic && !std::isnan(miou[largest])) std::printf(" (mIoU %.2f)", 100 * miou[largest]);
  } else {
    std::printf("without the truth: - (all products are 0, so none is better)");
  }
  if (semantic && !std::isnan(miou[by_miou])) {
    std::printf("; best mIoU %.2f at %.3f", 100 * miou[by_miou], thres[by_miou]);
    out["best_miou"] = thres[by_miou];
  }
  if (instances && !std::isnan(ap50[by_ap])) {
    std::printf("; best AP50 %.2f at %.3f", 100 * ap50[by_ap], thres[by_ap]);
    out["best_ap50"] = thres[by_ap];
  }
  std::puts("");
  return out;
}

int run_sweep(sweep_settings const& s)
{
  json manifest;
  irnet_options options;
  std::vector<std::string> ids;
  std::map<std::string, std::vector<int>> shown;
  try {
    manifest = parse_json(fs::path(s.labels) / "manifest.json");
    if (!manifest.at("parameters").value("keep_scores", false))
      throw usage_error(s.labels + " was labelled without --keep-scores");
    settings as_labelled;
    irnet_method how(as_labelled);
    restore(how.table(), manifest.at("parameters"));
    options = how.options;
    for (auto const& image : manifest.at("images")) ids.push_back(image.at("name"));
    if (ids.empty()) throw usage_error(s.labels + ": holds no image");
    if (!s.image_labels.empty()) shown = read_tags(s.image_labels, ids, s.labels_how).of;
    expects_objects_in_truth(ids, s.truth_semantic, true);
    expects_objects_in_truth(ids, s.truth_instances, false);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "sweep: %s\n", e.what());
    return 2;
  }
  sweeper all(s, options, std::move(shown), ids.size());
  std::vector<std::string> failures(ids.size());
  for_each_item(cpu{.threads = s.threads}, static_cast<index_t>(ids.size()), [&](cpu const& where, index_t i) {
    auto const at = static_cast<std::size_t>(i);
    try {
      all.add(at, ids[at], where);
    } catch (std::exception const& e) {
      failures[at] = e.what();
    }
  });
  auto const failed = static_cast<std::size_t>(
      std::count_if(failures.begin(), failures.end(), [](auto const& f) { return !f.empty(); }));
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (!failures[i].empty()) std::fprintf(stderr, "%s: %s\n", ids[i].c_str(), failures[i].c_str());
  std::printf("%zu images, %zu failed", ids.size() - failed, failed);
  if (failed == ids.size()) {
    std::puts("");
    return 1;
  }
  auto const thres = thresholds(s);
  json out{
      {"images", ids.size() - failed},
      {"plain", print("labels as they are", thres, all.plain, !s.truth_semantic.empty(), !s.truth_instances.empty())}};
  for (std::size_t r = 0; r < all.by.size(); ++r)
    out[all.by[r].key] = print(all.by[r].title, thres, all.refined[r], !s.truth_semantic.empty(), false);
  if (auto const& other = all.other_classes; other.images > 0)
    std::fprintf(stderr,
                 "note: %s: names no class of the CAMs of %zu of %zu images (%s). Do both count from 0, or from 1? "
                 "Labels were made %s --zero-based, this run is %s it.\n",
                 s.image_labels.c_str(), other.images, ids.size() - failed, other.first.c_str(),
                 manifest.at("parameters").value("zero_based", false) ? "with" : "without",
                 s.labels_how.zero_based ? "with" : "without");
  if (!s.truth_semantic.empty())
    for (auto const& note : all.odd.notes(all.plain.front().confusion, ids.size() - failed))
      std::fprintf(stderr, "note: %s\n", note.c_str());
  try {
    replace_file(fs::path(s.labels) / "sweep.json", out.dump(1) + "\n");
  } catch (std::exception const& e) {
    std::fprintf(stderr, "sweep: %s\n", e.what());
    return 1;
  }
  return failed > 0 ? 1 : 0;
}

}  // namespace

int labelling::sweep_program(int count, char const* const* arguments)
{
  sweep_settings s;
  option_table const table{
      {"",
       {{"--labels",
         &s.labels,
         {},
         "folder that label --keep-scores wrote; sweep.json goes there",
         option_is::required},
        {"--truth-semantic", &s.truth_semantic, has_id(), "true classes, PNG: 0 background, 1..C, 255 void"},
        {"--truth-instances", &s.truth_instances, has_id(),
         "true instances, PNG: 0 background, 1..N; 255 is void in 8 bits"}}},
      {"", tag_options("--image-labels", s.image_labels, s.labels_how,
                       "what images show; without it the classes of their CAMs")},
      {"",
       {{"--from", &s.from, within(0.001, 1), "first threshold, above 0"},
        {"--to", &s.to, within(0, 1), "last threshold"},
        {"--step", &s.step, within(0.001, 1), "between thresholds"},
        {"--least-area", &s.least_area, within(0, 1), "fraction of the image below which a class has not survived"},
        {"--crf", &s.crf, {}, "also with a dense CRF on the photographs"},
        {"--refine", choice(s.refine, {"none", "par", "pamr"}), {}, "also with 'par' or 'pamr' on the photographs"},
        {"--images", &s.images, has_id(), "photographs, for --crf and --refine"},
        {"--void-counts", &s.void_counts, {}, "void pixels of the truth count against instances that cover them"},
        {"--threads", &s.threads, whole(0, 4096), "cores to use; 0 is all"}}}};
  program_words const about{
      "sweep", "Tries background thresholds on kept scores, without walking again: with the truth, and without it.",
      "Without the truth a threshold is judged by three fractions and their product: image-level classes that "
      "survive,\nimages without a class they do not show, and how far the labels at a threshold a tenth lower and a "
      "tenth higher\nagree. '<' marks the largest product, '*' what is best by the truth. "
      "Status: 0, 1 some images failed, 2 usage."};
  return run_program("sweep", [&] {
    if (auto const status = parse(about, table, count, arguments)) return *status;
    if (s.from > s.to) throw usage_error("--from is above --to");
    if (s.crf && s.images.empty()) throw usage_error("--crf needs --images");
    if (s.refine != adaptive::none && s.images.empty()) throw usage_error("--refine needs --images");
    if (!s.truth_instances.empty() && s.truth_semantic.empty())
      throw usage_error("--truth-instances needs --truth-semantic, which says their classes");
    return run_sweep(s);
  });
}
