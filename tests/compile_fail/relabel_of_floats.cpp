// says: relabel: labels are integers
#include <cambium/component/relabel.hpp>

int main()
{
  cambium::grid<float, 2> const labels(4, 5);
  static_cast<void>(cambium::relabel(cambium::cpu{}, labels, std::vector<int>{0}));
}
