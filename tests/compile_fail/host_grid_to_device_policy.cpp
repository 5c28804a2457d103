// says: reaches_v<.*cambium::host.*evaluated to .*false
#include <cambium/walk/random_walk.hpp>

#include "device_only.hpp"

using namespace cambium;

int main()
{
  grid<float, 3> const seeds(1, 4, 5);
  transition<float> const t;
  static_cast<void>(random_walk(device_only{}, seeds, t));
}
