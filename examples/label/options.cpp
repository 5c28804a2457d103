#include "options.hpp"

#include <cambium/core/error.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <sstream>
#include <type_traits>

namespace labelling {

namespace {

std::string with_underscores(std::string text)
{
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

/// "exp_times" of "--exp-times,--exp_times"
std::string key_of(option const& row)
{
  std::string const name = row.name();
  return with_underscores(name.substr(name.find_first_not_of('-')));
}

/// A check of one value; the complaint stands around the word. CLI::Range lets pass NaN and what is no number.
template <class T, class Holds>
check value_that(Holds const& holds, std::string const& before, std::string const& after, std::string const& what)
{
  auto const error_in = [holds, before, after](std::string const& text) {
    T v{};
    return CLI::detail::lexical_cast(text, v) && holds(v) ? "" : before + text + after;
  };
  return std::make_shared<CLI::Validator>(error_in, what);
}

/// What the usage calls a program: its name, or what a caller such as `python -m pycambium label` runs it as.
std::string name_in_help(std::string const& name, std::string const& called)
{
  return called.ends_with(" " + name) && called.find('/') == std::string::npos ? called : name;
}

template <class Each>
void for_each_option(option_table const& table, Each const& each)
{
  for (auto const& group : table)
    for (auto const& row : group.rows) each(group, row);
}

}  // namespace

std::string both(std::string const& name)
{
  std::string const other = with_underscores(name);
  return "--" + name + (other == name ? "" : ",--" + other);
}

check positive()
{
  return value_that<double>([](double v) { return v > 0; }, "", " is not a positive number", "POSITIVE");
}
check odd()
{
  auto const holds = [](long long v) { return v > 0 && v % 2 == 1; };
  return value_that<long long>(holds, "", " is not a positive odd number", "ODD");
}
check within(double low, double high)
{
  std::ostringstream range;
  range << '[' << low << " - " << high << ']';
  auto const holds = [low, high](double v) { return v >= low && v <= high; };
  return value_that<double>(holds, "Value ", " not in range " + range.str(), "FLOAT in " + range.str());
}
check whole(std::int64_t low, std::int64_t high) { return std::make_shared<CLI::Range>(low, high); }
check one_of(std::vector<std::string> const& words) { return std::make_shared<CLI::IsMember>(words); }
check true_or_false()
{
  return value_that<bool>([](bool) { return true; }, "", " is neither true nor false", "");
}
check has_id()
{
  auto const holds = [](std::string const& path) { return path.find("{id}") != std::string::npos; };
  return value_that<std::string>(holds, "a template must contain {id}: ", "", "TEMPLATE");
}

check has_id_or_is_tar()
{
  auto const holds = [](std::string const& path) {
    return path.find("{id}") != std::string::npos || path.ends_with(".tar");
  };
  return value_that<std::string>(holds, "a template must contain {id}, or end in .tar: ", "", "TEMPLATE|SHARDS");
}

std::vector<option> tag_options(std::string const& flag, std::string& tags, tag_numbers& how, std::string const& text)
{
  auto const unrecorded = option_is::unrecorded;
  return {{flag, &tags, {}, "lines '<id> <class> <class> ...', 1..C: " + text},
          {"--zero-based", &how.zero_based, {}, "classes in " + flag + " count from 0", unrecorded},
          {"--tags-are-classes",
           &how.classes,
           {},
           "numbers 1 in " + flag + " are classes, though they look like the flags of VOC's ImageSets/Main",
           unrecorded}};
}

bool knows(option_table const& table, std::string const& flag)
{
  bool known = false;
  for_each_option(table, [&](auto const&, option const& row) {
    known = known || ("," + row.flags + ",").find("," + flag + ",") != std::string::npos;
  });
  return known;
}

json recorded(option_table const& table, unsigned mode)
{
  json out = json::object();
  auto const value_of = [](auto const& to) -> json {
    if constexpr (std::is_invocable_v<decltype(to)>)
      return to();
    else if constexpr (std::is_same_v<decltype(to), choice const&>)
      return to.words[to.get()];
    else if constexpr (std::is_same_v<decltype(to), std::string* const&>)
      return nullptr;
    else
      return *to;
  };
  for_each_option(table, [&](option_group const& group, option const& row) {
    if ((group.modes & mode) == 0 || row.kind == option_is::unrecorded) return;
    json value = row.recorded ? row.recorded() : std::visit(value_of, row.to);
    if (!value.is_null()) out[key_of(row)] = std::move(value);
  });
  return out;
}

void restore(option_table const& table, json const& parameters)
{
  for_each_option(table, [&](auto const&, option const& row) {
    auto const set = [&](auto const& to) {
      if constexpr (std::is_same_v<decltype(to), choice const&>) {
        auto const at = std::find(to.words.begin(), to.words.end(), parameters.at(key_of(row)));
        if (at == to.words.end()) throw cambium::io_error("manifest.json: unknown word for " + key_of(row));
        to.set(static_cast<std::size_t>(at - to.words.begin()));
      } else if constexpr (!std::is_invocable_v<decltype(to)> && !std::is_same_v<decltype(to), std::string* const&>) {
        if (row.kind != option_is::unrecorded) parameters.at(key_of(row)).get_to(*to);
      }
    };
    std::visit(set, row.to);
  });
}

std::optional<int> parse(program_words const& words, option_table const& table, int count, char const* const* arguments,
                         std::set<std::string>* given)
{
  CLI::App app(words.description, name_in_help(words.name, count > 0 ? arguments[0] : ""));
  app.footer(words.footer);
  app.option_defaults()->always_capture_default();
  for_each_option(table, [&](option_group const& group, option const& row) {
    auto const add = [&](auto const& to) -> CLI::Option* {
      if constexpr (std::is_invocable_v<decltype(to)>) {
        return nullptr;
      } else if constexpr (std::is_same_v<decltype(to), choice const&>) {
        auto const set = [&to](std::string const& word) {
          to.set(static_cast<std::size_t>(std::find(to.words.begin(), to.words.end(), word) - to.words.begin()));
        };
        return app.add_option_function<std::string>(row.flags, set, row.help)
            ->check(CLI::IsMember(to.words))
            ->default_str(to.words[to.get()]);
      } else {
        if constexpr (std::is_same_v<decltype(to), bool* const&>)
          if (!row.valid) return app.add_flag(row.flags, *to, row.help)->disable_flag_override();
        return app.add_option(row.flags, *to, row.help);
      }
    };
    auto* const flag = std::visit(add, row.to);
    if (flag == nullptr) return;
    if (row.valid) flag->check(*row.valid);
    if (!group.heading.empty()) flag->group(group.heading);
    flag->required(row.kind == option_is::required);
  });
  try {
    app.parse(count, arguments);
  } catch (CLI::ParseError const& e) {
    if (e.get_exit_code() != 0) throw usage_error(e.what());
    return app.exit(e, std::cout, std::cerr);  // --help
  }
  for_each_option(table, [&](auto const&, option const& row) {
    if (auto const* const number = std::get_if<double*>(&row.to); number != nullptr && !std::isfinite(**number))
      throw usage_error(row.name() + ": a number on the command line is not finite");
    auto const* const flag = given == nullptr ? nullptr : app.get_option_no_throw(row.name());
    if (flag != nullptr && flag->count() > 0) given->insert(row.name());
  });
  return std::nullopt;
}

int run_program(std::string const& name, std::function<int()> const& run)
try {
  return run();
} catch (std::exception const& e) {
  std::cerr << name << ": " << e.what() << "\nRun with --help for more information.\n";
  return 2;
}

}  // namespace labelling
