// says: make_transition has no backend for this policy.*include <cambium/affinity/make_transition\.cuh>
#include <cambium/affinity/make_transition.hpp>

using namespace cambium;

/// Stands for gpu in a file that is not compiled by nvcc: it reaches its memory, and nobody wrote loops for it.
struct device_only {
  using memory = device;
};
template <>
inline constexpr bool cambium::reaches_v<device_only, device> = true;

int main()
{
  stack_view<float, device> const affinity;
  static_cast<void>(make_transition(device_only{}, stencil::disc(2), affinity));
}
