// says: labels are integers
#include <cambium/component/connected.hpp>

int main()
{
  cambium::grid<float, 2> const labels(4, 5);
  static_cast<void>(cambium::connected_equal(cambium::cpu{}, labels));
}
