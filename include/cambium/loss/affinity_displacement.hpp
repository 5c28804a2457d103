#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/stencil.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// What two cells' labels make of the pair.
enum class pair_kind {
  background,  ///< both background
  foreground,  ///< both the same class
  negative,    ///< two different labels
  none         ///< one of them unknown: label::ignore, or below 0
};

constexpr pair_kind kind_of_pair(std::int32_t a, std::int32_t b)
{
  if (a < 0 || b < 0 || a == label::ignore || b == label::ignore) return pair_kind::none;
  return a != b ? pair_kind::negative : a == label::background ? pair_kind::background : pair_kind::foreground;
}

/// Reduce a label map to a quarter: cell (y,x) is pixel (4y+2, 4x+2).
///
/// @param where   cpu
/// @param labels  [4h,4w] integers
/// @return [h,w]
///
/// @throws       precondition_error unless both extents are multiples of 4
/// @complexity   Theta(h * w)
/// @determinism  exact
/// @source       pil_rescale(label, 0.25, 0) in VOC12AffinityDataset, voc12/dataloader.py of jiwoon-ahn/irn
template <image_like L>
[[nodiscard]] grid<std::int32_t, 2> quarter_labels(cpu const&, L const& labels)
{
  static_assert(std::is_integral_v<value_of<L, 2>>, "quarter_labels: labels are integers");
  auto const in = as_view<2>(labels, "quarter_labels: labels");
  expects(in.extent[0] % 4 == 0 && in.extent[1] % 4 == 0, "quarter_labels: labels are ", in,
          "; both extents must be multiples of 4");
  auto out = make_grid<std::int32_t>({in.extent[0] / 4, in.extent[1] / 4});
  for (index_t y = 0; y < in.extent[0] / 4; ++y)
    for (index_t x = 0; x < in.extent[1] / 4; ++x) out(y, x) = static_cast<std::int32_t>(in(4 * y + 2, 4 * x + 2));
  return out;
}

/// Which cells pairs start from.
enum class pair_sources {
  inner,  ///< those whose whole stencil lies on the map: the original
  all     ///< every cell; pairs that leave the map do not count
};

struct affinity_loss_options {
  int radius = 10;  ///< [cells] of the stencil; 1..10
  pair_sources sources = pair_sources::inner;
};

/// The parts of IRNet's training loss: means over the pairs of a batch.
struct affinity_loss_values {
  double background = 0;        ///< -log a over pairs of background
  double foreground = 0;        ///< -log a over pairs of one class
  double negative = 0;          ///< -log(1 - a) over pairs of different labels
  double field_foreground = 0;  ///< |D(i) - D(j) - (x_j - x_i)| over pairs of one class
  double field_background = 0;  ///< |D(i) - D(j)| over pairs of background
  index_t pairs[3]{};           ///< of background, of one class, of different labels

  double positive() const { return (background + foreground) / 2; }
  double total() const { return (positive() + negative) / 2 + (field_foreground + field_background) / 2; }
};

/// A loss and its gradient.
template <class T>
struct affinity_loss {
  affinity_loss_values value;
  grid<T, 3> boundary;  ///< [B,H,W] d total / d logits
  grid<T, 4> field;     ///< [B,2,H,W] d total / d displacement; empty without one
};

/// The largest boundary along one edge's path from each source of a row, and its first place on the path.
struct path_maxima {
  path const* cells;
  double const* boundary;  ///< of the sources' row
  index_t stride;          ///< [elements] from row to row
  index_t first, last;     ///< columns of sources
  double* most;            ///< [columns]
  std::int64_t* place;     ///< [columns]

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(double));
    index_t x = first;
    for (; x + lanes <= last; x += lanes) sweep<lanes>(x);
    for (; x < last; ++x) sweep<1>(x);
  }

 private:
  template <int Lanes>
  [[gnu::always_inline]] void sweep(index_t x) const
  {
    auto best = lanes_at<Lanes>(boundary + cells->at[0].dy * stride + cells->at[0].dx + x).v;
    bits<double, Lanes> where{};
    for (int c = 1; c < cells->size; ++c) {
      auto const here = lanes_at<Lanes>(boundary + cells->at[c].dy * stride + cells->at[c].dx + x).v;
      bits<double, Lanes> const more = here > best;
      best = more ? here : best;
      where = more ? bits<double, Lanes>{} + c : where;
    }
    lanes_at<Lanes>(most + x).v = best;
    lanes_at<Lanes>(place + x).v = where;
  }
};

/// A sum of logarithms, taken as the logarithm of a product that is cut before it underflows.
class log_sum {
 public:
  void add(double factor)
  {
    product_ *= factor;
    if (product_ < 1e-200) settle();
  }
  double value()
  {
    settle();
    return sum_;
  }

 private:
  void settle()
  {
    sum_ += std::log(product_);
    product_ = 1;
  }
  double product_ = 1, sum_ = 0;
};

/// One image's maps, and what some of its rows contribute.
template <class T>
struct affinity_loss_band {
  static constexpr index_t rows = 16;  ///< of sources; fixed, so that sums do not depend on the number of threads
  double const* boundary;              ///< [H,W]
  view<T const, 3> field;              ///< [2,H,W] or null
  image_view<std::int32_t const> labels;
  index_t top = 0;
  double slope[3]{}, field_slope[2]{};  ///< of the total by each sum

  double sum[3]{}, field_sum[2]{};
  std::vector<double> boundary_gradient, field_gradient;  ///< of rows top.., as far as edges reach

  void run(isa set, stencil const& edges, std::vector<path> const& paths, pair_sources sources)
  {
    index_t const H = labels.extent[0], W = labels.extent[1], reach = edges.reach();
    index_t const height = std::min(H - top, rows + reach);
    boundary_gradient.assign(static_cast<std::size_t>(height * W), 0);
    if (field.data != nullptr) field_gradient.assign(static_cast<std::size_t>(2 * height * W), 0);
    log_sum logs[3];
    std::vector<double> most(static_cast<std::size_t>(W));
    std::vector<std::int64_t> place(most.size());
    for (index_t y = top; y < std::min(top + rows, H); ++y)
      for (int k = 0; k < edges.size; ++k) {
        offset const to = edges.at[k];
        auto const [first, last] = columns(edges, k, y, sources);
        if (first >= last) continue;
        path const& cells = paths[static_cast<std::size_t>(k)];
        run_widest(set, path_maxima{&cells, boundary + y * W, W, first, last, most.data(), place.data()});
        double* const at = boundary_gradient.data() + (y - top) * W;
        for (index_t x = first; x < last; ++x) {
          auto const kind = kind_of_pair(labels(y, x), labels(y + to.dy, x + to.dx));
          if (kind == pair_kind::none) continue;
          auto const i = static_cast<std::size_t>(kind);
          double const b = most[static_cast<std::size_t>(x)];
          double const inside = (kind == pair_kind::negative ? b : 1 - b) + 1e-5;
          logs[i].add(inside);
          offset const deepest = cells.at[place[static_cast<std::size_t>(x)]];
          at[deepest.dy * W + deepest.dx + x] += (kind == pair_kind::negative ? -slope[i] : slope[i]) / inside;
          if (field.data != nullptr && kind != pair_kind::negative) add_field(kind, to, y, x, height);
        }
      }
    for (int i = 0; i < 3; ++i) sum[i] = -logs[i].value();
  }

  /// The sources of a row and an edge: columns first..last-1.
  std::pair<index_t, index_t> columns(stencil const& edges, int k, index_t y, pair_sources sources) const
  {
    index_t const H = labels.extent[0], W = labels.extent[1], reach = edges.reach();
    if (sources == pair_sources::inner)
      return y + reach < H ? std::pair{reach, W - reach} : std::pair{index_t{0}, index_t{0}};
    offset const to = edges.at[k];
    return y + to.dy < H ? std::pair{std::max<index_t>(0, -to.dx), std::min<index_t>(W, W - to.dx)}
                         : std::pair{index_t{0}, index_t{0}};
  }

 private:
  void add_field(pair_kind kind, offset to, index_t y, index_t x, index_t height)
  {
    index_t const W = labels.extent[1];
    auto const i = static_cast<std::size_t>(kind);
    double const target[2] = {kind == pair_kind::foreground ? to.dy : 0.0, kind == pair_kind::foreground ? to.dx : 0.0};
    for (index_t axis = 0; axis < 2; ++axis) {
      double const off = static_cast<double>(field(axis, y, x)) -
                         static_cast<double>(field(axis, y + to.dy, x + to.dx)) - target[axis];
      field_sum[i] += std::abs(off);
      double const pull = off > 0 ? field_slope[i] : off < 0 ? -field_slope[i] : 0;
      double* const at = field_gradient.data() + axis * height * W + (y - top) * W + x;
      at[0] += pull;
      at[to.dy * W + to.dx] -= pull;
    }
  }
};

/// IRNet's training loss of a batch, and its gradient by boundary logits and displacements.
///
/// Over pairs (i,j) of cells closer than the radius, with a = 1 - max of sigmoid(logits) along the path between them:
///
///   total = (background + foreground) / 4 + negative / 2 + (field_foreground + field_background) / 2
///
/// the parts as affinity_loss_values names them, each a mean over its pairs.
///
/// @param where         cpu
/// @param logits        [B,H,W] boundary, before the sigmoid; finite
/// @param displacement  [B,2,H,W] (dy,dx), or a null view: then there are no field terms
/// @param labels        [B,H,W] 0 background, any number of classes; label::ignore and below 0 drop their pairs
/// @param options       radius = 10, sources = inner
/// @return values and gradients; parts without a pair are 0
///
/// @throws       precondition_error: shapes that differ, NaN or infinite values, radius outside 1..10
/// @complexity   Theta(B * H * W * cells on all paths), 2,134 cells at radius 10; 50 bytes a cell beside inputs and
///               outputs. The original holds every cell of every path: gigabytes
/// @determinism  the same bits on every run and for every number of threads; sums in double
/// @source       Ahn, Cho, Kwak, CVPR 2019, eqs. (3)-(9); AffinityDisplacementLoss, net/resnet50_irn.py, and
///               step/train_irn.py of jiwoon-ahn/irn. As there: 1e-5 inside logarithms and beside counts, the gradient of
///               a path's maximum goes to its first cell in path order, |x| has slope 0 at 0. There labels from 21 on
///               are unknown; here any class counts
template <class T>
[[nodiscard]] affinity_loss<T> affinity_displacement_loss(cpu const& where, stack_view<T const> logits,
                                                          view<T const, 4> displacement,
                                                          view<std::int32_t const, 3> labels,
                                                          affinity_loss_options options = {})
{
  index_t const B = logits.extent[0], H = logits.extent[1], W = logits.extent[2];
  bool const with_field = displacement.data != nullptr;
  expects(same_shape(logits, labels), "affinity_displacement_loss: logits are ", logits, " but labels are ", labels);
  expects(!with_field || (displacement.extent[0] == B && displacement.extent[1] == 2 && displacement.extent[2] == H &&
                          displacement.extent[3] == W),
          "affinity_displacement_loss: logits are ", logits, " but the displacement is ", displacement);
  expects_finite(where, logits, "affinity_displacement_loss: logits");
  if (with_field) expects_finite(where, displacement, "affinity_displacement_loss: displacement");
  auto const edges = stencil::disc(options.radius);
  std::vector<path> paths;
  for (int k = 0; k < edges.size; ++k) paths.push_back(path::to(edges.at[k]));

  affinity_loss<T> out;
  out.boundary = grid<T, 3>(B, H, W);
  if (with_field) out.field = grid<T, 4>(B, 2, H, W);
  if (B * H * W == 0) return out;

  cells_t<double> boundary(static_cast<std::size_t>(B * H * W));
  for_each_share(where, B * H, 16, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row)
      for (index_t x = 0; x < W; ++x)
        boundary[static_cast<std::size_t>(row * W + x)] =
            1 / (1 + std::exp(-static_cast<double>(logits(row / H, row % H, x))));
  });

  using band_type = affinity_loss_band<T>;
  index_t const bands = (H + band_type::rows - 1) / band_type::rows;
  std::vector<band_type> band(static_cast<std::size_t>(B * bands));
  std::vector<index_t> count(band.size() * 3, 0);
  for (index_t i = 0; i < B * bands; ++i) {
    auto& b = band[static_cast<std::size_t>(i)];
    b.boundary = boundary.data() + i / bands * H * W;
    if (with_field) b.field = displacement[i / bands];
    b.labels = labels[i / bands];
    b.top = i % bands * band_type::rows;
  }
  for_each_share(where, B * bands, 1, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      auto const& b = band[static_cast<std::size_t>(i)];
      for (index_t y = b.top; y < std::min(b.top + band_type::rows, H); ++y)
        for (int k = 0; k < edges.size; ++k) {
          auto const [first, last] = b.columns(edges, k, y, options.sources);
          index_t n[4]{};
          for (index_t x = first; x < last; ++x)
            ++n[static_cast<int>(kind_of_pair(b.labels(y, x), b.labels(y + edges.at[k].dy, x + edges.at[k].dx)))];
          for (std::size_t kind = 0; kind < 3; ++kind) count[static_cast<std::size_t>(3 * i) + kind] += n[kind];
        }
    }
  });
  auto& value = out.value;
  for (std::size_t i = 0; i < count.size(); ++i) value.pairs[i % 3] += count[i];
  double mean[3], field_mean[2];  // what a sum is multiplied by
  for (int kind = 0; kind < 3; ++kind) mean[kind] = 1 / (static_cast<double>(value.pairs[kind]) + 1e-5);
  for (int kind = 0; kind < 2; ++kind) field_mean[kind] = 1 / (2 * static_cast<double>(value.pairs[kind]) + 1e-5);

  isa const set = vectors_of(where);
  for_each_share(where, B * bands, 1, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      auto& b = band[static_cast<std::size_t>(i)];
      b.slope[0] = mean[0] / 4, b.slope[1] = mean[1] / 4, b.slope[2] = mean[2] / 2;
      b.field_slope[0] = field_mean[0] / 2, b.field_slope[1] = field_mean[1] / 2;
      b.run(set, edges, paths, options.sources);
    }
  });

  double sum[3]{}, field_sum[2]{};
  for (auto const& b : band) {
    for (int i = 0; i < 3; ++i) sum[i] += b.sum[i];
    for (int i = 0; i < 2; ++i) field_sum[i] += b.field_sum[i];
  }
  value.background = sum[0] * mean[0], value.foreground = sum[1] * mean[1], value.negative = sum[2] * mean[2];
  value.field_background = field_sum[0] * field_mean[0], value.field_foreground = field_sum[1] * field_mean[1];

  // Rows are gathered in the order of the bands that reach them.
  index_t const above = (edges.reach() + band_type::rows - 1) / band_type::rows;
  for_each_share(where, B * H, 16, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row) {
      index_t const n = row / H, y = row % H, own = y / band_type::rows;
      for (index_t x = 0; x < W; ++x) {
        double by_boundary = 0, by_field[2]{};
        for (index_t i = std::max<index_t>(0, own - above); i <= own; ++i) {
          auto const& b = band[static_cast<std::size_t>(n * bands + i)];
          index_t const height = static_cast<index_t>(b.boundary_gradient.size()) / W, at = (y - b.top) * W + x;
          if (y - b.top >= height) continue;
          by_boundary += b.boundary_gradient[static_cast<std::size_t>(at)];
          for (index_t axis = 0; axis < 2 && with_field; ++axis)
            by_field[axis] += b.field_gradient[static_cast<std::size_t>(axis * height * W + at)];
        }
        double const s = boundary[static_cast<std::size_t>(row * W + x)];
        out.boundary(n, y, x) = static_cast<T>(by_boundary * s * (1 - s));
        for (index_t axis = 0; axis < 2 && with_field; ++axis)
          out.field(n, axis, y, x) = static_cast<T>(by_field[axis]);
      }
    }
  });
  return out;
}

}  // namespace cambium
