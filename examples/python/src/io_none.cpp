// Stands for io.cpp where cambium::io is not found: every function says what is missing.

#include "bindings.hpp"

#include <stdexcept>
#include <string>

namespace bindings {

void bind_io(nb::module_& m)
{
  for (char const* const name :
       {"read_coco", "write_coco", "read_coco_results", "write_coco_results", "read_label_map", "read_instance_map",
        "write_label_map", "write_instance_map", "voc_palette", "read_photograph", "write_photograph", "voc_class",
        "voc_name", "read_voc_list", "read_voc_annotation", "read_voc_segmentation", "write_voc_segmentation"})
    m.def(
        name,
        [name](nb::args const&, nb::kwargs const&) {
          throw std::runtime_error(std::string(name) + ": this pycambium was built without " CAMBIUM_MISSING
                                                       "; install the development files and pycambium again");
        },
        nb::sig((std::string("def ") + name + "(*args: Any, **kwargs: Any) -> Any").c_str()),
        "Not built: packages were missing.");
}

}  // namespace bindings
