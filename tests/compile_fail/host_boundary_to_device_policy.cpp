// says: reaches_v<.*cambium::host.*evaluated to .*false
#include <cambium/affinity/path_affinity.hpp>

using namespace cambium;

struct device_only {
  using memory = device;
};
template <>
inline constexpr bool cambium::reaches_v<device_only, device> = true;

int main()
{
  grid<float, 2> const boundary(4, 5);
  static_cast<void>(path_affinity(device_only{}, boundary, stencil::disc(2)));
}
