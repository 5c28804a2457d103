#include "run/recipe.hpp"

namespace trainer {

recipe& recipe::add(dataset const& set)
{
  fingerprint names;
  for (std::size_t i = 0; i < set.size(); ++i) names.add(set.id(i));
  return add("images", set.size(), names.value(), set.weak_labels()).add("classes", set.class_names());
}

recipe& recipe::add(colour_scale const& colours)
{
  add("colours");
  for (double const v : colours.mean) value(v);
  for (double const v : colours.deviation) value(v);
  return *this;
}

recipe& recipe::add(bestie_augmentation const& samples)
{
  auto const& light = samples.photometric;
  return add("light", light.brightness, light.contrast_low, light.contrast_high, light.hue, light.chance)
      .add("side", samples.long_side, samples.multiple, samples.crop)
      .add("scales", samples.scales)
      .add("flip", samples.flip)
      .add("fill", samples.fill)
      .add("exact_points", samples.exact_points)
      .add(samples.colours);
}

recipe& recipe::add(pam_augmentation const& samples)
{
  auto const& light = samples.colour;
  return add("side", samples.size, samples.crop)
      .add("flip", samples.flip)
      .add("light", light.brightness, light.contrast, light.saturation, light.hue)
      .add("fill", samples.fill)
      .add(samples.colours);
}

}  // namespace trainer
