#pragma once
// Between a centre map with an offset field and instances: centres are found region by region, and every cell of a
// region votes for one of them. Regions share no cell, so one pass over the image serves all regions and classes.

#include <cambium/core/error.hpp>
#include <cambium/displacement/cluster.hpp>
#include <cambium/displacement/region_centres.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/local_maximum.hpp>
#include <cambium/exec/middle.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/union_find.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Throws unless an offset field [2,H,W] lies over this map. `who` begins the message.
template <class T, class U, class S>
void expects_offset_over(stack_view<T, S> const& offset, image_view<U, S> const& map, char const* who)
{
  expects(offset.extent[0] == 2 && offset.extent[1] == map.extent[0] && offset.extent[2] == map.extent[1], who,
          ": offsets are ", offset, " over a map of ", map);
}

/// Throws unless an offset field [2,H,W] lies over this map and is finite. `who` begins the messages.
template <class T, class U>
void expects_offset(cpu const& where, stack_view<T> const& offset, image_view<U> const& map, char const* who)
{
  expects_offset_over(offset, map, who);
  expects_finite(where, offset, who);
}

struct centre_options {
  double threshold = 0.1;  ///< centres exceed it, and 0; refine_thresh, val_thresh
  index_t kernel = 41;     ///< [cells] side of the window that a centre must dominate in its region; odd
  plateau plateaus = plateau::every_cell;
};

/// Throws unless centres can be looked for in maps of these shapes.
template <class T, class S>
void expects_findable(image_view<T, S> const& heat, image_view<std::int32_t const, S> const& region, index_t count,
                      centre_options const& options)
{
  expects(same_shape(heat, region), "find_centres: response is ", heat, " but regions are ", region);
  expects_window(options.kernel, "find_centres");
  expects(!std::isnan(options.threshold), "find_centres: threshold is nan");
  expects(count >= 0, "find_centres: count is ", count);
}

/// Find the local maxima of a centre map, in each region by itself.
///
/// @param where     cpu
/// @param response  [H,W] finite: the centre map of the class of each region, from select
/// @param regions   [H,W] int32, 0 outside, 1..count
/// @param count     [regions]
/// @param options   threshold = 0.1, kernel = 41, plateaus = every_cell
/// @return of each region the centres in raster order, the response as score
///
/// @throws       precondition_error: shapes that differ, a region outside 0..count, NaN or infinite responses, an even
///               kernel, a NaN threshold
/// @complexity   Theta(H * W), and kernel^2 for each cell above the threshold that no neighbour exceeds. On a plateau that is
///               every cell, each becomes a centre, and grouping a saturated map is quadratic in its cells;
///               plateau::one_cell leaves one centre to it
/// @determinism  exact
/// @source       find_instance_center, utils/utils.py of clovaai/BESTIE, on the centre map times the region: `>` against
///               the threshold rounded to float. Its top_k ranks coordinates instead of scores and is left out
template <image_like X, image_like R>
[[nodiscard]] region_centres<> find_centres(cpu const& where, X const& response, R const& regions, index_t count,
                                          centre_options options = {})
{
  using T = value_of<X, 2>;
  auto const heat = as_view<2>(response, "find_centres: response");
  image_view<std::int32_t const> const region = as_view<2>(regions, "find_centres: regions");
  expects_findable(heat, region, count, options);
  expects_finite(where, heat, "find_centres: response");
  expects_labels(region, count, "find_centres: region");
  T const above = std::max(T(0), static_cast<T>(options.threshold));
  local_maximum<T> const here{heat, region, options.kernel / 2};
  std::vector<place> cells;
  for (index_t y = 0; y < heat.extent[0]; ++y)
    for (index_t x = 0; x < heat.extent[1]; ++x)
      if (heat(y, x) > above && region(y, x) != 0 && here(y, x)) cells.push_back({y, x});
  if (options.plateaus == plateau::one_cell) cells = one_of_each_plateau(here, cells);
  std::vector<std::pair<index_t, point>> found;
  for (place const at : cells)
    found.push_back({region(at.y, at.x),
                     {static_cast<double>(at.y), static_cast<double>(at.x), 0, static_cast<double>(heat(at.y, at.x))}});
  return by_region(found, count);
}

/// The cells of each region where the offset field is shorter than a radius: around a centre they form a disc.
///
/// @param regions  [H,W] int32, 0 outside
/// @param offset   [2,H,W] (dy,dx) finite
/// @param radius   [cells] > 0
/// @return [H,W] the region where the field is weak, 0 elsewhere: to be labelled with edge neighbours
/// @throws precondition_error
template <image_like R, stack_like D>
[[nodiscard]] grid<std::int32_t, 2> weak_cells(cpu const& where, R const& regions, D const& offset, double radius = 2.5)
{
  using T = value_of<D, 3>;
  image_view<std::int32_t const> const region = as_view<2>(regions, "weak_cells: regions");
  auto const field = as_view<3>(offset, "weak_cells: offset");
  expects(radius > 0, "weak_cells: radius is ", radius);
  expects_offset(where, field, region, "weak_cells: offset");
  auto out = make_grid<std::int32_t>({region.extent[0], region.extent[1]});
  for_each_share(where, region.extent[0], 262144 / (region.extent[1] + 1) + 1, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < region.extent[1]; ++x)
        out(y, x) =
            region(y, x) != 0 && is_weak(field(0, y, x), field(1, y, x), static_cast<T>(radius)) ? region(y, x) : 0;
  });
  return out;
}

/// Cells nearer than a radius to the middle of a cell: 21 for 2.5.
/// @throws     precondition_error unless 0 < radius < 1e6
/// @complexity Theta(radius)
inline index_t disc_area(double radius)
{
  expects(radius > 0 && radius < 1e6, "disc_area: radius is ", radius);
  auto const inside = [&](index_t dy, index_t dx) { return static_cast<double>(dy * dy + dx * dx) < radius * radius; };
  index_t area = 0;
  for (index_t dy = 0; inside(dy, 0); ++dy) {
    double const rest = radius * radius - static_cast<double>(dy * dy);
    auto across = static_cast<index_t>(std::sqrt(rest)) + 1;  // the root may be one off either way
    while (!inside(dy, across)) --across;
    area += (dy == 0 ? 1 : 2) * (2 * across + 1);
  }
  return area;
}

struct disc_options {
  double radius = 2.5;   ///< [cells] that weak_cells was asked for
  double tolerance = 3;  ///< [cells] by which the area of a disc may differ, itself excluded; beta
  bool outside = true;   ///< the rest of the map counts as one more disc, the first: the original
};

/// Throws unless discs can be looked for in maps of these shapes.
template <class L, class S>
void expects_discs(image_view<L, S> const& label, index_t N, image_view<std::int32_t const, S> const& region,
                   index_t count, disc_options const& options)
{
  expects(same_shape(label, region), "disc_centres: weak is ", label, " but regions are ", region);
  expects(!std::isnan(options.tolerance), "disc_centres: tolerance is nan");
  expects(count >= 0, "disc_centres: count is ", count);
  expects(N >= 0, "disc_centres: N is ", N);
}

/// Take weak places of the size of a disc for centres.
///
/// @param where    cpu
/// @param weak     [H,W] 0..N: components of weak_cells, edge neighbours, in raster order
/// @param N        [components]
/// @param regions  [H,W] int32 0..count
/// @param count    [regions]
/// @param options  radius = 2.5, tolerance = 3, outside = true
/// @return of each region the truncated means of components with |area - disc_area(radius)| < tolerance, in their order
///
/// @pre          a component lies in one region
/// @throws       precondition_error: shapes that differ, labels outside their ranges, a NaN tolerance
/// @complexity   Theta(H * W + N + count)
/// @determinism  exact
/// @source       cluster_peaks, utils/utils.py of clovaai/BESTIE, whose loop over components begins with the background:
///               everything outside the weak cells of a region is a centre when it has the size of a disc
template <image_like L, image_like R>
[[nodiscard]] region_centres<> disc_centres(cpu const&, L const& weak, index_t N, R const& regions, index_t count,
                                          disc_options options = {})
{
  auto const label = as_view<2>(weak, "disc_centres: weak");
  image_view<std::int32_t const> const region = as_view<2>(regions, "disc_centres: regions");
  expects_discs(label, N, region, count, options);
  expects_labels(region, count, "disc_centres: region");
  expects_labels(label, N, "disc_centres: weak");
  struct sums {
    index_t area = 0, y = 0, x = 0, region = 0;
    void operator+=(sums const& s) { area += s.area, y += s.y, x += s.x; }
  };
  std::vector<sums> of(static_cast<std::size_t>(N + 1)), in_region(static_cast<std::size_t>(count + 1));
  index_t const H = label.extent[0], W = label.extent[1];
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const at = static_cast<index_t>(label(y, x));
      if (at == 0) continue;
      of[static_cast<std::size_t>(at)] += {1, y, x, 0};
      of[static_cast<std::size_t>(at)].region = region(y, x);
    }
  double const ideal = static_cast<double>(disc_area(options.radius));
  auto const fits = [&](sums const& s) {
    return s.area > 0 && std::abs(static_cast<double>(s.area) - ideal) < options.tolerance;
  };
  auto const centre = [](sums const& s) {
    return point{static_cast<double>(s.y / s.area), static_cast<double>(s.x / s.area)};
  };
  std::vector<std::pair<index_t, point>> found;
  if (options.outside) {
    for (auto const& s : of) in_region[static_cast<std::size_t>(s.region)] += s;
    for (index_t r = 1; r <= count; ++r) {
      auto const& s = in_region[static_cast<std::size_t>(r)];
      sums const rest{H * W - s.area, H * (H - 1) / 2 * W - s.y, W * (W - 1) / 2 * H - s.x, r};
      if (fits(rest)) found.push_back({r, centre(rest)});
    }
  }
  for (auto const& s : of)
    if (s.region != 0 && fits(s)) found.push_back({s.region, centre(s)});
  return by_region(found, count);
}

struct join_options {
  double least = 0.05;  ///< a further centre needs a larger response where it is
  double apart = 100;   ///< [cells] and must be farther than this from every centre found before
  double relative = 0;  ///< > 0: farther than this fraction of the diagonal of its region's box instead
  bool whole_regions =
      false;  ///< a region without any centre gets one, where its response is largest; val_ignore = False
};

/// Throws unless lists of so many regions can be joined over maps of these shapes.
template <class T, class S>
void expects_joinable(index_t count, index_t further, image_view<std::int32_t const, S> const& region,
                      join_options const& options, image_view<T, S> const& heat)
{
  expects(further == count, "join_centres: centres of ", count, " and of ", further, " regions");
  expects(same_shape(heat, region), "join_centres: response is ", heat, " but regions are ", region);
  expects(options.apart >= 0 && options.relative >= 0 && !std::isnan(options.least), "join_centres: apart is ",
          options.apart, ", relative ", options.relative, ", least ", options.least);
}

/// Add further centres to those found in the centre map, where they are far from them.
///
/// Further centres of one region are not compared with each other. The response becomes 1 where one is added.
///
/// @param where     cpu
/// @param found     centres of count regions
/// @param further   more of them, from disc_centres
/// @param regions   [H,W] int32 0..count
/// @param options   least = 0.05, apart = 100, relative = 0, whole_regions = false
/// @param response  [H,W] as given to find_centres; marked here
/// @return of each region the centres found, then the further ones
///
/// @throws       precondition_error: shapes or numbers of regions that differ, centres that are not divided among them or
///               off the map, negative or NaN options
/// @complexity   O(H * W + centres * further centres of a region)
/// @determinism  exact
/// @source       get_instance_segmentation, utils/utils.py of clovaai/BESTIE: the mark tells the scores that follow that
///               a cluster stands there. Its distance is absolute, so that in small regions nothing is ever added
template <image_like R, image_like X>
[[nodiscard]] region_centres<> join_centres(cpu const&, region_centres<> const& found, region_centres<> const& further,
                                          R const& regions, join_options options, X&& response)
{
  using T = value_of<X, 2>;
  image_view<std::int32_t const> const region = as_view<2>(regions, "join_centres: regions");
  auto const heat = as_view<2>(response, "join_centres: response");
  expects_centres(found, "join_centres: found");
  expects_centres(further, "join_centres: further");
  index_t const count = found.regions(), H = region.extent[0], W = region.extent[1];
  expects_joinable(count, further.regions(), region, options, heat);
  expects_labels(region, count, "join_centres: region");
  for (auto const* const list : {&found, &further})
    for (point const& p : list->at.cells())
      expects(0 <= p.y && p.y < static_cast<double>(H) && 0 <= p.x && p.x < static_cast<double>(W), "join_centres: (",
              p.y, ",", p.x, ") is outside a map of ", region);

  std::vector<box> bounds;
  if (options.relative > 0 && further.at.size() > 0) {
    bounds.assign(static_cast<std::size_t>(count + 1), {H, W, 0, 0});
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        box& b = bounds[static_cast<std::size_t>(region(y, x))];
        b = {std::min(b.top, y), std::min(b.left, x), y + 1, std::max(b.right, x + 1)};
      }
  }
  std::vector<place> marks;
  std::vector<std::pair<index_t, point>> all;
  std::vector<char> lone(static_cast<std::size_t>(count + 1), 0);
  bool any = false;
  for (index_t r = 1; r <= count; ++r) {
    std::size_t const before = all.size();
    for (index_t i = found.first(r - 1); i < found.first(r); ++i) all.push_back({r, found.at(i)});
    double apart = options.apart;
    if (!bounds.empty()) {
      box const& b = bounds[static_cast<std::size_t>(r)];
      apart =
          options.relative * std::hypot(static_cast<double>(b.bottom - b.top), static_cast<double>(b.right - b.left));
    }
    for (index_t i = further.first(r - 1); i < further.first(r); ++i) {
      point p = further.at(i);
      index_t const y = static_cast<index_t>(p.y), x = static_cast<index_t>(p.x);
      bool fits = region(y, x) == r && heat(y, x) > static_cast<T>(options.least);
      for (index_t j = found.first(r - 1); j < found.first(r) && fits; ++j) {
        point const& q = found.at(j);
        double const dy = q.y - p.y, dx = q.x - p.x;
        fits = rounded_product(dy, dy) + rounded_product(dx, dx) > rounded_product(apart, apart);
      }
      if (!fits) continue;
      p.score = 1;
      all.push_back({r, p});
      marks.push_back({y, x});
    }
    lone[static_cast<std::size_t>(r)] = all.size() == before;
    any = any || all.size() == before;
  }
  for (place const m : marks) heat(m.y, m.x) = 1;
  if (!options.whole_regions || !any) return by_region(all, count);

  std::vector<point> best(lone.size());
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const r = static_cast<std::size_t>(region(y, x));
      if (r == 0 || lone[r] == 0) continue;
      auto const here = static_cast<double>(heat(y, x));
      if (lone[r] == 2 && !(here > best[r].score)) continue;
      best[r] = {static_cast<double>(y), static_cast<double>(x), 0, here};
      lone[r] = 2;
    }
  for (std::size_t r = 1; r < lone.size(); ++r)
    if (lone[r] == 2) all.push_back({static_cast<index_t>(r), best[r]});
  return by_region(all, count);
}

/// The rule: which of some centres is nearest to where a cell's offset leads? The distance is
/// sqrt(dx * dx + [dy * dy]) with one rounding inside the sum, in float; the first of equal ones wins.
struct nearest_centre {
  float const* cy;
  float const* cx;
  index_t count;

  [[gnu::always_inline]] CAMBIUM_HD index_t operator()(float y, float x) const
  {
    index_t best = 0;
    float least = far, root = far;
    for (index_t k = 0; k < count; ++k) {
      float const dy = cy[k] - y, dx = cx[k] - x, square = std::fma(dx, dx, dy * dy);
      if (!(square < least)) continue;
      float const distance = std::sqrt(square);
      if (distance < root) best = k, root = distance, least = square;
    }
    return best;
  }

 private:
  static constexpr float far = std::numeric_limits<float>::infinity();
};

/// Lets the cells of some rows vote.
template <class T, class R>
struct vote_rows {
  image_view<R const> region;
  stack_view<T const> offset;
  centres_view<host> centres;
  float const* cy;
  float const* cx;
  image_view<std::int32_t> out;
  index_t first_row;
  index_t last_row;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    for (index_t y = first_row; y < last_row; ++y)
      for (index_t x = 0; x < region.extent[1]; ++x) {
        auto const r = static_cast<index_t>(region(y, x));
        index_t id = 0;
        if (r != 0) {
          index_t const first = centres.begin(r), count = centres.end(r) - first;
          if (count == 1) id = first + 1;
          if (count > 1)
            id = first + 1 +
                 nearest_centre{cy + first, cx + first, count}(
                     static_cast<float>(y) + static_cast<float>(offset(0, y, x)),
                     static_cast<float>(x) + static_cast<float>(offset(1, y, x)));
        }
        out(y, x) = static_cast<std::int32_t>(id);
      }
  }
};

/// Group the cells of each region: every cell goes to the centre of its region that its offset leads nearest to.
///
///   out(y,x) = 1 + argmin over k of |centre(k) - ((y,x) + offset(y,x))|,   0 outside and in regions without a centre
///
/// @param where    cpu
/// @param offset   [2,H,W] (dy,dx) in cells, finite: centre minus cell
/// @param regions  [H,W] of integers, 0..N
/// @param centres  of N regions
/// @return [H,W] int32, 0 or 1 + index into centres.at
///
/// @throws       precondition_error: shapes that differ, a region outside 0..N, NaN or infinite offsets or centres, centres
///               that are not divided among regions
/// @invariant    of several centres equally near the first wins; a region's only centre takes all of it
/// @complexity   O(cells of regions * centres of their region), one pass for all regions: quadratic where every cell of a
///               plateau is a centre, see plateau::one_cell
/// @determinism  exact, on every machine: positions, products and roots in float, rounded as the original's are
/// @source       Cheng et al., CVPR 2020, eq. (1); group_pixels, utils/utils.py of clovaai/BESTIE, which runs over the whole
///               map once a region and needs memory for centres * H * W distances. Without a centre it raises
template <stack_like D, image_like R>
[[nodiscard]] grid<std::int32_t, 2> group_pixels(cpu const& where, D const& offset, R const& regions,
                                                 region_centres<> const& centres)
{
  using T = value_of<D, 3>;
  using cell_type = value_of<R, 2>;
  auto const field = as_view<3>(offset, "group_pixels: offset");
  image_view<cell_type const> const region = as_view<2>(regions, "group_pixels: regions");
  expects_offset(where, field, region, "group_pixels: offset");
  expects_centres(centres, "group_pixels: centres");
  expects_labels(region, centres.regions(), "group_pixels: region");
  std::vector<float> cy, cx;
  for (point const& p : centres.at.cells()) {
    expects(std::isfinite(p.y) && std::isfinite(p.x), "group_pixels: a centre is at (", p.y, ",", p.x, ")");
    cy.push_back(static_cast<float>(p.y)), cx.push_back(static_cast<float>(p.x));
  }
  auto out = make_grid<std::int32_t>({region.extent[0], region.extent[1]});
  isa const set = vectors_of(where);
  for_each_share(where, region.extent[0], 16, [&](index_t begin, index_t end) {
    run_widest(set, vote_rows<T, cell_type>{region, field, {centres.at, centres.first}, cy.data(), cx.data(), out.view(), begin, end});
  });
  return out;
}

/// As above, the whole map being one region.
template <stack_like D>
[[nodiscard]] grid<std::int32_t, 2> group_pixels(cpu const& where, D const& offset, points const& centres)
{
  auto const field = as_view<3>(offset, "group_pixels: offset");
  auto whole = make_grid<std::uint8_t>({field.extent[1], field.extent[2]});
  std::fill(whole.cells().begin(), whole.cells().end(), std::uint8_t{1});
  return group_pixels(where, offset, whole, all_of_one_region(where, centres));
}

/// Multiply an offset field, when the map it is read on has another size than the one it was learnt on.
///
/// @param where   cpu
/// @param offset  [2,H,W] (dy,dx)
/// @param down    factor of dy: height of the map / height of what the network saw
/// @param across  factor of dx
/// @return [2,H,W]; the factors are rounded to its type first
/// @throws precondition_error
template <stack_like D>
[[nodiscard]] auto scale_offsets(cpu const&, D const& offset, double down, double across) -> grid<value_of<D, 3>, 3>
{
  using T = value_of<D, 3>;
  auto const field = as_view<3>(offset, "scale_offsets: offset");
  expects(field.extent[0] == 2, "scale_offsets: offset is ", field, " instead of [2,H,W]");
  expects(std::isfinite(down) && std::isfinite(across), "scale_offsets: factors are ", down, " and ", across);
  auto out = grid_like<T, host>(field);
  for (index_t c = 0; c < 2; ++c)
    for (index_t y = 0; y < field.extent[1]; ++y)
      for (index_t x = 0; x < field.extent[2]; ++x)
        out(c, y, x) = field(c, y, x) * static_cast<T>(c == 0 ? down : across);
  return out;
}

/// The mean of an offset field and of that of the mirror image, which is turned back: its columns and the sign of dx.
/// @throws precondition_error on differing shapes
template <stack_like D>
[[nodiscard]] auto mean_with_mirrored_offsets(cpu const&, D const& offset, D const& flipped) -> grid<value_of<D, 3>, 3>
{
  using T = value_of<D, 3>;
  auto const a = as_view<3>(offset, "mean_with_mirrored_offsets: offset");
  auto const b = as_view<3>(flipped, "mean_with_mirrored_offsets: flipped");
  expects(a.extent[0] == 2 && same_shape(a, b), "mean_with_mirrored_offsets: offsets are ", a, " and ", b);
  auto out = grid_like<T, host>(a);
  for (index_t y = 0; y < a.extent[1]; ++y)
    for (index_t x = 0; x < a.extent[2]; ++x) {
      index_t const u = a.extent[2] - 1 - x;
      out(0, y, x) = std::midpoint(a(0, y, x), b(0, y, u));
      out(1, y, x) = std::midpoint(a(1, y, x), -b(1, y, u));
    }
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


// --- find_centres -----------------------------------------------------------------------------------------------------

/// The region of every cell that is a maximum of it.
template <class T, class S>
struct mark_region_maximum {
  local_maximum<T, S> maximum;
  T above;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::int32_t const r = maximum.region(y, x);
    out(y, x) = maximum.map(y, x) > above && r != 0 && maximum(y, x) ? r : 0;
  }
};

/// Which marked cells are one plateau.
template <class T, class S>
struct same_region_plateau {
  image_view<T const, S> heat;
  image_view<std::int32_t const, S> marked;

  CAMBIUM_HD bool inside(index_t, index_t y, index_t x) const { return marked(y, x) != 0; }
  CAMBIUM_HD bool join(index_t, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return marked(y, x) == marked(ny, nx) && heat(y, x) == heat(ny, nx);
  }
};

/// Rule: a marked cell meets its plateau, which is known at its first cell.
template <class S>
struct meet_plateau {
  plateau_tally::round now;
  std::int32_t const* parent;
  plateau_tally* of;
  image_view<std::int32_t const, S> marked;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * marked.extent[1] + x;
    if (marked(y, x) != 0) of[parent[here]].meet(now, y, x, here);
  }
};

/// Rule: only the place of a plateau stays marked.
template <class S>
struct thin_plateau {
  std::int32_t const* parent;
  plateau_tally const* of;
  image_view<std::int32_t, S> marked;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * marked.extent[1] + x;
    if (marked(y, x) != 0 && of[parent[here]].at != here) marked(y, x) = 0;
  }
};

/// Candidate i is cell i, and its response the score.
template <class T, class S>
struct cell_as_centre {
  image_view<T const, S> heat;

  CAMBIUM_HD point operator()(index_t i) const
  {
    index_t const y = i / heat.extent[1], x = i % heat.extent[1];
    return {static_cast<double>(y), static_cast<double>(x), 0, static_cast<double>(heat(y, x))};
  }
};

/// As find_centres in centres.hpp.
///
/// @pre          as there; on a device a cell of a region outside 1..count is no centre, and NaN responses are not refused:
///               a NaN is no centre and exceeds nothing
/// @throws       precondition_error: shapes that differ, an even kernel, a NaN threshold, a negative count
/// @complexity   as there, and a sort of the centres
/// @determinism  exact: the cpu's centres in their order
/// @asynchrony   waits for the stream
template <execution_policy P, image_like X, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 2>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto find_centres(P const& where, X const& response, R const& regions, index_t count,
                                centre_options options = {}) -> region_centres<typename P::memory>
{
  using T = value_of<X, 2>;
  using S = typename P::memory;
  image_view<T const, S> const heat = as_view<2>(response, "find_centres: response");
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "find_centres: regions");
  expects_findable(heat, region, count, options);
  index_t const H = heat.extent[0], W = heat.extent[1], cells[3] = {1, H, W};
  T const low = static_cast<T>(options.threshold), above = low > 0 ? low : T(0);
  auto marks = make_grid<std::int32_t>(where, {H, W});
  local_maximum<T, S> const maximum{heat, region, options.kernel / 2};
  for_each_cell(where, cells, mark_region_maximum<T, S>{maximum, above, marks.view()});
  if (options.plateaus == plateau::one_cell && H * W > 0) {
    auto parent = make_grid<std::int32_t>(where, {H * W});
    auto tally = make_grid<plateau_tally>(where, {H * W});
    plateau_tally* const of = tally.view().data;
    fill(where, H * W, of, plateau_tally{});
    find_sets(where, cells, c8, same_region_plateau<T, S>{heat, marks.view()}, parent.view().data);
    using round = plateau_tally::round;
    for (auto const now : {round::sums, round::high, round::low, round::place})
      for_each_cell(where, cells, meet_plateau<S>{now, parent.view().data, of, marks.view()});
    for_each_cell(where, cells, thin_plateau<S>{parent.view().data, of, marks.view()});
  }
  return candidates_by_region(where, H * W, marks.view().data, count, cell_as_centre<T, S>{heat});
}

// --- weak_cells, disc_centres -----------------------------------------------------------------------------------------

template <class T, class S>
struct mark_weak_cell {
  image_view<std::int32_t const, S> region;
  stack_view<T const, S> field;
  T radius;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    bool const weak = region(y, x) != 0 && is_weak(field(0, y, x), field(1, y, x), radius);
    out(y, x) = weak ? region(y, x) : 0;
  }
};

/// As weak_cells in centres.hpp.
/// @pre        as there; on a device NaN and infinities are not refused, and are not weak
/// @asynchrony enqueues and returns
template <execution_policy P, image_like R, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<R, 2>> && reaches<P, space_of<D, 3>>
[[nodiscard]] auto weak_cells(P const& where, R const& regions, D const& offset, double radius = 2.5)
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "weak_cells: regions");
  stack_view<T const, S> const field = as_view<3>(offset, "weak_cells: offset");
  expects(radius > 0, "weak_cells: radius is ", radius);
  expects_offset_over(field, region, "weak_cells: offset");
  auto out = make_grid<std::int32_t>(where, region.extent);
  index_t const cells[3] = {1, region.extent[0], region.extent[1]};
  for_each_cell(where, cells, mark_weak_cell<T, S>{region, field, static_cast<T>(radius), out.view()});
  return out;
}

/// Sums over the cells of a component, or of all components of a region.
struct disc_sums {
  index_t area, y, x, region;
};

struct forget_discs {
  disc_sums* of;
  CAMBIUM_HD void operator()(index_t i) const { of[i] = {0, 0, 0, 0}; }
};

template <class L, class S>
struct add_to_discs {
  image_view<L const, S> label;
  image_view<std::int32_t const, S> region;
  index_t components;
  disc_sums* of;  ///< components + 1

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const at = static_cast<index_t>(label(y, x));
    if (at <= 0 || at > components) return;
    atomic_add(&of[at].area, index_t{1});
    atomic_add(&of[at].y, y);
    atomic_add(&of[at].x, x);
    atomic_max(&of[at].region, static_cast<index_t>(region(y, x)));
  }
};

struct add_to_regions {
  disc_sums const* of;
  disc_sums* in_region;  ///< regions + 1
  index_t regions;

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const r = of[i].region;
    if (i == 0 || r <= 0 || r > regions) return;
    atomic_add(&in_region[r].area, of[i].area);
    atomic_add(&in_region[r].y, of[i].y);
    atomic_add(&in_region[r].x, of[i].x);
  }
};

/// Candidates 0..regions-1 are what is outside the weak cells of region 1, 2, ...; the others components 1, 2, ...
struct disc_as_centre {
  disc_sums const* of;
  disc_sums const* in_region;
  index_t regions;
  index_t height;
  index_t width;

  CAMBIUM_HD disc_sums sums(index_t i) const
  {
    if (i >= regions) return of[i - regions + 1];
    disc_sums const& s = in_region[i + 1];
    return {height * width - s.area, height * (height - 1) / 2 * width - s.y, width * (width - 1) / 2 * height - s.x,
            i + 1};
  }
  CAMBIUM_HD point operator()(index_t i) const
  {
    disc_sums const s = sums(i);
    return {static_cast<double>(s.y / s.area), static_cast<double>(s.x / s.area), 0, 1};
  }
};

struct choose_disc {
  disc_as_centre discs;
  double ideal;
  double tolerance;
  bool outside;
  std::int32_t* region;

  CAMBIUM_HD void operator()(index_t i) const
  {
    disc_sums const s = discs.sums(i);
    double const off = static_cast<double>(s.area) - ideal;
    bool const fits = s.area > 0 && (off < 0 ? -off : off) < tolerance && (outside || i >= discs.regions);
    region[i] = fits ? static_cast<std::int32_t>(s.region) : 0;
  }
};

/// As disc_centres in centres.hpp.
///
/// @pre          as there; on a device labels outside their ranges are left out, and a component that lies in several
///               regions is of the last
/// @throws       precondition_error: shapes that differ, a NaN tolerance, negative numbers
/// @determinism  exact: the cpu's centres in their order
/// @asynchrony   waits for the stream
template <execution_policy P, image_like L, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto disc_centres(P const& where, L const& weak, index_t N, R const& regions, index_t count,
                                disc_options options = {}) -> region_centres<typename P::memory>
{
  using cell_type = value_of<L, 2>;
  using S = typename P::memory;
  image_view<cell_type const, S> const label = as_view<2>(weak, "disc_centres: weak");
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "disc_centres: regions");
  expects_discs(label, N, region, count, options);
  index_t const H = label.extent[0], W = label.extent[1], cells[3] = {1, H, W}, candidates = count + N;
  auto sums = make_grid<disc_sums>(where, {N + 1}), in_region = make_grid<disc_sums>(where, {count + 1});
  auto of_region = make_grid<std::int32_t>(where, {candidates});
  disc_sums* const of = sums.view().data;
  for_each_index(where, N + 1, forget_discs{of});
  for_each_index(where, count + 1, forget_discs{in_region.view().data});
  for_each_cell(where, cells, add_to_discs<cell_type, S>{label, region, N, of});
  for_each_index(where, N + 1, add_to_regions{of, in_region.view().data, count});
  disc_as_centre const discs{of, in_region.view().data, count, H, W};
  double const ideal = static_cast<double>(disc_area(options.radius));
  for_each_index(where, candidates,
                 choose_disc{discs, ideal, options.tolerance, options.outside, of_region.view().data});
  return candidates_by_region(where, candidates, of_region.view().data, count, discs);
}

// --- join_centres -----------------------------------------------------------------------------------------------------

/// What join_centres learns of a region.
struct region_facts {
  index_t top, left, bottom, right;  ///< its box
  index_t centres;                   ///< found, or joined
  std::int64_t largest;              ///< response, ordered
  index_t best;                      ///< the first cell of that response
};

template <class T, class S>
struct learn_of_regions {
  enum turn { forget, bounds, largest, best } now;
  image_view<std::int32_t const, S> region;
  image_view<T, S> heat;
  index_t regions;
  region_facts* of;  ///< regions + 1

  /// Of regions.
  CAMBIUM_HD void operator()(index_t r) const
  {
    of[r] = {region.extent[0], region.extent[1], 0, 0, 0, no_response, region.size()};
  }
  /// Of cells.
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const r = region(y, x), here = y * region.extent[1] + x;
    if (r <= 0 || r > regions) return;
    if (now == bounds) {
      atomic_min(&of[r].top, y), atomic_min(&of[r].left, x);
      atomic_max(&of[r].bottom, y + 1), atomic_max(&of[r].right, x + 1);
      return;
    }
    if (of[r].centres != 0) return;
    std::int64_t const response = order_key(heat(y, x));
    if (now == largest) atomic_max(&of[r].largest, response);
    if (now == best && response == of[r].largest) atomic_min(&of[r].best, here);
  }

 private:
  static constexpr std::int64_t no_response = std::numeric_limits<std::int64_t>::min();
};

/// Candidates are the centres found, the further ones, and then a cell of every region.
template <class T, class S>
struct joined_centre {
  centres_view<S> found;
  centres_view<S> further;
  image_view<std::int32_t const, S> regions;
  image_view<T, S> heat;
  region_facts* of;

  CAMBIUM_HD point operator()(index_t i) const
  {
    index_t const a = found.at.extent[0], b = further.at.extent[0];
    if (i < a) return found.at(i);
    if (i < a + b) {
      point p = further.at(i - a);
      p.score = 1;
      return p;
    }
    index_t const cell = of[i - a - b + 1].best, y = cell / heat.extent[1], x = cell % heat.extent[1];
    return {static_cast<double>(y), static_cast<double>(x), 0, static_cast<double>(heat(y, x))};
  }
};

template <class T, class S>
struct choose_joined {
  enum turn { lists, marks, lone } now;
  joined_centre<T, S> all;
  join_options options;
  std::int32_t* region;  ///< of each candidate

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const a = all.found.at.extent[0], b = all.further.at.extent[0];
    if (now == marks && a <= i && i < a + b && region[i] != 0) {
      point const p = all.further.at(i - a);
      all.heat(static_cast<index_t>(p.y), static_cast<index_t>(p.x)) = T(1);
    }
    if (now == lone && i >= a + b) {
      index_t const r = i - a - b + 1;
      bool const takes = all.of[r].centres == 0 && all.of[r].best < all.regions.size();
      region[i] = takes ? static_cast<std::int32_t>(r) : 0;
    }
    if (now != lists) return;
    index_t r = i < a ? all.found.region_of(i) : i < a + b ? all.further.region_of(i - a) : 0;
    if (i >= a && r != 0 && !fits(all.further.at(i - a), r)) r = 0;
    region[i] = static_cast<std::int32_t>(r);
    if (r != 0) atomic_add(&all.of[r].centres, index_t{1});
  }

 private:
  CAMBIUM_HD bool fits(point const& p, index_t r) const
  {
    auto const& map = all.regions;
    bool const on_map =
        0 <= p.y && p.y < static_cast<double>(map.extent[0]) && 0 <= p.x && p.x < static_cast<double>(map.extent[1]);
    if (!on_map) return false;
    index_t const y = static_cast<index_t>(p.y), x = static_cast<index_t>(p.x);
    if (map(y, x) != r || !(all.heat(y, x) > static_cast<T>(options.least))) return false;
    double apart = options.apart;
    if (options.relative > 0) {
      region_facts const& f = all.of[r];
      apart =
          options.relative * std::hypot(static_cast<double>(f.bottom - f.top), static_cast<double>(f.right - f.left));
    }
    for (index_t j = all.found.begin(r); j < all.found.end(r); ++j) {
      point const q = all.found.at(j);
      double const dy = q.y - p.y, dx = q.x - p.x;
      if (!(rounded_product(dy, dy) + rounded_product(dx, dx) > rounded_product(apart, apart))) return false;
    }
    return true;
  }
};

/// As join_centres in centres.hpp.
///
/// @pre          as there; on a device a centre off the map does not join, and lists that are not divided are not refused
/// @throws       precondition_error: shapes or numbers of regions that differ, negative or NaN options
/// @determinism  the cpu's centres in their order; with relative > 0 the length of a diagonal may differ in its last bit
/// @asynchrony   waits for the stream
template <execution_policy P, image_like R, image_like X>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<R, 2>> && reaches<P, space_of<X, 2>>
[[nodiscard]] auto join_centres(P const& where, region_centres<typename P::memory> const& found,
                                region_centres<typename P::memory> const& further, R const& regions,
                                join_options options, X&& response) -> region_centres<typename P::memory>
{
  using T = value_of<X, 2>;
  using S = typename P::memory;
  image_view<std::int32_t const, S> const region = as_view<2>(regions, "join_centres: regions");
  image_view<T, S> const heat = as_view<2>(response, "join_centres: response");
  index_t const count = found.regions();
  expects_joinable(count, further.regions(), region, options, heat);
  index_t const H = region.extent[0], W = region.extent[1], cells[3] = {1, H, W};
  index_t const listed = found.at.size() + further.at.size(), candidates = listed + count;
  auto facts = make_grid<region_facts>(where, {count + 1});
  auto of_region = make_grid<std::int32_t>(where, {candidates});
  using learn = learn_of_regions<T, S>;
  using choose = choose_joined<T, S>;
  learn of{learn::forget, region, heat, count, facts.view().data};
  joined_centre<T, S> const all{
      {found.at.view(), found.first.view()}, {further.at.view(), further.first.view()}, region, heat, of.of};
  choose chosen{choose::lists, all, options, of_region.view().data};
  for_each_index(where, count + 1, of);
  of.now = learn::bounds;
  if (options.relative > 0) for_each_cell(where, cells, of);
  for_each_index(where, candidates, chosen);
  chosen.now = choose::marks;
  for_each_index(where, candidates, chosen);
  for (auto const now : {learn::largest, learn::best}) {
    of.now = now;
    if (options.whole_regions) for_each_cell(where, cells, of);
  }
  chosen.now = choose::lone;
  if (options.whole_regions) for_each_index(where, candidates, chosen);
  return candidates_by_region(where, candidates, of_region.view().data, count, all);
}

// --- group_pixels -----------------------------------------------------------------------------------------------------

/// What group_pixels works in: the centres' coordinates in float.
template <execution_policy P>
struct group_scratch {
  grid<float, 1, typename P::memory> cy, cx;
};

template <class S>
struct round_centre {
  view<point const, 1, S> at;
  float* cy;
  float* cx;
  CAMBIUM_HD void operator()(index_t k) const
  {
    cy[k] = static_cast<float>(at(k).y), cx[k] = static_cast<float>(at(k).x);
  }
};

template <class T, class R, class S>
struct vote_cell {
  image_view<R const, S> region;
  stack_view<T const, S> offset;
  centres_view<S> centres;
  float const* cy;
  float const* cx;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const r = static_cast<index_t>(region(y, x));
    index_t id = 0;
    if (0 < r && r <= centres.regions()) {
      index_t const first = centres.begin(r), count = centres.end(r) - first;
      if (count == 1) id = first + 1;
      if (count > 1)
        id = first + 1 +
             nearest_centre{cy + first, cx + first, count}(static_cast<float>(y) + static_cast<float>(offset(0, y, x)),
                                                           static_cast<float>(x) + static_cast<float>(offset(1, y, x)));
    }
    out(y, x) = static_cast<std::int32_t>(id);
  }
};

/// As group_pixels in centres.hpp, into [H,W] int32.
///
/// @pre          as there; on a device a region outside 1..N has no centre, and where an offset or a centre is NaN the first
///               of those that are left wins
/// @throws       precondition_error: shapes that differ
/// @determinism  exact, the cpu's bits
/// @asynchrony   enqueues and returns; takes memory only while the scratch grows
template <execution_policy P, stack_like D, image_like R, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>> && reaches<P, space_of<R, 2>> &&
          reaches<P, space_of<O, 2>>
void group_pixels_into(P const& where, D const& offset, R const& regions,
                       region_centres<typename P::memory> const& centres, O&& out, group_scratch<P>& scratch)
{
  using T = value_of<D, 3>;
  using cell_type = value_of<R, 2>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(offset, "group_pixels: offset");
  image_view<cell_type const, S> const region = as_view<2>(regions, "group_pixels: regions");
  image_view<std::int32_t, S> const to = as_view<2>(out, "group_pixels: out");
  expects_offset_over(field, region, "group_pixels: offset");
  expects(same_shape(region, to), "group_pixels: regions are ", region, " but out is ", to);
  expects(!overlap(region, to) && !overlap(field, to), "group_pixels: an input and out overlap");
  expects(centres.first.size() >= 1, "group_pixels: centres: first does not divide ", centres.at.size(),
          " items among -1 regions");
  index_t const count = centres.at.size(), cells[3] = {1, to.extent[0], to.extent[1]};
  float* const cy = reserve(where, scratch.cy, count);
  float* const cx = reserve(where, scratch.cx, count);
  for_each_index(where, count, round_centre<S>{centres.at.view(), cy, cx});
  centres_view<S> const all{centres.at.view(), centres.first.view()};
  for_each_cell(where, cells, vote_cell<T, cell_type, S>{region, field, all, cy, cx, to});
}

/// As group_pixels_into, and allocates the result and the scratch.
template <execution_policy P, stack_like D, image_like R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>> && reaches<P, space_of<R, 2>>
[[nodiscard]] auto group_pixels(P const& where, D const& offset, R const& regions,
                                region_centres<typename P::memory> const& centres)
{
  auto const region = as_view<2>(regions, "group_pixels: regions");
  auto out = make_grid<std::int32_t>(where, region.extent);
  group_scratch<P> scratch;
  group_pixels_into(where, offset, region, centres, out, scratch);
  return out;
}

/// As above, the whole map being one region; the centres come from the host.
/// @throws precondition_error: also NaN or infinite centres
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto group_pixels(P const& where, D const& offset, points const& centres)
{
  auto const field = as_view<3>(offset, "group_pixels: offset");
  for (point const& p : centres)
    expects(std::isfinite(p.y) && std::isfinite(p.x), "group_pixels: a centre is at (", p.y, ",", p.x, ")");
  auto whole = make_grid<std::uint8_t>(where, {field.extent[1], field.extent[2]});
  fill(where, whole.size(), whole.view().data, std::uint8_t{1});
  return group_pixels(where, field, whole, all_of_one_region(where, centres));
}

// --- offsets ----------------------------------------------------------------------------------------------------------

template <class T, class S>
struct scale_offset {
  stack_view<T const, S> field;
  T down;
  T across;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    out(c, y, x) = field(c, y, x) * (c == 0 ? down : across);
  }
};

/// As scale_offsets in centres.hpp.
/// @determinism the cpu's bits
/// @asynchrony  enqueues and returns
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto scale_offsets(P const& where, D const& offset, double down,
                                 double across) -> grid<value_of<D, 3>, 3, typename P::memory>
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const field = as_view<3>(offset, "scale_offsets: offset");
  expects(field.extent[0] == 2, "scale_offsets: offset is ", field, " instead of [2,H,W]");
  expects(std::isfinite(down) && std::isfinite(across), "scale_offsets: factors are ", down, " and ", across);
  auto out = make_grid<T>(where, field.extent);
  for_each_cell(where, field.extent,
                scale_offset<T, S>{field, static_cast<T>(down), static_cast<T>(across), out.view()});
  return out;
}

template <class T, class S>
struct mean_offset {
  stack_view<T const, S> a;
  stack_view<T const, S> b;
  stack_view<T, S> out;
  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    T const mirrored = b(c, y, b.extent[2] - 1 - x);
    out(c, y, x) = middle(a(c, y, x), c == 0 ? mirrored : -mirrored);
  }
};

/// As mean_with_mirrored_offsets in centres.hpp.
/// @determinism the cpu's bits
/// @asynchrony  enqueues and returns
template <execution_policy P, stack_like D>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<D, 3>>
[[nodiscard]] auto mean_with_mirrored_offsets(P const& where, D const& offset,
                                              D const& flipped) -> grid<value_of<D, 3>, 3, typename P::memory>
{
  using T = value_of<D, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const a = as_view<3>(offset, "mean_with_mirrored_offsets: offset");
  stack_view<T const, S> const b = as_view<3>(flipped, "mean_with_mirrored_offsets: flipped");
  expects(a.extent[0] == 2 && same_shape(a, b), "mean_with_mirrored_offsets: offsets are ", a, " and ", b);
  auto out = make_grid<T>(where, a.extent);
  for_each_cell(where, a.extent, mean_offset<T, S>{a, b, out.view()});
  return out;
}

}  // namespace cambium
