// says: Rank <= 4
#include <cambium/grid/view.hpp>

int main() { return static_cast<int>(cambium::view<float, 5>().size()); }
