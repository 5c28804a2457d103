// says: make_transition has no backend for this policy.*include <cambium/affinity/make_transition\.cuh>
#include <cambium/affinity/make_transition.hpp>

#include "device_only.hpp"

using namespace cambium;

int main()
{
  stack_view<float, device> const affinity;
  static_cast<void>(make_transition(device_only{}, stencil::disc(2), affinity));
}
