#pragma once
// The walk as others compute it, with Eigen and every flag in its favour.

#include <cambium/grid/grid.hpp>
#include <cambium/grid/transition.hpp>

#include <memory>

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

}  // namespace bench
