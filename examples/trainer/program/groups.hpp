#pragma once
// Which outputs of a classifier speak of a class: 118 breeds of ImageNet are one dog.

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trainer {

struct class_group {
  int number = 0;  ///< 1..254, as in label maps
  std::string name;
  std::vector<std::int64_t> indices;  ///< of the classifier's outputs, from 0
};

/// Read groups from JSON: an object, or its entry "map", with an entry for each class, either a list of indices (then
/// classes count from 1 in the order of the file) or an object with the class's number, "class" or "voc_class", and
/// lists of indices of which `key` names one. A class whose list is empty or missing gets no group if another has one.
///
///   {"dog": {"class": 12, "indices": [151, 152]}, "cat": {"class": 8, "indices": [281]}}
///
/// @param outputs  how many outputs the classifier has
/// @throws cambium::io_error naming the file and the class: no such list anywhere, indices beyond the outputs or
///         repeated, numbers that are outside 1..254 or taken
[[nodiscard]] std::vector<class_group> read_groups(std::filesystem::path const& file, std::string const& key,
                                                   std::int64_t outputs);

/// Class c is output c - 1.
/// @throws cambium::precondition_error: more than 254 outputs
[[nodiscard]] std::vector<class_group> each_output_alone(std::int64_t outputs);

/// One class more on the same features: a 1x1 convolution learned for itself.
struct extra_head {
  int number = 0;
  torch::Tensor weight;  ///< [F]
  float bias = 0;
};

/// Read a head from a safetensors file with one weight of F values and one bias, whatever their names' beginnings.
/// @throws cambium::io_error naming the file
[[nodiscard]] extra_head read_head(int number, std::filesystem::path const& file, std::int64_t features);

}  // namespace trainer
