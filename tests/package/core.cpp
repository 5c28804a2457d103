#include <cambium/pipeline/irnet.hpp>

#include <cstdio>

using namespace cambium;

int main()
{
  grid<float, 3> cams(1, 4, 5);
  grid<float, 2> const boundary(4, 5);
  for (auto& v : cams.cells()) v = 1;
  auto const labels = irnet(cpu{.threads = 2}, irnet_input<float>{cams.view(), {14}, boundary.view(), {}, {16, 20}});
  std::printf("%d instance of class %d\n", static_cast<int>(labels.objects.found.size()), labels.semantic(8, 8) - 1);
}
