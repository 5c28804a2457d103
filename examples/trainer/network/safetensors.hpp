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

namespace trainer {

using named_tensors = std::map<std::string, torch::Tensor>;

/// What a safetensors file holds.
struct weights {
  named_tensors tensors;                        ///< on the CPU, contiguous, each with memory of its own
  std::map<std::string, std::string> metadata;  ///< the strings of "__metadata__"
};

/// Parse the content of a safetensors file: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL. `name` begins every message.
/// @throws cambium::io_error naming the file and, where there is one, the tensor: a header that is damaged, truncated
///         or beyond 100 MB, names that occur twice, types that are not known, shapes that do not fit their bytes,
///         tensors that overlap, bytes that belong to none, booleans beyond 0 and 1
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

/// "F32 [64,3,7,7]"
[[nodiscard]] std::string describe(torch::Tensor const& t);

/// A name from a file in quotes, without bytes that would garble a terminal.
[[nodiscard]] std::string in_quotes(std::string const& name);

}  // namespace trainer
