// says: reaches_v<.*cambium::host.*evaluated to .*false
#include <cambium/walk/random_walk.hpp>

using namespace cambium;

struct device_only {
  using memory = device;
};
template <>
inline constexpr bool cambium::reaches_v<device_only, device> = true;

int main()
{
  grid<float, 3> const seeds(1, 4, 5);
  transition<float> const t;
  static_cast<void>(random_walk(device_only{}, seeds, t));
}
