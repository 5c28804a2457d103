#include "study/boxes_picture.hpp"

#include "data/augment.hpp"
#include "data/batch.hpp"
#include "network/evaluation.hpp"
#include "network/uncertain_head.hpp"

#include <cambium/core/error.hpp>
#include <cambium/interop/torch.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace trainer::study {

using cambium::index_t;

void write_box_pictures(uncertain_network& network, std::vector<box_sample> const& boxes,
                        std::vector<box_sample> const& truth, boxes_options const& options, std::size_t count,
                        std::filesystem::path const& file)
{
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < boxes.size() && shown.size() < count; ++i)
    if (!boxes[i].exact && !boxes[i].boxes.empty()) shown.push_back(i);
  cambium::expects(!shown.empty() && boxes.size() == truth.size(), "write_box_pictures: no image with boxes and truth");
  evaluation const now(network);
  auto rules = options.supervision;
  rules.bootstrap.warm_up = 0;
  index_t const H = boxes[shown[0]].photograph.shape()[0], W = boxes[shown[0]].photograph.shape()[1], gap = 2;
  cambium::grid<std::uint8_t, 3> page(static_cast<index_t>(shown.size()) * (H + gap) - gap, 5 * (W + gap) - gap, 3);
  std::fill_n(page.data(), page.size(), std::uint8_t{200});
  for (std::size_t row = 0; row < shown.size(); ++row) {
    auto const& sample = boxes[shown[row]];
    auto const out = network.forward(to_tensor(normalised(sample.photograph)).unsqueeze(0));
    auto const mean = out.mean.contiguous(), log_variance = out.log_variance.contiguous();
    auto const mu = cambium::tensor_view<float const, 4>(mean, "boxes: mean")[0],
               s = cambium::tensor_view<float const, 4>(log_variance, "boxes: log_variance")[0];
    auto const labels =
        cambium::box_targets(options.where, mu, s, cambium::weak_annotation<>{sample.boxes, {}}, options.steps, rules);
    auto const filled = filled_boxes(sample.boxes, H, W);
    index_t const top = static_cast<index_t>(row) * (H + gap);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const put = [&](index_t column, auto const& of_channel) {
          for (index_t c = 0; c < 3; ++c)
            page(top + y, column * (W + gap) + x, c) = static_cast<std::uint8_t>(of_channel(c));
        };
        auto const grey = [&](double v) { return [v](index_t) { return std::lround(255 * std::clamp(v, 0.0, 1.0)); }; };
        put(0, [&](index_t c) { return sample.photograph(y, x, c); });
        put(1, grey(filled(y, x) > 0));
        put(2, grey(std::exp(0.5 * static_cast<double>(s(0, y, x))) / rules.loss.largest_sigma));
        put(3, grey(labels.trusted(0, y, x) == cambium::trust::certain ? labels.target(0, y, x) : 0.5));
        put(4, grey(truth[shown[row]].mask(y, x) > 0));
      }
  }
  cambium::replace_file(file, cambium::format_photograph_png(page));
}

}  // namespace trainer::study
