#pragma once

#include <cambium/activation/confident.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/crf/dense_crf.hpp>

#include <cstdint>
#include <vector>

namespace cambium {

/// Parameters of IRNet's label mining, by the names and with the defaults of the original's run_sample.py.
struct mining_options {
  double conf_fg_thres = 0.30;
  double conf_bg_thres = 0.05;
  double gt_prob = 0.7;  ///< how likely a label is right before refinement
  int iterations = 10;   ///< of the CRF
  std::vector<pairwise> kernels = crf_preset::irn();
  crf_build build{};
};

/// Mine the pixels of an image whose label is sure, from its CAMs.
///
/// Labels above a high threshold are refined by a CRF, and so are labels above a low threshold. A pixel takes the class
/// of the first map. A pixel is background if both maps have no class there. Every other pixel becomes label::ignore.
///
/// @param where    where to run; must reach the memory of image and CAMs
/// @param image    [H,W,B]
/// @param cams     [C,H,W] at the size of the image, each channel's maximum about 1
/// @param keys     C classes, 0-based, on the host; the label of class k is k + 1
/// @param options  defaults of the original
/// @return [H,W] 0, key + 1, or label::ignore, in the memory of the policy
///
/// @pre          cpu: CAMs finite. On a device NaN is above no threshold
/// @throws       precondition_error: sizes that do not fit together, a negative key, NaN on the cpu
/// @complexity   lattices of the image once, and two inferences
/// @determinism  as infer
/// @asynchrony   gpu: waits for the number of lattice points, as dense_crf
/// @source       _work, step/cam_to_ir_label.py of jiwoon-ahn/irn, which builds the lattices twice
template <execution_policy P, stack_like I, stack_like M>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<M, 3>>
[[nodiscard]] auto cam_to_ir_label(P const& where, I const& image, M const& cams, std::vector<std::int32_t> const& keys,
                                   mining_options options = {}) -> grid<std::int32_t, 2, typename P::memory>
{
  auto const in = as_view<3>(cams, "cam_to_ir_label: cams");
  auto const picture = as_view<3>(image, "cam_to_ir_label: image");
  expects(in.extent[1] == picture.extent[0] && in.extent[2] == picture.extent[1], "cam_to_ir_label: CAMs are ", in,
          " but the image is ", picture);
  expects(static_cast<index_t>(keys.size()) == in.extent[0], "cam_to_ir_label: CAMs are ", in, " but there are ",
          static_cast<index_t>(keys.size()), " keys");
  expects_keys(keys, "cam_to_ir_label");
  dense_crf<P> const field(where, picture, options.kernels, options.build);
  auto const refined = [&](double thres) {
    auto const found = refine_labels(where, field, threshold_labels(where, in, thres), in.extent[0] + 1,
                                     {.gt_prob = options.gt_prob, .iterations = options.iterations});
    return relabel(where, found, labels_of_keys(keys));
  };
  return join_confident(where, refined(options.conf_fg_thres), refined(options.conf_bg_thres));
}

}  // namespace cambium
