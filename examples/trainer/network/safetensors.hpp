#pragma once
// Weights in safetensors files: 8 bytes of little-endian header length, a JSON header, the bytes of the tensors. Unlike
// the checkpoints of torch.save such a file holds no program. From Python:
//
//   safetensors.torch.save_file(torchvision.models.resnet50(weights="DEFAULT").state_dict(), "resnet50.safetensors")

#include <cambium/io/file.hpp>

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace torch::nn {
class Module;
}

namespace trainer {

using named_tensors = std::map<std::string, torch::Tensor>;

/// What a safetensors file holds.
struct weights {
  named_tensors tensors;                        ///< on the CPU, contiguous, each with memory of its own
  std::map<std::string, std::string> metadata;  ///< the strings of "__metadata__"
};

/// Parse the content of a safetensors file: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL. `name` begins every message.
/// @throws cambium::io_error naming the file and, where there is one, the tensor: a header that is damaged, truncated or
///         beyond 100 MB, names that occur twice, types that are not known, shapes that do not fit their bytes, tensors
///         that overlap, bytes that belong to none, booleans beyond 0 and 1
/// @source huggingface/safetensors, README "Format" and the checks of SafeTensors::read_metadata; it keeps the last of
///         two tensors of one name, here they are an error
[[nodiscard]] weights parse_safetensors(cambium::bytes const& file, std::string const& name);

/// Takes twice the size of the file in memory while it reads.
/// @throws cambium::io_error
[[nodiscard]] weights read_safetensors(std::filesystem::path const& path);

/// The bytes of a safetensors file. Wider types come first and the header is padded to 8 bytes, so that every tensor
/// is aligned; the same tensors give the same bytes. Tensors may lie on any device and have any strides.
/// @throws cambium::precondition_error: a tensor that is undefined, sparse or of a type the format has no name for;
///         names that are empty, "__metadata__", beyond 4096 bytes or not UTF-8
[[nodiscard]] cambium::bytes format_safetensors(named_tensors const& tensors,
                                                std::map<std::string, std::string> const& metadata = {});

/// Whole or not at all.
/// @throws cambium::precondition_error, cambium::io_error
void write_safetensors(std::filesystem::path const& path, named_tensors const& tensors,
                       std::map<std::string, std::string> const& metadata = {});

/// How the names of a file become those of a module, and which of them need no partner. For the ResNet-50 inside a
/// published IRNet, say:
///
///   {.prefix = "resnet50.", .passed_over = {"fc."}}
struct name_map {
  std::string prefix;  ///< only tensors whose names begin with this count, and it is taken off
  /// Then each name is rewritten by these in turn: an ECMAScript regular expression and what replaces its matches, with
  /// $1 for groups: {"^module\\.", ""} takes off what DataParallel adds.
  std::vector<std::pair<std::string, std::string>> renames;
  std::vector<std::string> passed_over;      ///< tensors of the file whose new names begin so are not wanted
  std::vector<std::string> allowed_missing;  ///< tensors of the module whose names begin so keep their values
};

/// Tensors under their new names, without those passed over; they share their memory.
/// @throws cambium::precondition_error: a rename that is no regular expression. Of two tensors that get the same name the
///         first stays; load_weights refuses them
[[nodiscard]] named_tensors renamed(named_tensors const& tensors, name_map const& names);

/// The parameters and buffers of a module by name; they share its memory.
[[nodiscard]] named_tensors tensors_of(torch::nn::Module const& module);

/// Copy tensors into the parameters and buffers of the same names, on whatever device they are. Floating point is
/// converted to the module's type, integers to types that are not narrower. A batch norm's num_batches_tracked may
/// always be missing: files of before PyTorch 0.4.1 have none, and nothing here computes with it.
/// @param origin  begins every message: the file
/// @throws cambium::io_error that names every tensor that is missing, superfluous, of another shape or kind, not finite
///         or beyond the module's type; nothing was changed then. cambium::precondition_error: a rename that is no
///         regular expression
void load_weights(torch::nn::Module& module, named_tensors const& tensors, name_map const& names,
                  std::string const& origin);

/// The same from a file.
/// @return the file's metadata
std::map<std::string, std::string> load_weights(torch::nn::Module& module, std::filesystem::path const& file,
                                                name_map const& names = {});

/// Write the parameters and buffers of a module.
/// @throws cambium::io_error
void save_weights(torch::nn::Module const& module, std::filesystem::path const& file,
                  std::map<std::string, std::string> const& metadata = {});

/// Whether weights are there already, of the training that the words tell of: those of its metadata's "recipe".
/// @throws cambium::io_error: a file that cannot be read, or one that another training made; both are told
[[nodiscard]] bool made_by(std::string const& recipe, std::filesystem::path const& file);

}  // namespace trainer
