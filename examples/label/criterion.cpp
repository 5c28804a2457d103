#include "criterion.hpp"

#include <algorithm>

namespace labelling {

using namespace cambium;

namespace {

double ratio(index_t a, index_t b) { return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b); }

}  // namespace

judged_labels& judged_labels::operator+=(judged_labels const& other)
{
  present += other.present, survived += other.survived;
  images += other.images, clean += other.clean;
  stable += other.stable;
  return *this;
}

judged_labels judge_labels(grid<std::int32_t, 2> const& labels, std::vector<int> const& shown, double least_area,
                           double stable)
{
  std::vector<index_t> area(256, 0);
  for (auto const v : labels.cells()) ++area[static_cast<std::size_t>(v)];
  auto const least = std::max(1.0, least_area * static_cast<double>(labels.size()));
  judged_labels out{static_cast<index_t>(shown.size()), 0, 1, 1, stable};
  for (int const c : shown) out.survived += static_cast<double>(area[static_cast<std::size_t>(c)]) >= least;
  for (int c = 1; c < 256; ++c)
    if (area[static_cast<std::size_t>(c)] > 0 && std::find(shown.begin(), shown.end(), c) == shown.end()) out.clean = 0;
  return out;
}

double agreement(grid<std::int32_t, 2> const& a, grid<std::int32_t, 2> const& b)
{
  index_t same_object = 0, same_background = 0, object = 0, background = 0;
  for (std::size_t i = 0; i < a.cells().size(); ++i) {
    auto const p = a.cells()[i], q = b.cells()[i];
    object += p != 0 || q != 0;
    background += p == 0 || q == 0;
    same_object += p != 0 && p == q;
    same_background += p == 0 && q == 0;
  }
  return std::min(ratio(same_object, object), ratio(same_background, background));
}

criterion judge(std::vector<judged_labels> const& images)
{
  judged_labels all;
  for (auto const& image : images) all += image;
  return {ratio(all.survived, all.present), ratio(all.clean, all.images),
          all.images == 0 ? 0 : all.stable / static_cast<double>(all.images)};
}

}  // namespace labelling
