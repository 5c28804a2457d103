// says: maps are of float or double
#include <cambium/activation/normalise.hpp>

int main()
{
  cambium::grid<std::uint8_t, 3> const maps(2, 4, 5);
  static_cast<void>(cambium::normalise(cambium::cpu{}, maps));
}
