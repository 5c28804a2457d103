#pragma once
// Photographs with the pseudo labels of an earlier stage as their truth: what a second stage learns from.

#include "data/dataset.hpp"

#include <cambium/grid/instance.hpp>
#include <cambium/io/coco.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace trainer {

/// A set whose truth is what a COCO file says, for example pseudo.json of `trainer bestie`.
class pseudo_labelled final : public dataset {
 public:
  /// @param photographs  not owned; found in the file by their file names, or by ids that are the stems of its file
  ///                     names; of another folder is said in remarks()
  /// @param file         categories have the names of the set's classes; every annotation has a mask
  /// @param crowds       regions that the file marks as crowds are ignored like those of the photographs' own set, or
  ///                     objects
  /// @throws cambium::io_error naming the file: an image that is not in the set or is missing, a category that is no
  ///         class of the set, an annotation without a mask of its image's size
  pseudo_labelled(dataset const& photographs, std::filesystem::path const& file,
                  cambium::crowds crowds = cambium::crowds::ignore);

  /// What a person should hear of the file: see cambium::remarks_on.
  [[nodiscard]] std::vector<std::string> const& remarks() const { return remarks_; }

  [[nodiscard]] std::size_t size() const override { return photographs_.size(); }
  [[nodiscard]] std::vector<std::string> const& class_names() const override { return photographs_.class_names(); }
  [[nodiscard]] std::string id(std::size_t i) const override { return photographs_.id(i); }
  [[nodiscard]] std::string file_name(std::size_t i) const override { return photographs_.file_name(i); }
  [[nodiscard]] std::int64_t image_id(std::size_t i) const override { return photographs_.image_id(i); }
  [[nodiscard]] std::int64_t category_id(std::int32_t category) const override
  {
    return photographs_.category_id(category);
  }
  [[nodiscard]] std::uint64_t weak_labels() const override { return photographs_.weak_labels(); }
  /// As the photographs' own set has it; crowds of the file are ignored, too.
  /// @throws cambium::io_error naming the file and the image: its labels have another size than the photograph
  [[nodiscard]] weak_image load(std::size_t i) const override;
  [[nodiscard]] cambium::instances<> truth(std::size_t i) const override { return of_.at(i); }
  /// Crowds of the file, where no pseudo label is.
  [[nodiscard]] cambium::grid<std::uint8_t, 2> ignored(std::size_t i) const override;

 private:
  dataset const& photographs_;
  std::filesystem::path file_;
  std::vector<cambium::instances<>> of_;
  std::vector<cambium::grid<std::uint8_t, 2>> ignored_;  ///< crowds of the file; without cells: none
  std::vector<std::string> remarks_;
};

}  // namespace trainer
