#pragma once
// The permutohedral lattice of some positions, for any policy but the cpu, whose own is in lattice_cores.hpp.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/crf/lattice_keys.hpp>
#include <cambium/crf/lattice_rules.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/grid.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace cambium {

struct lattice_options {
  bool pad = false;  ///< the package's quirk: where N is no multiple of 4, lattice points of positions at 0 take part
};

/// The parts that positions are divided into, whatever the number of threads: each sums on its own, and the parts' sums
/// are added in order.
struct lattice_parts {
  static constexpr index_t granule = 64, size = 768 * granule;

  index_t positions = 0;

  CAMBIUM_HD index_t count() const { return positions < size / 2 ? 1 : (positions + size / 2) / size; }
  /// Positions begin(part) .. begin(part + 1) - 1 are a part; all but the last end on a granule.
  CAMBIUM_HD index_t begin(index_t part) const
  {
    index_t const granules = (positions + granule - 1) / granule, first = granules * part / count() * granule;
    return first < positions ? first : positions;
  }
};

/// Call body(std::integral_constant<int, D>): D = 2 (positions), 3 (and grey levels) and 5 (and colours) are unrolled; 0
/// stands for any other dimension, whose loops run to a number known at run time.
template <class Body>
void with_dimension(int dimension, Body const& body)
{
  if (dimension == 2)
    body(std::integral_constant<int, 2>{});
  else if (dimension == 3)
    body(std::integral_constant<int, 3>{});
  else if (dimension == 5)
    body(std::integral_constant<int, 5>{});
  else
    body(std::integral_constant<int, 0>{});
}

/// A lattice as loops see it.
struct lattice_map {
  int corners = 0;  ///< D + 1
  index_t positions = 0, points = 0;
  std::int32_t const* corner = nullptr;     ///< [N,D + 1] points
  float const* weight = nullptr;            ///< [N,D + 1] barycentric
  std::int32_t const* first = nullptr;      ///< [points + 1] into
  std::int32_t const* number = nullptr;     ///< corners by point; a point's by position, those of the origin last
  std::int32_t const* neighbour = nullptr;  ///< [D + 1,points,2]
};

/// Room to build a lattice in: up to 60 bytes a corner, and what a sort works in.
template <execution_policy P>
struct lattice_build_scratch {
  using S = typename P::memory;
  explicit lattice_build_scratch(P const& where) : plan(make_grid<lattice_plan>(where, {1})) {}
  /// For permutohedral::rebuild, of N positions of D features.
  lattice_build_scratch(P const& where, index_t D, index_t N, lattice_options options = {})
      : lattice_build_scratch(where)
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

/// Positions in a space of 1 to 8 dimensions, ready to be filtered with a Gaussian of unit deviation.
///
/// The space is cut into simplices by a permutohedral lattice. Values are spread onto the corners of the simplex that
/// a position lies in, blurred along the lattice's axes, and read back. Build it once, filter often. All policies build
/// the same lattice, point by point.
template <execution_policy P = cpu>
class permutohedral {
 public:
  using S = typename P::memory;

  /// Build the lattice of some positions.
  ///
  /// @param where     where to run; must reach the memory of the features
  /// @param features  [D,N] coordinates of N positions, in standard deviations; D is 1..8
  /// @param options   pad = false
  ///
  /// @throws       precondition_error: D outside 1..8, NaN or infinite features, features so far apart that the
  ///               lattice's coordinates need more than 126 bits, more than 2^31 corners; gpu_error
  /// @complexity   cpu: Theta(N * D^2) time; 6 * D + 2 bytes a position, or 8 * D + 4 where
  ///               a part of them touches more than 65,535 points, and 5 * (D + 1) bytes a lattice point. gpu: a sort of N * (D + 1) keys, twice where
  ///               they need more than 64 bits; while building up to 80 bytes a corner, then 12 bytes a corner and
  ///               4 + 8 * (D + 1) a point
  /// @determinism  exact
  /// @asynchrony   gpu: waits for the stream twice, to learn how far the features reach and how many points they touch
  /// @source       Adams, Baek, Davis, Eurographics 2010; Permutohedral of pydensecrf (Kraehenbuehl & Koltun, NIPS
  ///               2011). That one pads N to a multiple of 4 with positions at 0, whose empty lattice points then
  ///               take part in the blur; here only options.pad does so
  template <image_like F>
    requires reaches<P, space_of<F, 2>>
  permutohedral(P const& where, F const& features, lattice_options options = {})
  {
    view<float const, 2, S> const in = as_view<2>(features, "permutohedral: features");
    shape_ = lattice_shape::of(in.extent[0], in.extent[1], options.pad);
    lattice_build_scratch<P> scratch(where);
    measure(where, in, scratch);
    auto const plan = read_cell(where, static_cast<lattice_plan const*>(scratch.plan.view().data));
    for (int k = 0; k < shape_.dimension && !plan.fits; ++k) {
      index_t const i = plan.range[k].invalid;
      expects(i >= positions(), "permutohedral: features(", k, ",", i, ") is ",
              i < positions() ? read_cell(where, &in(k, i)) : 0.f, "; expected a finite number");
    }
    expects_fits(shape_.dimension, plan);
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

  /// Room for lattices of N positions of D features with up to `most_points` points, for rebuild(). Until then it holds
  /// no lattice. Not for the cpu.
  ///
  /// @throws precondition_error: D outside 1..8, too many positions, fewer points than a simplex has
  permutohedral(P const& where, index_t D, index_t N, index_t most_points, lattice_options options = {})
      : shape_(lattice_shape::of(D, N, options.pad)), points_(most_points)
  {
    expects(most_points > D && most_points <= std::numeric_limits<std::int32_t>::max(), "permutohedral: room for ",
            most_points, " points; a simplex alone has ", D + 1);
    make_corners(where);
    make_points(where);
  }

  /// Build the lattice of other positions in the same room, without waiting and without allocating. filter and the rest
  /// then work on it as on any other, over all the room.
  ///
  /// @param features  [D,N]
  /// @param scratch   made for the same D, N and options
  ///
  /// @pre          needed() is 0..points() afterwards, which a caller must wait for to know. Where it is more, no index
  ///               leaves the room, but the lattice's filter is not a Gaussian. Where it is -1, because features are
  ///               not finite or too far apart, all weights are 0
  /// @throws       precondition_error: another shape, a scratch of another
  /// @determinism  exact
  /// @asynchrony   gpu: enqueues and returns
  template <image_like F>
    requires reaches<P, space_of<F, 2>>
  void rebuild(P const& where, F const& features, lattice_build_scratch<P>& scratch)
  {
    view<float const, 2, S> const in = as_view<2>(features, "permutohedral: features");
    expects(in.extent[0] == shape_.dimension && in.extent[1] == positions(), "permutohedral: features are ", in,
            " but the room is for [", shape_.dimension, ",", positions(), "]");
    expects(scratch.wide && scratch.low.size() == count() && scratch.plan.size() == 1,
            "permutohedral: the scratch is for another number of corners");
    measure(where, in, scratch);
    sort_corners(where, in, 128, scratch);
    connect(where, scratch);
  }

  int dimension() const { return shape_.dimension; }
  int corners() const { return shape_.corners(); }
  index_t positions() const { return shape_.positions; }
  index_t points() const { return points_; }  ///< of the lattice, or what there is room for

  /// How many points the features touch, in the memory of the policy: what the room must hold. -1: no lattice holds
  /// them.
  view<index_t const, 1, S> needed() const { return needed_.view(); }

  /// The factor of blurred values; the original's alpha.
  float gain() const { return 1.f / (1.f + std::ldexp(1.f, -dimension())); }

  lattice_map map() const
  {
    return {corners(),           positions(),           points_,
            corner_.view().data, weight_.view().data,   first_.view().data,
            number_.view().data, neighbour_.view().data};
  }

 private:
  index_t count() const { return (positions() + (shape_.origin ? 1 : 0)) * corners(); }  ///< of corners

  void make_corners(P const& where)
  {
    number_ = make_grid<std::int32_t>(where, {count()});
    corner_ = make_grid<std::int32_t>(where, {positions() * corners()});
    weight_ = make_grid<float>(where, {positions() * corners()});
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
    reduce_rows(where, in.extent[0], in.extent[1], rule::range_of_feature<S>{in}, feature_range{},
                rule::join_feature_ranges{}, &plan->range[0], scratch.space);
    for_each_index(where, 1, rule::plan_lattice{dimension(), positions(), shape_.origin, plan});
  }

  /// Draws the corners of all simplices, sorts them by their keys, and marks where points begin.
  void sort_corners(P const& where, view<float const, 2, S> in, int bits, lattice_build_scratch<P>& scratch)
  {
    int const D = dimension();
    index_t const M = count();
    lattice_plan const* const plan = scratch.plan.view().data;
    lattice_keys const drawn = scratch.drawn(), sorted = scratch.sorted();
    std::int32_t* const number = scratch.number.view().data;
    with_dimension(D, [&]<int Fixed>(std::integral_constant<int, Fixed>) {
      rule::enter_simplex<Fixed, S> enter{in, plan, weight_.view().data, drawn, number, {}};
      for (int j = 0; j < D; ++j) enter.scale[j] = lattice_scale(D, j);
      for_each_index(where, positions(), enter);
    });
    if (shape_.origin) for_each_index(where, D + 1, rule::enter_origin{D, positions() * (D + 1), plan, drawn, number});

    std::int32_t* const order = number_.view().data;
    if (!scratch.wide) {
      sort_by_key(where, M, drawn.low, number, sorted.low, order, bits, scratch.space);
    } else {  // by the low half, then by the high one, which keeps that order among its equals
      std::int32_t* const by_low = scratch.by_low.view().data;
      std::uint64_t* const gathered = scratch.gathered.view().data;
      sort_by_key(where, M, drawn.low, number, sorted.low, by_low, 64, scratch.space);
      for_each_index(where, M, rule::gather_words{drawn.high, by_low, gathered});
      sort_by_key(where, M, gathered, by_low, sorted.high, order, bits - 64, scratch.space);
      for_each_index(where, M, rule::gather_words{drawn.low, order, sorted.low});
    }
    std::int32_t* const mark = scratch.mark.view().data;
    for_each_index(where, M, rule::mark_points{sorted, mark});
    exclusive_scan(where, M, mark, scratch.before.view().data, scratch.space);
  }

  /// Numbers the points and finds their neighbours.
  void connect(P const& where, lattice_build_scratch<P>& scratch)
  {
    index_t const M = count();
    lattice_plan const* const plan = scratch.plan.view().data;
    index_t* const needed = needed_.view().data;
    lattice_keys const points = scratch.drawn();  // whose corners are no longer needed
    fill(where, 1, needed, index_t{0});
    // points without corners begin at the end
    fill(where, points_ + 1, first_.view().data, static_cast<std::int32_t>(M));
    for_each_index(where, M,
                   rule::number_points{scratch.sorted(), number_.view().data, scratch.mark.view().data,
                                       scratch.before.view().data, M, positions() * corners(), points_, plan,
                                       corner_.view().data, first_.view().data, points, needed});
    for_each_index(where, corners() * points_,
                   rule::find_neighbours{points, points_, needed, plan, dimension(), neighbour_.view().data});
  }

  lattice_shape shape_;
  index_t points_ = 0;
  grid<std::int32_t, 1, S> corner_, first_, number_, neighbour_;
  grid<float, 1, S> weight_;
  grid<index_t, 1, S> needed_;
};

/// The cpu's own lattice, in lattice_cores.hpp.
template <>
class permutohedral<cpu>;

}  // namespace cambium
