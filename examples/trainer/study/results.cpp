#include "study/results.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

namespace trainer::study {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

double sum(std::map<std::string, arm_results> const& arms, std::vector<double> arm_results::* list)
{
  double out = 0;
  for (auto const& [name, of] : arms)
    for (double const v : of.*list) out += v;
  return out;
}

std::string text_of(double v)
{
  std::ostringstream out;
  out.precision(12);
  out << v;
  return out.str();
}

/// Stored as decimals; what is recomputed may differ by rounding.
bool same(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max({1.0, std::abs(a), std::abs(b)}); }

/// The faults of one claim.
void check_claim(json const& stored, std::map<std::string, arm_results> const& arms, std::size_t seeds,
                 std::vector<std::string>& faults)
{
  claim const c{.name = stored.at("name").get<std::string>(),
                .paper = stored.at("paper").get<std::string>(),
                .less = stored.at("less").get<std::string>(),
                .more = stored.at("more").get<std::string>(),
                .factor = stored.at("factor").get<double>(),
                .margin = stored.at("margin").get<double>()};
  auto const fault = [&](std::string const& what) { faults.push_back("claim \"" + c.name + "\": " + what); };
  std::string const word = stored.at("holds").get<std::string>();
  auto const& range = stored.at("interval");
  if (word == "yes" && (!range.is_array() || !(range.at(0).get<double>() > 0)))
    fault("is said to hold, but its interval " + range.dump() + " is not above 0");

  std::vector<double> const none;
  auto const values = [&](std::string const& name) -> std::vector<double> const* {
    if (name.empty()) return &none;
    auto const* const found = values_of(arms, name);
    if (found == nullptr)
      fault("there is no figure " + name);
    else if (found->size() != seeds)
      fault(name + " has " + std::to_string(found->size()) + " values for " + std::to_string(seeds) + " seeds");
    else
      return found;
    return nullptr;
  };
  auto const* const less = values(c.less);
  auto const* const more = values(c.more);
  if (less == nullptr || more == nullptr) return;
  auto const is = judge(c, *less, *more);
  auto const compare = [&](char const* what, double says, double value) {
    if (!same(says, value))
      fault(std::string("its ") + what + " is said to be " + text_of(says) + "; the values give " + text_of(value));
  };
  auto const differences = stored.at("differences").get<std::vector<double>>();
  if (differences.size() != is.differences.size())
    fault("has " + std::to_string(differences.size()) + " differences for " + std::to_string(seeds) + " seeds");
  else
    for (std::size_t s = 0; s < differences.size(); ++s)
      compare("difference of a seed", differences[s], is.differences[s]);
  compare("difference", stored.at("difference").get<double>(), is.difference);
  if (is.range.has_value() != range.is_array()) {
    fault(std::string("its interval is ") + range.dump() +
          (is.range ? "; the values give one" : "; one seed gives none"));
  } else if (is.range) {
    compare("interval's lower end", range.at(0).get<double>(), is.range->low);
    compare("interval's upper end", range.at(1).get<double>(), is.range->high);
  }
  if (word != word_of(is.holds)) fault("is said to hold: " + word + "; the values say: " + word_of(is.holds));
}

}  // namespace

double results::seconds() const { return sum(arms, &arm_results::seconds); }
double results::processor_seconds() const { return sum(arms, &arm_results::processor_seconds); }

bool is_number(std::string const& figure)
{
  return figure.rfind("count_", 0) == 0 || figure.rfind("peaks_an_object", 0) == 0 || figure == "sigma_spearman";
}

bool belongs(std::string const& arm, std::string const& part) { return arm == part || arm.rfind(part + "/", 0) == 0; }

std::vector<double> const* values_of(std::map<std::string, arm_results> const& arms, std::string const& name)
{
  auto const colon = name.find(':');
  if (colon == std::string::npos) return nullptr;
  auto const of = arms.find(name.substr(0, colon));
  if (of == arms.end()) return nullptr;
  auto const figure = of->second.figures.find(name.substr(colon + 1));
  return figure == of->second.figures.end() ? nullptr : &figure->second;
}

namespace {

/// Whether the arm of "ARM:FIGURE" was asked for. @throws cambium::precondition_error: it was, and has no such figure
bool measured_for(results const& all, claim const& c, std::string const& figure)
{
  auto const colon = figure.find(':');
  if (all.arms.find(figure.substr(0, colon)) == all.arms.end()) return false;
  cambium::expects(values_of(all.arms, figure) != nullptr, "study: claim \"", c.name, "\": arm ",
                   figure.substr(0, colon), " has no figure ",
                   colon == std::string::npos ? std::string() : figure.substr(colon + 1));
  return true;
}

}  // namespace

std::vector<std::string> judge_into(results& all, std::string const& part, std::vector<claim> const& claims)
{
  std::vector<std::string> left_out;
  std::vector<double> const none;
  for (auto const& c : claims) {
    for (auto const& other : all.claims)
      cambium::expects(other.what.name != c.name, "study: there are two claims \"", c.name, "\"");
    bool const more = measured_for(all, c, c.more), less = c.less.empty() || measured_for(all, c, c.less);
    if (less && more)
      all.claims.push_back(
          {c, part, judge(c, c.less.empty() ? none : *values_of(all.arms, c.less), *values_of(all.arms, c.more))});
    else
      left_out.push_back(c.name);
  }
  return left_out;
}

namespace {

/// What a claim compares.
ordered_json form_of(std::string const& part, claim const& c)
{
  return {{"part", part},   {"name", c.name},     {"paper", c.paper},   {"less", c.less},
          {"more", c.more}, {"factor", c.factor}, {"margin", c.margin}, {"main", c.main}};
}

}  // namespace

ordered_json claims_of(std::vector<part> const& parts)
{
  auto out = ordered_json::array();
  for (auto const& p : parts)
    for (auto const& c : p.claims) out.push_back(form_of(p.name, c));
  return out;
}

results results_of(json const& from)
{
  results out;
  out.command = from.at("command").get<std::string>();
  out.date = from.at("date").get<std::string>();
  out.machine = from.at("machine").get<std::string>();
  out.note = from.at("note").get<std::string>();
  out.seeds = from.at("seeds").get<std::vector<std::uint64_t>>();
  for (auto const& c : from.at("chosen_on"))
    out.chosen_on.push_back({c.at("what").get<std::string>(), c.at("seeds").get<std::vector<std::uint64_t>>(),
                             c.at("how").get<std::string>()});
  out.at_once = from.at("jobs").get<std::size_t>();
  out.run_seconds = from.at("run_seconds").get<double>();
  out.size = {from.at("size").at("images").get<std::size_t>(), from.at("size").at("held_out").get<std::size_t>(),
              from.at("size").at("rehearsal").get<bool>()};
  for (auto const& p : from.at("parts"))
    out.parts.push_back({.name = p.at("name").get<std::string>(),
                         .title = p.at("title").get<std::string>(),
                         .text = p.at("text").get<std::string>()});
  out.left_out = from.at("left_out").get<std::vector<std::string>>();
  for (auto const& [name, of] : from.at("arms").items()) {
    auto& a = out.arms[name];
    a.recipe = of.at("recipe").get<std::string>();
    a.figures = of.at("figures").get<decltype(a.figures)>();
    a.seconds = of.at("seconds").get<std::vector<double>>();
    a.processor_seconds = of.at("processor_seconds").get<std::vector<double>>();
    a.dates = of.at("dates").get<std::set<std::string>>();
    a.machines = of.at("machines").get<std::set<std::string>>();
    a.programs = of.at("programs").get<std::set<std::string>>();
  }
  for (auto const& c : from.at("claims"))
    (void)judge_into(out, c.at("part").get<std::string>(),
                     {{.name = c.at("name").get<std::string>(),
                       .paper = c.at("paper").get<std::string>(),
                       .less = c.at("less").get<std::string>(),
                       .more = c.at("more").get<std::string>(),
                       .factor = c.at("factor").get<double>(),
                       .margin = c.at("margin").get<double>(),
                       .remark = c.at("remark").get<std::string>(),
                       .main = c.at("main").get<bool>()}});
  return out;
}

ordered_json json_of(results const& all)
{
  ordered_json out{
      {"command", all.command},
      {"date", all.date},
      {"machine", all.machine},
      {"note", all.note},
      {"seeds", all.seeds},
      {"chosen_on", ordered_json::array()},
      {"jobs", all.at_once},
      {"seconds", all.seconds()},
      {"processor_seconds", all.processor_seconds()},
      {"run_seconds", all.run_seconds},
      {"size", {{"images", all.size.images}, {"held_out", all.size.held_out}, {"rehearsal", all.size.rehearsal}}},
      {"parts", ordered_json::array()},
      {"left_out", all.left_out},
      {"arms", ordered_json::object()},
      {"claims", ordered_json::array()}};
  for (auto const& c : all.chosen_on)
    out["chosen_on"].push_back(ordered_json{{"what", c.what}, {"seeds", c.seeds}, {"how", c.how}});
  for (auto const& [name, of] : all.arms)
    out["arms"][name] = {{"recipe", of.recipe},    {"figures", of.figures},
                         {"seconds", of.seconds},  {"processor_seconds", of.processor_seconds},
                         {"dates", of.dates},      {"machines", of.machines},
                         {"programs", of.programs}};
  for (auto const& p : all.parts)
    out["parts"].push_back(ordered_json{{"name", p.name}, {"title", p.title}, {"text", p.text}});
  for (auto const& c : all.claims) {
    ordered_json const range =
        c.found.range ? ordered_json{c.found.range->low, c.found.range->high} : ordered_json(nullptr);
    auto one = form_of(c.part, c.what);
    one["remark"] = c.what.remark;
    one["differences"] = c.found.differences;
    one["difference"] = c.found.difference;
    one["interval"] = range;
    one["holds"] = word_of(c.found.holds);
    out["claims"].push_back(one);
  }
  return out;
}

std::vector<std::string> faults_of(std::string const& text)
{
  std::vector<std::string> faults;
  try {
    auto const all = json::parse(text);
    auto const seeds = all.at("seeds").get<std::vector<std::uint64_t>>();
    if (seeds.empty()) faults.push_back("there is no seed");
    if (std::set<std::uint64_t>(seeds.begin(), seeds.end()).size() != seeds.size())
      faults.push_back("a seed is there twice");
    std::map<std::string, arm_results> arms;
    for (auto const& [name, of] : all.at("arms").items()) {
      auto& arm = arms[name];
      arm.recipe = of.at("recipe").get<std::string>();
      arm.figures = of.at("figures").get<decltype(arm.figures)>();
      for (auto const& [figure, values] : arm.figures)
        if (values.size() != seeds.size())
          faults.push_back("arm " + name + ": " + figure + " has " + std::to_string(values.size()) + " values for " +
                           std::to_string(seeds.size()) + " seeds");
    }
    std::set<std::string> names;
    for (auto const& c : all.at("claims")) {
      if (!names.insert(c.at("name").get<std::string>()).second)
        faults.push_back("claim \"" + c.at("name").get<std::string>() + "\" is there twice");
      check_claim(c, arms, seeds.size(), faults);
    }
  } catch (std::exception const& e) {
    faults.push_back(std::string("the file has another form: ") + e.what());
  }
  return faults;
}

}  // namespace trainer::study
