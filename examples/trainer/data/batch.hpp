#pragma once
// Augmented samples as the tensors a training step takes.

#include "data/augment.hpp"

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace trainer {

/// Samples of one size, one after another.
struct batch {
  torch::Tensor photographs;                     ///< [B,3,h,w] float
  std::vector<torch::Tensor> maps;               ///< [B,h,w] int64 each: the same kind of map of every sample
  std::vector<cambium::points> points;           ///< B lists
  std::vector<std::vector<labelled_box>> boxes;  ///< B lists
  std::vector<cambium::box> seen;                ///< B
};

/// Puts samples together, in order.
/// @throws cambium::precondition_error: no sample, samples of different sizes or numbers of maps
[[nodiscard]] batch collate(std::vector<augmented> const& samples);

/// Tags as the classifier's targets: 1 where a class is there.
/// @return [B,classes] float
/// @throws cambium::precondition_error: a tag outside 0..classes-1
[[nodiscard]] torch::Tensor multi_hot(std::vector<std::vector<std::int32_t>> const& tags, std::int64_t classes);

/// Which tags count: 0 where a class is unsure. Undefined where none is.
/// @return [B,classes] float
[[nodiscard]] torch::Tensor sure_tags(std::vector<std::vector<std::int32_t>> const& unsure, std::int64_t classes);

/// A copy of a grid as a tensor: [3,H,W] float, [H,W] int64.
[[nodiscard]] torch::Tensor to_tensor(cambium::grid<float, 3> const& photograph);
[[nodiscard]] torch::Tensor to_tensor(cambium::grid<std::int32_t, 2> const& map);

}  // namespace trainer
