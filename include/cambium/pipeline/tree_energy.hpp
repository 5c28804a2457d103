#pragma once
// Tree energy loss: what a network says of unlabelled pixels should be smooth along the tree of the image.

#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/loss/guided.hpp>
#include <cambium/walk/minimum_tree.hpp>
#include <cambium/walk/tree_filter.hpp>
#include <cambium/walk/tree_slopes.hpp>

#include <limits>
#include <utility>
#include <vector>

namespace cambium {

/// The loss of a batch and its gradients.
template <class T>
struct tree_energy {
  double value = 0;
  grid<T, 4> gradient;  ///< [B,C,H,W] by the probabilities
  grid<T, 4> by_high;   ///< [B,Ch,H,W] by the high guide; empty without one
};

/// An image's trees, weights and filtered maps, as the way back needs them.
template <class T>
struct tree_energy_image {
  grid_tree low, high;
  tree_weights<T> of_low, of_high;
  grid<T, 3> smooth;  ///< [C,H,W] filtered along the low tree
};

/// Compare a network's probabilities with themselves, smoothed along trees.
///
///   smooth = tree_filter of the probabilities along the low tree; with a high guide that again along the high tree
///   value = sum over images, channels and pixels of roi * |probabilities - smooth| / number of pixels with roi > 0
///
/// The value is not divided by the number of channels. The gradient goes through the filters, and in the high tree to
/// its guide too.
///
/// @param where          cpu: images in parallel, or the channels of one
/// @param probabilities  [B,C,H,W] finite
/// @param roi            [B,1,H,W] >= 0, usually 1 on unlabelled pixels, else 0
/// @param low            [B,Cl,H,W] finite: the photograph, in 0..1
/// @param high           [B,Ch,H,W] finite: features of the network; or nullptr
/// @param options        of the low tree: sigma = 0.02, groups = 1. The high tree has the groups and sigma 1
///
/// @return value and gradients; all 0 where no pixel counts
/// @throws       precondition_error: shapes that differ, values that are not finite, a negative roi, groups that do not
///               divide the channels
/// @invariant    0 for probabilities that are constant in each channel, within rounding
/// @complexity   Theta(B * (C + Cl + Ch) * H * W)
/// @determinism  the same bits on every run and for every number of threads; the sum in double
/// @source       Liang, Wang, Zhang, Sun, Shen, "Tree Energy Loss: Towards Sparsely Annotated Semantic Segmentation", CVPR
///               2022; TreeEnergyLoss, lib/loss/loss_helper.py of megvii-research/TreeEnergyLoss
template <gridded<4> A, gridded<4> R, gridded<4> L>
[[nodiscard]] auto tree_energy_loss(cpu const& where, A const& probabilities, R const& roi, L const& low,
                                    grid<value_of<A, 4>, 4> const* high = nullptr, tree_filter_options options = {})
{
  using T = value_of<A, 4>;
  view<T const, 4> const p = as_view<4>(probabilities, "tree_energy_loss: probabilities");
  view<T const, 4> const counts = as_view<4>(roi, "tree_energy_loss: roi");
  view<T const, 4> const guide = as_view<4>(low, "tree_energy_loss: low");
  index_t const B = p.extent[0], H = p.extent[2], W = p.extent[3];
  auto const fits = [&](view<T const, 4> const& v) { return v.extent[0] == B && v.extent[2] == H && v.extent[3] == W; };
  expects(fits(counts) && counts.extent[1] == 1, "tree_energy_loss: probabilities are ", p, " but roi is ", counts);
  expects(fits(guide), "tree_energy_loss: probabilities are ", p, " but the low guide is ", guide);
  expects(high == nullptr || fits(high->view()), "tree_energy_loss: probabilities are ", p,
          " but the high guide is another batch or size");
  index_t const C = p.extent[1], G = options.groups;
  expects(H * W >= 1, "tree_energy_loss: probabilities are ", p, ", without a pixel");
  expects_sigma<T>(options.sigma, "tree_energy_loss");
  expects(G >= 1 && C % G == 0 && guide.extent[1] % G == 0 && (high == nullptr || high->shape()[1] % G == 0),
          "tree_energy_loss: groups is ", G, "; it must divide the channels of probabilities and guides");
  expects_finite(where, p, "tree_energy_loss: probabilities");
  expects_finite(where, guide, "tree_energy_loss: low");
  if (high != nullptr) expects_finite(where, high->view(), "tree_energy_loss: high");
  expects_inside(where, counts, T(0), std::numeric_limits<T>::max(), "tree_energy_loss: roi", "a finite number >= 0");
  tree_filter_options const of_high{.sigma = 1, .groups = options.groups};

  std::vector<tree_energy_image<T>> images(static_cast<std::size_t>(B));
  auto smooth = grid_like<T, host>(p);
  for_each_item(where, B, [&](cpu const& share, index_t b) {
    auto& image = images[static_cast<std::size_t>(b)];
    image.low = minimum_tree(share, guide[b]);
    image.of_low = make_tree_weights(share, guide[b], image.low, options);
    tree_filter_scratch<T> scratch;
    if (high == nullptr) return tree_filter_into(share, p[b], image.low, image.of_low, smooth.view()[b], scratch);
    image.smooth = tree_filter(share, p[b], image.low, image.of_low);
    image.high = minimum_tree(share, high->view()[b]);
    image.of_high = make_tree_weights(share, high->view()[b], image.high, of_high);
    tree_filter_into(share, image.smooth, image.high, image.of_high, smooth.view()[b], scratch);
  });

  auto loss = guided_loss(where, rule::absolute_error{}, p, smooth, counts, {}, "tree_energy_loss");
  tree_energy<T> out{loss.value, std::move(loss.gradient), {}};
  if (high != nullptr) out.by_high = grid_like<T, host>(high->view());
  for_each_item(where, B, [&](cpu const& share, index_t b) {
    auto const& image = images[static_cast<std::size_t>(b)];
    stack_view<T> const direct = out.gradient.view()[b];  // minus the slope by what is smooth
    grid<T, 3> through;
    if (high == nullptr) {
      through = tree_filter_back(share, direct, image.low, image.of_low);
    } else {
      auto slopes = tree_filter_slopes(share, image.smooth, smooth.view()[b], direct, image.high, image.of_high);
      for (T& v : slopes.by_affinity.cells()) v = -v;
      tree_guide_slopes_into(share, high->view()[b], image.high, image.of_high, of_high, slopes.by_affinity,
                             out.by_high.view()[b]);
      through = tree_filter_back(share, slopes.by_feature, image.low, image.of_low);
    }
    for (index_t c = 0; c < p.extent[1]; ++c)
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) direct(c, y, x) -= through(c, y, x);
  });
  return out;
}

}  // namespace cambium
