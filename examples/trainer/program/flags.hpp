#pragma once
// Kinds of flags that cams and boundaries share.

#include <CLI/CLI.hpp>

#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace trainer {

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

/// A flag without a value.
inline CLI::Option* add_switch(CLI::App& parser, std::string const& name, bool& to, std::string const& text)
{
  return parser.add_flag(name, to, text)->disable_flag_override();
}

/// Parses a program's command line and runs the program. Errors go to stderr, with a hint at --help.
/// @return the result of run(); 0 after --help, 2 if the command line or run() fails
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

}  // namespace trainer
