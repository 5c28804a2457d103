#pragma once
// Shared by the bindings: one function a room, and how a call becomes one of the library.

#include <cambium/interop/nanobind.hpp>

#include <cambium/grid/stencil.hpp>

#include <type_traits>
#include <utility>

namespace bindings {

namespace nb = nanobind;

/// The policy of a call from Python: `threads` = 0 is OpenMP's own choice. Control-C ends the call. In a process that was
/// forked after a call with several threads it has one.
cambium::cpu policy(int threads, char const* who);

/// Run a body without the GIL. Inputs must be converted before.
template <class Body>
auto without_gil(Body const& body)
{
  nb::gil_scoped_release const released;
  return body();
}

/// Call body<T>() with the floating type of an array: double for float64, else float.
template <class Body>
auto with_float_type(cambium::array_argument const& given, Body const& body)
{
  return given.holds<double>() ? body.template operator()<double>() : body.template operator()<float>();
}

/// stencil::disc(radius), made once.
cambium::stencil const& disc(int radius);

/// An array argument. None is refused by array_argument, which names it.
inline auto array(char const* name) { return nb::arg(name).none(); }

void bind_activation(nb::module_& m);
void bind_crf(nb::module_& m);
void bind_displacement(nb::module_& m);
void bind_pipeline_irnet(nb::module_& m);
void bind_results(nb::module_& m);
void bind_walk(nb::module_& m);

}  // namespace bindings
