#pragma once
// The permutohedral lattice on a GPU: corners are sorted by their keys, so that points are runs of equal keys, and what a
// point sums up lies side by side. Everything is added in the order of permutohedral.hpp.

#include <cambium/crf/permutohedral.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/reduce.cuh>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/scan.cuh>
#include <cambium/exec/sort.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace cambium {

/// Least and most of a feature, and its first position that is no finite number.
struct feature_range {
  float least = std::numeric_limits<float>::max(), most = std::numeric_limits<float>::lowest();
  index_t odd = std::numeric_limits<index_t>::max();
};
struct widen_range {
  CAMBIUM_HD feature_range operator()(feature_range const& a, feature_range const& b) const
  {
    return {b.least < a.least ? b.least : a.least, b.most > a.most ? b.most : a.most, b.odd < a.odd ? b.odd : a.odd};
  }
};
template <class S>
struct range_of_feature {
  view<float const, 2, S> features;
  CAMBIUM_HD feature_range operator()(index_t k, index_t i) const
  {
    float const v = features(k, i);
    feature_range out;
    out.least = out.most = v;
    if (!(v - v == 0)) out.odd = i;
    return out;
  }
};

__extension__ typedef unsigned __int128 lattice_key;

/// Keys in two halves; without a high one they are below 2^64.
struct lattice_keys {
  std::uint64_t* low;
  std::uint64_t* high;

  CAMBIUM_HD lattice_key operator[](index_t i) const
  {
    return high == nullptr ? lattice_key{low[i]} : lattice_key{high[i]} << 64 | low[i];
  }
  CAMBIUM_HD void put(index_t i, lattice_key key) const
  {
    low[i] = static_cast<std::uint64_t>(key);
    if (high != nullptr) high[i] = static_cast<std::uint64_t>(key >> 64);
  }
};

/// What a lattice learns of its features before it sorts their corners.
struct lattice_plan {
  feature_range range[8];
  lattice_key stride[9];  ///< of a coordinate in a key; the last one has none, since it follows from the others
  lattice_key all;        ///< their sum
  lattice_key lowest;     ///< key of the lowest coordinates
  double limit;           ///< keys are below this
  bool fits;              ///< all features are finite, and the lattice holds them
};

/// From ranges to a plan. A double holds a stride exactly or, beyond 2^53, rounded: so they are multiplied as integers.
struct plan_lattice {
  int D;
  index_t positions;
  bool origin;  ///< takes part
  lattice_plan* plan;

  CAMBIUM_HD void operator()(index_t) const
  {
    float least[8]{}, most[8]{};
    bool finite = true;
    for (int k = 0; k < D && positions > 0; ++k) {
      auto const& range = plan->range[k];
      finite = finite && range.odd >= positions;
      least[k] = origin && range.least > 0 ? 0 : range.least;
      most[k] = origin && range.most < 0 ? 0 : range.most;
    }
    double reach[8]{};
    key_digits const digits = bound_coordinates(D, least, most, reach);
    plan->limit = digits.limit;
    plan->fits = finite && digits.limit < 0x1p126;
    for (int j = 0; j < D; ++j) plan->fits = plan->fits && reach[j] < 0x1p21;
    lattice_key stride = plan->fits ? 1 : 0;
    plan->all = plan->lowest = 0;
    for (int j = 0; j <= D; ++j) {
      plan->stride[j] = j < D ? stride : 0;
      plan->all += plan->stride[j];
      if (j == D || !plan->fits) continue;
      plan->lowest += stride * static_cast<lattice_key>(static_cast<index_t>(digits.lowest[j]));
      double const values = (j + 1 < D ? digits.stride[j + 1] : digits.limit) / digits.stride[j];
      stride *= static_cast<lattice_key>(static_cast<index_t>(values + 0.5));
    }
  }
};

/// First rule: the simplex of one position, as find_simplices finds it, and the keys of its corners.
template <int D, class S>
struct enter_simplex {
  view<float const, 2, S> features;
  lattice_plan const* plan;
  float scale[D];
  float* weight;  ///< [N,D + 1]
  lattice_keys keys;
  std::int32_t* number;  ///< [N * (D + 1)] of the corners

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (!plan->fits) {  // then nothing here is a number to reckon with
      for (index_t at = i * (D + 1); at < (i + 1) * (D + 1); ++at) {
        weight[at] = 0;
        keys.put(at, 0);
        number[at] = static_cast<std::int32_t>(at);
      }
      return;
    }
    constexpr float down = 1.f / static_cast<float>(D + 1), to_whole = 12582912.f;  // 1.5 * 2^23: drops the fraction
    float raised[D + 1], beyond[D + 1], sum = 0;
    int corner[D + 1], order[D + 1], wholes = 0;
    for (int j = D; j > 0; --j) {
      float const part = rounded_product(features(j - 1, i), scale[j - 1]);
      raised[j] = sum - rounded_product(static_cast<float>(j), part);
      sum = sum + part;
    }
    raised[0] = sum;
    for (int j = 0; j <= D; ++j) {
      float rounded = rounded_product(down, raised[j]) + to_whole;  // half to even
      rounded = rounded - to_whole;
      beyond[j] = raised[j] - rounded_product(rounded, static_cast<float>(D + 1));
      int const whole = static_cast<int>(rounded);
      wholes += whole;
      corner[j] = whole * (D + 1);
      order[j] = 0;
    }
    for (int j = 0; j < D; ++j)
      for (int k = j + 1; k <= D; ++k) {
        bool const less = beyond[j] < beyond[k];
        order[j] += less;
        order[k] += !less;
      }
    for (int j = 0; j <= D; ++j) {  // back into the hyperplane
      order[j] += wholes;
      int const turn = order[j] < 0 ? D + 1 : order[j] > D ? -(D + 1) : 0;
      order[j] += turn;
      corner[j] += turn;
      beyond[j] = rounded_product(raised[j] - static_cast<float>(corner[j]), down);
    }
    lattice_key key = 0 - plan->lowest;
    for (int j = 0; j < D; ++j) key += plan->stride[j] * static_cast<lattice_key>(static_cast<index_t>(corner[j]));
    float first = 0, last = 0, above = 0;  // by rank: 0, D, and the one before
    for (int j = 0; j <= D; ++j) {
      first = order[j] == 0 ? beyond[j] : first;
      last = order[j] == D ? beyond[j] : last;
    }
    for (int c = 0; c <= D; ++c) {
      float here = 0;
      lattice_key step = 0;
      for (int j = 0; j <= D; ++j)
        if (order[j] == D - c) here = beyond[j], step = (D + 1) * plan->stride[j];
      index_t const at = i * (D + 1) + c;
      weight[at] = c == 0 ? last + (1 - first) : here - above;
      keys.put(at, key);
      number[at] = static_cast<std::int32_t>(at);
      key += plan->all - step;
      above = here;
    }
  }
};

/// Corner c of the simplex at the origin: c (1,...,1) - (D + 1) (0,..,1,1).
struct enter_origin {
  int D;
  index_t first;  ///< its place among the corners
  lattice_plan const* plan;
  lattice_keys keys;
  std::int32_t* number;

  CAMBIUM_HD void operator()(index_t c) const
  {
    lattice_key key = static_cast<lattice_key>(c) * plan->all - plan->lowest;
    for (int j = D - static_cast<int>(c) + 1; j <= D; ++j) key -= static_cast<lattice_key>(D + 1) * plan->stride[j];
    keys.put(first + c, key);
    number[first + c] = static_cast<std::int32_t>(first + c);
  }
};

/// Gathers words in the order of others.
struct gather_words {
  std::uint64_t const* from;
  std::int32_t const* number;
  std::uint64_t* to;
  CAMBIUM_HD void operator()(index_t i) const { to[i] = from[number[i]]; }
};

/// Does a point begin here?
struct mark_points {
  lattice_keys keys;
  std::int32_t* mark;
  CAMBIUM_HD void operator()(index_t i) const { mark[i] = i == 0 || keys[i] != keys[i - 1]; }
};

struct put_index {
  index_t value;
  index_t* to;
  CAMBIUM_HD void operator()(index_t) const { *to = value; }
};

/// Points that have no corners, for now: their lists begin at the end.
struct begin_at_end {
  std::int32_t end;
  std::int32_t* first;
  CAMBIUM_HD void operator()(index_t i) const { first[i] = end; }
};

/// Where each point's corners begin, its key, and the point of each corner. Points beyond the room are counted; their
/// corners become the last one's, so that no one reads beyond it.
struct name_points {
  lattice_keys keys;
  std::int32_t const* number;  ///< sorted like the keys
  std::int32_t const* mark;
  std::int32_t const* before;  ///< marks before
  index_t count, corners;      ///< of keys, and those of them that belong to positions
  index_t room;                ///< for points
  lattice_plan const* plan;
  std::int32_t* corner;
  std::int32_t* first;
  lattice_keys points;
  index_t* needed;  ///< points, or -1 where the features do not fit

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const point = index_t{before[i]} + mark[i] - 1;
    if (number[i] < corners) corner[number[i]] = static_cast<std::int32_t>(point < room ? point : room - 1);
    if (mark[i] != 0 && point <= room) first[point] = static_cast<std::int32_t>(i);
    if (mark[i] != 0 && point < room) points.put(point, keys[i]);
    if (i == count - 1) *needed = plan->fits ? point + 1 : -1;
  }
};

/// The points before and after each one along each axis, -1 where there is none.
struct meet_neighbours {
  lattice_keys keys;  ///< of points, ascending
  index_t room;
  index_t const* needed;
  lattice_plan const* plan;
  int D;
  std::int32_t* neighbour;  ///< [D + 1,room,2]

  CAMBIUM_HD std::int32_t find(lattice_key key, index_t points) const
  {
    index_t low = 0, high = points;
    while (low < high) {
      index_t const mid = low + (high - low) / 2;
      if (keys[mid] < key)
        low = mid + 1;
      else
        high = mid;
    }
    return low < points && keys[low] == key ? static_cast<std::int32_t>(low) : -1;
  }
  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const point = i % room, points = *needed < room ? *needed : room;
    bool const there = point < points;
    lattice_key const here = there ? keys[point] : lattice_key{0};
    lattice_key const along = plan->all - static_cast<lattice_key>(D + 1) * plan->stride[i / room];
    neighbour[2 * i] = there ? find(here - along, points) : -1;
    neighbour[2 * i + 1] = there ? find(here + along, points) : -1;
  }
};

/// What kernels see of a lattice.
struct lattice_map {
  int corners = 0;  ///< D + 1
  index_t positions = 0, points = 0;
  std::int32_t const* corner = nullptr;     ///< [N,D + 1] points
  float const* weight = nullptr;            ///< [N,D + 1] barycentric
  std::int32_t const* first = nullptr;      ///< [points + 1] into
  std::int32_t const* number = nullptr;     ///< corners by point; a point's by position, what is no position's last
  std::int32_t const* neighbour = nullptr;  ///< [D + 1,points,2]
};

/// Room to build a lattice in: up to 60 bytes a corner, and what a sort works in.
template <execution_policy P>
struct lattice_build_scratch {
  using S = typename P::memory;
  lattice_build_scratch() = default;
  /// For permutohedral_on::rebuild, of N positions of D features.
  lattice_build_scratch(P const& where, index_t D, index_t N, lattice_options options = {})
      : plan(make_grid<lattice_plan>(where, {1}))
  {
    make_room(where, (N + (options.pad && N % 4 != 0 ? 1 : 0)) * (D + 1), true);
  }

  void make_room(P const& where, index_t corners, bool wide_keys)
  {
    wide = wide_keys;
    for (auto* words : {&low, &sorted_low}) *words = make_grid<std::uint64_t>(where, {corners});
    for (auto* words : {&high, &sorted_high, &gathered})
      *words = make_grid<std::uint64_t>(where, {wide ? corners : index_t{0}});
    for (auto* numbers : {&number, &mark, &before}) *numbers = make_grid<std::int32_t>(where, {corners});
    by_low = make_grid<std::int32_t>(where, {wide ? corners : index_t{0}});
  }
  lattice_keys drawn() { return {low.view().data, wide ? high.view().data : nullptr}; }
  lattice_keys sorted() { return {sorted_low.view().data, wide ? sorted_high.view().data : nullptr}; }

  bool wide = true;
  grid<lattice_plan, 1, S> plan;
  grid<std::uint64_t, 1, S> low, high, sorted_low, sorted_high, gathered;
  grid<std::int32_t, 1, S> number, by_low, mark, before;
  workspace<P> space;
};

/// A lattice as permutohedral, in the memory of a policy. Made once, filters often.
template <execution_policy P>
class permutohedral_on {
 public:
  using S = typename P::memory;

  /// Build the lattice of some positions: that of permutohedral, point by point, the same on every device.
  ///
  /// @param where     gpu
  /// @param features  [D,N] coordinates of N positions, in standard deviations; D is 1..8
  /// @param options   pad = false
  ///
  /// @throws       precondition_error as permutohedral, NaN and infinite features included; gpu_error
  /// @complexity   a sort of N * (D + 1) keys, twice where they need more than 64 bits; while building up to 80 bytes a
  ///               corner, then 12 bytes a corner and 4 + 8 * (D + 1) a point
  /// @determinism  exact
  /// @asynchrony   gpu: waits for the stream twice, to learn how far the features reach and how many points they touch
  template <image_like F>
    requires reaches<P, space_of<F, 2>>
  permutohedral_on(P const& where, F const& features, lattice_options options = {})
  {
    view<float const, 2, S> const in = as_view<2>(features, "permutohedral: features");
    take_shape(in.extent[0], in.extent[1], options);
    lattice_build_scratch<P> scratch;
    scratch.plan = make_grid<lattice_plan>(where, {1});
    measure(where, in, scratch);
    auto const plan = read_cell(where, static_cast<lattice_plan const*>(scratch.plan.view().data));
    expects_fits(where, in, plan);
    int bits = 0;  // of a key
    while (std::ldexp(1.0, bits) < plan.limit) ++bits;
    scratch.make_room(where, count(), bits > 64);
    make_corners(where);
    sort_corners(where, in, bits, scratch);
    if (count() > 0)
      points_ = index_t{read_cell(where, scratch.before.view().data + count() - 1)} +
                read_cell(where, scratch.mark.view().data + count() - 1);
    make_points(where);
    connect(where, scratch);
  }

  /// Room for lattices of N positions of D features with up to `most_points` points, for rebuild(). Until then there is
  /// none in it.
  ///
  /// @throws precondition_error: D outside 1..8, too many positions, fewer points than a simplex has
  permutohedral_on(P const& where, index_t D, index_t N, index_t most_points, lattice_options options = {})
  {
    take_shape(D, N, options);
    expects(most_points > D && most_points <= std::numeric_limits<std::int32_t>::max(), "permutohedral: room for ",
            most_points, " points; a simplex alone has ", D + 1);
    points_ = most_points;
    make_corners(where);
    make_points(where);
  }

  /// Build the lattice of other positions in the same room, without waiting and without allocating. filter and the rest
  /// then work on it as on any other, over all the room.
  ///
  /// @param features  [D,N]
  /// @param scratch   made for the same D, N and options
  ///
  /// @pre          needed() is 0..points() afterwards, which only who waits can know. Where it is more, nothing is read or
  ///               written out of place, but what the lattice filters is not a Gaussian's. Where it is -1, because
  ///               features are not finite or too far apart, all weights are 0
  /// @throws       precondition_error: another shape, a scratch of another
  /// @determinism  exact
  /// @asynchrony   gpu: enqueues and returns
  template <image_like F>
    requires reaches<P, space_of<F, 2>>
  void rebuild(P const& where, F const& features, lattice_build_scratch<P>& scratch)
  {
    view<float const, 2, S> const in = as_view<2>(features, "permutohedral: features");
    expects(in.extent[0] == dimension_ && in.extent[1] == positions_, "permutohedral: features are ", in,
            " but the room is for [", dimension_, ",", positions_, "]");
    expects(scratch.wide && scratch.low.size() == count() && scratch.plan.size() == 1,
            "permutohedral: the scratch is for another number of corners");
    measure(where, in, scratch);
    sort_corners(where, in, 128, scratch);
    connect(where, scratch);
  }

  int dimension() const { return dimension_; }
  int corners() const { return dimension_ + 1; }
  index_t positions() const { return positions_; }
  index_t points() const { return points_; }  ///< of the lattice, or what there is room for

  /// How many points the features touch, in device memory: what the room must hold. -1: no lattice holds them.
  view<index_t const, 1, S> needed() const { return needed_.view(); }

  /// What blurred values are multiplied by; the original's alpha.
  float gain() const { return gain_; }

  lattice_map map() const
  {
    return {corners(),
            positions_,
            points_,
            corner_.view().data,
            weight_.view().data,
            first_.view().data,
            number_.view().data,
            neighbour_.view().data};
  }

 private:
  index_t count() const { return (positions_ + (origin_ ? 1 : 0)) * corners(); }  ///< of corners

  void take_shape(index_t D, index_t N, lattice_options options)
  {
    index_t const extent[2] = {D, N};
    view<float const, 2> const shape(nullptr, extent);
    expects(1 <= D && D <= 8, "permutohedral: features are ", shape, "; the first extent, the dimension, must be 1..8");
    origin_ = options.pad && N % 4 != 0;
    expects(0 <= N && N + (origin_ ? 1 : 0) <= std::numeric_limits<std::int32_t>::max() / (D + 1),
            "permutohedral: features are ", shape, "; at most 2^31 / (dimension + 1) positions fit");
    dimension_ = static_cast<int>(D);
    positions_ = N;
    gain_ = 1.f / (1.f + std::ldexp(1.f, -dimension_));
  }
  void make_corners(P const& where)
  {
    number_ = make_grid<std::int32_t>(where, {count()});
    corner_ = make_grid<std::int32_t>(where, {positions_ * corners()});
    weight_ = make_grid<float>(where, {positions_ * corners()});
  }
  void make_points(P const& where)
  {
    first_ = make_grid<std::int32_t>(where, {points_ + 1});
    neighbour_ = make_grid<std::int32_t>(where, {corners() * points_ * 2});
    needed_ = make_grid<index_t>(where, {1});
  }

  void measure(P const& where, view<float const, 2, S> in, lattice_build_scratch<P>& scratch) const
  {
    lattice_plan* const plan = scratch.plan.view().data;
    reduce_rows(where, in.extent[0], in.extent[1], range_of_feature<S>{in}, feature_range{}, widen_range{},
                &plan->range[0], scratch.space);
    for_each_index(where, 1, plan_lattice{dimension_, positions_, origin_, plan});
  }
  /// Throws what the cpu throws.
  void expects_fits(P const& where, view<float const, 2, S> in, lattice_plan const& plan) const
  {
    if (plan.fits) return;
    float least[8]{}, most[8]{};
    for (int k = 0; k < dimension_ && positions_ > 0; ++k) {
      index_t const odd = plan.range[k].odd;
      expects(odd >= positions_, "permutohedral: features(", k, ",", odd, ") is ",
              odd < positions_ ? read_cell(where, &in(k, odd)) : 0.f, "; expected a finite number");
      least[k] = plan.range[k].least, most[k] = plan.range[k].most;
    }
    static_cast<void>(lay_out_lattice_keys(dimension_, least, most));
    throw precondition_error("permutohedral: the features do not fit a lattice");
  }

  /// Draws the corners of all simplices, sorts them by their keys, and marks where points begin.
  void sort_corners(P const& where, view<float const, 2, S> in, int bits, lattice_build_scratch<P>& scratch)
  {
    int const D = dimension_;
    index_t const M = count();
    lattice_plan const* const plan = scratch.plan.view().data;
    lattice_keys const drawn = scratch.drawn(), sorted = scratch.sorted();
    std::int32_t* const number = scratch.number.view().data;
    auto const enter = [&]<int Dim>(std::integral_constant<int, Dim>) {
      enter_simplex<Dim, S> rule{in, plan, {}, weight_.view().data, drawn, number};
      for (int j = 0; j < Dim; ++j) rule.scale[j] = lattice_scale(D, j);
      for_each_index(where, positions_, rule);
    };
    [&]<int... Dim>(std::integer_sequence<int, Dim...>) {
      static_cast<void>(((D == Dim + 1 ? (enter(std::integral_constant<int, Dim + 1>{}), true) : false) || ...));
    }(std::make_integer_sequence<int, 8>{});
    if (origin_) for_each_index(where, D + 1, enter_origin{D, positions_ * (D + 1), plan, drawn, number});

    std::int32_t* const order = number_.view().data;
    if (!scratch.wide) {
      sort_by_key(where, M, drawn.low, number, sorted.low, order, bits, scratch.space);
    } else {  // by the low half, then by the high one, which keeps that order among its equals
      std::int32_t* const by_low = scratch.by_low.view().data;
      std::uint64_t* const gathered = scratch.gathered.view().data;
      sort_by_key(where, M, drawn.low, number, sorted.low, by_low, 64, scratch.space);
      for_each_index(where, M, gather_words{drawn.high, by_low, gathered});
      sort_by_key(where, M, gathered, by_low, sorted.high, order, bits - 64, scratch.space);
      for_each_index(where, M, gather_words{drawn.low, order, sorted.low});
    }
    std::int32_t* const mark = scratch.mark.view().data;
    for_each_index(where, M, mark_points{sorted, mark});
    exclusive_scan(where, M, mark, scratch.before.view().data, scratch.space);
  }

  /// Names the points and finds their neighbours.
  void connect(P const& where, lattice_build_scratch<P>& scratch)
  {
    index_t const M = count();
    lattice_plan const* const plan = scratch.plan.view().data;
    index_t* const needed = needed_.view().data;
    lattice_keys const points = scratch.drawn();  // whose corners are no longer needed
    for_each_index(where, 1, put_index{0, needed});
    for_each_index(where, points_ + 1, begin_at_end{static_cast<std::int32_t>(M), first_.view().data});
    for_each_index(
        where, M,
        name_points{scratch.sorted(), number_.view().data, scratch.mark.view().data, scratch.before.view().data, M,
                    positions_ * corners(), points_, plan, corner_.view().data, first_.view().data, points, needed});
    for_each_index(where, corners() * points_,
                   meet_neighbours{points, points_, needed, plan, dimension_, neighbour_.view().data});
  }

  int dimension_ = 0;
  float gain_ = 1;
  bool origin_ = false;  ///< takes part
  index_t positions_ = 0, points_ = 0;
  grid<std::int32_t, 1, S> corner_, first_, number_, neighbour_;
  grid<float, 1, S> weight_;
  grid<index_t, 1, S> needed_;
};

/// Fourth rule: what positions spread onto a point, for one channel. A part of the positions sums on its own, and the
/// parts' sums are added in order, as on the cpu.
struct spread_onto_points {
  lattice_map map;
  float const* from;    ///< value of a position and channel, or null: then all are 1
  index_t step;         ///< from the values of one position to those of the next
  float const* factor;  ///< [N], or null
  index_t channels;
  float* to;  ///< [points,channels]

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const point = at / channels, c = at % channels;
    lattice_parts const parts{map.positions};
    index_t part = 0, end = parts.begin(1);
    float total = 0, sum = 0;
    for (std::int32_t k = map.first[point]; k < map.first[point + 1]; ++k) {
      std::int32_t const number = map.number[k];
      index_t const i = number / map.corners;
      if (i >= map.positions) break;  // the origin's
      if (i >= end) {
        total += sum, sum = 0;
        while (i >= end) end = parts.begin(++part + 1);
      }
      float const value = from == nullptr ? 1.f : from[i * step + c];
      sum += rounded_product(map.weight[number], factor == nullptr ? value : rounded_product(value, factor[i]));
    }
    to[at] = total + sum;
  }
};

/// Fifth rule: every point takes half of either neighbour along an axis.
struct blur_points {
  lattice_map map;
  int axis;
  index_t channels;
  float const* from;
  float* to;  ///< other memory

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const point = at / channels, c = at % channels;
    std::int32_t const* const beside = map.neighbour + (axis * map.points + point) * 2;
    float const before = beside[0] < 0 ? 0.f : from[beside[0] * channels + c];
    float const after = beside[1] < 0 ? 0.f : from[beside[1] * channels + c];
    to[at] = from[at] + rounded_product(0.5f, before + after);
  }
};

/// Last rule: what a position's simplex holds, times a gain and a factor, on top of another value.
struct read_simplices {
  lattice_map map;
  float const* values;  ///< [points,channels]
  float gain;
  float const* factor;  ///< [N], or null
  index_t channels;
  float const* on;  ///< laid out like the result, may be the same; or null: 0
  float* to;
  index_t step;  ///< from the values of one position to those of the next

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = at / channels, c = at % channels;
    float const times = factor == nullptr ? gain : rounded_product(gain, factor[i]);
    float sum = 0;
    for (int k = 0; k < map.corners; ++k) {
      index_t const corner = i * map.corners + k;
      sum += rounded_product(map.weight[corner], values[map.corner[corner] * channels + c]);
    }
    sum = rounded_product(times, sum);
    to[i * step + c] = (on == nullptr ? 0.f : on[i * step + c]) + sum;
  }
};

/// Room for filtering some channels on a lattice: 8 bytes a point and channel.
template <execution_policy P>
struct lattice_scratch {
  using S = typename P::memory;
  lattice_scratch() = default;
  lattice_scratch(P const& where, permutohedral_on<P> const& lattice, index_t channels)
      : values(make_grid<float>(where, {lattice.points() * channels})),
        others(make_grid<float>(where, {lattice.points() * channels}))
  {
  }

  grid<float, 1, S> values, others;
};

/// Spreads values and blurs them. @return where in the scratch they are, [points,channels]
/// @param from  [N,channels] with `step` from row to row, or null: all 1
template <class P>
float const* spread_and_blur(P const& where, permutohedral_on<P> const& lattice, float const* from, index_t step,
                             float const* factor, index_t channels, bool reverse, lattice_scratch<P>& scratch)
{
  lattice_map const map = lattice.map();
  index_t const cells = map.points * channels;
  float *here = scratch.values.view().data, *there = scratch.others.view().data;
  for_each_index(where, cells, spread_onto_points{map, from, step, factor, channels, here});
  for (int k = 0; k < map.corners; ++k) {
    int const axis = reverse ? map.corners - 1 - k : k;
    for_each_index(where, cells, blur_points{map, axis, channels, here, there});
    std::swap(here, there);
  }
  return here;
}

/// filter into memory of the caller's.
///
/// As in permutohedral.hpp, but that values are not looked at: a NaN or an infinity spreads as far as the filter reaches.
///
/// @param where    gpu
/// @param values   [N,C]
/// @param out      [N,C], no gaps between channels; not the values
/// @param scratch  made for this lattice and at least C channels; one call at a time
///
/// @throws       precondition_error: another number of positions, shapes that differ, overlap, too small a scratch
/// @complexity   Theta(C * (N * D + points * D)); a point sums its corners alone, so where most positions lie in one
///               simplex the device waits for few threads
/// @determinism  the same bits on every run, and those of the cpu
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P>
  requires(!std::same_as<P, cpu>)
void filter_into(P const& where, permutohedral_on<P> const& lattice, view<float const, 2, typename P::memory> values,
                 filter_options options, view<float, 2, typename P::memory> out, lattice_scratch<P>& scratch)
{
  index_t const C = values.extent[1];
  expects(values.extent[0] == lattice.positions(), "filter: values are ", values, " but the lattice holds ",
          lattice.positions(), " positions");
  expects(same_shape(values, out), "filter: values are ", values, " but out is ", out);
  expects(!overlap(values, out), "filter: out overlaps the values");
  expects(scratch.values.size() >= lattice.points() * C,
          "filter: the scratch is for another lattice or fewer channels");
  if (values.size() == 0) return;
  float const* const blurred =
      spread_and_blur(where, lattice, values.data, values.stride[0], nullptr, C, options.reverse, scratch);
  for_each_index(where, values.size(),
                 read_simplices{lattice.map(), blurred, lattice.gain(), nullptr, C, nullptr, out.data, out.stride[0]});
}

/// As filter in permutohedral.hpp, with what filter_into says of values and rounding.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like X>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 2>>
[[nodiscard]] auto filter(P const& where, permutohedral_on<P> const& lattice, X const& values,
                          filter_options options = {})
{
  view<float const, 2, typename P::memory> const in = as_view<2>(values, "filter: values");
  expects(in.extent[0] == lattice.positions(), "filter: values are ", in, " but the lattice holds ",
          lattice.positions(), " positions");
  auto out = make_grid<float>(where, in.extent);
  lattice_scratch<P> scratch(where, lattice, in.extent[1]);
  filter_into(where, lattice, in, options, out.view(), scratch);
  return out;
}

}  // namespace cambium
