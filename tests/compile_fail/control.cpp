// compiles
// Everything the other files here do wrong, done right: a broken search path would otherwise pass them all.
#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/crf/unary.hpp>
#include <cambium/displacement/trace.hpp>
#include <cambium/interop/xtensor.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/metric/boundary_f.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>
#include <cambium/pipeline/irnet.hpp>
#include <cambium/walk/random_walk.hpp>

#include "device_only.hpp"

using namespace cambium;

int main()
{
  grid<float, 2> const boundary(4, 5);
  grid<float, 3> const seeds(2, 4, 5);
  auto const edges = stencil::disc(2);
  auto const affinity = path_affinity(cpu{}, boundary, edges);
  grid<float, 3> out(edges.size, 4, 5);
  path_affinity_into(cpu{}, boundary, edges, out);
  auto const transition = make_transition(cpu{}, edges, affinity, {.beta = 10});
  auto const scores = random_walk(cpu{}, seeds, transition);
  xt::xtensor<float, 2> const image = xt::zeros<float>({4, 5});
  auto const labels = connected(cpu{}, image);
  grid<std::uint8_t, 2> const mask(4, 5);
  view<float const, 2> const plane = scores.view()[0];
  auto const moved = trace(cpu{}, scores);
  confusion_matrix counted(2);
  accumulate(counted, mask, labels.label);
  auto const energies = unary_from_labels(cpu{}, labels.label, 2);
  auto const overlaps = label_iou(mask, 1, labels.label, 1);
  auto const outlines = boundary_f(cpu{}, mask, labels.label, 2);
  return static_cast<int>(plane(0, 0)) + static_cast<int>(labels.count) + mask(0, 0) +
         static_cast<int>(moved(0, 0, 0)) + static_cast<int>(energies.size() + overlaps.size()) +
         static_cast<int>(outlines.size()) + (reaches<device_only, device> ? 0 : 1);
}
