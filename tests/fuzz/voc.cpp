#include "target.hpp"

#include <cambium/io/voc.hpp>

using namespace cambium;

void one_input(bytes const& file)
{
  auto const annotation = parse_voc_annotation(file, "voc");
  must(annotation.height >= 1 && annotation.width >= 1, "a sound size");
  for (auto const& o : annotation.objects)
    must(!o.name.empty() && 0 <= o.bounds.top && o.bounds.top < o.bounds.bottom &&
             o.bounds.bottom <= annotation.height && 0 <= o.bounds.left && o.bounds.left < o.bounds.right &&
             o.bounds.right <= annotation.width,
         "boxes inside the image");
}
