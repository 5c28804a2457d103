// says: image_like|as_view
#include <cambium/affinity/path_affinity.hpp>

int main()
{
  cambium::view<float const, 3> const boundary;
  static_cast<void>(cambium::path_affinity(cambium::cpu{}, boundary, cambium::stencil::disc(2)));
}
