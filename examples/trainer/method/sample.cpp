#include "method/sample.hpp"

#include <cambium/core/error.hpp>

#include <torch/nn/functional/upsampling.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace trainer {

using cambium::expects;
using cambium::index_t;

namespace {

constexpr float mean_of[3] = {0.485f, 0.456f, 0.406f}, deviation_of[3] = {0.229f, 0.224f, 0.225f};

torch::Tensor resized(torch::Tensor const& x, std::int64_t height, std::int64_t width, bool labels)
{
  auto o = torch::nn::functional::InterpolateFuncOptions().size(std::vector<std::int64_t>{height, width});
  if (labels) return torch::nn::functional::interpolate(x, o.mode(torch::kNearest));
  return torch::nn::functional::interpolate(x, o.mode(torch::kBilinear).align_corners(false));
}

/// Hue turned and saturation multiplied, in YIQ, whose turn is linear: two products a pixel instead of six cases.
torch::Tensor turned(torch::Tensor const& rgb, double turns, double saturation)
{
  double const angle = turns * 2 * 3.14159265358979323846;
  auto const c = static_cast<float>(saturation * std::cos(angle)), s = static_cast<float>(saturation * std::sin(angle));
  auto const to =
      torch::tensor({0.299f, 0.587f, 0.114f, 0.595716f, -0.274453f, -0.321263f, 0.211456f, -0.522591f, 0.311135f})
          .view({3, 3});
  auto const turn = torch::tensor({1.f, 0.f, 0.f, 0.f, c, -s, 0.f, s, c}).view({3, 3});
  return torch::matmul(torch::inverse(to).matmul(turn).matmul(to), rgb.flatten(1)).view(rgb.sizes());
}

torch::Tensor recoloured(torch::Tensor x, colour_change const& by, dice& random)
{
  // every number is drawn, used or not, so that one option does not change what the others do
  auto const drawn = [&](double range, double middle) {
    bool const changes = random.chance(by.often);
    double const v = random(middle - range, middle + range);
    return changes && range > 0 ? v : middle;
  };
  double const shift = drawn(by.shift, 0), brightness = drawn(by.brightness, 1), contrast = drawn(by.contrast, 1);
  double const saturation = drawn(by.saturation, 1), hue = drawn(by.hue, 0);
  if (shift != 0) x = x + shift;
  if (brightness != 1) x = x * brightness;
  if (contrast != 1) x = (x - x.mean()) * contrast + x.mean();
  if (saturation != 1 || hue != 0) x = turned(x, hue, saturation);
  return x.clamp(0, 255);
}

void check(sample_options const& o)
{
  expects(o.long_side >= 0 && o.crop >= 0 && o.squash.height >= 0 && o.squash.width >= 0, "make_sample: long_side is ",
          o.long_side, ", crop ", o.crop, ", squash ", o.squash.height, " x ", o.squash.width);
  expects(o.scale_least > 0 && o.scale_most >= o.scale_least && o.scale_step > 0 && std::isfinite(o.scale_most),
          "make_sample: scales from ", o.scale_least, " to ", o.scale_most, " in steps of ", o.scale_step);
  auto const& c = o.colours;
  for (double const v : {c.often, c.brightness, c.contrast, c.saturation, c.hue})
    expects(v >= 0 && v <= 1, "make_sample: a change of colours is ", v, ", outside [0,1]");
  expects(c.shift >= 0 && c.shift <= 255, "make_sample: the shift of colours is ", c.shift, ", outside [0,255]");
}

}  // namespace

sample_options bestie_sample()
{
  return {.squash = {},
          .long_side = 449,
          .scale_least = 0.7,
          .scale_most = 1.3,
          .crop = 416,
          .colours = {.often = 0.5, .shift = 16, .contrast = 0.5, .hue = 0.1}};
}

sample_options peak_classifier_sample()
{
  return {.squash = {384, 384},
          .crop = 321,
          .colours = {.brightness = 0.3, .contrast = 0.3, .saturation = 0.3, .hue = 0.1}};
}

torch::Tensor normalised_photograph(cambium::view<std::uint8_t const, 3> photograph)
{
  auto const [H, W, three] = photograph.extent;
  expects(three == 3 && H >= 1 && W >= 1, "normalised_photograph: photograph is ", photograph, "; expected [H,W,3]");
  auto out = torch::empty({1, 3, H, W});
  auto* const to = out.data_ptr<float>();
  for (index_t c = 0; c < 3; ++c)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        to[(c * H + y) * W + x] = (static_cast<float>(photograph(y, x, c)) / 255 - mean_of[c]) / deviation_of[c];
  return out;
}

sample make_sample(cambium::view<std::uint8_t const, 3> photograph, cambium::image_view<std::uint8_t const> semantic,
                   cambium::points const& cues, sample_options const& options, dice& random)
{
  check(options);
  auto const [H, W, three] = photograph.extent;
  expects(three == 3 && H >= 1 && W >= 1, "make_sample: photograph is ", photograph, "; expected [H,W,3]");
  expects(semantic.data == nullptr || (semantic.extent[0] == H && semantic.extent[1] == W),
          "make_sample: photograph is ", photograph, " but the semantic map ", semantic);

  auto image = torch::empty({3, H, W}), map = torch::zeros({1, 1, H, W});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      for (index_t c = 0; c < 3; ++c)
        image.data_ptr<float>()[(c * H + y) * W + x] = static_cast<float>(photograph(y, x, c));
      if (semantic.data != nullptr) map.data_ptr<float>()[y * W + x] = static_cast<float>(semantic(y, x));
    }
  image = recoloured(std::move(image), options.colours, random).unsqueeze(0);

  std::int64_t h = H, w = W;
  double down = 1, across = 1;  // where a point goes
  auto const resize_to = [&](std::int64_t height, std::int64_t width) {
    if (height == h && width == w) return;
    down *= static_cast<double>(height) / static_cast<double>(h);
    across *= static_cast<double>(width) / static_cast<double>(w);
    image = resized(image, height, width, false), map = resized(map, height, width, true);
    h = height, w = width;
  };
  if (options.squash.height > 0 && options.squash.width > 0) resize_to(options.squash.height, options.squash.width);
  if (options.long_side > 0) {
    double const f = static_cast<double>(options.long_side) / static_cast<double>(std::max(h, w));
    auto const side = [&](std::int64_t s) {
      auto const floored = static_cast<std::int64_t>(static_cast<double>(s) * f);
      return (std::max<std::int64_t>(floored, 1) + 30) / 32 * 32 + 1;
    };
    resize_to(side(h), side(w));
  }
  auto const steps =
      static_cast<int>(std::floor((options.scale_most - options.scale_least) / options.scale_step + 1e-9)) + 1;
  double const scale = options.scale_least + options.scale_step * random.below(steps);
  auto const scaled = [&](std::int64_t s) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::nearbyint(static_cast<double>(s) * scale)));
  };
  resize_to(scaled(h), scaled(w));

  std::int64_t top = 0, left = 0;  // of the crop on what there is; negative where it is padded
  auto const n = options.crop;
  auto const begin = [&](std::int64_t s) {
    auto const spare = s - n;
    int const at = random.below(static_cast<int>(std::abs(spare)) + 1);
    return spare >= 0 ? std::int64_t{at} : -std::int64_t{at};
  };
  if (n > 0) {
    top = begin(h), left = begin(w);
    auto const y0 = std::max<std::int64_t>(top, 0), x0 = std::max<std::int64_t>(left, 0);
    auto const y1 = std::min(h, top + n), x1 = std::min(w, left + n);
    auto seen = torch::empty({1, 3, n, n}), known = torch::full({1, 1, n, n}, static_cast<float>(options.outside));
    for (int c = 0; c < 3; ++c) seen.select(1, c).fill_(mean_of[c] * 255);
    auto const part = [&](torch::Tensor const& t) {
      return t.slice(2, y0 - top, y1 - top).slice(3, x0 - left, x1 - left);
    };
    part(seen).copy_(image.slice(2, y0, y1).slice(3, x0, x1));
    part(known).copy_(map.slice(2, y0, y1).slice(3, x0, x1));
    image = seen, map = known;
    h = w = n;
  }
  bool const mirrored = random.chance(0.5) && options.flip;
  if (mirrored) image = image.flip(3), map = map.flip(3);

  sample out;
  for (auto p : cues) {
    p.y = p.y * down - static_cast<double>(top);
    p.x = p.x * across - static_cast<double>(left);
    if (mirrored) p.x = static_cast<double>(w) - p.x - 1;
    // a mirrored fraction may fall just below the first column
    p.y = std::floor(p.y), p.x = p.x < 0 && p.x > -1 && mirrored ? 0 : std::floor(p.x);
    if (p.y < 0 || p.x < 0 || p.y >= static_cast<double>(h) || p.x >= static_cast<double>(w)) continue;
    out.cues.push_back(p);
  }
  auto const constant = [](float const(&v)[3]) { return torch::tensor({v[0], v[1], v[2]}).view({3, 1, 1}); };
  out.image = (image[0] / 255 - constant(mean_of)) / constant(deviation_of);
  out.semantic = map[0][0].to(torch::kByte).contiguous();
  return out;
}

}  // namespace trainer
