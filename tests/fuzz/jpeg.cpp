#include "target.hpp"

#include <cambium/io/jpeg.hpp>

using namespace cambium;

void one_input(bytes const& file)
{
  auto const image = parse_jpeg(file, "jpeg");
  must(image.shape()[0] >= 1 && image.shape()[1] >= 1 && image.shape()[2] == 3, "a sound size");
}
