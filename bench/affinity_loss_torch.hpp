#pragma once
// The affinity and displacement loss as its authors formulated it, in LibTorch: every cell of every path is gathered
// through index tensors, and autograd goes back through all of it. On the cores or on a device, where its tensors are.

#include <torch/torch.h>  // first: it defines macros with common names

#include <cambium/core/index.hpp>
#include <cambium/core/label.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/grid/stencil.hpp>

#include <vector>

namespace bench {

using cambium::index_t;
using cambium::offset;
using cambium::stencil;
using torch::Tensor;

inline constexpr int radius = 10;

/// The geometry of one map size, made once and kept.
struct path_tables {
  stencil edges = stencil::disc(radius);
  index_t H, W, reach = edges.reach();
  std::vector<Tensor> paths;  ///< for each length of paths: [offsets, cells, sources] places on the flattened map
  Tensor target;              ///< [1,2,offsets,1] the steps

  path_tables(index_t height, index_t width, torch::Device const& where = torch::kCPU) : H(height), W(width)
  {
    auto const source = torch::arange(H - reach).view({-1, 1}) * W + torch::arange(reach, W - reach);
    std::vector<Tensor> same_length;
    index_t length = 0;
    auto const close = [&] {
      if (!same_length.empty()) paths.push_back(torch::stack(same_length).to(where));
      same_length.clear();
    };
    for (int k = 0; k < edges.size; ++k) {
      auto const cells = cambium::path::to(edges.at[k]);
      if (cells.size != length) close();
      length = cells.size;
      std::vector<Tensor> along;
      for (int c = 0; c < cells.size; ++c) along.push_back((source + (cells.at[c].dy * W + cells.at[c].dx)).view(-1));
      same_length.push_back(torch::stack(along));
    }
    close();
    target = torch::empty({1, 2, edges.size, 1});
    for (int k = 0; k < edges.size; ++k) target[0][0][k][0] = edges.at[k].dy, target[0][1][k][0] = edges.at[k].dx;
    target = target.to(where);
  }

  /// The sources of a map [...,H,W], and where edge k takes them: [...,sources].
  Tensor sources(Tensor const& map) const { return crop(map, {0, 0}); }
  Tensor ends(Tensor const& map, int k) const { return crop(map, edges.at[k]); }
  Tensor crop(Tensor const& map, offset by) const
  {
    return map.slice(-2, by.dy, by.dy + H - reach).slice(-1, reach + by.dx, W - reach + by.dx).flatten(-2);
  }

  /// All ends, [...,offsets,sources].
  Tensor ends(Tensor const& map) const
  {
    std::vector<Tensor> all;
    for (int k = 0; k < edges.size; ++k) all.push_back(ends(map, k));
    return torch::stack(all, -2);
  }

  double bytes() const
  {
    double all = 0;
    for (auto const& p : paths) all += static_cast<double>(p.nbytes());
    return all;
  }
};

/// Which pairs are of background, of one class, of different labels: [B,offsets,sources] 0 or 1.
struct pair_masks {
  Tensor background, foreground, negative;

  pair_masks(path_tables const& of, Tensor const& labels)
  {
    auto const from = of.sources(labels).unsqueeze(1), to = of.ends(labels);
    auto const known = (from != cambium::label::ignore) & (to != cambium::label::ignore), same = (from == to) & known;
    background = (same & (from == cambium::label::background)).to(torch::kFloat);
    foreground = (same & (from != cambium::label::background)).to(torch::kFloat);
    negative = (known & (from != to)).to(torch::kFloat);
  }
};

struct torch_loss {
  Tensor background, foreground, negative, field_foreground, field_background, total;
  Tensor by_logits, by_field;
};

inline torch_loss affinity_loss_of(path_tables const& of, Tensor const& logits, Tensor const& field,
                                   pair_masks const& pairs)
{
  auto const boundary = torch::sigmoid(logits).flatten(1);
  std::vector<Tensor> of_length;
  for (auto const& p : of.paths) {
    auto const cells = boundary.index_select(1, p.view(-1)).view({boundary.size(0), p.size(0), p.size(1), p.size(2)});
    of_length.push_back((1 - torch::max_pool2d(cells, {p.size(1), 1})).squeeze(2));
  }
  auto const affinity = torch::cat(of_length, 1);
  auto const positive = -torch::log(affinity + 1e-5), negative = -torch::log(1 + 1e-5 - affinity);
  auto const step = of.sources(field).unsqueeze(2) - of.ends(field);
  auto const off_foreground = torch::abs(step - of.target), off_background = torch::abs(step);

  auto const mean = [](Tensor const& loss, Tensor const& mask) {
    return torch::sum(loss * mask) / (torch::sum(mask) + 1e-5);
  };
  auto const field_mean = [](Tensor const& loss, Tensor const& mask) {
    return torch::sum(loss * mask.unsqueeze(1)) / (2 * torch::sum(mask) + 1e-5);
  };
  torch_loss out;
  out.background = mean(positive, pairs.background);
  out.foreground = mean(positive, pairs.foreground);
  out.negative = mean(negative, pairs.negative);
  out.field_foreground = field_mean(off_foreground, pairs.foreground);
  out.field_background = field_mean(off_background, pairs.background);
  out.total =
      ((out.background + out.foreground) / 2 + out.negative) / 2 + (out.field_foreground + out.field_background) / 2;
  auto const slopes = torch::autograd::grad({out.total}, {logits, field});
  out.by_logits = slopes[0], out.by_field = slopes[1];
  return out;
}

}  // namespace bench
