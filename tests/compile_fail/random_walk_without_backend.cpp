// says: random_walk has no backend for this policy.*include <cambium/walk/random_walk\.cuh>
#include <cambium/walk/random_walk.hpp>

using namespace cambium;

/// Stands for gpu in a file that is not compiled by nvcc: it reaches its memory, and nobody wrote loops for it.
struct device_only {
  using memory = device;
};
template <>
inline constexpr bool cambium::reaches_v<device_only, device> = true;

int main()
{
  stack_view<float, device> const seeds;
  static_cast<void>(random_walk(device_only{}, seeds, transition_view<float, device>{}));
}
