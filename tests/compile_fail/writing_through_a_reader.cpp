// says: read-only|const value
#include <cambium/grid/grid.hpp>

int main()
{
  cambium::grid<float, 2> const g(2, 3);
  g(0, 0) = 1;
}
