#pragma once
// IRNet's label synthesis: CAMs, boundary maps and displacement fields.

#include "method.hpp"

#include <cambium/crf/kept_lattices.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace labelling {

struct kept_scores;

/// What averages labels over neighbours of similar colour.
enum class adaptive { none, par, pamr };

/// Everything read for one image, checked: shapes agree, numbers are finite and in range.
struct irnet_maps {
  cambium::grid<float, 3> cams;          ///< [C,h,w]
  cambium::grid<float, 2> boundary;      ///< [h,w], scaled
  cambium::grid<float, 3> displacement;  ///< [2,h,w] or empty
  std::vector<int> classes;              ///< C labels, 1..254
  cambium::extent2 image;

  /// Views of them.
  cambium::irnet_input<float> input() const;
};

class irnet_method : public method {
 public:
  explicit irnet_method(settings& s);

  std::string cams, boundaries, displacements;
  cambium::irnet_options options;
  double boundary_scale = 1;
  double cam_eval_thres = 0.15;              ///< of the CAM baseline printed beside the scores
  cambium::index_t tile = 0, overlap = 512;  ///< [pixels] of walks tile by tile; 0: images are walked whole
  bool crf = false;                          ///< refine semantic labels with the photograph
  adaptive refine = adaptive::none;          ///< the same, instead of the CRF
  bool keep_scores = false;
  bool background_without_cam = false;  ///< an image without a CAM has no classes; else it fails
  bool gpu = false;                     ///< the walk and the labels on a CUDA device

  bool needs_photographs() const override { return true; }
  void get_ready(std::set<std::string> const& given) override;
  std::vector<input_file> inputs() const override;
  answer label(cambium::cpu const& where, image_files& files) const override;
  double memory(image_files& files) const override;

  /// @throws io_error "file: reason"
  irnet_maps read(image_files& files) const;

 private:
  /// Of photographs of one size; a large one's would take the memory of the next. Threads may share it.
  mutable cambium::kept_lattices<> lattices_{2};
};

/// The labels of kept scores, at any background threshold.
class kept_labels {
 public:
  /// @param scores   for as long as the labels are asked for
  /// @param classes  1..C of the class scores
  kept_labels(cambium::cpu const& where, kept_scores const& scores, std::vector<int> const& classes,
              cambium::extent2 image, cambium::irnet_options const& options);
  cambium::grid<std::int32_t, 2> semantic(double background) const;
  cambium::instances<> objects(double background) const;

 private:
  cambium::cpu where_;
  kept_scores const& scores_;
  cambium::irnet_options options_;
  std::vector<std::int32_t> keys_;
  cambium::assignment<float> by_class_, by_instance_;
};

/// Refines semantic labels of one image.
using refiner = std::function<cambium::grid<std::int32_t, 2>(cambium::grid<std::int32_t, 2> const&)>;

/// The dense CRF of a photograph: each pixel becomes background or one of the classes.
/// @param kept  keeps lattices between photographs of one size, up to a million pixels; may be null
refiner crf_refiner(cambium::cpu const& where, cambium::grid<std::uint8_t, 3> const& photograph,
                    std::vector<int> const& classes, cambium::kept_lattices<>* kept);

/// PAR or PAMR of a photograph, not none: each pixel becomes background or one of the classes.
/// @throws cambium::precondition_error if it needs more than 8 GB
refiner adaptive_refiner(cambium::cpu const& where, cambium::grid<std::uint8_t, 3> const& photograph,
                         std::vector<int> const& classes, adaptive how);

}  // namespace labelling
