// says: cambium has no (loops for this policy|device memory) in this translation unit.*include <cambium/exec/gpu\.cuh>
#include <cambium/affinity/make_transition.hpp>

#include "device_only.hpp"

using namespace cambium;

int main()
{
  stack_view<float, device> const affinity;
  static_cast<void>(make_transition(device_only{}, stencil::disc(2), affinity));
}
