// says: view<const float
#include <cambium/affinity/path_affinity.hpp>

using namespace cambium;

int main()
{
  grid<float, 2> const boundary(4, 5);
  auto const edges = stencil::disc(2);
  grid<float, 3> const out(edges.size, 4, 5);
  path_affinity_into(cpu{}, boundary, edges, out);
}
