#include "method/boxes.hpp"

#include "data/augment.hpp"
#include "data/batch.hpp"
#include "network/evaluation.hpp"
#include "network/uncertain_head.hpp"

#include <cambium/core/label.hpp>
#include <cambium/interop/torch.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;

grid<std::int32_t, 2> predict(uncertain_network& network, grid<std::uint8_t, 3> const& photograph,
                              cambium::class_model model)
{
  evaluation const now(network);
  at::Tensor const out = network.forward(to_tensor(normalised(photograph)).unsqueeze(0)).mean.contiguous();
  auto const mean = cambium::tensor_view<float const, 4>(out, "boxes: mean")[0];
  bool const softmax = model != cambium::class_model::one_vs_rest;
  auto labels = cambium::make_grid<std::int32_t>({mean.extent[1], mean.extent[2]});
  for (index_t y = 0; y < mean.extent[1]; ++y)
    for (index_t x = 0; x < mean.extent[2]; ++x) {
      float best = softmax ? mean(0, y, x) : 0;
      labels(y, x) = 0;
      for (index_t c = softmax; c < mean.extent[0]; ++c)
        if (mean(c, y, x) > best) best = mean(c, y, x), labels(y, x) = static_cast<std::int32_t>(softmax ? c : c + 1);
    }
  return labels;
}

cambium::confusion_matrix evaluate(uncertain_network& network, std::vector<box_sample> const& held_out,
                                   std::size_t classes, boxes_options const& options)
{
  expects(!held_out.empty(), "boxes: there is no image to measure by");
  cambium::confusion_matrix counts(options.several ? static_cast<int>(classes) + 1 : 2);
  for (auto const& sample : held_out) {
    expects(sample.exact, "boxes: image ", sample.id, " has no mask to measure by");
    cambium::accumulate(counts, predict(network, sample.photograph, options.supervision.loss.classes), sample.mask);
  }
  return counts;
}

double figure_of(cambium::confusion_matrix const& counts)
{
  return counts.classes == 2 ? cambium::class_iou(counts)[1] : cambium::mean_iou(counts);
}

rank_agreement agreement_of(std::vector<float> const& value, std::vector<std::uint8_t> const& flag)
{
  expects(value.size() == flag.size(), "agreement_of: ", value.size(), " values but ", flag.size(), " flags");
  std::vector<std::size_t> order(value.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (float const v : value) expects(std::isfinite(v), "agreement_of: a value is ", v);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return value[a] < value[b]; });
  double const n = static_cast<double>(value.size());
  double set = 0, of_set = 0,
         squares = 0;  // how many flags are set, the sum of their ranks, that of all ranks' squares
  for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && value[order[last]] == value[order[first]]) ++last;
    double const rank = 0.5 * static_cast<double>(first + last + 1);  // from 1; equal values share theirs
    squares += rank * rank * static_cast<double>(last - first);
    for (std::size_t i = first; i < last; ++i)
      if (flag[order[i]] != 0) ++set, of_set += rank;
  }
  double const unset = n - set, middle = 0.5 * (n + 1);
  expects(set > 0 && unset > 0, "agreement_of: ", set, " of ", n, " flags are set; expected some and not all");
  double const spread = (squares - n * middle * middle) * set * unset / n;  // of ranks and flags
  return {spread > 0 ? (of_set - set * middle) / std::sqrt(spread) : 0,
          (of_set - 0.5 * set * (set + 1)) / (set * unset)};
}

box_agreement agreement_in_boxes(uncertain_network& network, std::vector<box_sample> const& boxes,
                                 std::vector<box_sample> const& truth, boxes_options const& options)
{
  expects(options.supervision.loss.classes == cambium::class_model::one_vs_rest,
          "boxes: sigma is compared with the truth of single classes; expected class_model::one_vs_rest");
  expects(boxes.size() == truth.size(), "boxes: ", boxes.size(), " images with boxes but ", truth.size(), " truths");
  evaluation const now(network);
  auto const cap = static_cast<float>(2 * std::log(options.supervision.loss.largest_sigma));
  std::vector<float> sigma, doubt;
  std::vector<std::uint8_t> wrong;
  double found = 0;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    if (boxes[i].exact) continue;
    auto const& mask = truth[i].mask;
    expects(truth[i].exact && truth[i].id == boxes[i].id, "boxes: image ", boxes[i].id, " has the truth of ",
            truth[i].id);
    auto const out = network.forward(to_tensor(normalised(boxes[i].photograph)).unsqueeze(0));
    auto const mean = out.mean.contiguous(), log_variance = out.log_variance.contiguous();
    auto const mu = cambium::tensor_view<float const, 4>(mean, "boxes: mean")[0],
               s = cambium::tensor_view<float const, 4>(log_variance, "boxes: log_variance")[0];
    index_t const H = mask.shape()[0], W = mask.shape()[1];
    for (index_t c = 0; c < mu.extent[0]; ++c) {
      grid<std::uint8_t, 2> inside(H, W);
      for (auto const& b : boxes[i].boxes)
        for (index_t y = b.bounds.top; b.category == c && y < b.bounds.bottom; ++y)
          std::fill_n(&inside(y, b.bounds.left), b.bounds.right - b.bounds.left, std::uint8_t{1});
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          if (inside(y, x) == 0 || mask(y, x) == cambium::label::ignore) continue;
          bool const background = mask(y, x) != c + 1;
          sigma.push_back(std::min(cap, s(s.extent[0] == 1 ? 0 : c, y, x))), doubt.push_back(-mu(c, y, x));
          wrong.push_back(background);
          found += background && mu(c, y, x) <= 0;
        }
    }
  }
  auto const many = static_cast<double>(std::count(wrong.begin(), wrong.end(), std::uint8_t{1}));
  return {agreement_of(sigma, wrong), agreement_of(doubt, wrong), many / static_cast<double>(wrong.size()),
          found / many};
}

}  // namespace trainer
