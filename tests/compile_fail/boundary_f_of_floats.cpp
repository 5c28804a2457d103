// says: boundary_f: labels are integers
#include <cambium/metric/boundary_f.hpp>

int main()
{
  cambium::grid<float, 2> const labels(4, 5);
  cambium::grid<int, 2> const truth(4, 5);
  static_cast<void>(cambium::boundary_f(cambium::cpu{}, truth, labels, 2));
}
