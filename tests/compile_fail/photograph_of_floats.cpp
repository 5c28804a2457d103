// says: uint8|unsigned char
#include <cambium/io/png.hpp>

int main()
{
  cambium::grid<float, 3> const image(4, 5, 3);  // in [0,1], perhaps: its bytes are no picture
  static_cast<void>(cambium::format_photograph_png(image));
}
