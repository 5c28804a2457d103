#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/transition.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

namespace cambium {

struct transition_options {
  double beta = 10;                             ///< [power] sharpens affinities; > 0. IRNet's --beta
  weight_format weights = weight_format::full;  ///< bfloat16: rounded, so walks of large maps read half the bytes
};

/// base^exponent for base >= 0 as a few products where the exponent is a multiple of 1/2 up to 64,
/// which are the exponents in use, and through std::pow otherwise.
template <class T>
struct power {
  T exponent;
  int doubled;  ///< 2 * exponent if that is a whole number in 1..128, otherwise 0

  static power of(double exponent)
  {
    double const twice = 2 * exponent;
    bool const whole = twice == std::floor(twice) && twice >= 1 && twice <= 128;
    return {static_cast<T>(exponent), whole ? static_cast<int>(twice) : 0};
  }

  CAMBIUM_HD T operator()(T base) const
  {
    if (doubled == 0) return std::pow(base, exponent);
    T result = doubled % 2 ? std::sqrt(base) : T(1);
    for (int n = doubled / 2; n > 0; n /= 2) {
      if (n % 2) result *= base;
      base *= base;
    }
    return result;
  }
};

/// Rounds positive numbers to 8 significant bits, ties to even, or leaves them as they are.
template <class T>
struct round_weight {
  using integer = order_key_t<T>;
  int dropped;  ///< bits of the mantissa, or 0

  explicit round_weight(weight_format format)
      : dropped(format == weight_format::bfloat16 ? std::numeric_limits<T>::digits - 8 : 0)
  {
  }

  CAMBIUM_HD T of(T value) const
  {
    if (dropped == 0) return value;
    integer const unit = integer{1} << dropped;
    integer number;
    memcpy(&number, &value, sizeof number);
    number = (number + (unit / 2 - 1) + ((number >> dropped) & 1)) & -unit;
    memcpy(&value, &number, sizeof value);
    return value;
  }

  /// The same for the bits of a pack, which a device cannot compile.
  template <class Bits>
  [[gnu::always_inline]] void lanes(Bits& number) const
  {
    if (dropped == 0) return;
    integer const unit = integer{1} << dropped;
    number = (number + (unit / 2 - 1) + ((number >> dropped) & 1)) & -unit;
  }
};

namespace rule {

/// First rule: one edge's affinity becomes its weight.
template <class T, class S>
struct sharpen_edge {
  stencil edges;
  power<T> raised;
  round_weight<T> round;
  stack_view<T const, S> affinity;
  stack_view<T, S> weight;

  CAMBIUM_HD void operator()(index_t k, index_t y, index_t x) const
  {
    index_t const far_y = y + edges.at[k].dy, far_x = x + edges.at[k].dx;
    bool const inside = far_y < weight.extent[1] && far_x >= 0 && far_x < weight.extent[2];
    weight(k, y, x) = inside ? round.of(raised(affinity(k, y, x))) : T(0);
  }
};

/// Second rule: one cell gathers the weights of its edges, its own and those that end here, summed in
/// double and in the order of the stencil.
template <class T, class S>
struct invert_degree {
  stencil edges;
  stack_view<T const, S> weight;
  image_view<T, S> inverse_degree;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    double sum = 1;  // the self edge
    for (int k = 0; k < edges.size; ++k) {
      index_t const by = y - edges.at[k].dy, bx = x - edges.at[k].dx;
      sum += weight(k, y, x);
      if (by >= 0 && bx >= 0 && bx < weight.extent[2]) sum += weight(k, by, bx);
    }
    inverse_degree(y, x) = static_cast<T>(1 / sum);
  }
};

/// Both rules on one row, a register of columns at a time, with the same operations in the same order.
template <class T>
struct sharpen_row {
  power<T> raised;
  round_weight<T> round;
  T const* affinity;
  index_t first;
  index_t last;
  T* weight;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    index_t x = first;
    if (raised.doubled > 0 && raised.doubled % 2 == 0)
      for (; x + lanes <= last; x += lanes) {
        pack<T, lanes> base = lanes_at<lanes>(affinity + x).v, result = base * 0 + 1;
        for (int n = raised.doubled / 2; n > 0; n /= 2) {
          if (n % 2) result *= base;
          base *= base;
        }
        auto number = (bits<T, lanes>)result;
        round.lanes(number);
        lanes_at<lanes>(weight + x).v = (pack<T, lanes>)number;
      }
    for (; x < last; ++x) weight[x] = round.of(raised(affinity[x]));
  }
};

template <class T>
struct invert_degree_row {
  stencil const* edges;
  stack_view<T const> weight;
  index_t y;
  double* sum;  ///< [W]
  T* inverse_degree;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(double));
    index_t const W = weight.extent[2];
    for (index_t x = 0; x < W; ++x) sum[x] = 1;
    for (int k = 0; k < edges->size; ++k) {
      offset const to = edges->at[k];
      add<lanes>(&weight(k, y, 0), 0, W, 0);
      if (y >= to.dy) {
        index_t const first = std::min<index_t>(W, to.dx > 0 ? to.dx : 0);
        add<lanes>(&weight(k, y - to.dy, 0), first, std::max(first, to.dx < 0 ? W + to.dx : W), -to.dx);
      }
    }
    for (index_t x = 0; x < W; ++x) inverse_degree[x] = static_cast<T>(1 / sum[x]);
  }

 private:
  template <int Lanes>
  [[gnu::always_inline]] void add(T const* row, index_t x, index_t last, index_t shift) const
  {
    for (; x + Lanes <= last; x += Lanes)
      lanes_at<Lanes>(sum + x).v += __builtin_convertvector(lanes_at<Lanes>(row + x + shift).v, pack<double, Lanes>);
    for (; x < last; ++x) sum[x] += row[x + shift];
  }
};

}  // namespace rule

template <class T>
void make_transition_on(cpu const& where, stack_view<T const> affinity, power<T> raised, transition<T>& out)
{
  stencil const& edges = out.edges;
  index_t const H = affinity.extent[1], W = affinity.extent[2];
  if (H * W == 0) return;
  isa const set = vectors_of(where);
  round_weight<T> const round(out.format);
  for_each_share(where, edges.size * H, 64, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at) {
      index_t const k = at / H, y = at % H;
      offset const to = edges.at[k];
      T* const weight = &out.weight(k, y, 0);
      index_t const first = std::min<index_t>(W, to.dx < 0 ? -to.dx : 0);
      index_t const last = y + to.dy < H ? std::max<index_t>(first, to.dx > 0 ? W - to.dx : W) : first;
      std::fill(weight, weight + first, T(0));
      run_widest(set, rule::sharpen_row<T>{raised, round, &affinity(k, y, 0), first, last, weight});
      std::fill(weight + last, weight + W, T(0));
    }
  });
  stack_view<T const> const weight = out.weight;
  for_each_share(where, H, 4, [&](index_t begin, index_t end) {
    cells_t<double> sum(static_cast<std::size_t>(W));
    for (index_t y = begin; y < end; ++y)
      run_widest(set, rule::invert_degree_row<T>{&edges, weight, y, sum.data(), &out.inverse_degree(y, 0)});
  });
}

template <execution_policy P, class T, class S>
void make_transition_on(P const& where, stack_view<T const, S> affinity, power<T> raised, transition<T, S>& out)
{
  for_each_cell(where, affinity.extent,
                rule::sharpen_edge<T, S>{out.edges, raised, round_weight<T>(out.format), affinity, out.weight});
  index_t const cells[3] = {1, affinity.extent[1], affinity.extent[2]};
  for_each_cell(where, cells, rule::invert_degree<T, S>{out.edges, out.weight.view(), out.inverse_degree});
}

/// Sharpen affinities and normalise them per cell: the step of a random walk.
///
///   weight = affinity^beta      inverse_degree(v) = 1 / (1 + sum of the weights of all edges at v)
///
/// With weight_format::bfloat16 weights are rounded to 8 significant bits (ties to even), a relative 2^-9 at most, before
/// degrees are summed. So rows sum to 1 and constants stay fixed points as with full weights. A walk's scores change:
/// in 256 steps by up to 6e-4 of the seeds' range in all scenes measured, see docs/performance.md. Walks in float on
/// a cpu then hold weights in 16 bits, with the same result. All other walks take the rounded weights as they are.
///
/// @param where     where to run; must reach the memory of the affinity
/// @param edges     the K offsets the affinities belong to
/// @param affinity  [K,H,W] in [0,1]; edges that leave the grid get weight 0 whatever they hold. A grid that is given
///                  away becomes the weights
/// @param options   beta = 10, IRNet's --beta; weights = full
/// @return transition<T> in the memory of the policy
///
/// @pre          affinity.extent[0] == edges.size; beta > 0 and finite: 0^0 would turn every wall into a
///               door. Host memory: 0 <= affinity <= 1 everywhere (NaN is refused)
/// @throws       precondition_error before anything is written
/// @invariant    the weights at a cell and its self edge, times inverse_degree, sum to 1 up to rounding
/// @complexity   Theta(K * H * W) time and memory for the result
/// @determinism  the same bits on every run, for every number of threads and every instruction set;
///               between cpu and gpu the power may differ in its last bits
/// @asynchrony   gpu: enqueues and returns
/// @source       Ahn, Cho, Kwak, CVPR 2019, eq. (12); to_transition_matrix, misc/indexing.py of
///               jiwoon-ahn/irn: dense pow of an (HW)^2 matrix and division by its column sums. Whole and
///               half powers are products here, within a few ulp of pow; degrees are summed in double
template <execution_policy P, stack_like A>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto make_transition(P const& where, stencil const& edges, A&& affinity, transition_options options = {})
{
  using T = value_of<A, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(affinity, "make_transition: affinity");
  index_t const H = in.extent[1], W = in.extent[2];
  expects_half_plane(edges, "make_transition");
  expects(in.extent[0] == edges.size, "make_transition: affinity is ", in, " but the stencil has ", edges.size,
          " offsets");
  T const exponent = static_cast<T>(options.beta);
  expects(exponent > 0 && std::isfinite(exponent), "make_transition: beta is ", options.beta,
          "; it must be positive and finite, also as one of the affinities' numbers");
  if constexpr (std::is_same_v<P, cpu>)
    expects_inside(where, in, T(0), T(1), "make_transition: affinity", "a value in [0,1]");
  transition<T, S> out{edges, {}, make_grid<T>(where, {H, W}), options.weights};
  if constexpr (std::is_same_v<A, grid<T, 3, S>>)
    out.weight = std::move(affinity);  // each weight replaces its affinity
  else
    out.weight = make_grid<T>(where, {index_t{edges.size}, H, W});
  make_transition_on(where, stack_view<T const, S>(in), power<T>::of(options.beta), out);
  return out;
}

}  // namespace cambium
