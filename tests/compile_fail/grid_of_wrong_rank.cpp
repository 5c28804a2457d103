// says: this array has another number of axes
#include <cambium/affinity/path_affinity.hpp>

int main()
{
  cambium::grid<float, 3> const boundary(1, 4, 5);
  static_cast<void>(cambium::path_affinity(cambium::cpu{}, boundary, cambium::stencil::disc(2)));
}
