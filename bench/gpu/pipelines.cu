// IRNet's labels of 375 x 500 images on a device: one, and a batch side by side.

#include <cambium/exec/gpu.cuh>
#include "measure.cuh"

#include <cambium/exec/team.cuh>
#include <cambium/pipeline/irnet.hpp>
#include <cambium/walk/random_walk.cuh>

#include <cmath>
#include <memory>

namespace bench {

using namespace cambium;

namespace {

constexpr index_t h = 94, w = 125, batch = 64;

/// Four classes, discs with boundaries and displacements to their middles.
struct scene {
  grid<float, 3> cams{4, h, w}, displacement{2, h, w};
  grid<float, 2> boundary{h, w};

  explicit scene(index_t shift)
  {
    for (index_t y = 0; y < h; ++y)
      for (index_t x = 0; x < w; ++x) {
        float const v = static_cast<float>(y % 31) - 15, u = static_cast<float>((x + shift) % 31) - 15;
        float const r = std::hypot(v, u);
        auto const at = static_cast<index_t>((y / 31 + (x + shift) / 31) % 4);
        cams(at, y, x) = std::exp(-r * r / 40);
        boundary(y, x) = std::abs(r - 11) < 1 ? 0.9f : 0.03f;
        displacement(0, y, x) = r < 11 ? -v : 0;
        displacement(1, y, x) = r < 11 ? -u : 0;
      }
  }
};

struct resident {
  grid<float, 3, device> cams, displacement;
  grid<float, 2, device> boundary;

  resident(gpu const& where, scene const& s)
      : cams(to_device(where, s.cams)),
        displacement(to_device(where, s.displacement)),
        boundary(to_device(where, s.boundary))
  {
  }
  irnet_input<float, device> maps() const
  {
    return {cams.view(), {0, 5, 7, 12}, boundary.view(), displacement.view(), {375, 500}};
  }
};

}  // namespace

void pipelines(card const& c)
{
  gpu const where;
  std::vector<std::unique_ptr<resident>> images;
  for (index_t i = 0; i < batch; ++i) images.push_back(std::make_unique<resident>(where, scene(i)));
  report(c, "irnet 375x500, instances, one image", median_ms(where, [&] { (void)irnet(where, images[0]->maps()); }), 1,
         0, 0);
  for (int const members : {1, 4, 8, 16}) {
    gpu_team team(members);
    double const ms = median_ms(
        where,
        [&] {
          for_each_item(where, team, batch, [&](gpu const& share, index_t i) {
            (void)irnet(share, images[static_cast<std::size_t>(i)]->maps());
          });
        },
        5);
    report(c, ("irnet 375x500, 64 images, streams: " + std::to_string(members)).c_str(), ms, batch, 0, 0);
  }
}

}  // namespace bench
