// says: cambium has no loops for this policy in this translation unit.*include <cambium/exec/gpu\.cuh>
#include <cambium/affinity/path_affinity.hpp>

#include "device_only.hpp"

using namespace cambium;

int main()
{
  image_view<float, device> const boundary;
  path_affinity_into(device_only{}, boundary, stencil::disc(2), stack_view<float, device>{});
}
