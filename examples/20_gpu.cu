// 20  GPU: the same calls on a card.
//
// A call says where it runs: cpu{...} or gpu{.stream = s}. Device grids go in, device grids come out. Nothing is
// copied in between. A function waits only if a number decides how much it allocates, for example the number of
// components. A view of host memory handed to a gpu policy does not compile.
//
//   $ ./20_gpu

#include <cambium/exec/gpu.cuh>
#include <cambium/exec/team.cuh>
#include <cambium/pipeline/irnet.hpp>
#include <cambium/walk/random_walk.cuh>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace cambium;

/// Two discs of one class that touch: CAMs with a peak each, a boundary between them, displacements to their centres.
struct maps {
  grid<float, 3> cams = grid<float, 3>(1, 24, 40), displacement = grid<float, 3>(2, 24, 40);
  grid<float, 2> boundary = grid<float, 2>(24, 40);

  maps()
  {
    for (index_t y = 0; y < 24; ++y)
      for (index_t x = 0; x < 40; ++x) {
        float const dy = static_cast<float>(y) - 12, dx = static_cast<float>(x) - (x < 20 ? 11.5f : 28.5f);
        float const r = std::hypot(dy, dx);
        cams(0, y, x) = std::exp(-r * r / 20);
        boundary(y, x) = std::abs(r - 9) < 0.8f || x == 20 ? 0.9f : 0.02f;
        displacement(0, y, x) = r < 9 ? -dy : 0;
        displacement(1, y, x) = r < 9 ? -dx : 0;
      }
  }
};

int main()
{
  maps const m;
  irnet_input<float> const here{m.cams.view(), {7}, m.boundary.view(), m.displacement.view(), {93, 157}};
  auto const on_cores = irnet(cpu{}, here);
  std::printf("cores: %zu instances\n", on_cores.objects.found.size());
  if (device_count() == 0) {
    std::printf("no CUDA device: compiled, not run\n");
    return 77;  // to CTest: skipped
  }

  // 1. Stage by stage, on a stream.
  gpu const where;
  auto const cams = to_device(where, m.cams);
  auto const boundary = to_device(where, m.boundary);
  auto const displacement = to_device(where, m.displacement);
  auto const edges = stencil::disc(5);
  auto const step = make_transition(where, edges, path_affinity(where, boundary, edges), {.beta = 10});
  auto const walked = to_host(where, random_walk(where, cams, step, {.steps = 256}));
  std::printf("walked: %.3f in a disc, %.3f outside\n", walked(0, 12, 12), walked(0, 1, 1));

  // 2. The whole method.
  irnet_input<float, device> const there{cams.view(), {7}, boundary.view(), displacement.view(), {93, 157}};
  auto const labels = to_host(where, irnet(where, there));
  std::printf("device: %zu instances, labels %s\n", labels.objects.found.size(),
              labels.semantic == on_cores.semantic ? "as on the cores" : "differ");

  // 3. A batch: images side by side, each on its own stream.
  gpu_team team(4);
  std::vector<std::size_t> found(8);
  for_each_item(where, team, 8, [&](gpu const& share, index_t i) {
    found[static_cast<std::size_t>(i)] = to_host(share, irnet(share, there)).objects.found.size();
  });
  for (auto const n : found)
    if (n != found[0]) std::printf("an image of the batch differs\n");
  std::printf("batch:  8 images of %zu instances\n", found[0]);
}
