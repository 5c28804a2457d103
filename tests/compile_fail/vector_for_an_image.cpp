// says: image_like|as_view
#include <cambium/component/connected.hpp>

#include <vector>

int main()
{
  std::vector<float> const mask(20);
  static_cast<void>(cambium::connected(cambium::cpu{}, mask));
}
