#pragma once
// Kinds of flags that the programs share.

#include "image_set.hpp"
#include "settings.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace labelling {

/// --exp-times and the original's --exp_times.
inline std::string both(std::string const& name)
{
  std::string other = name;
  for (char& c : other)
    if (c == '-') c = '_';
  return other == name ? "--" + name : "--" + name + ",--" + other;
}

inline CLI::Validator positive()
{
  return {[](std::string const& text) {
            double v = 0;
            return CLI::detail::lexical_cast(text, v) && v > 0 ? std::string{} : text + " is not a positive number";
          },
          "POSITIVE"};
}

/// CLI::Range lets what is no number pass.
inline CLI::Validator within(double low, double high)
{
  std::ostringstream range;
  range << '[' << low << " - " << high << ']';
  return {[low, high, words = range.str()](std::string const& text) {
            double v = 0;
            return CLI::detail::lexical_cast(text, v) && v >= low && v <= high
                       ? std::string{}
                       : "Value " + text + " not in range " + words;
          },
          "FLOAT in " + range.str()};
}

inline CLI::Validator odd()
{
  return {[](std::string const& text) {
            long long v = 0;
            return CLI::detail::lexical_cast(text, v) && v > 0 && v % 2 == 1 ? std::string{}
                                                                             : text + " is not a positive odd number";
          },
          "ODD"};
}

/// A path with {id} in it.
inline CLI::Option* add_template(CLI::App& parser, std::string const& name, std::string& to, std::string const& text)
{
  return parser.add_option(name, to, text)
      ->capture_default_str()
      ->type_name("TEMPLATE")
      ->check([](std::string const& value) {
        return value.find("{id}") != std::string::npos ? std::string{} : "a template must contain {id}: " + value;
      });
}

/// One of some words, in the order of an enumeration.
template <class Enum>
CLI::Option* add_choice(CLI::App& parser, std::string const& name, Enum& to, std::vector<std::string> const& words,
                        std::string const& text)
{
  auto const choose = [&to, &words](std::string const& word) {
    to = static_cast<Enum>(std::find(words.begin(), words.end(), word) - words.begin());
  };
  return parser.add_option_function<std::string>(name, choose, text)
      ->check(CLI::IsMember(words))
      ->default_str(words[static_cast<std::size_t>(to)]);
}

/// A switch: without a value.
inline CLI::Option* add_switch(CLI::App& parser, std::string const& name, bool& to, std::string const& text)
{
  return parser.add_flag(name, to, text)->disable_flag_override();
}

inline void add_tags(CLI::App& parser, std::string& tags, tag_numbers& how, std::string const& text)
{
  parser.add_option("--tags", tags, "lines '<id> <class> <class> ...', 1..C: " + text);
  add_switch(parser, "--zero-based", how.zero_based, "classes in the tags file count from 0");
  add_switch(parser, "--tags-are-classes", how.classes,
             "numbers 1 in the tags file are classes, though they look like the flags of VOC's ImageSets/Main");
}

/// Parse a program's command line and run it. What cannot be is said on stderr, with where help is.
/// @return what run() returns; 0 after --help, 2 where the command line or run() refuses
template <class Run>
int run_program(CLI::App& parser, int count, char const* const* arguments, Run const& run)
{
  try {
    parser.parse(count, arguments);
    return run();
  } catch (CLI::ParseError const& e) {
    return parser.exit(e, std::cout, std::cerr) == 0 ? 0 : 2;
  } catch (std::exception const& e) {
    std::cerr << parser.get_name() << ": " << e.what() << "\nRun with --help for more information.\n";
    return 2;
  }
}

}  // namespace labelling
