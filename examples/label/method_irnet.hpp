#pragma once
// IRNet's label synthesis: CAMs, boundary maps and displacement fields.

#include "method.hpp"

#include <cambium/crf/dense_crf.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace labelling {

class irnet_method : public method {
 public:
  explicit irnet_method(settings& s);

  std::string cams, boundaries, displacements;
  cambium::irnet_options options;
  double boundary_scale = 1;
  double cam_eval_thres = 0.15;              ///< of the CAM baseline printed beside the scores
  cambium::index_t tile = 0, overlap = 512;  ///< [pixels] of walks tile by tile; 0: images are walked whole
  bool crf = false;                          ///< refine semantic labels with the photograph
  bool keep_scores = false;
  bool gpu = false;  ///< the walk and the labels on a CUDA device

  bool needs_photographs() const override { return true; }
  void get_ready(std::set<std::string> const& given) override;
  std::vector<input_file> inputs() const override;
  answer label(cambium::cpu const& where, image_files& files) const override;
  double memory(image_files& files) const override;

 private:
  struct input;
  input read(image_files& files) const;
};

/// Semantic labels refined by the photograph's CRF: each pixel background or one of the classes.
cambium::grid<std::int32_t, 2> refine_classes(cambium::cpu const& where, cambium::dense_crf<> const& field,
                                              cambium::grid<std::int32_t, 2> const& semantic,
                                              std::vector<int> const& classes);

}  // namespace labelling
