// says: unary_from_labels: labels are integers
#include <cambium/crf/unary.hpp>

int main()
{
  cambium::grid<float, 2> const labels(4, 5);
  static_cast<void>(cambium::unary_from_labels(cambium::cpu{}, labels, 2));
}
