// says: this array has another number of axes
#include <cambium/component/connected.hpp>
#include <cambium/interop/xtensor.hpp>

int main()
{
  xt::xtensor<float, 3> const mask = xt::zeros<float>({2, 4, 5});
  static_cast<void>(cambium::connected(cambium::cpu{}, mask));
}
