#pragma once
// cambium's losses as nodes of autograd. All take tensors of the CPU and a policy that says with how many threads; all
// return a tensor without axes that backward() can be called on, once differentiable. Network outputs are float or
// double and are copied where they are not row-major without gaps (channels-last networks). Targets get no gradient.
//
// Every one throws cambium::precondition_error naming the tensor: undefined, not on the CPU, another type, rank or
// shape than here, NaN or infinite values, labels outside their range.

#include <cambium/exec/cpu.hpp>
#include <cambium/loss/affinity_displacement.hpp>
#include <cambium/loss/box_projection.hpp>
#include <cambium/loss/guided.hpp>
#include <cambium/loss/hard_pixels.hpp>
#include <cambium/loss/label_uncertainty.hpp>
#include <cambium/loss/pairwise.hpp>
#include <cambium/pipeline/tree_energy.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace trainer {

/// IRNet's loss of boundaries and displacements: cambium::affinity_displacement_loss, total().
///
/// @param boundary      [B,1,H,W] or [B,H,W] logits
/// @param displacement  [B,2,H,W] (dy,dx) of boundary's type; or undefined: then there are no field terms
/// @param labels        [B,H,W] int32: 0 background, label::ignore and below 0 drop their pairs
/// @param parts         if not null, the values of the parts are written there
[[nodiscard]] at::Tensor affinity_displacement(cambium::cpu const& where, at::Tensor const& boundary,
                                               at::Tensor const& displacement, at::Tensor const& labels,
                                               cambium::affinity_loss_options const& options = {},
                                               cambium::affinity_loss_values* parts = nullptr);

/// Cross entropy over labelled pixels: cambium::cross_entropy.
///
/// @param logits  [B,C,H,W]
/// @param labels  [B,H,W] uint8, int32 or int64: 0..C-1 or label::ignore
[[nodiscard]] at::Tensor cross_entropy(cambium::cpu const& where, at::Tensor const& logits, at::Tensor const& labels);

/// Cross entropy over the hardest pixels of a batch: cambium::hardest_pixels_cross_entropy. Parameters as
/// cross_entropy.
[[nodiscard]] at::Tensor hardest_pixels_cross_entropy(cambium::cpu const& where, at::Tensor const& logits,
                                                      at::Tensor const& labels,
                                                      cambium::hard_pixel_options const& options = {});

/// Square errors of the guided pixels: cambium::guided_square_error.
///
/// @param output  [B,C,H,W]
/// @param target  [B,C,H,W] of output's type
/// @param weight  [B,1,H,W] of output's type, >= 0
[[nodiscard]] at::Tensor guided_square_error(cambium::cpu const& where, at::Tensor const& output,
                                             at::Tensor const& target, at::Tensor const& weight,
                                             cambium::guided_options const& options = {});

/// Absolute errors of the guided pixels: cambium::guided_absolute_error. Parameters as guided_square_error.
[[nodiscard]] at::Tensor guided_absolute_error(cambium::cpu const& where, at::Tensor const& output,
                                               at::Tensor const& target, at::Tensor const& weight,
                                               cambium::guided_options const& options = {});

/// Cross entropy with an expected probability in boxes: cambium::label_uncertainty_loss.
///
/// @param mean          [B,C,H,W] of the logits
/// @param log_variance  [B,C,H,W] or [B,1,H,W], of mean's type
/// @param target        [B,C,H,W] in [0,1], of mean's type
/// @param trusted       [B,C,H,W] or [B,1,H,W] uint8: cambium::trust
/// @param counted       if not null, value and counts of cells are written there
[[nodiscard]] at::Tensor label_uncertainty(cambium::cpu const& where, at::Tensor const& mean,
                                           at::Tensor const& log_variance, at::Tensor const& target,
                                           at::Tensor const& trusted,
                                           cambium::label_uncertainty_options const& options = {},
                                           cambium::label_uncertainty_value* counted = nullptr);

/// Projections of masks against those of their boxes: cambium::box_projection_loss.
///
/// @param logits     [N,H,W]
/// @param instances  [N] boxes on the map
[[nodiscard]] at::Tensor box_projection(cambium::cpu const& where, at::Tensor const& logits,
                                        cambium::view<cambium::boxed_instance const, 1> const& instances,
                                        cambium::projection_options const& options = {});

/// Equal labels of neighbours with similar colours: cambium::pairwise_loss.
///
/// @param logits     [N,H,W]
/// @param instances  [N] boxes on the map, and images in 0..B-1
/// @param pairs      [B,H,W] cambium::similar_pairs of each image
[[nodiscard]] at::Tensor pairwise(cambium::cpu const& where, at::Tensor const& logits,
                                  cambium::view<cambium::boxed_instance const, 1> const& instances,
                                  cambium::stack_view<std::uint32_t const> const& pairs,
                                  cambium::pairwise_options const& options = {});

/// Probabilities of unlabelled pixels against themselves, smoothed along trees of the image: cambium::tree_energy_loss.
///
/// @param probabilities  [B,C,H,W]
/// @param roi            [B,1,H,W] of their type, >= 0: 1 on unlabelled pixels
/// @param low            [B,Cl,H,W] of their type: the photograph, in 0..1
/// @param high           [B,Ch,H,W] of their type: features, which learn too; or undefined: then there is no high tree
[[nodiscard]] at::Tensor tree_energy(cambium::cpu const& where, at::Tensor const& probabilities, at::Tensor const& roi,
                                     at::Tensor const& low, at::Tensor const& high = {},
                                     cambium::tree_filter_options const& options = {});

/// Is each class somewhere in the image? Binary cross entropy, the mean over classes, then over images.
///
/// @param logits  [B,C]
/// @param tags    [B,C] of logits' type: 1 where the class is in the image, 0 where it is not
/// @source torch::nn::functional::multilabel_soft_margin_loss, which looks at neither the range of the tags nor NaN
/// @param counts  [B,C] 1, or 0 where nobody says whether the class is there: such a pair adds nothing; or undefined
[[nodiscard]] at::Tensor multilabel_soft_margin(at::Tensor const& logits, at::Tensor const& tags,
                                                at::Tensor const& counts = {});

// Losses of a batch that several processes share: the tensors are this process's samples, `batch` the number of all. The
// value is that of the whole batch; backward gives this process its part. In one process they are the losses above.

[[nodiscard]] at::Tensor hardest_pixels_of_all(cambium::cpu const& where, at::Tensor const& logits,
                                               at::Tensor const& labels, cambium::hard_pixel_options const& options,
                                               std::int64_t batch);
/// The mean over the pixels with a weight above 0 of all processes.
[[nodiscard]] at::Tensor guided_square_error_of_all(cambium::cpu const& where, at::Tensor const& output,
                                                    at::Tensor const& target, at::Tensor const& weight);
[[nodiscard]] at::Tensor guided_absolute_error_of_all(cambium::cpu const& where, at::Tensor const& output,
                                                      at::Tensor const& target, at::Tensor const& weight);
[[nodiscard]] at::Tensor tags_loss_of_all(at::Tensor const& logits, at::Tensor const& tags, at::Tensor const& counts,
                                          std::int64_t batch);

}  // namespace trainer
