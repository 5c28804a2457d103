// 12  BESTIE: instances from a semantic map and one point an object.
//
// Two sheep stand side by side, a third one and a dog by themselves. The semantic map knows the classes, the cues where
// objects are. First the pseudo labels that a network learns from: a region with exactly one cue is one object, of the
// pair nothing is known. Then what the network says after learning: centres, and at every pixel the way to its centre.
// From these come the refined labels, and the instances of a new image.
//
//   $ ./12_bestie

#include <cambium/pipeline/bestie.hpp>

#include <cmath>
#include <cstdio>

using namespace cambium;

template <class M>
static void draw(char const* title, M const& map)
{
  std::printf("%s\n", title);
  for (index_t y = 0; y < map.shape()[0]; y += 2) {
    for (index_t x = 0; x < map.shape()[1]; ++x) std::putchar(map(y, x) == 0 ? '.' : '0' + static_cast<int>(map(y, x)));
    std::putchar('\n');
  }
}

int main()
{
  index_t const H = 24, W = 64, C = 2;
  points const animals{{11, 11, 0}, {11, 24, 0}, {11, 40, 0}, {11, 55, 1}};  // sheep are class 0, dogs class 1
  grid<std::int32_t, 2> semantic(H, W);
  grid<float, 3> seg(C + 1, H, W), offset(2, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      for (point const& a : animals) {
        double const dy = a.y - static_cast<double>(y), dx = a.x - static_cast<double>(x);
        if (dy * dy + dx * dx > 49) continue;
        semantic(y, x) = a.category + 1;
        offset(0, y, x) = static_cast<float>(dy), offset(1, y, x) = static_cast<float>(dx);
      }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) seg(semantic(y, x), y, x) = 4;
  draw("semantic map", semantic);

  auto const pseudo = bestie_pseudo_labels(cpu{}, semantic, {0, 1}, animals, C);
  draw("pseudo labels know", pseudo.weight);

  auto const centre = centre_map(cpu{}, animals, C, {H, W}, {.sigma = 3});
  bestie_output<float> const output{seg.view(), centre.view(), offset.view()};
  bestie_refine_options options;
  options.groups.kernel = 11;  // [pixels] objects here are 14 wide; 41 is for photographs
  centre_targets refined{grid<float, 3>(C, H, W), grid<float, 3>(2, H, W), grid<float, 2>(H, W)};
  bestie_refined_image_into(cpu{}, output, semantic, {0, 1}, options, {refined.centre, refined.offset, refined.weight});
  auto known = refined.weight;
  for (float& v : known.cells()) v = std::ceil(v);
  draw("refined labels know", known);

  auto const labels = bestie_instances(cpu{}, output, {}, {.groups = {.kernel = 11}});
  draw("instances", labels.objects.label);
  for (auto const& found : labels.objects.found)
    std::printf("class %d, %lld pixels, score %.2f\n", found.category, static_cast<long long>(found.area), found.score);
}
