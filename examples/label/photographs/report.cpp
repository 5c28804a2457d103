#include "photographs/report.hpp"

#include "photographs/intervals.hpp"

#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace labelling {

using namespace cambium;

namespace {

json number(double v) { return std::isnan(v) ? json(nullptr) : json(v); }

json with_interval(resampled const& r)
{
  auto const i = interval_of(r);
  return {{"value", number(r.value)}, {"low", number(i.low)}, {"high", number(i.high)}};
}

/// One arm over all images.
struct arm {
  arm_words words;
  std::vector<std::string> settings;
  std::vector<std::vector<measured const*>> at;  ///< [setting][image]
  std::size_t chosen = 0;
  resampled miou, ap50;
};

std::vector<arm> gathered(std::vector<std::vector<measured_arm>> const& images)
{
  std::vector<arm> out;
  for (std::size_t a = 0; a < images.front().size(); ++a) {
    auto const& first = images.front()[a];
    arm& one = out.emplace_back(arm{first.words, {}, {}, 0, {}, {}});
    for (std::size_t s = 0; s < first.at.size(); ++s) {
      one.settings.push_back(first.at[s].setting);
      auto& all = one.at.emplace_back();
      for (auto const& image : images) all.push_back(&image[a].at.at(s));
    }
  }
  return out;
}

criterion judged(std::vector<measured const*> const& images)
{
  std::vector<judged_labels> of;
  for (auto const* const image : images) of.push_back(image->judged);
  return judge(of);
}

/// The setting that is best by the truth, for comparison.
json best_of(arm const& one, auto const& figure_of, draw const& all)
{
  std::vector<double> values;
  for (auto const& images : one.at) values.push_back(figure_of(images)(all));
  auto const at = place_of_largest(values.size(), [&](std::size_t i) { return values[i]; });
  return {{"setting", one.settings[at]}, {"value", number(values[at])}};
}

}  // namespace

json figures_of(cpu const& where, std::vector<std::vector<measured_arm>> const& images, study_size const& size,
                double boundary, json const& on_scenes)
{
  auto all = gathered(images);
  auto const draws = draw_images(images.size(), size.draws, size.seed);
  draw every(images.size());
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = i;
  std::map<std::string, arm const*> by_name;
  json arms = json::array();
  for (auto& one : all) {
    if (one.words.chooser == one.words.name)
      one.chosen = place_of_largest(one.at.size(), [&](std::size_t s) { return judged(one.at[s]).product(); });
    else if (!one.words.chooser.empty())
      one.chosen = by_name.at(one.words.chooser)->chosen;
    auto const& chosen = one.at[one.chosen];
    json entry{{"name", one.words.name},
               {"title", one.words.title},
               {"from", one.words.from},
               {"uses", one.words.uses},
               {"setting", one.settings[one.chosen]},
               {"chooser", one.words.chooser}};
    if (one.words.chooser == one.words.name) {
      auto const c = judged(chosen);
      entry["criterion"] = {{"survive", c.survive}, {"clean", c.clean}, {"stable", c.stable}, {"product", c.product()}};
    }
    auto const* const base = one.words.from.empty() ? nullptr : by_name.at(one.words.from);
    auto const add = [&](std::string const& name, auto const& figure_of, resampled arm::* to, bool of_base) {
      one.*to = resample(where, figure_of(chosen), images.size(), draws);
      entry[name] = with_interval(one.*to);
      if (base != nullptr && of_base) entry[name + "_difference"] = with_interval(one.*to - base->*to);
      if (one.at.size() > 1) entry[name + "_best_by_truth"] = best_of(one, figure_of, every);
    };
    index_t cues = 0, objects = 0;
    for (auto const* const image : chosen)
      cues += image->cues, objects += static_cast<index_t>(image->objects.truth.size());
    if (cues > 0) entry["cues"] = {{"count", cues}, {"objects", objects}};
    if (one.words.semantic) add("miou", miou_of, &arm::miou, base != nullptr && base->words.semantic);
    if (one.words.objects) add("ap50", ap50_of, &arm::ap50, base != nullptr && base->words.objects);
    arms.push_back(std::move(entry));
    by_name.emplace(one.words.name, &one);
  }
  json out{{"images", images.size()},
           {"draws", size.draws},
           {"seed", size.seed},
           {"boundary_scale", boundary},
           {"arms", std::move(arms)}};
  // the same differences on drawn scenes
  auto const scene = [&](char const* name) -> json {
    auto const at = json::json_pointer("/arms/irnet/figures") / name;
    if (!on_scenes.is_object() || !on_scenes.contains(at) || on_scenes[at].empty()) return nullptr;
    auto const of_seeds = on_scenes[at].get<std::vector<double>>();
    return std::accumulate(of_seeds.begin(), of_seeds.end(), 0.0) / static_cast<double>(of_seeds.size());
  };
  struct pair {
    char const *arm, *figure, *less, *more;
  };
  json scenes = json::array();
  for (auto const& [name, kind, less, more] :
       {pair{"walk", "miou", "cam_miou", "walk_miou"},
        pair{"walk", "ap50", "cam_components_ap50", "walk_components_ap50"},
        pair{"walk_parted", "ap50", "walk_components_ap50", "walk_boundary_components_ap50"}}) {
    auto const from = scene(less), to = scene(more);
    if (from.is_number() && to.is_number())
      scenes.push_back({{"arm", name}, {"figure", kind}, {"difference", to.get<double>() - from.get<double>()}});
  }
  out["on_scenes"] = std::move(scenes);
  return out;
}

namespace {

std::string percent_of(json const& v, bool sign = false)
{
  char text[32];
  if (!v.is_number()) return "-";
  std::snprintf(text, sizeof text, sign ? "%+.1f" : "%.1f", 100 * v.get<double>());
  return text;
}

std::string range_of(json const& v, bool sign = false)
{
  return percent_of(v.at("low"), sign) + " to " + percent_of(v.at("high"), sign);
}

/// What a difference shows.
enum class shown { better, worse, nothing };
shown shown_by(json const& difference)
{
  if (!difference.at("low").is_number()) return shown::nothing;
  if (difference.at("low").get<double>() > 0) return shown::better;
  return difference.at("high").get<double>() < 0 ? shown::worse : shown::nothing;
}

std::string const& title_of(json const& figures, std::string const& name)
{
  for (auto const& arm : figures.at("arms"))
    if (arm.at("name") == name) return arm.at("title").get_ref<std::string const&>();
  throw std::logic_error("no arm " + name);
}

/// "* walk instead of CAM: mIoU +10.0, AP50 +17.3": a line for each arm of which this is shown.
std::string in_short(json const& figures, shown what)
{
  std::string out;
  for (auto const& arm : figures.at("arms")) {
    std::string line;
    for (auto const& [name, title] : {std::pair{"miou", "mIoU"}, std::pair{"ap50", "AP50"}}) {
      auto const key = std::string(name) + "_difference";
      if (!arm.contains(key) || shown_by(arm.at(key)) != what) continue;
      line += (line.empty() ? "" : ", ") + std::string(title) + " " + percent_of(arm.at(key).at("value"), true);
    }
    if (!line.empty())
      out += "* " + arm.at("title").get<std::string>() + " instead of " + title_of(figures, arm.at("from")) + ": " +
             line + "\n";
  }
  return out.empty() ? "* none\n" : out;
}

std::string table(json const& figures, std::string const& name, std::string const& title)
{
  std::string out = "| arm | weak labels and maps | setting | " + title +
                    " | interval | against | difference | interval | shown |\n|---|---|---|---|---|---|---|---|---|\n";
  for (auto const& arm : figures.at("arms")) {
    if (!arm.contains(name)) continue;
    auto const text = [&](char const* key) { return arm.at(key).get<std::string>(); };
    out += "| " + text("title") + " | " + text("uses") + " | " + (text("setting").empty() ? "-" : text("setting")) +
           " | " + percent_of(arm.at(name).at("value")) + " | " + range_of(arm.at(name)) + " | ";
    if (!arm.contains(name + "_difference")) {
      out += "| | | |\n";
      continue;
    }
    auto const& difference = arm.at(name + "_difference");
    auto const is = shown_by(difference);
    out += title_of(figures, text("from")) + " | " + percent_of(difference.at("value"), true) + " | " +
           range_of(difference, true) + " | " +
           (is == shown::better  ? "better"
            : is == shown::worse ? "**worse**"
                                 : "nothing") +
           " |\n";
  }
  return out;
}

}  // namespace

std::string page_of(json const& figures, std::string const& command, double seconds, int threads)
{
  std::string out = "# Results on photographs\n\n`" + command + "`, " + figures.at("images").dump() + " photographs, " +
                    std::to_string(static_cast<int>(std::ceil(seconds))) + " s on " + std::to_string(threads) +
                    " threads. The program wrote this page.\n\n";
  out +=
      "Each arm is one way from weak labels to masks. Figures are percent. [label.md](label.md) has the layout of the "
      "folder, the arms, and the rules by which points, scribbles and boxes are drawn from the truth. Skeletons mark "
      "more "
      "pixels than scribbles and follow the true shape more closely than a person's strokes. A difference between the "
      "two comes from what is drawn, not from a better method.\n\n"
      "* **Setting**: the background threshold. The criterion of `./run sweep` chooses it without the truth: the "
      "largest "
      "product of survive, clean and stable. All other parameters have their defaults.\n"
      "* **Interval**: 95 % of " +
      figures.at("draws").dump() + " draws of the photographs with replacement (seed " + figures.at("seed").dump() +
      "). Both arms of a difference are measured on the same draw. Settings are chosen once, on all photographs, so "
      "intervals do not include that choice.\n"
      "* **Shown**: *better* or *worse* if the interval of the difference lies on one side of 0, else *nothing*.\n\n";
  out += "## In short\n\n";
  for (auto const& [what, title] : {std::pair{shown::better, "Better"}, std::pair{shown::worse, "Worse"},
                                    std::pair{shown::nothing, "Nothing is shown"}})
    out += "**" + std::string(title) + "**:\n\n" + in_short(figures, what) + "\n";
  out +=
      "The study trains no network and reads no displacement field. So it does not measure IRNet's displacement, "
      "BESTIE's network, and boxes through uncertainty. [results.md](results.md) measures them on drawn scenes.\n\n"
      "## Classes: mIoU\n\n" +
      table(figures, "miou", "mIoU") + "\n## Objects: AP50\n\n" + table(figures, "ap50", "AP50");
  for (auto const& arm : figures.at("arms"))
    if (arm.contains("cues"))
      out += "\n" + arm.at("title").get<std::string>() + ": " + arm.at("cues").at("count").dump() + " " +
             (arm.at("name").get<std::string>().starts_with("peaks") ? "peaks" : "points") + " for " +
             arm.at("cues").at("objects").dump() + " objects.\n";
  out +=
      "\n## What the choice without truth costs\n\n"
      "| arm | figure | chosen | its figure | best by the truth | its figure |\n|---|---|---|---|---|---|\n";
  for (auto const& arm : figures.at("arms"))
    for (auto const& [name, title] : {std::pair{"miou", "mIoU"}, std::pair{"ap50", "AP50"}}) {
      std::string const key = std::string(name) + "_best_by_truth";
      if (!arm.contains(key)) continue;
      out += "| " + arm.at("title").get<std::string>() + " | " + title + " | " + arm.at("setting").get<std::string>() +
             " | " + percent_of(arm.at(name).at("value")) + " | " + arm.at(key).at("setting").get<std::string>() +
             " | " + percent_of(arm.at(key).at("value")) + " |\n";
    }

  if (!figures.at("on_scenes").empty()) {
    out +=
        "\n## Drawn scenes and photographs\n\n"
        "The same differences on drawn scenes ([results.md](results.md)) and here.\n\n"
        "| step | figure | on scenes | here | interval | |\n|---|---|---|---|---|---|\n";
    for (auto const& scene : figures.at("on_scenes"))
      for (auto const& arm : figures.at("arms")) {
        auto const name = scene.at("figure").get<std::string>();
        if (arm.at("name") != scene.at("arm") || !arm.contains(name + "_difference")) continue;
        auto const& here = arm.at(name + "_difference");
        bool const there = scene.at("difference").get<double>() > 0;
        auto const is = shown_by(here);
        out += "| " + title_of(figures, arm.at("from")) + " → " + arm.at("title").get<std::string>() + " | " +
               (name == "miou" ? "mIoU" : "AP50") + " | " + percent_of(scene.at("difference"), true) + " | " +
               percent_of(here.at("value"), true) + " | " + range_of(here, true) + " | " +
               (there && is == shown::better  ? "helps on both"
                : there && is == shown::worse ? "**helps on scenes and hurts here**"
                : there                       ? "**helps on scenes; here nothing is shown**"
                : is == shown::better         ? "helps here only"
                                              : "helps on neither") +
               " |\n";
      }
  }
  return out;
}

}  // namespace labelling
