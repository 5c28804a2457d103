// sweep: tries background thresholds on the scores that label --keep-scores left, without walking again.
//
//   sweep --labels labels [--truth-semantic 'true/{id}.png' [--truth-instances ...]] [--images 'photos/{id}.jpg' --crf]

#include "image_files.hpp"
#include "kept_scores.hpp"
#include "method_irnet.hpp"
#include "truth.hpp"

#include <cambium/exec/parallel.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
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
  int threads = 0;
};

/// What one threshold does to the labels of the images seen so far.
struct tally {
  confusion_matrix confusion{256};
  std::vector<image_result> instances;
  index_t present = 0, survived = 0;  ///< pairs of an image and one of its classes
  index_t images = 0, clean = 0;      ///< images, and those without a class that they do not show
  double stable = 0;                  ///< summed over images
};

/// What one image says of one threshold.
struct answer {
  grid<std::int32_t, 2> semantic;
  double stable;  ///< agreement of the labels at a threshold a tenth lower and a tenth higher
  image_result instances;
};

double ratio(index_t a, index_t b) { return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b); }

/// How far two label maps agree: intersection over union of what they call background, or of their classes where that
/// is less. So a threshold so low that all is foreground is as bad as one so high that nothing is.
double agreement(grid<std::int32_t, 2> const& a, grid<std::int32_t, 2> const& b)
{
  index_t same_object = 0, same_background = 0, object = 0, background = 0;
  for (std::size_t i = 0; i < a.cells().size(); ++i) {
    auto const p = a.cells()[i], q = b.cells()[i];
    object += p != 0 || q != 0;
    background += p == 0 || q == 0;
    same_object += p != 0 && p == q;
    same_background += p == 0 && q == 0;
  }
  return std::min(ratio(same_object, object), ratio(same_background, background));
}

/// The criterion that asks no truth: classes survive, none is invented, and the labels do not hang on the threshold.
struct criterion {
  double survive, clean, stable;
  double product() const { return survive * clean * stable; }
};
criterion judge(tally const& t)
{
  return {ratio(t.survived, t.present), ratio(t.clean, t.images),
          t.images == 0 ? 0 : t.stable / static_cast<double>(t.images)};
}

std::vector<double> thresholds(sweep_settings const& s)
{
  std::vector<double> out;
  for (int i = 0; s.from + i * s.step <= s.to + 1e-9; ++i) out.push_back(s.from + i * s.step);
  return out;
}

irnet_options options_of(json const& p)
{
  irnet_options o;
  o.max_fragment_size = p.at("max_fragment_size");
  o.component_thres = p.at("component_thres");
  auto const choose = [&](char const* name, std::vector<std::string> const& words, auto& to) {
    auto const at = std::find(words.begin(), words.end(), p.at(name).get<std::string>());
    if (at == words.end()) throw io_error("manifest.json: unknown word for " + std::string(name));
    to = static_cast<std::decay_t<decltype(to)>>(at - words.begin());
  };
  choose("fragments", fragment_words, o.small);
  choose("scale", scale_words, o.scale);
  choose("pieces", piece_words, o.parts);
  return o;
}

json parse_json(fs::path const& path)
{
  auto const content = read_file(path);
  try {
    return json::parse(content.begin(), content.end());
  } catch (json::exception const& e) {
    throw io_error(path.string() + ": " + e.what());
  }
}

class sweeper {
 public:
  sweeper(sweep_settings const& s, irnet_options const& options, std::map<std::string, std::vector<int>> shown)
      : s_(s), options_(options), shown_(std::move(shown)), thresholds_(thresholds(s))
  {
    plain.resize(thresholds_.size());
    refined.resize(s.crf ? thresholds_.size() : 0);
  }

  std::vector<tally> plain, refined;

  /// Adds one image.
  /// @throws io_error "file: reason"
  void add(std::string const& id, cpu const& where)
  {
    fs::path const record_file = fs::path(s_.labels) / "records" / (id + ".json");
    json const record = parse_json(record_file);
    if (!record.contains("scores")) throw io_error(record_file.string() + ": has no scores; label with --keep-scores");
    std::string const scores_file = (fs::path(s_.labels) / "scores" / (id + ".png")).string();
    auto const content = read_file(scores_file);
    if (hash(content) != record.at("outputs").at("scores/" + id + ".png"))
      throw io_error(scores_file + ": is not what its record says");
    auto const scores = parse_scores(content, scores_file, record.at("scores"));
    extent2 const image{record.at("height"), record.at("width")};
    auto const classes = record.at("classes").get<std::vector<int>>();
    std::vector<std::int32_t> keys;
    for (int const c : classes) keys.push_back(c - 1);

    truth is;
    auto const read_truth = [&](std::string const& name, bool semantic) {
      std::string const path = fill(name, id);
      return parse_truth(read_file(path), path, image, semantic);
    };
    if (!s_.truth_semantic.empty()) is.semantic = read_truth(s_.truth_semantic, true);
    if (!s_.truth_instances.empty()) is.instances = read_truth(s_.truth_instances, false);
    std::unique_ptr<dense_crf> field;
    if (s_.crf) {
      auto const photograph = read_photograph(fill(s_.images, id));
      if (photograph.shape()[0] != image.height || photograph.shape()[1] != image.width)
        throw io_error(fill(s_.images, id) + ": is not of the size that was labelled");
      field = std::make_unique<dense_crf>(where, photograph, crf_preset::irn());
    }

    auto const by_class = irnet_assign<float>(where, scores.classes.view(), keys, image, 0, options_);
    auto const by_instance = scores.with_instances ? irnet_assign<float>(where, scores.instances.view(),
                                                                         scores.instance_keys, image, 0, options_)
                                                   : assignment<float>{};
    auto const classes_at = [&](double thres) {
      return irnet_semantic_labels(where, raise_background(by_class, thres), keys);
    };
    auto const label = [&](double thres) {
      auto const chosen = raise_background(by_class, thres);
      answer out{irnet_semantic_labels(where, chosen, keys),
                 agreement(classes_at(thres / nearby), classes_at(thres * nearby)),
                 {}};
      if (is.instances.size() == 0) return out;
      auto const found = scores.with_instances
                             ? irnet_detect(where, raise_background(by_instance, thres), scores.instance_keys, options_)
                             : irnet_components<float>(where, chosen, keys, scores.boundary, options_);
      out.instances = compare_instances(found, is, s_.void_counts);
      return out;
    };
    std::vector<answer> answers;
    for (double const t : thresholds_) answers.push_back(label(t));
    std::vector<answer> with_crf;
    for (std::size_t i = 0; i < (s_.crf ? answers.size() : 0); ++i)
      with_crf.push_back({refine_classes(where, *field, answers[i].semantic, classes), answers[i].stable, {}});

    auto const named = shown_.find(id);
    if (!s_.image_labels.empty() && named == shown_.end())
      throw io_error(s_.image_labels + ": has no line for '" + id + "'");
    auto const& shown = named == shown_.end() ? classes : named->second;
    std::lock_guard const lock(guard_);
    add(answers, is, shown, plain);
    add(with_crf, is, shown, refined);
  }

 private:
  static grid<std::uint8_t, 3> read_photograph(std::string const& path)
  {
    auto const content = read_file(path);
    return decode_photograph(content, path);
  }

  void add(std::vector<answer>& answers, truth const& is, std::vector<int> const& shown, std::vector<tally>& to) const
  {
    for (std::size_t i = 0; i < answers.size(); ++i) {
      auto const& now = answers[i].semantic;
      tally& t = to[i];
      if (is.semantic.size() > 0) accumulate(t.confusion, now, is.semantic);
      t.instances.push_back(std::move(answers[i].instances));
      std::map<std::int32_t, index_t> area;
      for (auto const v : now.cells()) ++area[v];
      auto const least = std::max(1.0, s_.least_area * static_cast<double>(now.size()));
      for (int const c : shown) {
        ++t.present;
        t.survived += area.count(c) > 0 && static_cast<double>(area.at(c)) >= least;
      }
      ++t.images;
      t.clean += std::all_of(area.begin(), area.end(), [&](auto const& a) {
        return a.first == 0 || std::find(shown.begin(), shown.end(), a.first) != shown.end();
      });
      t.stable += answers[i].stable;
    }
  }

  static constexpr double nearby = 1.1;
  sweep_settings const& s_;
  irnet_options options_;
  std::map<std::string, std::vector<int>> shown_;
  std::vector<double> thresholds_;
  std::mutex guard_;
};

/// One line a threshold; what is best by truth is marked *, what the criterion chooses <.
json print(std::string const& title, std::vector<double> const& thres, std::vector<tally> const& curve,
           sweep_settings const& s)
{
  bool const semantic = !s.truth_semantic.empty();
  bool const instances = !s.truth_instances.empty() && !curve.front().instances.front().truth.empty();
  std::vector<double> miou, ap50;
  for (auto const& t : curve) {
    miou.push_back(semantic ? mean_iou(t.confusion) : 0);
    ap50.push_back(instances ? instance_ap(t.instances, 0.5).mean : 0);
  }
  auto const best = [&](auto const& value) {
    std::size_t at = 0;
    for (std::size_t i = 1; i < curve.size(); ++i)
      if (value(i) > value(at)) at = i;
    return at;
  };
  auto const chosen = best([&](std::size_t i) { return judge(curve[i]).product(); });
  auto const by_miou = best([&](std::size_t i) { return miou[i]; });
  auto const by_ap = best([&](std::size_t i) { return ap50[i]; });
  std::printf("\n%s\n background   survive   clean  stable  product", title.c_str());
  std::printf("%s%s\n", semantic ? "      mIoU" : "", instances ? "     AP50" : "");
  json lines = json::array();
  for (std::size_t i = 0; i < curve.size(); ++i) {
    auto const c = judge(curve[i]);
    std::printf("      %5.3f    %6.2f  %6.2f  %6.2f  %6.2f %c", thres[i], 100 * c.survive, 100 * c.clean,
                100 * c.stable, 100 * c.product(), i == chosen ? '<' : ' ');
    json line{{"background", thres[i]},
              {"survive", c.survive},
              {"clean", c.clean},
              {"stable", c.stable},
              {"product", c.product()}};
    if (semantic) {
      std::printf("  %6.2f %c", 100 * miou[i], i == by_miou ? '*' : ' ');
      line["miou"] = std::isnan(miou[i]) ? json(nullptr) : json(miou[i]);
    }
    if (instances) {
      std::printf(" %6.2f %c", 100 * ap50[i], i == by_ap ? '*' : ' ');
      line["ap50"] = std::isnan(ap50[i]) ? json(nullptr) : json(ap50[i]);
    }
    std::puts("");
    lines.push_back(line);
  }
  std::printf("without the truth: %.3f", thres[chosen]);
  json out{{"curve", lines}, {"chosen", thres[chosen]}};
  if (semantic) {
    std::printf(" (mIoU %.2f); best mIoU %.2f at %.3f", 100 * miou[chosen], 100 * miou[by_miou], thres[by_miou]);
    out["best_miou"] = thres[by_miou];
  }
  if (instances) {
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
    options = options_of(manifest.at("parameters"));
    if (!manifest.at("parameters").value("keep_scores", false))
      throw usage_error(s.labels + " was labelled without --keep-scores");
    for (auto const& image : manifest.at("images")) ids.push_back(image.at("name"));
    if (ids.empty()) throw usage_error(s.labels + ": holds no image");
    if (!s.image_labels.empty()) shown = read_tags(s.image_labels, false);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "sweep: %s\n", e.what());
    return 2;
  }
  sweeper all(s, options, std::move(shown));
  std::vector<std::string> failures(ids.size());
  for_each_item(cpu{.threads = s.threads}, static_cast<index_t>(ids.size()), [&](cpu const& where, index_t i) {
    auto const at = static_cast<std::size_t>(i);
    try {
      all.add(ids[at], where);
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
  json out{{"images", ids.size() - failed}, {"plain", print("labels as they are", thres, all.plain, s)}};
  if (s.crf) out["crf"] = print("labels after the CRF", thres, all.refined, s);
  try {
    replace_file(fs::path(s.labels) / "sweep.json", out.dump(1) + "\n");
  } catch (std::exception const& e) {
    std::fprintf(stderr, "sweep: %s\n", e.what());
    return 1;
  }
  return failed > 0 ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments)
{
  sweep_settings s;
  CLI::App app{"Tries background thresholds on kept scores, without walking again: with the truth, and without it.",
               "sweep"};
  app.footer(
      "Without the truth a threshold is judged by three fractions and their product: image-level classes that "
      "survive,\n"
      "images without a class they do not show, and how far the labels at a threshold a tenth lower and a tenth "
      "higher\n"
      "agree. '<' marks the largest product, '*' what is best by the truth. Status: 0, 1 some images failed, 2 usage.");
  app.option_defaults()->always_capture_default();
  app.add_option("--labels", s.labels, "folder that label --keep-scores wrote; sweep.json goes there")->required();
  app.add_option("--truth-semantic", s.truth_semantic, "template: true classes, PNG: 0 background, 1..C, 255 void");
  app.add_option("--truth-instances", s.truth_instances, "template: true instances, PNG: 0 background, 1..N, 255 void");
  app.add_option("--image-labels", s.image_labels,
                 "lines '<id> <class> <class> ...', 1..C: what images show; without it the classes of their CAMs");
  app.add_option("--from", s.from, "first threshold")->check(CLI::Range(0.0, 1.0));
  app.add_option("--to", s.to, "last threshold")->check(CLI::Range(0.0, 1.0));
  app.add_option("--step", s.step, "between thresholds")->check(CLI::Range(0.001, 1.0));
  app.add_option("--least-area", s.least_area, "fraction of the image below which a class has not survived")
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--crf", s.crf, "also with a dense CRF on the photographs")->disable_flag_override();
  app.add_option("--images", s.images, "template: photographs, for --crf");
  app.add_flag("--void-counts", s.void_counts, "void pixels of the truth count against instances that cover them")
      ->disable_flag_override();
  app.add_option("--threads", s.threads, "cores to use; 0 is all")->check(CLI::Range(0, 4096));
  try {
    app.parse(count, arguments);
  } catch (CLI::ParseError const& e) {
    return app.exit(e, std::cout, std::cerr) == 0 ? 0 : 2;
  }
  auto const refuse = [](std::string const& why) {
    std::cerr << "sweep: " << why << "\nRun with --help for more information.\n";
    return 2;
  };
  for (auto const& [name, value] : {std::pair{"--truth-semantic", &s.truth_semantic},
                                    {"--truth-instances", &s.truth_instances},
                                    {"--images", &s.images}})
    if (!value->empty() && value->find("{id}") == std::string::npos)
      return refuse(std::string(name) + ": a template must contain {id}: " + *value);
  if (s.from > s.to) return refuse("--from is above --to");
  if (s.crf && s.images.empty()) return refuse("--crf needs --images");
  if (!s.truth_instances.empty() && s.truth_semantic.empty())
    return refuse("--truth-instances needs --truth-semantic, which says their classes");
  return run_sweep(s);
}
