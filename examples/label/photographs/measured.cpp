#include "photographs/measured.hpp"

#include <cambium/core/label.hpp>

#include <algorithm>
#include <utility>

namespace labelling {

using namespace cambium;

namespace {

/// [fraction of the image] below which a class has not survived: sweep's default.
constexpr double least_area = 0.001;

/// The truth without its background where a class is predicted that the image's truth does not have.
grid<std::int32_t, 2> countable(photograph const& in, grid<std::int32_t, 2> const& predicted)
{
  auto out = in.is.semantic;
  if (!in.annotated) return out;
  for (std::size_t i = 0; i < out.cells().size(); ++i) {
    auto& v = out.cells()[i];
    auto const p = predicted.cells()[i];
    if (v == label::background && p != label::background && !in.annotated->contains(p)) v = label::ignore;
  }
  return out;
}

/// Overlaps without predictions of classes that the image's truth does not have.
image_result countable(photograph const& in, image_result all)
{
  if (!in.annotated) return all;
  image_result out;
  out.truth = all.truth;
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < all.predicted.size(); ++i)
    if (in.annotated->contains(all.predicted[i])) kept.push_back(i);
  out.iou = grid<float, 2>(kept.size(), all.truth.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    out.predicted.push_back(all.predicted[kept[i]]), out.score.push_back(all.score[kept[i]]);
    for (std::size_t j = 0; j < all.truth.size(); ++j) out.iou(i, j) = all.iou(kept[i], j);
  }
  return out;
}

}  // namespace

measured& comparison::add(std::string setting, grid<std::int32_t, 2> const* semantic, instances<> const* objects,
                          double stable)
{
  measured out;
  out.setting = std::move(setting);
  if (semantic != nullptr) {
    confusion_matrix m(256);
    accumulate(m, *semantic, countable(in_, *semantic));
    for (int t = 0; t < m.classes; ++t)
      for (int p = 0; p <= m.classes; ++p)
        if (m.at(t, p) > 0) out.counted.push_back({t, p, m.at(t, p)});
    out.judged = judge_labels(*semantic, in_.maps.classes, least_area, stable);
  }
  if (objects != nullptr) out.objects = countable(in_, compare_instances(*objects, in_.is, false));
  return arms_.back().at.emplace_back(std::move(out));
}

}  // namespace labelling
