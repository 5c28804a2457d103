#pragma once
// The state of a training in one file: kill it and go on as if nothing had happened.

#include <cstdint>
#include <filesystem>
#include <string>

namespace torch::nn {
class Module;
}

namespace trainer {

class optimizer;

/// Saves weights, buffers, the optimiser's moments, the step and torch's random state (of the CPU).
///
/// The file is what torch.load of Python reads as a dictionary: "model/<name>" and "optimizer/<n>/<what>" are tensors.
/// It is written beside and renamed: there is an old file or a new one, never half of one.
///
/// @param path      where to; its folder is made
/// @param recipe    what the training is, in words of the caller (its options, say): it must be the same when resumed
/// @throws          cambium::io_error "path: reason"
/// @determinism     the same state gives the same bytes of tensors; devices are not kept
void save_checkpoint(std::filesystem::path const& path, torch::nn::Module const& model, optimizer const& optimiser,
                     std::string const& recipe);

/// Puts a training back to where save_checkpoint left it; its next step is the one that would have followed.
///
/// Everything is looked at before anything is changed.
///
/// @param model      of the same parameters and buffers, by name, type and shape; on any device
/// @param optimiser  of the same kind, with parameters of the same number and shapes in the same order
/// @return           the number of steps taken
///
/// @throws           cambium::io_error "path: reason": no such file, damaged (a checksum tells), not a checkpoint, of
///                   another recipe, another model, another optimiser; the first difference is named
/// @invariant        n steps, save, restore, m steps gives the bits of n + m steps
std::int64_t restore_checkpoint(std::filesystem::path const& path, torch::nn::Module& model, optimizer& optimiser,
                                std::string const& recipe);

/// As restore_checkpoint, of a file's bytes: where several processes train, rank 0 reads the file and sends them.
/// @param name  of the file, for messages
std::int64_t restore_checkpoint(std::string const& bytes, std::string const& name, torch::nn::Module& model,
                                optimizer& optimiser, std::string const& recipe);
/// @throws cambium::io_error "path: reason"
[[nodiscard]] std::string read_checkpoint(std::filesystem::path const& path);

/// Only the weights and buffers of a checkpoint, of any recipe: for inference, or as another training's start.
/// @throws cambium::io_error as restore_checkpoint
void restore_model(std::filesystem::path const& path, torch::nn::Module& model);

}  // namespace trainer
