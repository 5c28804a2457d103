#include "data/survey.hpp"

#include "data/fingerprint.hpp"
#include "data/loader.hpp"
#include "process/difference.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <ATen/Parallel.h>

#include <algorithm>

namespace trainer {

namespace {

fingerprint number_of(weak_image const& image)
{
  fingerprint out;
  auto const& shape = image.photograph.shape();
  out.add(shape[0]).add(shape[1]).add(image.photograph.data(), static_cast<std::size_t>(image.photograph.size()));
  for (auto const* const tags : {&image.tags, &image.unsure_tags}) {
    out.add(tags->size());
    for (auto const tag : *tags) out.add(tag);
  }
  out.add(image.points.size());
  for (auto const& p : image.points) out.add(p.y).add(p.x).add(p.category).add(p.score);
  out.add(image.boxes.size());
  for (auto const& [at, category] : image.boxes)
    out.add(at.top).add(at.left).add(at.bottom).add(at.right).add(category);
  out.add(image.ignored.data(), static_cast<std::size_t>(image.ignored.size()));
  out.add(image.scribbles.data(), static_cast<std::size_t>(image.scribbles.size()) * sizeof(std::int32_t));
  return out;
}

std::string as_words(fingerprint const& number) { return contents_word + number.digits(); }

}  // namespace

survey survey_of(dataset const& set)
{
  struct seen {
    bool tagged = false, pointed = false, boxed = false;
    std::uint64_t number = 0;
    std::string failure;
  };
  int const workers = std::clamp(at::get_num_threads(), 1, 64);
  loader<seen> images(
      set.size(), 0, workers,
      [&](std::size_t i, std::uint64_t) {
        try {
          auto const image = set.load(i);
          return seen{!image.tags.empty(), !image.points.empty(), !image.boxes.empty(), number_of(image).value(), {}};
        } catch (std::exception const& e) {
          return seen{false, false, false, 0, e.what()};
        }
      },
      {.shuffle = false});
  images.start(0);
  survey out;
  fingerprint all;
  for (std::size_t i = 0; auto const image = images.next(); ++i) {
    if (!image->failure.empty()) throw cambium::io_error("image " + set.id(i) + ": " + image->failure);
    out.tagged += image->tagged, out.pointed += image->pointed, out.boxed += image->boxed;
    all.add(image->number);
  }
  out.contents = as_words(all);
  return out;
}

std::string contents_of(std::filesystem::path const& file)
{
  if (file.empty()) return {};
  auto const bytes = cambium::read_file(file);
  return as_words(fingerprint().add(bytes.data(), bytes.size()));
}

std::string digits_of(cambium::grid<std::uint8_t, 3> const& photograph)
{
  auto const& shape = photograph.shape();
  return fingerprint()
      .add(shape[0])
      .add(shape[1])
      .add(photograph.data(), static_cast<std::size_t>(photograph.size()))
      .digits();
}

}  // namespace trainer
