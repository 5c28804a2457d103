#include "kept_scores.hpp"

#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>

namespace labelling {

using namespace cambium;

namespace {

constexpr float steps = 65535;

float largest(grid<float, 3> const& g)
{
  float most = 0;
  for (float const v : g.cells()) most = std::max(most, v);
  return most;
}

void put(float const* from, index_t count, float scale, std::int32_t* to)
{
  for (index_t i = 0; i < count; ++i)
    to[i] = scale > 0 ? static_cast<std::int32_t>(std::lround(std::clamp(from[i] / scale, 0.f, 1.f) * steps)) : 0;
}

void get(std::int32_t const* from, index_t count, float scale, float* to)
{
  for (index_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]) / steps * scale;
}

}  // namespace

bytes format_scores(kept_scores const& s, json& about)
{
  index_t const h = s.boundary.shape()[0], w = s.boundary.shape()[1], C = s.classes.shape()[0];
  std::vector<index_t> scoring;
  std::vector<std::int32_t> keys;
  for (index_t n = 0; n < s.instances.shape()[0]; ++n) {
    float const* const first = &s.instances(n, 0, 0);
    if (std::none_of(first, first + h * w, [](float v) { return v > 0; })) continue;
    scoring.push_back(n);
    keys.push_back(s.instance_keys[static_cast<std::size_t>(n)]);
  }
  auto const N = static_cast<index_t>(scoring.size());
  float const class_scale = largest(s.classes), instance_scale = largest(s.instances);
  grid<std::int32_t, 2> planes((1 + C + N) * h, w);
  put(s.boundary.data(), h * w, 1, planes.data());
  put(s.classes.data(), C * h * w, class_scale, planes.data() + h * w);
  for (index_t i = 0; i < N; ++i)
    put(&s.instances(scoring[static_cast<std::size_t>(i)], 0, 0), h * w, instance_scale,
        planes.data() + (1 + C + i) * h * w);
  about = {{"height", h}, {"width", w}, {"classes", C}, {"class_scale", class_scale}};
  if (s.with_instances) about.update({{"instance_keys", keys}, {"instance_scale", instance_scale}});
  return format_ids(planes);
}

kept_scores parse_scores(bytes const& content, std::string const& path, json const& about)
{
  auto const planes = to_labels(parse_png(content, path), path);
  auto const h = about.at("height").get<index_t>(), w = about.at("width").get<index_t>(),
             C = about.at("classes").get<index_t>();
  kept_scores s;
  s.with_instances = about.contains("instance_keys");
  if (s.with_instances) s.instance_keys = about.at("instance_keys").get<std::vector<std::int32_t>>();
  auto const N = static_cast<index_t>(s.instance_keys.size());
  if (h < 1 || w < 1 || C < 0 || planes.shape()[1] != w || planes.shape()[0] != (1 + C + N) * h)
    throw io_error(path + ": holds " + std::to_string(planes.shape()[0]) + " x " + std::to_string(planes.shape()[1]) +
                   " values, not what its record says");
  s.boundary = grid<float, 2>(h, w), s.classes = grid<float, 3>(C, h, w), s.instances = grid<float, 3>(N, h, w);
  get(planes.data(), h * w, 1, s.boundary.data());
  get(planes.data() + h * w, C * h * w, about.at("class_scale"), s.classes.data());
  if (N > 0) get(planes.data() + (1 + C) * h * w, N * h * w, about.at("instance_scale"), s.instances.data());
  return s;
}

}  // namespace labelling
