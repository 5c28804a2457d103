#pragma once
// What others compute, as they compute it, with Eigen and every flag in its favour.

#include <cambium/grid/grid.hpp>
#include <cambium/grid/transition.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace bench {

/// The transition as a row-major sparse matrix, applied once a step to all channels together.
class sparse_walk {
 public:
  explicit sparse_walk(cambium::transition_view<float> const& t);
  ~sparse_walk();
  /// [C,H,W] in and out
  void run(cambium::grid<float, 3> const& seeds, int steps, cambium::grid<float, 3>& out) const;

 private:
  struct matrix;
  std::unique_ptr<matrix> matrix_;
};

/// The original: a dense matrix squared `times` times, then one product with the seeds.
class dense_walk {
 public:
  explicit dense_walk(cambium::transition_view<float> const& t);
  ~dense_walk();
  void run(cambium::grid<float, 3> const& seeds, int times, cambium::grid<float, 3>& out) const;

 private:
  struct matrix;
  std::unique_ptr<matrix> matrix_;
};

/// Masks as rows of floats, [N, H W]: their overlaps are a matrix product.
class dense_masks {
 public:
  explicit dense_masks(cambium::grid<std::uint8_t, 3> const& masks);
  ~dense_masks();
  /// The overlaps of all pairs, then greedy suppression on that matrix. @return places of the kept masks
  std::vector<cambium::index_t> iou_and_nms(std::vector<double> const& scores, double threshold) const;

 private:
  struct matrix;
  std::unique_ptr<matrix> matrix_;
};

/// The same from bytes, the conversion to floats included.
std::vector<cambium::index_t> dense_iou_and_nms(cambium::grid<std::uint8_t, 3> const& masks,
                                                std::vector<double> const& scores, double threshold);

}  // namespace bench
