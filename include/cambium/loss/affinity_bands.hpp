#pragma once
// The cpu's schedule of affinity_displacement_loss: bands of sources, edge by edge, a register of pairs at a time.

#include <cambium/core/label.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/grid/view.hpp>
#include <cambium/loss/affinity_pairs.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace cambium {

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
/// underflows and lowered before it overflows. A factor is at least 1e-5, and at most 1.00001: a product grows slowly,
/// so that one look a piece of a row is enough for that end.
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
  double const *slope = nullptr, *field_slope = nullptr;  ///< of the total by each sum

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

/// Value and gradients from the boundary, [B,H,W] without gaps.
template <class T>
void affinity_bands(cpu const& where, double const* boundary, view<T const, 4> displacement,
                    view<std::int32_t const, 3> labels, stencil const& edges, pair_sources sources,
                    view<T, 3> by_logits, view<T, 4> by_displacement, affinity_loss_values* value)
{
  index_t const B = labels.extent[0], H = labels.extent[1], W = labels.extent[2];
  bool const with_field = displacement.data != nullptr;
  std::vector<steps_along> paths;
  for (int k = 0; k < edges.size; ++k) paths.push_back(steps_along::of(path::to(edges.at[k]), W));
  using band_type = affinity_loss_band<T>;
  index_t const bands = (H + band_type::rows - 1) / band_type::rows;
  std::vector<band_type> band(static_cast<std::size_t>(B * bands));
  for (index_t i = 0; i < B * bands; ++i) {
    auto& b = band[static_cast<std::size_t>(i)];
    b.boundary = boundary + i / bands * H * W;
    if (with_field) b.field = displacement[i / bands];
    b.labels = labels[i / bands];
    b.top = i % bands * band_type::rows;
  }
  isa const set = vectors_of(where);
  for_each_share(where, B * bands, 1, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) band[static_cast<std::size_t>(i)].count_kinds(set, edges, sources);
  });
  rule::affinity_sums sums;
  rule::affinity_slopes slopes;
  for (auto const& b : band)
    for (int kind = 0; kind < 3; ++kind) sums.pairs[kind] += b.count[kind];
  rule::take_means const means{&sums, value, &slopes};
  means(0);  // for the slopes

  for_each_share(where, B * bands, 1, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      auto& b = band[static_cast<std::size_t>(i)];
      b.slope = slopes.boundary, b.field_slope = slopes.field;
      b.run(set, edges, paths, sources);
    }
  });

  for (auto const& b : band) {
    for (int i = 0; i < 3; ++i) sums.minus_log[i] += b.sums.minus_log(i);
    for (int i = 0; i < 2; ++i) sums.off[i] += b.sums.distance(i);
  }
  means(0);

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
        double const s = boundary[row * W + x];
        by_logits(n, y, x) = static_cast<T>(by_boundary * s * (1 - s));
        for (index_t axis = 0; axis < 2 && with_field; ++axis)
          by_displacement(n, axis, y, x) = static_cast<T>(by_field[axis]);
      }
    }
  });
}

}  // namespace cambium
