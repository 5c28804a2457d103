#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/loss/box_cells.hpp>
#include <cambium/loss/box_projection.hpp>
#include <cambium/loss/pairwise_rows.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace cambium {

struct pairwise_options {
  int size = 3;      ///< [cells] 3 or 5: a cell's neighbours are a square of size x size cells without its middle
  int dilation = 2;  ///< [cells] >= 1, from neighbour to neighbour
  float threshold =
      0.3f;         ///< pairs count if their colours are at least so similar; with 0 those that leave the map too
  double warm = 1;  ///< factor of the value and the gradient, >= 0; see pairwise_warm_up
};

/// The factor of the pairwise loss in step `iteration` of a training: it rises to 1 in `steps` steps.
/// @param iteration  counts from 1, as the original's, which adds one before it uses it
[[nodiscard]] inline double pairwise_warm_up(index_t iteration, index_t steps = 10000)
{
  expects(iteration >= 1, "pairwise_warm_up: the iteration is ", iteration, "; the first one is 1");
  expects(steps >= 1, "pairwise_warm_up: the number of steps is ", steps, "; expected 1 or more");
  return iteration < steps ? static_cast<double>(iteration) / static_cast<double>(steps) : 1.0;
}

namespace rule {

/// Bits of neighbours whose colours are similar.
template <class S>
struct similar_neighbours {
  pixel_square square;
  float threshold;
  stack_view<float const, S> lab;
  image_view<std::uint8_t const, S> counts;
  image_view<std::uint32_t, S> out;

  CAMBIUM_HD float similarity(int k, index_t y, index_t x) const
  {
    offset const to = square.at(k);
    index_t const qy = y + to.dy, qx = x + to.dx;
    if (qy < 0 || qy >= lab.extent[1] || qx < 0 || qx >= lab.extent[2] || counts(qy, qx) == 0) return 0;
    float squares = 0;
    for (index_t c = 0; c < 3; ++c) {
      float const d = lab(c, y, x) - lab(c, qy, qx);
      squares += rounded_product(d, d);
    }
    return exponential(-0.5f * std::sqrt(squares));
  }

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    std::uint32_t found = 0;
    for (int k = 0; k < square.count(); ++k)
      if (similarity(k, y, x) >= threshold) found |= std::uint32_t{1} << k;
    out(y, x) = found;
  }
};

/// Copy a similarity to its place.
template <class Similar, class S>
struct store_similarity {
  Similar of;
  stack_view<float, S> out;

  CAMBIUM_HD void operator()(index_t k, index_t y, index_t x) const
  {
    out(k, y, x) = of.similarity(static_cast<int>(k), y, x);
  }
};

/// The loss of a pair of logits and its slopes.
struct pair_term {
  double loss, slope;  ///< the slope by the first logit
};
CAMBIUM_HD inline pair_term pair_loss(double a, double b)
{
  // softplus(a) + softplus(b) - softplus(a + b), with the parts that cancel left out
  double const size_a = a < 0 ? -a : a, size_b = b < 0 ? -b : b, s = a + b;
  double const apart = (a < 0) == (b < 0) ? 0.0 : size_a < size_b ? size_a : size_b;
  double const near = std::exp(s < 0 ? s : -s);
  double const of_sum = (s < 0 ? near : 1) / (1 + near);
  return {apart + std::log1p(std::exp(-size_a)) + std::log1p(std::exp(-size_b)) - std::log1p(near),
          logistic(a) - of_sum};
}

/// How many pairs of a cell count; the cells are numbered through all instances.
template <class S>
struct pairs_of_cell {
  view<boxed_instance const, 1, S> instances;
  stack_view<std::uint32_t const, S> pairs;

  CAMBIUM_HD index_t operator()(index_t i) const
  {
    index_t const H = pairs.extent[1], W = pairs.extent[2], n = i / W / H, y = i / W % H, x = i % W;
    return holds_cell(instances(n).cells, y, x) ? count_bits(pairs(instances(n).image, y, x)) : 0;
  }
};

/// The factor of all sums.
struct divide_pairs {
  index_t const* counted;
  double warm;
  double* part;
  CAMBIUM_HD void operator()(index_t) const { *part = warm / static_cast<double>(*counted > 1 ? *counted : 1); }
};

/// The gradient of a cell, gathered from its pairs in both directions. Called with an index it is the cell's loss.
template <class T, class S>
struct pairwise_cell {
  pixel_square square;
  stack_view<T const, S> logits;
  view<boxed_instance const, 1, S> instances;
  stack_view<std::uint32_t const, S> pairs;
  double const* part;
  stack_view<T, S> gradient;

  CAMBIUM_HD bool counts(boxed_instance const& of, index_t y, index_t x, int k) const
  {
    return holds_cell(of.cells, y, x) && (pairs(of.image, y, x) >> k & 1u) != 0;
  }

  CAMBIUM_HD double operator()(index_t i) const
  {
    index_t const H = logits.extent[1], W = logits.extent[2], n = i / W / H, y = i / W % H, x = i % W;
    boxed_instance const of = instances(n);
    double sum = 0;
    for (int k = 0; k < square.count(); ++k) {
      offset const to = square.at(k);
      index_t const qy = y + to.dy, qx = x + to.dx;
      if (counts(of, y, x, k) && qy >= 0 && qy < H && qx >= 0 && qx < W)
        sum += pair_loss(static_cast<double>(logits(n, y, x)), static_cast<double>(logits(n, qy, qx))).loss;
    }
    return sum;
  }

  CAMBIUM_HD void operator()(index_t n, index_t y, index_t x) const
  {
    index_t const H = logits.extent[1], W = logits.extent[2];
    boxed_instance const of = instances(n);
    double sum = 0;
    for (int k = 0; k < square.count(); ++k) {
      offset const to = square.at(k);
      index_t const qy = y + to.dy, qx = x + to.dx;
      if (qy < 0 || qy >= H || qx < 0 || qx >= W) continue;
      int const times = (counts(of, y, x, k) ? 1 : 0) + (counts(of, qy, qx, square.count() - 1 - k) ? 1 : 0);
      if (times > 0)
        sum += times * pair_loss(static_cast<double>(logits(n, y, x)), static_cast<double>(logits(n, qy, qx))).slope;
    }
    gradient(n, y, x) = static_cast<T>(sum * *part);
  }
};

/// The value from the sum.
struct scale_pairs {
  double const* part;
  double* value;
  CAMBIUM_HD void operator()(index_t) const { *value *= *part; }
};

}  // namespace rule

/// Throw unless a square of neighbours is one of pairwise's. `name` begins the message.
inline void expects_square(pairwise_options const& options, std::string const& name)
{
  expects(options.size == 3 || options.size == 5, name, ": size is ", options.size, "; expected 3 or 5");
  expects(options.dilation >= 1 && options.dilation <= 1024, name, ": dilation is ", options.dilation,
          ", outside 1..1024");
}

/// Compute how similar the colours of cells and their neighbours are.
///
///   out(k,y,x) = exp(-|lab(y,x) - lab(q)| / 2) if q = (y,x) + offset k is on the map and counts, else 0
///
/// The offsets go row by row through the square, without its middle. Below e^-87 a similarity is e^-87. The loss needs
/// no similarity, only similar_pairs.
///
/// @param where    where to run; must reach all memory
/// @param lab      [3,H,W] colours, see lab_colours
/// @param counts   [H,W] 0 where the photograph does not count, see sampled_mask
/// @param options  size = 3, dilation = 2
/// @return grid<float, 3> [size*size-1,H,W] in [0,1], in the memory of the policy
/// @throws       precondition_error: shapes that differ, options out of range
/// @complexity   Theta(size^2 * H * W)
/// @determinism  the same bits on every run, for every number of threads, and on a device
/// @asynchrony   gpu: enqueues and returns
/// @source       get_image_color_similarity, condinst_head.py of LiWentomng/BoxInstSeg
template <execution_policy P, stack_like A, image_like M>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto colour_similarity(P const& where, A const& lab, M const& counts,
                                     pairwise_options const& options = {})
{
  using S = space_of<A, 3>;
  stack_view<float const, S> const colours = as_view<3>(lab, "colour_similarity: lab");
  image_view<std::uint8_t const, S> const seen = as_view<2>(counts, "colour_similarity: counts");
  expects(colours.extent[0] == 3 && colours.extent[1] == seen.extent[0] && colours.extent[2] == seen.extent[1],
          "colour_similarity: lab is ", colours, " but counts is ", seen);
  expects_square(options, "colour_similarity");
  pixel_square const square{options.size, options.dilation};
  auto out = make_grid<float>(where, {index_t{square.count()}, seen.extent[0], seen.extent[1]});
  rule::similar_neighbours<S> const of{square, 0, colours, seen, {}};
  for_each_cell(where, out.view().extent, rule::store_similarity<rule::similar_neighbours<S>, S>{of, out.view()});
  return out;
}

/// Say which neighbours have colours like a cell's own: bit k of a cell is set if its similarity to neighbour k reaches
/// the threshold.
///
/// @param where    where to run; must reach all memory
/// @param lab      [3,H,W] colours, see lab_colours
/// @param counts   [H,W] 0 where the photograph does not count, see sampled_mask. Only the neighbour's is asked, so that
///                 a pair may count in one direction only
/// @param options  size = 3, dilation = 2, threshold = 0.3
/// @param out      [H,W]
///
/// @throws       precondition_error before anything is written: shapes that differ, options out of range, a threshold
///               that is NaN, an output that overlaps an input
/// @complexity   Theta(size^2 * H * W)
/// @determinism  the same bits on every run, for every number of threads, and on a device
/// @asynchrony   gpu: enqueues and returns
/// @source       Tian, Shen, Wang, Chen, "BoxInst", CVPR 2021, eq. (5); get_image_color_similarity and
///               compute_pairwise_term, condinst_head.py of LiWentomng/BoxInstSeg
template <execution_policy P, stack_like A, image_like M, image_like O>
  requires reaches<P, space_of<A, 3>>
void similar_pairs_into(P const& where, A const& lab, M const& counts, pairwise_options const& options, O&& out)
{
  using S = space_of<A, 3>;
  stack_view<float const, S> const colours = as_view<3>(lab, "similar_pairs: lab");
  image_view<std::uint8_t const, S> const seen = as_view<2>(counts, "similar_pairs: counts");
  image_view<std::uint32_t, S> const to = as_view<2>(out, "similar_pairs: out");
  expects(colours.extent[0] == 3 && colours.extent[1] == seen.extent[0] && colours.extent[2] == seen.extent[1],
          "similar_pairs: lab is ", colours, " but counts is ", seen);
  expects(same_shape(seen, to), "similar_pairs: out is ", to, " but counts is ", seen);
  expects_square(options, "similar_pairs");
  expects(!std::isnan(options.threshold), "similar_pairs: the threshold is nan");
  expects(!overlap(to, colours) && !overlap(to, seen), "similar_pairs: out overlaps an input");
  pixel_square const square{options.size, options.dilation};
  for_each_cell(where, {1, seen.extent[0], seen.extent[1]},
                rule::similar_neighbours<S>{square, options.threshold, colours, seen, to});
}

/// As similar_pairs_into, and allocates the result.
/// @return grid<uint32, 2> [H,W] in the memory of the policy
template <execution_policy P, stack_like A, image_like M>
  requires reaches<P, space_of<A, 3>>
[[nodiscard]] auto similar_pairs(P const& where, A const& lab, M const& counts, pairwise_options const& options = {})
{
  auto const seen = as_view<2>(counts, "similar_pairs: counts");
  auto out = make_grid<std::uint32_t>(where, {seen.extent[0], seen.extent[1]});
  similar_pairs_into(where, lab, seen, options, out.view());
  return out;
}

/// Room for pairwise_loss: on cores a running sum of each image's pairs.
template <execution_policy P>
struct pairwise_scratch {
  using S = typename P::memory;
  explicit pairwise_scratch(P const& where)
      : counted(make_grid<index_t>(where, {1})), part(make_grid<double>(where, {1}))
  {
  }

  grid<index_t, 1, S> counted;
  grid<double, 1, S> part;
  grid<index_t, 1, S> table;
  workspace<P> sums;
};

template <class P, class S>
void count_pairs_on(P const& where, rule::pairs_of_cell<S> const& of, pairwise_scratch<P>& scratch)
{
  index_t const cells = of.instances.extent[0] * of.pairs.extent[1] * of.pairs.extent[2];
  reduce(where, cells, of, index_t{0}, plus{}, scratch.counted.view().data, scratch.sums);
}
/// The cpu's count: a table of the pairs above and left of each cell, then four entries per instance.
inline void count_pairs_on(cpu const& where, rule::pairs_of_cell<host> const& of, pairwise_scratch<cpu>& scratch)
{
  index_t const B = of.pairs.extent[0], H = of.pairs.extent[1], W = of.pairs.extent[2];
  index_t* const table = reserve(where, scratch.table, B * (H + 1) * (W + 1));
  auto const above = [&](index_t b, index_t y, index_t x) -> index_t& {
    return table[(b * (H + 1) + y) * (W + 1) + x];
  };
  for (index_t b = 0; b < B; ++b) {
    for (index_t x = 0; x <= W; ++x) above(b, 0, x) = 0;
    for (index_t y = 0; y < H; ++y) {
      index_t row = 0;
      above(b, y + 1, 0) = 0;
      for (index_t x = 0; x < W; ++x)
        above(b, y + 1, x + 1) = above(b, y, x + 1) + (row += count_bits(of.pairs(b, y, x)));
    }
  }
  index_t all = 0;
  for (index_t n = 0; n < of.instances.extent[0]; ++n) {
    auto const& [in, b] = of.instances(n);
    all += above(b, in.bottom, in.right) - above(b, in.top, in.right) - above(b, in.bottom, in.left) +
           above(b, in.top, in.left);
  }
  *scratch.counted.view().data = all;
}

template <class P, class T, class S>
void sum_pairs_on(P const& where, rule::pairwise_cell<T, S> const& cells, double* sum, workspace<P>& space)
{
  for_each_cell(where, cells.logits.extent, cells);
  reduce(where, cells.logits.size(), cells, 0.0, plus{}, sum, space);
}
/// The cpu's sum: every pair once, a register of pairs at a time, one instance per thread.
inline void sum_pairs_on(cpu const& where, rule::pairwise_cell<float, host> const& cells, double* sum, workspace<cpu>&)
{
  index_t const N = cells.logits.extent[0];
  std::vector<double> of_instance(static_cast<std::size_t>(N));
  isa const set = vectors_of(where);
  for_each_share(where, N, 1, [&](index_t begin, index_t end) {
    std::vector<float> ring;
    std::vector<std::uint32_t> bits;
    for (index_t n = begin; n < end; ++n) {
      boxed_instance const of = cells.instances(n);
      rule::pairwise_rows const rows(cells.square, cells.logits[n], cells.pairs[of.image], of.cells,
                                     static_cast<float>(*cells.part), cells.gradient[n], ring, bits,
                                     &of_instance[static_cast<std::size_t>(n)]);
      run_widest(set, rows);
    }
  });
  *sum = 0;
  for (double const one : of_instance) *sum += one;
}

/// Ask neighbours of similar colour for equal labels.
///
///   value = warm * sum of w_k(n,p) * -log(P(p) P(q) + (1 - P(p)) (1 - P(q)))  /  max(1, sum of w)
///
/// over all instances n, cells p and neighbours k with q = p + offset k, where P = 1 / (1 + e^-logit) and w is 1 if p is
/// in the box of n and bit k of its image's pairs is set at p. The neighbour need not be in the box. A pair that leaves
/// the map counts in the divisor if its bit is set, with loss 0.
///
/// @param where      where to run; must reach all memory
/// @param logits     [N,H,W] finite, one map per instance
/// @param instances  [N] boxes on the map, see sampled_box, and images in 0..B-1
/// @param pairs      [B,H,W] similar_pairs of each image, of the same size and dilation
/// @param options    size = 3, dilation = 2, warm = 1
/// @param gradient   [N,H,W] d value / d logits; no input
/// @param value      [1]; value and gradient are 0 without pairs
/// @param scratch    one call at a time
///
/// @throws       precondition_error before anything is written: shapes that differ, options out of range, a logit that
///               is not finite, a box that leaves the map, an image that is not there, a gradient that overlaps an input
/// @invariant    the value does not change if all logits change their sign; the gradient of -z is minus that of z
/// @complexity   Theta(size^2 * cells of the boxes + N * H * W); cores: each pair once, and no memory beside the gradient
///               but O(B * H * W)
/// @determinism  the same bits on every run and for every number of threads. Cores compute floats in float, with sums
///               over rows in double; devices compute in double. Values are within 1e-5, slopes within 1e-6 of the
///               largest possible one. On cores a row whose losses sum beyond the largest float is infinite
/// @asynchrony   gpu: enqueues and returns, and does not look at values: a NaN spreads to its neighbours and the value
/// @source       Tian, Shen, Wang, Chen, "BoxInst", CVPR 2021, eq. (6) and (8); compute_pairwise_term and
///               CondInstMaskHead.loss, condinst_head.py of LiWentomng/BoxInstSeg, without its tensors of all pairs
template <execution_policy P, stack_like L, gridded<1> I, stack_like Q, stack_like G, gridded<1> V>
  requires reaches<P, space_of<L, 3>>
void pairwise_loss_into(P const& where, L const& logits, I const& instances, Q const& pairs,
                        pairwise_options const& options, G&& gradient, V&& value, pairwise_scratch<P>& scratch)
{
  using T = value_of<L, 3>;
  using S = space_of<L, 3>;
  std::string const name = "pairwise_loss";
  stack_view<T const, S> const z = as_view<3>(logits, "pairwise_loss: logits");
  view<boxed_instance const, 1, S> const of = as_view<1>(instances, "pairwise_loss: instances");
  stack_view<std::uint32_t const, S> const near = as_view<3>(pairs, "pairwise_loss: pairs");
  stack_view<T, S> const by = as_view<3>(gradient, "pairwise_loss: gradient");
  view<double, 1, S> const sum = as_view<1>(value, "pairwise_loss: value");
  expects(of.extent[0] == z.extent[0], name, ": logits are ", z, " but there are ", of.extent[0], " instances");
  expects(near.extent[1] == z.extent[1] && near.extent[2] == z.extent[2], name, ": logits are ", z, " but pairs are ",
          near);
  expects(same_shape(z, by), name, ": logits are ", z, " but gradient is ", by);
  expects(sum.extent[0] == 1, name, ": value is ", sum, "; it is one cell");
  expects_square(options, name);
  expects(options.warm >= 0 && std::isfinite(options.warm), name, ": warm is ", options.warm,
          "; expected a finite number >= 0");
  expects(!overlap(by, z) && !overlap(by, of) && !overlap(by, near), name, ": the gradient overlaps an input");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, z, "pairwise_loss: logits");
    expects_instances(where, of, z.extent[1], z.extent[2], near.extent[0], name);
  }
  count_pairs_on(where, rule::pairs_of_cell<S>{of, near}, scratch);
  index_t const* const counted = scratch.counted.view().data;
  double* const part = scratch.part.view().data;
  for_each_index(where, 1, rule::divide_pairs{counted, options.warm, part});
  pixel_square const square{options.size, options.dilation};
  sum_pairs_on(where, rule::pairwise_cell<T, S>{square, z, of, near, part, by}, sum.data, scratch.sums);
  for_each_index(where, 1, rule::scale_pairs{part, sum.data});
}

/// As pairwise_loss_into, and allocates the result.
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, stack_like L, gridded<1> I, stack_like Q>
  requires reaches<P, space_of<L, 3>>
[[nodiscard]] auto pairwise_loss(P const& where, L const& logits, I const& instances, Q const& pairs,
                                 pairwise_options const& options = {})
{
  using T = value_of<L, 3>;
  auto const z = as_view<3>(logits, "pairwise_loss: logits");
  instance_loss<T, space_of<L, 3>> out{0, make_grid<T>(where, z.extent)};
  auto value = make_grid<double>(where, {1});
  pairwise_scratch<P> scratch(where);
  pairwise_loss_into(where, z, instances, pairs, options, out.gradient.view(), value.view(), scratch);
  out.value = read_cell(where, static_cast<double const*>(value.view().data));
  return out;
}

}  // namespace cambium
