#include "photographs/intervals.hpp"

#include <cambium/exec/parallel.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

namespace labelling {

using namespace cambium;

std::vector<draw> draw_images(std::size_t images, int count, std::uint64_t seed)
{
  std::mt19937_64 engine(seed);  // the standard fixes its numbers, but not those of its distributions
  std::vector<draw> out(static_cast<std::size_t>(count), draw(images));
  for (auto& d : out) {
    for (auto& place : d) place = static_cast<std::size_t>(engine() % images);
    std::sort(d.begin(), d.end());
  }
  return out;
}

figure miou_of(std::vector<measured const*> images)
{
  index_t last = 0;
  for (auto const* const image : images)
    for (auto const& [t, p, pixels] : image->counted) last = std::max({last, t, p});
  return [images = std::move(images), classes = static_cast<int>(last + 1)](draw const& of) {
    confusion_matrix m(classes);
    for (auto const place : of)
      for (auto const& [t, p, pixels] : images[place]->counted)
        m.at(static_cast<int>(t), static_cast<int>(p)) += pixels;
    return has_class(m) ? mean_iou(m) : std::numeric_limits<double>::quiet_NaN();
  };
}

figure ap50_of(std::vector<measured const*> images)
{
  return [images = std::move(images)](draw const& of) {
    std::vector<image_result> drawn;
    for (auto const place : of) drawn.push_back(images[place]->objects);
    return instance_ap(drawn, 0.5).mean;
  };
}

resampled resampled::operator-(resampled const& other) const
{
  resampled out{value - other.value, of_draw};
  for (std::size_t i = 0; i < of_draw.size(); ++i) out.of_draw[i] -= other.of_draw[i];
  return out;
}

resampled resample(cpu const& where, figure const& f, std::size_t images, std::vector<draw> const& draws)
{
  draw all(images);
  std::iota(all.begin(), all.end(), std::size_t{0});
  resampled out{f(all), std::vector<double>(draws.size())};
  for_each_item(where, static_cast<index_t>(draws.size()), [&](cpu const&, index_t i) {
    out.of_draw[static_cast<std::size_t>(i)] = f(draws[static_cast<std::size_t>(i)]);
  });
  return out;
}

interval interval_of(resampled const& r)
{
  auto sorted = r.of_draw;
  std::erase_if(sorted, [](double v) { return std::isnan(v); });
  if (sorted.empty()) return {std::nan(""), std::nan("")};
  std::sort(sorted.begin(), sorted.end());
  auto const at = [&](double fraction) {
    auto const rank = static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(sorted.size())));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
  };
  return {at(0.025), at(0.975)};
}

}  // namespace labelling
