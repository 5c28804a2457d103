#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/stencil.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numeric>
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

CAMBIUM_HD constexpr pair_kind kind_of_pair(std::int32_t a, std::int32_t b)
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
  int radius = 10;  ///< [cells] of the stencil; 1..17
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
template <class T, class Space = host>
struct affinity_loss {
  affinity_loss_values value;
  grid<T, 3, Space> boundary;  ///< [B,H,W] d total / d logits
  grid<T, 4, Space> field;     ///< [B,2,H,W] d total / d displacement; empty without one
};

/// A path as steps in memory: what the elements of a row-major map add to their own place.
struct steps_along {
  int size = 0;
  index_t at[path::capacity]{};

  static steps_along of(path const& cells, index_t stride)
  {
    steps_along out{.size = cells.size};
    for (int c = 0; c < cells.size; ++c) out.at[c] = cells.at[c].dy * stride + cells.at[c].dx;
    return out;
  }
};

/// kind_of_pair of Lanes pairs, as masks.
template <int Lanes>
struct kinds_of_pairs {
  bits<std::int32_t, Lanes> background, foreground, negative;

  [[gnu::always_inline]] kinds_of_pairs(std::int32_t const* from, std::int32_t const* to)
  {
    auto const a = lanes_at<Lanes>(from).v, b = lanes_at<Lanes>(to).v;
    auto const known = ((a | b) >= 0) & (a != label::ignore) & (b != label::ignore);
    negative = known & (a != b);
    background = known & (a == b) & (a == label::background);
    foreground = known & (a == b) & (a != label::background);
  }
};

/// Counts the pairs of one edge along a row of sources, by kind.
struct count_pairs {
  std::int32_t const *from, *to;  ///< labels of the sources' row and of the ends'
  index_t first, last;            ///< columns of sources
  index_t* count;                 ///< [3]

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    sweep<1>(sweep<Bytes / 4>(first));
  }

 private:
  template <int Lanes>
  [[gnu::always_inline]] index_t sweep(index_t x) const
  {
    bits<std::int32_t, Lanes> sum[3]{};
    for (; x + Lanes <= last; x += Lanes) {
      kinds_of_pairs<Lanes> const kind(from + x, to + x);
      sum[0] -= kind.background, sum[1] -= kind.foreground, sum[2] -= kind.negative;
    }
    for (int kind = 0; kind < 3; ++kind)
      for (int lane = 0; lane < Lanes; ++lane) count[kind] += sum[kind][lane];
    return x;
  }
};

/// Sums over pairs, lane by lane. A sum of logarithms is the logarithm of a product, which is lifted before it
/// underflows and lowered before it overflows. A factor is at least 1e-5, and at most 1.00001: a product grows slowly, so
/// that one look a piece of a row is enough for that end.
struct affinity_loss_sums {
  static constexpr int lanes = 8;  ///< no register has more
  static constexpr double low = 1e-150, lift = 1e150;
  static constexpr index_t piece = 1 << 20;  ///< [columns] 1.00001 to this power is 36,000
  double product[3][lanes], lifts[3][lanes]{};
  double off[2][lanes]{};

  affinity_loss_sums() { std::fill(&product[0][0], &product[0][0] + 3 * lanes, 1.0); }

  void lower()
  {
    for (int kind = 0; kind < 3; ++kind)
      for (int lane = 0; lane < lanes; ++lane)
        if (product[kind][lane] > lift) product[kind][lane] *= low, lifts[kind][lane] -= 1;
  }

  double minus_log(int kind) const
  {
    double sum = 0;
    for (int lane = 0; lane < lanes; ++lane) sum += lifts[kind][lane] * std::log(lift) - std::log(product[kind][lane]);
    return sum;
  }
  double distance(int kind) const { return std::accumulate(off[kind], off[kind] + lanes, 0.0); }
};

/// What the pairs of one edge along a row of sources contribute. Pointers are to column 0 of the sources' row.
template <class T>
struct affinity_loss_row {
  steps_along const* cells;  ///< of the edge's path
  offset step;
  index_t stride;       ///< [elements] from row to row of boundary and gradients
  index_t first, last;  ///< columns of sources
  double const* boundary;
  std::int32_t const *from, *to;         ///< labels of the sources and of the ends
  T const *field_from[2], *field_to[2];  ///< null without a field
  double const *slope, *field_slope;     ///< of the total by each sum
  affinity_loss_sums* sums;
  double *boundary_gradient, *field_gradient[2];

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    for (index_t x = first; x < last;) {
      index_t const end = std::min(last, x + affinity_loss_sums::piece);
      x = sweep<1>(sweep<Bytes / static_cast<int>(sizeof(double))>(x, end), end);
      sums->lower();
    }
  }

 private:
  template <int Lanes>
  [[gnu::always_inline]] index_t sweep(index_t x, index_t end) const
  {
    using numbers = pack<double, Lanes>;
    using masks = bits<double, Lanes>;
    numbers product[3], lifts[3], off_sum[2];
    for (int i = 0; i < 3; ++i)
      product[i] = lanes_at<Lanes>(sums->product[i]).v, lifts[i] = lanes_at<Lanes>(sums->lifts[i]).v;
    for (int i = 0; i < 2; ++i) off_sum[i] = lanes_at<Lanes>(sums->off[i]).v;

    for (; x + Lanes <= end; x += Lanes) {
      // the path's maximum and its first place
      numbers most = lanes_at<Lanes>(boundary + cells->at[0] + x).v;
      masks where = masks{} + cells->at[0];
      for (int c = 1; c < cells->size; ++c) {
        numbers const here = lanes_at<Lanes>(boundary + cells->at[c] + x).v;
        masks const more = here > most;
        most = more ? here : most;
        where = more ? masks{} + cells->at[c] : where;
      }

      kinds_of_pairs<Lanes> const kinds(from + x, to + x);
      masks const kind[3] = {__builtin_convertvector(kinds.background, masks),
                             __builtin_convertvector(kinds.foreground, masks),
                             __builtin_convertvector(kinds.negative, masks)};
      numbers const inside = (kind[2] ? most : 1 - most) + 1e-5;
      for (int i = 0; i < 3; ++i) {
        product[i] = kind[i] ? product[i] * inside : product[i];
        masks const low = product[i] < affinity_loss_sums::low;
        product[i] = low ? product[i] * affinity_loss_sums::lift : product[i];
        lifts[i] = low ? lifts[i] + 1 : lifts[i];
      }
      numbers const pull = (kind[2]   ? numbers{} - slope[2]
                            : kind[1] ? numbers{} + slope[1]
                            : kind[0] ? numbers{} + slope[0]
                                      : numbers{}) /
                           inside;
      for (int lane = 0; lane < Lanes; ++lane) boundary_gradient[where[lane] + x + lane] += pull[lane];

      if (field_from[0] == nullptr) continue;
      numbers const weight = kind[1] ? numbers{} + field_slope[1] : kind[0] ? numbers{} + field_slope[0] : numbers{};
      for (int axis = 0; axis < 2; ++axis) {
        numbers const target = kind[1] ? numbers{} + static_cast<double>(axis == 0 ? step.dy : step.dx) : numbers{};
        numbers const off = __builtin_convertvector(lanes_at<Lanes>(field_from[axis] + x).v, numbers) -
                            __builtin_convertvector(lanes_at<Lanes>(field_to[axis] + x).v, numbers) - target;
        numbers const size = off < 0 ? -off : off;
        for (int i = 0; i < 2; ++i) off_sum[i] += kind[i] ? size : numbers{};
        numbers const by_off = off > 0 ? weight : off < 0 ? -weight : numbers{};
        double* const at = field_gradient[axis] + x;
        lanes_at<Lanes>(at).v += by_off;
        lanes_at<Lanes>(at + step.dy * stride + step.dx).v -= by_off;
      }
    }
    for (int i = 0; i < 3; ++i)
      lanes_at<Lanes>(sums->product[i]).v = product[i], lanes_at<Lanes>(sums->lifts[i]).v = lifts[i];
    for (int i = 0; i < 2; ++i) lanes_at<Lanes>(sums->off[i]).v = off_sum[i];
    return x;
  }
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

  index_t count[3]{};
  affinity_loss_sums sums;
  std::vector<double> boundary_gradient, field_gradient;  ///< of rows top.., as far as edges reach

  void count_kinds(isa set, stencil const& edges, pair_sources sources)
  {
    for_each_row(edges, sources, [&](index_t y, int k, index_t first, index_t last) {
      offset const to = edges.at[k];
      run_widest(set, count_pairs{&labels(y, 0), &labels(y + to.dy, 0) + to.dx, first, last, count});
    });
  }

  void run(isa set, stencil const& edges, std::vector<steps_along> const& paths, pair_sources sources)
  {
    index_t const H = labels.extent[0], W = labels.extent[1];
    index_t const height = std::min(H - top, rows + edges.reach());
    boundary_gradient.assign(static_cast<std::size_t>(height * W), 0);
    if (field.data != nullptr) field_gradient.assign(static_cast<std::size_t>(2 * height * W), 0);
    for_each_row(edges, sources, [&](index_t y, int k, index_t first, index_t last) {
      offset const to = edges.at[k];
      affinity_loss_row<T> row{.cells = &paths[static_cast<std::size_t>(k)],
                               .step = to,
                               .stride = W,
                               .first = first,
                               .last = last,
                               .boundary = boundary + y * W,
                               .from = &labels(y, 0),
                               .to = &labels(y + to.dy, 0) + to.dx,
                               .field_from = {},
                               .field_to = {},
                               .slope = slope,
                               .field_slope = field_slope,
                               .sums = &sums,
                               .boundary_gradient = boundary_gradient.data() + (y - top) * W,
                               .field_gradient = {}};
      for (index_t axis = 0; axis < 2 && field.data != nullptr; ++axis) {
        row.field_from[axis] = &field(axis, y, 0);
        row.field_to[axis] = &field(axis, y + to.dy, 0) + to.dx;
        row.field_gradient[axis] = field_gradient.data() + (axis * height + y - top) * W;
      }
      run_widest(set, row);
    });
  }

 private:
  /// Calls body(y, edge, first, last) for each row and each edge with sources there: columns first..last-1.
  template <class Body>
  void for_each_row(stencil const& edges, pair_sources sources, Body const& body) const
  {
    index_t const H = labels.extent[0], W = labels.extent[1], reach = edges.reach();
    for (index_t y = top; y < std::min(top + rows, H); ++y)
      for (int k = 0; k < edges.size; ++k) {
        offset const to = edges.at[k];
        bool const inner = sources == pair_sources::inner;
        index_t const first = inner ? reach : std::max<index_t>(0, -to.dx);
        index_t const last = inner ? W - reach : std::min<index_t>(W, W - to.dx);
        if (first < last && y + (inner ? reach : to.dy) < H) body(y, k, first, last);
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
/// @throws       precondition_error: shapes that differ, NaN or infinite values, radius outside 1..17
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
  std::vector<steps_along> paths;
  for (int k = 0; k < edges.size; ++k) paths.push_back(steps_along::of(path::to(edges.at[k]), W));

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
  for (index_t i = 0; i < B * bands; ++i) {
    auto& b = band[static_cast<std::size_t>(i)];
    b.boundary = boundary.data() + i / bands * H * W;
    if (with_field) b.field = displacement[i / bands];
    b.labels = labels[i / bands];
    b.top = i % bands * band_type::rows;
  }
  isa const set = vectors_of(where);
  for_each_share(where, B * bands, 1, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) band[static_cast<std::size_t>(i)].count_kinds(set, edges, options.sources);
  });
  auto& value = out.value;
  for (auto const& b : band)
    for (int kind = 0; kind < 3; ++kind) value.pairs[kind] += b.count[kind];
  double mean[3], field_mean[2];  // what a sum is multiplied by
  for (int kind = 0; kind < 3; ++kind) mean[kind] = 1 / (static_cast<double>(value.pairs[kind]) + 1e-5);
  for (int kind = 0; kind < 2; ++kind) field_mean[kind] = 1 / (2 * static_cast<double>(value.pairs[kind]) + 1e-5);

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
    for (int i = 0; i < 3; ++i) sum[i] += b.sums.minus_log(i);
    for (int i = 0; i < 2; ++i) field_sum[i] += b.sums.distance(i);
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

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


template <class L, class S>
struct take_quarter {
  view<L const, 2, S> labels;
  view<std::int32_t, 2, S> out;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = static_cast<std::int32_t>(labels(4 * y + 2, 4 * x + 2));
  }
};

/// As quarter_labels in affinity_displacement.hpp.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>>
[[nodiscard]] auto quarter_labels(P const& where, L const& labels)
{
  using I = value_of<L, 2>;
  using S = space_of<L, 2>;
  static_assert(std::is_integral_v<I>, "quarter_labels: labels are integers");
  view<I const, 2, S> const in = as_view<2>(labels, "quarter_labels: labels");
  expects(in.extent[0] % 4 == 0 && in.extent[1] % 4 == 0, "quarter_labels: labels are ", in,
          "; both extents must be multiples of 4");
  auto out = make_grid<std::int32_t>(where, {in.extent[0] / 4, in.extent[1] / 4});
  index_t const cells[3] = {1, in.extent[0] / 4, in.extent[1] / 4};
  for_each_cell(where, cells, take_quarter<I, S>{in, out.view()});
  return out;
}

/// Which pairs count, and how.
template <class S>
struct affinity_pairs {
  stencil edges;
  index_t reach;
  bool inner;  ///< only sources whose whole stencil lies on the map
  view<std::int32_t const, 3, S> labels;

  /// The pair of edge k from cell (y,x), which may lie outside; none unless it counts.
  CAMBIUM_HD pair_kind operator()(index_t b, index_t y, index_t x, int k) const
  {
    index_t const H = labels.extent[1], W = labels.extent[2];
    offset const to = edges.at[k];
    bool const counts = inner ? y >= 0 && y + reach < H && x >= reach && x + reach < W
                              : y >= 0 && y + to.dy < H && x >= 0 && x < W && x + to.dx >= 0 && x + to.dx < W;
    return counts ? kind_of_pair(labels(b, y, x), labels(b, y + to.dy, x + to.dx)) : pair_kind::none;
  }
};

/// What the cells of a batch add up to.
struct affinity_sums {
  index_t pairs[3]{};
  double minus_log[3]{};
  double off[2]{};
};
struct add_affinity_sums {
  CAMBIUM_HD affinity_sums operator()(affinity_sums a, affinity_sums const& b) const
  {
    for (int i = 0; i < 3; ++i) a.pairs[i] += b.pairs[i], a.minus_log[i] += b.minus_log[i];
    for (int i = 0; i < 2; ++i) a.off[i] += b.off[i];
    return a;
  }
};

/// What every cell's share of the total is multiplied by.
struct affinity_slopes {
  double boundary[3]{};
  double field[2]{};
};

/// First rule, an edge each: its path as steps in memory, in the order of path::to.
struct lay_path {
  stencil edges;
  index_t stride;
  std::int32_t* length;  ///< [capacity]
  index_t* step;         ///< [capacity,path::capacity]

  CAMBIUM_HD void operator()(index_t k) const
  {
    offset const to = edges.at[k];
    int const x0 = to.dx < 0 ? to.dx : 0, x1 = to.dx < 0 ? 0 : to.dx;  // dy >= 0
    int n = 0;
    for (int far = to.dy + x1 - x0; far >= 0; --far)
      for (int y = 0; y <= to.dy; ++y)
        for (int x = x0; x <= x1; ++x)
          if (y + (x < 0 ? -x : x) == far && n < path::capacity && on_path(to, {y, x}))
            step[k * path::capacity + n++] = y * stride + x;
    length[k] = n;
  }
};

/// Second rule: the boundary, and no votes yet.
template <class T, class S>
struct open_election {
  view<T const, 3, S> logits;
  view<double, 3, S> boundary;
  view<std::int32_t, 4, S> votes;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    boundary(b, y, x) = 1 / (1 + std::exp(-static_cast<double>(logits(b, y, x))));
    for (int kind = 0; kind < 3; ++kind) votes(kind, b, y, x) = 0;
  }
};

/// Third rule: the pairs that start at a cell elect the first maxima of their paths. Some of the edges each.
template <class S>
struct elect_maxima {
  static constexpr int groups = 8;  ///< of edges, so that one small map fills a device
  affinity_pairs<S> pairs;
  std::int32_t const* length;
  index_t const* step;
  view<double const, 3, S> boundary;
  view<std::int32_t, 4, S> votes;

  CAMBIUM_HD void operator()(index_t channel, index_t y, index_t x) const
  {
    index_t const b = channel / groups;
    for (int k = static_cast<int>(channel % groups); k < pairs.edges.size; k += groups) {
      pair_kind const kind = pairs(b, y, x, k);
      if (kind == pair_kind::none) continue;
      index_t const* const to = step + k * path::capacity;
      double const* const from = &boundary(b, y, x);
      index_t best = to[0];
      double most = from[best];
      for (int c = 1; c < length[k]; ++c)
        if (from[to[c]] > most) best = to[c], most = from[best];
      atomic_add(&votes(static_cast<int>(kind), b, y, x) + best, std::int32_t{1});
    }
  }
};

/// What a cell adds to the sums: the logarithm of its boundary for each vote, and the field along its own edges.
template <class T, class S>
struct affinity_share {
  affinity_pairs<S> pairs;
  view<T const, 4, S> field;  ///< or null
  view<double const, 3, S> boundary;
  view<std::int32_t const, 4, S> votes;

  /// How far the field of the pair (y,x) -> k is off, along an axis.
  CAMBIUM_HD double off(index_t b, index_t axis, index_t y, index_t x, int k, pair_kind kind) const
  {
    offset const to = pairs.edges.at[k];
    double const target = kind == pair_kind::foreground ? static_cast<double>(axis == 0 ? to.dy : to.dx) : 0;
    return static_cast<double>(field(b, axis, y, x)) - static_cast<double>(field(b, axis, y + to.dy, x + to.dx)) -
           target;
  }

  CAMBIUM_HD affinity_sums operator()(index_t i) const
  {
    index_t const H = boundary.extent[1], W = boundary.extent[2], b = i / W / H, y = i / W % H, x = i % W;
    affinity_sums sums;
    double const s = boundary(b, y, x);
    for (int kind = 0; kind < 3; ++kind) {
      std::int32_t const n = votes(kind, b, y, x);
      sums.pairs[kind] = n;
      if (n > 0)
        sums.minus_log[kind] = -n * std::log((kind == static_cast<int>(pair_kind::negative) ? s : 1 - s) + 1e-5);
    }
    for (int k = 0; k < pairs.edges.size && field.data != nullptr; ++k) {
      pair_kind const kind = pairs(b, y, x, k);
      if (kind != pair_kind::background && kind != pair_kind::foreground) continue;
      for (index_t axis = 0; axis < 2; ++axis) {
        double const far = off(b, axis, y, x, k, kind);
        sums.off[static_cast<int>(kind)] += far < 0 ? -far : far;
      }
    }
    return sums;
  }
};

/// Fourth rule: means, and what they make of a cell's share.
struct take_means {
  affinity_sums const* sums;
  affinity_loss_values* value;
  affinity_slopes* slopes;

  CAMBIUM_HD void operator()(index_t) const
  {
    double mean[3], field_mean[2];
    for (int kind = 0; kind < 3; ++kind) {
      value->pairs[kind] = sums->pairs[kind];
      mean[kind] = 1 / (static_cast<double>(sums->pairs[kind]) + 1e-5);
    }
    for (int kind = 0; kind < 2; ++kind) field_mean[kind] = 1 / (2 * static_cast<double>(sums->pairs[kind]) + 1e-5);
    value->background = sums->minus_log[0] * mean[0];
    value->foreground = sums->minus_log[1] * mean[1];
    value->negative = sums->minus_log[2] * mean[2];
    value->field_background = sums->off[0] * field_mean[0];
    value->field_foreground = sums->off[1] * field_mean[1];
    slopes->boundary[0] = mean[0] / 4, slopes->boundary[1] = mean[1] / 4, slopes->boundary[2] = mean[2] / 2;
    slopes->field[0] = field_mean[0] / 2, slopes->field[1] = field_mean[1] / 2;
  }
};

/// Last rule: the slopes of a cell. By the field they are counts too, of pairs that pull one way or the other.
template <class T, class S>
struct slope_of_affinity {
  affinity_share<T, S> share;
  affinity_slopes const* slopes;
  view<T, 3, S> by_logits;
  view<T, 4, S> by_field;  ///< or null

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    double const s = share.boundary(b, y, x);
    auto const votes = [&](int kind) { return static_cast<double>(share.votes(kind, b, y, x)); };
    double const pull = (votes(0) * slopes->boundary[0] + votes(1) * slopes->boundary[1]) / (1 - s + 1e-5) -
                        votes(2) * slopes->boundary[2] / (s + 1e-5);
    by_logits(b, y, x) = static_cast<T>(pull * s * (1 - s));
    if (by_field.data == nullptr) return;
    std::int32_t count[2][2]{};  // by axis and kind
    auto const& pairs = share.pairs;
    for (int k = 0; k < pairs.edges.size; ++k)
      for (int end = 0; end < 2; ++end) {  // the cell as source, and as end
        index_t const from_y = end == 0 ? y : y - pairs.edges.at[k].dy,
                      from_x = end == 0 ? x : x - pairs.edges.at[k].dx;
        pair_kind const kind = pairs(b, from_y, from_x, k);
        if (kind != pair_kind::background && kind != pair_kind::foreground) continue;
        for (index_t axis = 0; axis < 2; ++axis) {
          double const off = share.off(b, axis, from_y, from_x, k, kind);
          std::int32_t const sign = off > 0 ? 1 : off < 0 ? -1 : 0;
          count[axis][static_cast<int>(kind)] += end == 0 ? sign : -sign;
        }
      }
    for (index_t axis = 0; axis < 2; ++axis)
      by_field(b, axis, y, x) = static_cast<T>(count[axis][0] * slopes->field[0] + count[axis][1] * slopes->field[1]);
  }
};

/// Room for the loss of a batch of this shape: 20 bytes a cell, and the paths.
template <execution_policy P>
struct affinity_loss_scratch {
  using S = typename P::memory;
  affinity_loss_scratch(P const& where, index_t const (&extent)[3])  ///< [B,H,W]
      : boundary(make_grid<double>(where, extent)),
        votes(make_grid<std::int32_t>(where, {3, extent[0], extent[1], extent[2]})),
        length(make_grid<std::int32_t>(where, {stencil::capacity})),
        step(make_grid<index_t>(where, {stencil::capacity * path::capacity})),
        sum(make_grid<affinity_sums>(where, {1})),
        slopes(make_grid<affinity_slopes>(where, {1}))
  {
  }

  grid<double, 3, S> boundary;
  grid<std::int32_t, 4, S> votes;
  grid<std::int32_t, 1, S> length;
  grid<index_t, 1, S> step;
  grid<affinity_sums, 1, S> sum;
  grid<affinity_slopes, 1, S> slopes;
  workspace<P> sums;
};

/// affinity_displacement_loss into memory of the caller's.
///
/// As in affinity_displacement.hpp, but that values are not looked at: with NaN or infinities nothing is read or written
/// out of place, and value and slopes hold what arithmetic makes of them.
///
/// @param where      gpu
/// @param by_logits  [B,H,W] d total / d logits
/// @param by_field   [B,2,H,W] d total / d displacement; null without a displacement
/// @param value      [1]
/// @param scratch    made for [B,H,W]; one call at a time
///
/// @throws       precondition_error: shapes that differ, radius outside 1..17, gradients that overlap an input or each
///               other
/// @complexity   Theta(B * H * W * cells on all paths); 20 bytes a cell in scratch
/// @determinism  the same bits on every run: votes are integers, sums in double and in a fixed tree. Beside the cpu:
///               pairs are equal, values within 1e-12 and slopes within 1e-6 of their size, unless two boundaries of a
///               path lie within a rounding of each other, when the other one may be elected
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void affinity_displacement_loss_into(P const& where, stack_view<T const, S> logits,
                                     std::type_identity_t<view<T const, 4, S>> displacement,
                                     std::type_identity_t<view<std::int32_t const, 3, S>> labels,
                                     affinity_loss_options options, std::type_identity_t<view<T, 3, S>> by_logits,
                                     std::type_identity_t<view<T, 4, S>> by_field,
                                     std::type_identity_t<view<affinity_loss_values, 1, S>> value,
                                     affinity_loss_scratch<P>& scratch)
{
  index_t const B = logits.extent[0], H = logits.extent[1], W = logits.extent[2];
  bool const with_field = displacement.data != nullptr;
  expects(same_shape(logits, labels), "affinity_displacement_loss: logits are ", logits, " but labels are ", labels);
  expects(!with_field || (displacement.extent[0] == B && displacement.extent[1] == 2 && displacement.extent[2] == H &&
                          displacement.extent[3] == W),
          "affinity_displacement_loss: logits are ", logits, " but the displacement is ", displacement);
  expects(same_shape(logits, by_logits), "affinity_displacement_loss: logits are ", logits, " but by_logits is ",
          by_logits);
  expects(with_field ? same_shape(displacement, by_field) : by_field.data == nullptr,
          "affinity_displacement_loss: the displacement is ", displacement, " but by_field is ", by_field);
  expects(value.extent[0] == 1, "affinity_displacement_loss: value is ", value, "; it is one cell");
  expects(same_shape(logits, scratch.boundary.view()), "affinity_displacement_loss: logits are ", logits,
          " but the scratch is for ", scratch.boundary.view());
  auto const meets_input = [&](auto const& out) {
    return overlap(out, logits) || overlap(out, labels) || (with_field && overlap(out, displacement));
  };
  expects(!meets_input(by_logits) && (!with_field || !meets_input(by_field)),
          "affinity_displacement_loss: a gradient overlaps an input");
  expects(!with_field || !overlap(by_logits, by_field), "affinity_displacement_loss: the gradients overlap");
  auto const edges = stencil::disc(options.radius);

  view<double, 3, S> const boundary = scratch.boundary.view();
  view<std::int32_t, 4, S> const votes = scratch.votes.view();
  std::int32_t* const length = scratch.length.view().data;
  index_t* const step = scratch.step.view().data;
  affinity_pairs<S> const pairs{edges, edges.reach(), options.sources == pair_sources::inner, labels};
  affinity_share<T, S> const share{pairs, displacement, boundary, votes};
  for_each_index(where, edges.size, lay_path{edges, W, length, step});
  for_each_cell(where, logits.extent, open_election<T, S>{logits, boundary, votes});
  index_t const voters[3] = {B * elect_maxima<S>::groups, H, W};
  for_each_cell(where, voters, elect_maxima<S>{pairs, length, step, boundary, votes});
  affinity_sums* const sum = scratch.sum.view().data;
  affinity_slopes* const slopes = scratch.slopes.view().data;
  reduce(where, logits.size(), share, affinity_sums{}, add_affinity_sums{}, sum, scratch.sums);
  for_each_index(where, 1, take_means{sum, value.data, slopes});
  for_each_cell(where, logits.extent, slope_of_affinity<T, S>{share, slopes, by_logits, by_field});
}

/// As affinity_displacement_loss in affinity_displacement.hpp, with what affinity_displacement_loss_into says of values
/// and rounding.
///
/// @return values, and gradients in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the values
template <class T, execution_policy P>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] affinity_loss<T, typename P::memory> affinity_displacement_loss(
    P const& where, stack_view<T const, typename P::memory> logits, view<T const, 4, typename P::memory> displacement,
    view<std::int32_t const, 3, typename P::memory> labels, affinity_loss_options options = {})
{
  using S = typename P::memory;
  affinity_loss<T, S> out;
  out.boundary = make_grid<T>(where, logits.extent);
  view<T, 4, S> by_field;
  if (displacement.data != nullptr) {
    out.field = make_grid<T>(where, displacement.extent);
    by_field = out.field.view();
  }
  auto value = make_grid<affinity_loss_values>(where, {1});
  affinity_loss_scratch<P> scratch(where, logits.extent);
  affinity_displacement_loss_into<P, T, S>(where, logits, displacement, labels, options, out.boundary.view(), by_field,
                                           value.view(), scratch);
  out.value = read_cell(where, static_cast<affinity_loss_values const*>(value.view().data));
  return out;
}

}  // namespace cambium
