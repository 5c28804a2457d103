// says: use std::uint8_t for masks
#include <cambium/grid/grid.hpp>

int main() { cambium::grid<bool, 2> const mask(4, 5); }
