// 12  BESTIE: a semantic map and one point per object become instances.
//
// Two sheep stand side by side. A third sheep and a dog stand alone. The semantic map knows the classes; the cues know
// the objects. The program shows three steps:
//
//   1. pseudo labels, a network's first targets: a region with exactly one cue is one object; the pair is left out,
//   2. the output of a trained network, made up here: centres, and at every pixel the offset to its centre,
//   3. the refined labels, and the instances of a new image.
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
  points const animals{{11, 11, 0}, {11, 24, 0}, {11, 40, 0}, {11, 55, 1}};  // class 0: sheep, class 1: dog
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
  centre_targets<> refined{grid<float, 3>(C, H, W), grid<float, 3>(2, H, W), grid<float, 2>(H, W)};
  bestie_refined_image_into(cpu{}, output, semantic, {0, 1}, options, {refined.centre, refined.offset, refined.weight});
  auto known = refined.weight;
  for (float& v : known.cells()) v = std::ceil(v);
  draw("refined labels know", known);

  auto const labels = bestie_instances(cpu{}, output, {}, {.groups = {.kernel = 11}});
  draw("instances", labels.objects.label);
  for (auto const& found : labels.objects.found)
    std::printf("class %d, %lld pixels, score %.2f\n", found.category, static_cast<long long>(found.area), found.score);
}
