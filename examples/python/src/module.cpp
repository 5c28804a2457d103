// pycambium._cambium: the library's functions with NumPy arrays in and out.

#include "bindings.hpp"

#include <nanobind/stl/string.h>

#include <memory>
#include <mutex>
#include <string>

namespace bindings {

namespace {

cambium::isa widest = cambium::isa::avx512;

}  // namespace

cambium::cpu policy(int threads, char const* who)
{
  cambium::expects(0 <= threads && threads <= 1024, who, ": threads is ", threads, "; expected 0 (all cores) to 1024");
  return {.threads = threads, .vectors = widest, .stop = cambium::python_interrupts};
}

cambium::stencil const& disc(int radius)
{
  using cambium::stencil;
  static std::mutex making;
  static std::unique_ptr<stencil const> made[stencil::largest_radius + 1];
  std::lock_guard const one(making);
  auto& here = made[1 <= radius && radius <= stencil::largest_radius ? radius : 0];  // 0: stencil::disc refuses it
  if (!here) here = std::make_unique<stencil const>(stencil::disc(radius));
  return *here;
}

}  // namespace bindings

NB_MODULE(_cambium, m)
{
  using namespace bindings;
  cambium::translate_errors();
  nb::set_leak_warnings(false);  // a thread that lives when Python ends keeps objects, and is no fault
  m.attr("__version__") = CAMBIUM_VERSION;
  m.def(
      "set_vectors",
      [](std::string const& name) {
        cambium::expects(name == "baseline" || name == "avx2" || name == "avx512", "set_vectors: name is '", name,
                         "'; expected 'baseline', 'avx2' or 'avx512'");
        widest = name == "baseline" ? cambium::isa::baseline
                 : name == "avx2"   ? cambium::isa::avx2
                                    : cambium::isa::avx512;
      },
      nb::arg("name"), nb::sig("def set_vectors(name: Literal['baseline', 'avx2', 'avx512']) -> None"),
      "Limit the vector instructions of all later calls.\n\nThe processor's widest set is found at run time. A "
      "narrower "
      "one gives the bits of an older machine.");
  bind_activation(m);
  bind_attention(m);
  bind_bestie(m);
  bind_boxes(m);
  bind_cc3d(m);
  bind_coco(m);
  bind_component(m);
  bind_crf(m);
  bind_cut(m);
  bind_displacement(m);
  bind_geodesic(m);
  bind_graph_cut(m);
  bind_instance(m);
  bind_io(m);
  bind_loss(m);
  bind_loss_boxes(m);
  bind_metric(m);
  bind_metric_ap(m);
  bind_pipeline_irnet(m);
  bind_pixel_adaptive(m);
  bind_point_files(m);
  bind_proposal(m);
  bind_results(m);
  bind_rle(m);
  bind_tree(m);
  bind_walk(m);
}
