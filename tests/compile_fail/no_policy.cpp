// says: execution_policy|has no members
#include <cambium/affinity/path_affinity.hpp>

int main()
{
  cambium::grid<float, 2> const boundary(4, 5);
  static_cast<void>(cambium::path_affinity(8, boundary, cambium::stencil::disc(2)));  // a number of threads, perhaps
}
