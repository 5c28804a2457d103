// says: path_affinity has no backend for this policy.*include <cambium/affinity/path_affinity\.cuh>
#include <cambium/affinity/path_affinity.hpp>

using namespace cambium;

struct device_only {
  using memory = device;
};
template <>
inline constexpr bool cambium::reaches_v<device_only, device> = true;

int main()
{
  image_view<float, device> const boundary;
  stack_view<float, device> const out;
  path_affinity_into(device_only{}, boundary, stencil::disc(2), out);
}
