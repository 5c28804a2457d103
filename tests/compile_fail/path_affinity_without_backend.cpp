// says: path_affinity has no backend for this policy.*include <cambium/affinity/path_affinity\.cuh>
#include <cambium/affinity/path_affinity.hpp>

using namespace cambium;

/// Stands for gpu in a file that is not compiled by nvcc: it reaches its memory, and nobody wrote loops for it.
struct device_only {
  using memory = device;
};
template <>
inline constexpr bool cambium::reaches_v<device_only, device> = true;

int main()
{
  image_view<float, device> const boundary;
  static_cast<void>(path_affinity(device_only{}, boundary, stencil::disc(2)));
}
