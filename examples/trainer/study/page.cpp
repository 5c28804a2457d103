#include "study/page.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <set>

namespace trainer::study {

namespace {

std::string formatted(char const* form, double v)
{
  char text[40];
  std::snprintf(text, sizeof text, form, v);
  return text;
}

std::string points(double v) { return formatted("%+.1f", 100 * v); }
std::string percent(double v) { return formatted("%.1f", 100 * v); }
std::string plain(double v) { return formatted("%g", v); }
std::string three_digits(double v) { return formatted("%.3g", v); }
std::string core_minutes(double seconds) { return formatted("%.0f", seconds / 60); }

/// "more − 0.97 less".
std::string formula(claim const& c)
{
  std::string out = "more";
  if (!c.less.empty()) out += c.factor == 1 ? " − less" : " − " + plain(c.factor) + " less";
  if (c.margin != 0) out += (c.margin > 0 ? " − " : " + ") + percent(std::abs(c.margin));
  return out;
}

std::string listed(std::vector<std::uint64_t> const& seeds)
{
  std::string out;
  for (std::size_t i = 0; i < seeds.size(); ++i)
    out += (i == 0 ? "" : i + 1 == seeds.size() ? " and " : ", ") + std::to_string(seeds[i]);
  return out;
}

std::string seeds_of(std::vector<std::uint64_t> const& seeds)
{
  return (seeds.size() == 1 ? "seed " : "seeds ") + listed(seeds);
}

/// On which seeds settings were chosen, and which of these are on the page.
std::string settings_of(results const& all)
{
  if (all.chosen_on.empty()) return "**Settings** were chosen in short trainings. Nobody kept on which seeds.\n\n";
  std::string out = "**Settings** were chosen after looking at results of these seeds:\n\n";
  bool any = false;
  for (auto const& c : all.chosen_on) {
    std::vector<std::uint64_t> here;
    for (auto const s : c.seeds)
      if (std::find(all.seeds.begin(), all.seeds.end(), s) != all.seeds.end()) here.push_back(s);
    out += "- " + c.what + ": " + seeds_of(c.seeds) + ". " + c.how;
    if (!here.empty())
      out += " **Of these, " + seeds_of(here) + (here.size() == 1 ? " is" : " are") +
             " on this page, so that these claims are too good.**";
    out += "\n";
    any = any || !here.empty();
  }
  return out + (any ? "\n" : "\nNone of them is on this page.\n\n");
}

/// How many of so many claims hold by chance: one of 40.
std::string chance(std::size_t claims) { return three_digits(static_cast<double>(claims) / 40); }

/// Where and when figures were measured.
std::string provenance(results const& all)
{
  std::set<std::string> dates, machines, programs;
  for (auto const& [name, of] : all.arms) {
    dates.insert(of.dates.begin(), of.dates.end());
    machines.insert(of.machines.begin(), of.machines.end());
    programs.insert(of.programs.begin(), of.programs.end());
  }
  if (dates.empty()) return "";
  std::string out = "The figures were measured on " + *dates.begin();
  if (dates.size() > 1) out = "The figures were measured from " + *dates.begin() + " to " + *dates.rbegin();
  out += ", on ";
  for (auto const& m : machines) out += (m == *machines.begin() ? "" : " and on ") + m;
  if (programs.size() == 1) return out + ", by one build of the program (" + *programs.begin() + ").\n\n";
  out += ", by **" + std::to_string(programs.size()) + " builds of the program** (";
  for (auto const& p : programs) out += (p == *programs.begin() ? "" : ", ") + p;
  return out + "). All have the recipes of today's.\n\n";
}

std::string mean_in(results const& all, std::string const& name)
{
  if (name.empty()) return "0";
  return percent(mean_of(*values_of(all.arms, name)));
}

std::string claims_table(results const& all, std::string const& part, bool main)
{
  std::string out;
  for (auto const& c : all.claims) {
    if (c.part != part || c.what.main != main) continue;
    if (out.empty())
      out =
          "| claim | the paper | less | more | the difference is | mean and interval | holds |\n"
          "|---|---|---|---|---|---|---|\n";
    out += "| " + c.what.name + " | " + c.what.paper + " | " + mean_in(all, c.what.less) + " | " +
           mean_in(all, c.what.more) + " | " + formula(c.what) + " | " + points(c.found.difference);
    if (c.found.range) out += " [" + points(c.found.range->low) + ", " + points(c.found.range->high) + "]";
    out += std::string(" | ") + (c.found.holds == verdict::yes ? "yes" : "**" + word_of(c.found.holds) + "**") + " |\n";
  }
  return out;
}

std::string figures_table(results const& all, std::string const& part)
{
  std::string out = "| arm | figure | mean ± deviation | each seed |\n|---|---|---|---|\n";
  for (auto const& [name, of] : all.arms) {
    if (!belongs(name, part)) continue;
    for (auto const& [figure, values] : of.figures) {
      bool const number = is_number(figure);
      auto const text = [&](double v) { return number ? three_digits(v) : percent(v); };
      out += "| " + name + " | " + figure + " | " + text(mean_of(values));
      if (values.size() > 1) out += " ± " + text(deviation_of(values));
      out += " |";
      for (double const v : values) out += " " + text(v);
      out += " |\n";
    }
  }
  return out;
}

}  // namespace

std::string page_of(results const& all) { return page_of(all, all.parts, all.size); }

std::string page_of(results const& all, std::vector<part> const& parts, study_size const& size)
{
  std::string const seeds = listed(all.seeds);
  std::string out =
      "# Results on drawn scenes\n\n`" + all.command + "`, " + all.date + ", " + all.machine +
      ". The program wrote this page and [results.json](results.json); `./run study --check` computes every "
      "claim again from the values of the seeds.\n\n";
  if (!all.note.empty()) out += all.note + "\n\n";
  if (size.rehearsal)
    out += "**This was a rehearsal: the trainings took a few steps, and no figure means anything.**\n\n";
  out +=
      "**What was asked.** Three papers learn masks from weak labels: tags of the image (IRNet, BESTIE), points "
      "(BESTIE), "
      "or boxes (label uncertainty). Each paper says that some part of its method helps. Does this library's version "
      "of "
      "the part help, too?\n\n"
      "**What was done.** The program draws scenes with objects of several classes "
      "(`examples/trainer/data/scenes.cpp`), " +
      std::to_string(size.images) + " to learn from and " + std::to_string(size.held_out) +
      " that are held out, for each seed. Boxes learn from " + std::to_string(size.boxes_images()) +
      ". Boxes are measured on " + std::to_string(size.measured_on()) + ", BESTIE on " +
      std::to_string(size.bestie_measured_on()) +
      " held-out scenes. The networks are small. Classifiers start from random weights, the other networks from those "
      "of "
      "IRNet's classifier. Every training is an *arm*. It is repeated with seeds " +
      seeds +
      ": other scenes, other weights. Two arms of one seed see the same scenes and start from the same weights. So "
      "they "
      "are compared seed by seed.\n\n"
      "**How to read it.** Figures are percent: mIoU and IoU of pixels, AP50 of objects (the average precision where a "
      "found object must overlap a true one by half). Numbers of things and correlations are not percent. ± is the "
      "standard deviation over seeds. A claim is a difference "
      "of "
      "two figures of one seed, in points, less its margin where it has one. " +
      (all.seeds.size() < 2
           ? std::string("**One seed has no interval, so that no claim can hold.** With more seeds the ")
           : "The brackets are the 95 % interval of its mean (Student's t, " + std::to_string(all.seeds.size() - 1) +
                 (all.seeds.size() == 2 ? " degree" : " degrees") + " of freedom). The ") +
      "claim **holds** (yes) if the whole interval is above 0. It does **not** hold (no) if "
      "the "
      "whole interval is below 0. Otherwise it is **not shown**: the interval includes 0. The figures say nothing "
      "about photographs; [photographs.md](photographs.md) does.\n\n";

  out += provenance(all) + settings_of(all);

  std::string open;
  for (auto const& c : all.claims)
    if (c.what.main && c.found.holds != verdict::yes)
      open += "- " + c.part + ": " + c.what.name +
              (c.found.holds == verdict::no ? " (it does not hold)" : " (not shown)") + "\n";
  auto const counted = [&](std::string const& part, bool main) {  // empty: of all parts
    std::size_t among = 0, holding = 0;
    for (auto const& c : all.claims)
      if ((part.empty() || c.part == part) && c.what.main == main) ++among, holding += c.found.holds == verdict::yes;
    return std::to_string(holding) + " of " + std::to_string(among);
  };
  auto const further = static_cast<std::size_t>(
      std::count_if(all.claims.begin(), all.claims.end(), [](auto const& c) { return !c.what.main; }));
  out +=
      "## What holds and what does not\n\nThe *main claims* were asked for before the study: the papers' orderings, "
      "and what this project had set as its goals. " +
      (further == all.claims.size() ? "No main claim was judged" : counted("", true) + " main claims hold");
  std::string of_parts;  // those that were asked for
  for (auto const& p : parts)
    if (std::any_of(all.claims.begin(), all.claims.end(),
                    [&](auto const& c) { return c.part == p.name && c.what.main; }))
      of_parts += (of_parts.empty() ? " (" : ", ") + p.name + ": " + counted(p.name, true);
  out += of_parts + (of_parts.empty() ? "." : ").");
  if (further > 0)
    out += " *Further observations* were added while the study was made. Of them " + counted("", false) + " hold.";
  out +=
      " Where an arm makes no difference, its claim still holds by chance in one of 40 studies. So chance alone would "
      "let " +
      chance(all.claims.size() - further) + " main claims" +
      (further > 0 ? " and " + chance(further) + " further observations" : "") +
      " hold in a study in which nothing makes a difference.";
  out += (open.empty() ? "" : " Of the main claims, these do not hold, or are not shown:\n\n" + open) + "\n";
  if (!all.left_out.empty()) {
    out +=
        "\n**This is a part of the study.** These claims were left out, since not all of their arms were asked "
        "for:\n\n";
    for (auto const& name : all.left_out) out += "- " + name + "\n";
  }

  for (auto const& p : parts) {
    bool const any =
        std::any_of(all.arms.begin(), all.arms.end(), [&](auto const& a) { return belongs(a.first, p.name); });
    if (!any) continue;
    out += "\n## " + p.title + "\n\n" + p.text + "\n\n" + claims_table(all, p.name, true);
    auto const further_of_it = claims_table(all, p.name, false);
    if (!further_of_it.empty()) out += "\nFurther observations, which nobody had asked for before:\n\n" + further_of_it;
    for (auto const& c : all.claims)
      if (c.part == p.name && !c.what.remark.empty()) out += "\nAbout \"" + c.what.name + "\": " + c.what.remark + "\n";
    out += "\n### All figures: " + p.name + "\n\n" + figures_table(all, p.name);
  }

  out += "\n## Cost\n\n";
  if (all.seconds() == 0) return out + "The times of this run were not kept.\n";
  out +=
      "Each arm has one thread, so that its figures do not hang on how many run at a time. All arms and seeds together "
      "took " +
      core_minutes(all.seconds()) + " minutes of one core (" + core_minutes(all.processor_seconds()) +
      " of processor time), " + std::to_string(all.at_once) + " at a time.";
  if (all.run_seconds > 0) out += " The whole run took " + core_minutes(all.run_seconds) + " minutes.";
  out += "\n\n| part | arms | minutes of a core a seed |\n|---|---|---|\n";
  for (auto const& p : parts) {
    std::size_t count = 0;
    double seconds = 0;
    for (auto const& [name, of] : all.arms)
      if (belongs(name, p.name)) {
        ++count;
        seconds += std::accumulate(of.seconds.begin(), of.seconds.end(), 0.0);
      }
    if (count == 0) continue;
    out += "| " + p.name + " | " + std::to_string(count) + " | " +
           formatted("%.1f", seconds / 60 / static_cast<double>(all.seeds.size())) + " |\n";
  }
  return out;
}

}  // namespace trainer::study
