#include "study/runner.hpp"

#include "study/jobs.hpp"
#include "study/lock.hpp"
#include "study/store.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>

namespace trainer::study {

namespace {

std::string named(place const& at) { return at.arm + ", seed " + std::to_string(at.seed); }

/// The last line with anything in it.
std::string last_line(std::filesystem::path const& file)
{
  std::ifstream in(file);
  std::string out;
  for (std::string line; std::getline(in, line);)
    if (line.find_first_not_of(" \t\r") != std::string::npos) out = line;
  auto const returned = out.rfind('\r');  // of a bar
  return returned == std::string::npos ? out : out.substr(returned + 1);
}

std::string minutes(double seconds)
{
  char text[40];
  std::snprintf(text, sizeof text, seconds < 100 ? "%.0f s" : "%.0f min", seconds < 100 ? seconds : seconds / 60);
  return text;
}

}  // namespace

std::string shown(std::string const& figure, double value)
{
  char text[40];
  if (is_number(figure))
    std::snprintf(text, sizeof text, "%.4g", value);
  else
    std::snprintf(text, sizeof text, "%.1f %%", 100 * value);
  return text;
}

run_report run_arms(std::vector<arm> const& arms, std::vector<std::string> const& names, run_options const& options)
{
  auto const line = [&](std::string const& text) {
    std::fprintf(options.screen, "%s\n", text.c_str());
    std::fflush(options.screen);
  };
  folder_lock const alone(options.work);
  auto const chain = with_needs(arms, names);
  run_report out;
  std::vector<job> jobs;
  std::vector<place> places;
  std::set<std::string> builds;                              // that measured what is known
  std::map<std::string, std::pair<double, double>> seconds;  // of an arm's name: their sum, how many seeds
  for (auto const seed : options.seeds)
    for (auto const& name : chain) {
      place const at = place_of(options.work, name, seed);
      std::string complaint;
      if (auto const is = known(arms, at, &complaint)) {
        ++out.known;
        if (!is->program.empty()) builds.insert(is->program);
        if (is->seconds > 0) seconds[name].first += is->seconds, seconds[name].second += 1;
        continue;
      }
      if (!complaint.empty()) line(complaint);
      auto log = file_of(at);
      job next{named(at), options.command(at), log.replace_extension(".log")};
      for (std::size_t i = 0; i < jobs.size(); ++i) {
        auto const& needs = arm_of(arms, name).needs;
        if (places[i].seed == seed && std::find(needs.begin(), needs.end(), places[i].arm) != needs.end())
          next.after.push_back(i);
      }
      jobs.push_back(std::move(next));
      places.push_back(at);
    }
  if (auto const others = builds.size() - builds.count(build_of_program()); others > 0)
    line("some arms that are known were measured by " + std::to_string(others) + " other build" +
         (others > 1 ? "s" : "") + " of the program, with today's recipes");
  line(std::to_string(chain.size()) + " arms, " + std::to_string(options.seeds.size()) +
       " seeds: " + std::to_string(out.known) + " are known, " + std::to_string(jobs.size()) + " are to be measured, " +
       std::to_string(options.at_once) + " at a time");

  // how long the rest takes: each arm as in other seeds, an arm that is not known as long as the mean of all
  std::vector<bool> over(jobs.size());
  auto const rest = [&] {
    double sum = 0, n = 0, all = 0;
    for (auto const& [name, of] : seconds) sum += of.first, n += of.second;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (over[i]) continue;
      auto const of = seconds.find(places[i].arm);
      all += of != seconds.end() ? of->second.first / of->second.second : n > 0 ? sum / n : 0;
    }
    return all / static_cast<double>(options.at_once);
  };
  auto const began = std::chrono::steady_clock::now();
  out.signal = run_jobs(
      jobs, options.at_once,
      [&](job_end const& e) {
        over[e.job] = true;
        place const& at = places[e.job];
        auto const left = static_cast<std::size_t>(std::count(over.begin(), over.end(), false));
        std::string text = named(at) + ":", failure = e.failure, complaint;
        auto const is = failure.empty() ? known(arms, at, &complaint) : std::nullopt;
        if (failure.empty() && !is) failure = "has left no figures" + (complaint.empty() ? "" : ": " + complaint);
        if (is) {
          ++out.measured;
          seconds[at.arm].first += e.seconds, seconds[at.arm].second += 1;
          for (auto const& [name, value] : is->found) text += " " + name + " " + shown(name, value) + ",";
        } else {
          auto const said = e.seconds > 0 ? last_line(jobs[e.job].log) : "";
          if (!said.empty()) failure += ": " + said + " (" + jobs[e.job].log.string() + ")";
          out.failed.push_back(named(at) + ": " + failure);
          text += " FAILED: " + failure + ",";
        }
        text += " " + minutes(e.seconds) + "; " + std::to_string(left) + " left";
        if (left > 0 && rest() > 0) text += ", about " + minutes(rest());
        line(text);
      },
      [&](job_late const& j) {
        auto const of = seconds.find(places[j.job].arm);
        if (of == seconds.end() || j.seconds < 3 * of->second.first / of->second.second || j.seconds < 60) return false;
        line(named(places[j.job]) + ": still at work after " + minutes(j.seconds) +
             ", more than 3 times as long as in other seeds");
        return true;
      });
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

std::map<std::string, arm_results> gathered(std::vector<arm> const& arms, std::vector<std::string> const& names,
                                            run_options const& options, std::vector<std::string>& missing)
{
  std::map<std::string, arm_results> out;
  for (auto const& name : with_needs(arms, names)) {
    auto& of = out[name];
    of.recipe = arm_of(arms, name).recipe;
    for (auto const seed : options.seeds) {
      place const at = place_of(options.work, name, seed);
      auto const is = known(arms, at, nullptr);
      if (!is) {
        missing.push_back(named(at));
        continue;
      }
      for (auto const& [figure, value] : is->found) of.figures[figure].push_back(value);
      of.seconds.push_back(is->seconds);
      of.processor_seconds.push_back(is->processor_seconds);
      if (!is->date.empty()) of.dates.insert(is->date);
      if (!is->machine.empty()) of.machines.insert(is->machine);
      if (!is->program.empty()) of.programs.insert(is->program);
    }
    for (auto const& [figure, values] : of.figures)
      if (missing.empty())
        cambium::expects(values.size() == options.seeds.size(), "study: ", name, ": figure ", figure, " has ",
                         values.size(), " seeds of ", options.seeds.size());
  }
  return out;
}

}  // namespace trainer::study
