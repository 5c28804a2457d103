#include "baselines.hpp"

#include <Eigen/Core>
#include <Eigen/Sparse>

#include <algorithm>
#include <vector>

namespace bench {

using cambium::grid;
using cambium::index_t;

namespace {

using rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Calls add(row, column, value) for every entry of the row-stochastic matrix.
template <class Add>
void for_each_entry(cambium::transition_view<float> const& t, Add const& add)
{
  index_t const H = t.weight.extent[1], W = t.weight.extent[2];
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      add(y * W + x, y * W + x, t.inverse_degree(y, x));
      for (int k = 0; k < t.edges.size; ++k) {
        index_t const fy = y + t.edges.at[k].dy, fx = x + t.edges.at[k].dx;
        if (fy >= H || fx < 0 || fx >= W) continue;
        add(y * W + x, fy * W + fx, t.weight(k, y, x) * t.inverse_degree(y, x));
        add(fy * W + fx, y * W + x, t.weight(k, y, x) * t.inverse_degree(fy, fx));
      }
    }
}

rows cells_by_channels(grid<float, 3> const& seeds)
{
  index_t const C = seeds.shape()[0], n = seeds.size() / C;
  return Eigen::Map<rows const>(seeds.data(), C, n).transpose();
}

void put(rows const& x, grid<float, 3>& out)
{
  index_t const C = out.shape()[0], n = out.size() / C;
  Eigen::Map<rows>(out.data(), C, n) = x.transpose();
}

}  // namespace

struct sparse_walk::matrix {
  Eigen::SparseMatrix<float, Eigen::RowMajor> m;
};

sparse_walk::sparse_walk(cambium::transition_view<float> const& t) : matrix_(new matrix)
{
  std::vector<Eigen::Triplet<float>> entries;
  for_each_entry(
      t, [&](index_t r, index_t c, float v) { entries.emplace_back(static_cast<int>(r), static_cast<int>(c), v); });
  index_t const n = t.weight.extent[1] * t.weight.extent[2];
  matrix_->m.resize(n, n);
  matrix_->m.setFromTriplets(entries.begin(), entries.end());
}
sparse_walk::~sparse_walk() = default;

void sparse_walk::run(grid<float, 3> const& seeds, int steps, grid<float, 3>& out) const
{
  rows x = cells_by_channels(seeds), next(x.rows(), x.cols());
  for (int i = 0; i < steps; ++i) {
    next.noalias() = matrix_->m * x;
    x.swap(next);
  }
  put(x, out);
}

struct dense_walk::matrix {
  rows m;
};

dense_walk::dense_walk(cambium::transition_view<float> const& t) : matrix_(new matrix)
{
  index_t const n = t.weight.extent[1] * t.weight.extent[2];
  matrix_->m = rows::Zero(n, n);
  for_each_entry(t, [&](index_t r, index_t c, float v) { matrix_->m(r, c) = v; });
}
dense_walk::~dense_walk() = default;

void dense_walk::run(grid<float, 3> const& seeds, int times, grid<float, 3>& out) const
{
  rows power = matrix_->m, next(power.rows(), power.cols());
  for (int i = 0; i < times; ++i) {
    next.noalias() = power * power;
    power.swap(next);
  }
  put(power * cells_by_channels(seeds), out);
}

struct dense_masks::matrix {
  rows m;
};

dense_masks::dense_masks(cambium::grid<std::uint8_t, 3> const& masks) : matrix_(std::make_unique<matrix>())
{
  auto const& [N, H, W] = masks.shape();
  Eigen::Map<Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const> const bytes(
      masks.data(), N, H * W);
  matrix_->m = bytes.cast<float>();
}
dense_masks::~dense_masks() = default;

std::vector<cambium::index_t> dense_masks::iou_and_nms(std::vector<double> const& scores, double threshold) const
{
  auto const& m = matrix_->m;
  Eigen::MatrixXf const shared = m * m.transpose();
  Eigen::VectorXf const area = shared.diagonal();
  Eigen::MatrixXf iou = shared;
  for (Eigen::Index j = 0; j < iou.cols(); ++j)
    iou.col(j) = shared.col(j).array() / (area.array() + area(j) - shared.col(j).array());
  std::vector<cambium::index_t> order(scores.size()), kept;
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<cambium::index_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  for (auto const i : order)
    if (std::none_of(kept.begin(), kept.end(), [&](auto k) { return static_cast<double>(iou(k, i)) > threshold; }))
      kept.push_back(i);
  return kept;
}

std::vector<cambium::index_t> dense_iou_and_nms(cambium::grid<std::uint8_t, 3> const& masks,
                                                std::vector<double> const& scores, double threshold)
{
  return dense_masks(masks).iou_and_nms(scores, threshold);
}

}  // namespace bench
