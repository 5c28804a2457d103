// says: float.*double|double.*float|different types
#include <cambium/walk/random_walk.hpp>

using namespace cambium;

int main()
{
  grid<float, 3> const seeds(1, 4, 5);
  transition<double> const t;
  static_cast<void>(random_walk(cpu{}, seeds, t));
}
