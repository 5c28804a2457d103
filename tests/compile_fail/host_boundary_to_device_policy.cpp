// says: reaches_v<.*cambium::host.*evaluated to .*false
#include <cambium/affinity/path_affinity.hpp>

#include "device_only.hpp"

using namespace cambium;

int main()
{
  grid<float, 2> const boundary(4, 5);
  static_cast<void>(path_affinity(device_only{}, boundary, stencil::disc(2)));
}
