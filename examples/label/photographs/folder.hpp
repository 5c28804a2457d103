#pragma once
// A folder of photographs with truth and with the maps of real networks:
//
//   FOLDER/<id>/image.jpg         the photograph, JPEG or PNG
//   FOLDER/<id>/cam.npy           [C,h,w] float, h = (H-1)/4 + 1
//   FOLDER/<id>/boundary.npy      [h,w] float in [0,1]
//   FOLDER/<id>/semantic.png      0 background, 1..254 class, 255 void
//   FOLDER/<id>/instances.png     0 background, 1..N; 255 is void in 8 bits
//   FOLDER/tags.txt               <id> <class> <class> ...: the class of each CAM channel
//   FOLDER/ids.txt                the ids; without it every <id> with an image
//   FOLDER/manifest.json          optional: images.<id>.annotated_classes; other classes are not counted as wrong there

#include "image_files.hpp"
#include "method_irnet.hpp"
#include "truth.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace labelling {

/// What there is of one photograph.
struct photograph {
  std::string id;
  irnet_maps maps;
  cambium::grid<std::uint8_t, 3> pixels;     ///< [H,W,3]
  truth is;                                  ///< both maps
  std::optional<std::set<int>> annotated{};  ///< the classes that its truth has; nothing: all
};

class photograph_folder {
 public:
  /// @throws usage_error, io_error: no folder, no image, a list that makes no sense
  photograph_folder(std::string const& folder, double boundary_scale);

  std::vector<std::string> const& ids() const { return set_.ids; }

  /// @throws io_error "file: reason"
  photograph read(std::size_t place) const;

 private:
  settings settings_;
  image_set set_;
  std::shared_ptr<irnet_method> maps_;
  std::map<std::string, std::set<int>> annotated_;
};

}  // namespace labelling
