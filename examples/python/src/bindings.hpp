#pragma once
// Shared by the bindings: one function a room, and how a call becomes one of the library.

#include <cambium/interop/nanobind.hpp>

#include <cambium/grid/stencil.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bindings {

namespace nb = nanobind;

/// The policy of a call from Python. Control-C ends the call.
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

/// Call body<I>() with the integer type of an array of labels: uint8 (and bool), int64, else int32.
template <class Body>
auto with_label_type(cambium::array_argument const& given, Body const& body)
{
  if (given.holds<std::uint8_t>() || given.holds<bool>()) return body.template operator()<std::uint8_t>();
  return given.holds<std::int64_t>() ? body.template operator()<std::int64_t>()
                                     : body.template operator()<std::int32_t>();
}

/// Call body(predicted, truth) with two label maps, each of its own integer type.
template <class Body>
auto with_label_maps(std::string const& who, nb::handle predicted, nb::handle truth, bool copy, Body const& body)
{
  cambium::array_argument p(predicted, who + ": predicted", copy), t(truth, who + ": truth", copy);
  return with_label_type(p, [&]<class Q>() {
    auto const have = p.cells<Q, 2>();
    return with_label_type(t, [&]<class G>() { return body(have, t.cells<G, 2>()); });
  });
}

/// Move a list into a NumPy array of a shape. Nothing is copied. The array owns the cells.
template <class T>
nanobind::object into_array(std::vector<T>&& from, std::initializer_list<std::size_t> shape)
{
  auto* const kept = new std::vector<T>(std::move(from));
  nb::capsule const owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(kept->data(), shape.size(), std::data(shape), owner));
}
template <class T>
nanobind::object into_array(std::vector<T>&& from)
{
  std::size_t const size = from.size();
  return into_array(std::move(from), {size});
}

/// "float32 (2, 3)": what __repr__ says of an array.
inline std::string text_of(nanobind::handle array)
{
  return cambium::text_of_attribute(array, "dtype") + " " + cambium::text_of_attribute(array, "shape");
}

/// stencil::disc(radius), made once.
cambium::stencil const& disc(int radius);

/// An array argument. None is refused by array_argument, which names it.
inline auto array(char const* name) { return nb::arg(name).none(); }

void bind_activation(nb::module_& m);
void bind_attention(nb::module_& m);
void bind_bestie(nb::module_& m);
void bind_boxes(nb::module_& m);
void bind_cc3d(nb::module_& m);
void bind_coco(nb::module_& m);
void bind_component(nb::module_& m);
void bind_crf(nb::module_& m);
void bind_cut(nb::module_& m);
void bind_displacement(nb::module_& m);
void bind_geodesic(nb::module_& m);
void bind_graph_cut(nb::module_& m);
void bind_instance(nb::module_& m);
void bind_io(nb::module_& m);
void bind_loss(nb::module_& m);
void bind_loss_boxes(nb::module_& m);
void bind_metric(nb::module_& m);
void bind_metric_ap(nb::module_& m);
void bind_pipeline_irnet(nb::module_& m);
void bind_pixel_adaptive(nb::module_& m);
void bind_point_files(nb::module_& m);
void bind_proposal(nb::module_& m);
void bind_results(nb::module_& m);
void bind_rle(nb::module_& m);
void bind_tree(nb::module_& m);
void bind_walk(nb::module_& m);

}  // namespace bindings
