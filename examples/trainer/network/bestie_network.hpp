#pragma once
// What BESTIE's networks have in common: one photograph, three maps.

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>

namespace trainer {

/// What a network says of a batch, as large as its photographs.
struct bestie_maps {
  torch::Tensor seg;     ///< [B,C+1,H,W] logits, channel 0 background
  torch::Tensor centre;  ///< [B,C,H,W] heat maps, trained towards [0,1]
  torch::Tensor offset;  ///< [B,2,H,W] (dy,dx) [pixels] from each pixel to the centre of its object
};

/// The classes alone, at the network's own resolution, and what its last layers see.
struct semantic_half {
  torch::Tensor logits;    ///< [B,C+1,h,w], channel 0 background
  torch::Tensor features;  ///< [B,F,h,w]
};

/// A network of BESTIE: HRNet or Panoptic-DeepLab.
class bestie_network : public torch::nn::Module {
 public:
  /// @param image  [B,3,H,W] normalised photographs
  [[nodiscard]] virtual bestie_maps forward(torch::Tensor const& image) = 0;
  /// Looks for classes alone: no centres, no offsets. forward() enlarges these logits.
  /// @param image  [B,3,H,W] normalised photographs
  [[nodiscard]] virtual semantic_half semantic(torch::Tensor const& image) = 0;
  /// F, of semantic_half::features.
  [[nodiscard]] virtual std::int64_t feature_channels() const = 0;
  /// C, without the background.
  [[nodiscard]] virtual std::int64_t classes() const = 0;
  /// Sides of the photographs have to be multiples of this.
  [[nodiscard]] virtual std::int64_t multiple() const = 0;
};

}  // namespace trainer
