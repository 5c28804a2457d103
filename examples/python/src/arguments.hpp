#pragma once
// Arguments from Python that are no arrays: lists of integers, sizes, names of choices.

#include "bindings.hpp"

#include <cambium/grid/box.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/plateau.hpp>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

/// Integers of a list, a tuple, an array or any other iterable. `what` names the argument: "irnet: channels". A bool is
/// no integer: who passes flags for a list of classes would get the classes 0 and 1.
std::vector<std::int32_t> integers(nb::handle given, char const* what);

/// Integers none of which is there twice.
std::vector<std::int32_t> distinct_integers(nb::handle given, char const* what);

/// Flags: of a list of bools or integers, which ones are not 0.
std::vector<std::int32_t> flags(nb::handle given, char const* what);

/// The numbers of a list, an array, or another sequence, as T. Numbers that T cannot hold are refused.
template <class T>
std::vector<T> numbers_of(nanobind::handle given, char const* what);
extern template std::vector<std::int32_t> numbers_of(nanobind::handle, char const*);
extern template std::vector<std::int64_t> numbers_of(nanobind::handle, char const*);
extern template std::vector<std::uint8_t> numbers_of(nanobind::handle, char const*);
extern template std::vector<float> numbers_of(nanobind::handle, char const*);
extern template std::vector<double> numbers_of(nanobind::handle, char const*);

/// The UTF-8 of a str. One that has none, as "\ud800", is a ValueError that names the argument.
std::string utf8_of(nb::handle given, std::string const& what);

/// A size (height, width).
cambium::extent2 size_argument(nb::handle given, char const* what);

/// Throws unless a number of regions or components, from which memory is taken, is 0 to 2^24.
void expects_count(cambium::index_t count, char const* what);

/// The value that a name stands for.
///
///   auto const by = choice(given, "normalise: by", {{"largest", normalisation::largest}, ...});
template <class E>
E choice(std::string const& given, char const* what, std::initializer_list<std::pair<char const*, E>> among)
{
  std::string names;
  for (auto const& [name, value] : among) {
    if (given == name) return value;
    names += (names.empty() ? "'" : ", '") + std::string(name) + "'";
  }
  cambium::expects(false, what, " is '", given, "'; expected one of ", names);
  return among.begin()->second;
}

/// The neighbours of a cell: 4 or 8.
inline cambium::neighbourhood neighbours(int near, std::string const& who)
{
  cambium::expects(near == 4 || near == 8, who, ": near is ", near, "; expected 4 or 8");
  return near == 4 ? cambium::c4 : cambium::c8;
}

/// 'every_cell' or 'one_cell'.
inline cambium::plateau plateau_argument(std::string const& given, char const* what)
{
  using cambium::plateau;
  return choice<plateau>(given, what, {{"every_cell", plateau::every_cell}, {"one_cell", plateau::one_cell}});
}

}  // namespace bindings
