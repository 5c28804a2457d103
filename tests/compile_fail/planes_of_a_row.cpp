// says: a view of rank 1 has no planes
#include <cambium/grid/view.hpp>

int main()
{
  float cells[3] = {};
  cambium::view<float, 1> const row(cells, {3});
  return static_cast<int>(row[0](0));
}
