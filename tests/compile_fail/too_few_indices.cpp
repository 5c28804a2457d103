// says: one index an axis
#include <cambium/grid/grid.hpp>

int main()
{
  cambium::grid<float, 3> const g(2, 3, 4);
  return static_cast<int>(g(1, 2));
}
