#pragma once
// Results that are more than one array, and the same as arguments: points, centres, instances.

#include "bindings.hpp"

#include <cambium/displacement/region_centres.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/points.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace bindings {

/// " at=(3,2)": the name and the shape of an array of a result, for __repr__.
std::string shape_text(char const* name, nb::handle array);

/// Let pickle and copy take results that are arrays and numbers, by the members in this order.
template <auto... Members, class T>
void bind_pickle(nb::class_<T>& of)
{
  of.def(
      "__getstate__", [](T const& self) { return nb::make_tuple(self.*Members...); },
      nb::sig("def __getstate__(self) -> Any"), "For pickle.");
  of.def(
      "__setstate__",
      [](T& self, nb::tuple const& state) {
        cambium::expects(state.size() == sizeof...(Members), "__setstate__: the state is of another version");
        T made{};
        std::size_t i = 0;
        ((made.*Members = nb::cast<std::remove_cvref_t<decltype(made.*Members)>>(state[i++])), ...);
        new (&self) T(std::move(made));
      },
      nb::arg("state"), nb::sig("def __setstate__(self, state: Any) -> None"), "For pickle.");
}

/// Points as Python's `Points`.
nb::object to_python(std::span<cambium::point const> points);

/// Points from a `Points`, or from an array [N,2] of (y,x). `what` names the argument.
cambium::points points_argument(nb::handle given, char const* what);

/// Throws unless the points are on a map: 0 <= y < height, 0 <= x < width. (x,y) for (y,x) is seen so.
void expects_on_map(std::span<cambium::point const> points, cambium::extent2 map, std::string const& what);

/// Centres as Python's `RegionCentres`.
nb::object to_python(cambium::region_centres<> const& centres);

/// Centres from a `RegionCentres`.
cambium::region_centres<> centres_argument(nb::handle given, char const* what);

/// Instances as Python's `Instances`.
nb::object to_python(cambium::instances<>&& objects);

/// Semantic and instance labels as Python's `ImageLabels`.
nb::object to_python(cambium::image_labels<>&& labels);

}  // namespace bindings
