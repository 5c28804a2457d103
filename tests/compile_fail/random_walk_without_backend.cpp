// says: random_walk has no schedule for this policy.*include <cambium/walk/random_walk\.cuh>
#include <cambium/walk/random_walk.hpp>

#include "device_only.hpp"

using namespace cambium;

int main()
{
  stack_view<float, device> const seeds;
  static_cast<void>(random_walk(device_only{}, seeds, transition_view<float, device>{}));
}
