#pragma once
// Weights of fixed neighbours by differences of colour, relative to the colours around: those of PAR and PAMR.

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/dilated.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <limits>
#include <type_traits>

namespace cambium {

/// How two colours become an energy. d is their difference, s the standard deviation of the colours around.
enum class colour_contrast {
  squared,  ///< PAR: (d / (s + 1e-8) / w1)^2; s is that of the neighbours
  absolute  ///< PAMR: |d| / (1e-8 + w1 s); s is that of the neighbours and, once a dilation, the pixel itself
};

struct colour_affinity_options {
  colour_contrast contrast = colour_contrast::squared;
  double w1 = 0.3;         ///< [standard deviations] that count as one; in [0.001,1000]
  double w2 = 0.01;        ///< the share of positions, beside 1 of colours; >= 0, and 0 is without positions
  bool normalise = false;  ///< divide by 1 + w2, so that weights sum to 1

  static colour_affinity_options par() { return {}; }
  static colour_affinity_options pamr() { return {colour_contrast::absolute, 0.1, 0, false}; }
};

/// The largest size of a colour: the square of its contrast fits float.
inline constexpr double largest_colour = 1e6;

namespace rule {

/// What is added to a variance's root, so that no contrast is divided by 0.
inline constexpr double colour_eps = 1e-8;

/// First rule: the shares of the neighbours' positions, the same for all pixels. One index writes all.
template <class T>
struct position_shares {
  dilated_neighbours near;
  double w1, w2, sum;
  T* out;

  CAMBIUM_HD double distance(index_t k) const
  {
    offset const to = near.at(static_cast<int>(k));
    double const d = near.dilation[k / 8];
    return to.dy != 0 && to.dx != 0 ? d * std::sqrt(2.0) : d;
  }
  CAMBIUM_HD void operator()(index_t) const
  {
    index_t const P = near.size();
    double mean = 0, squares = 0;
    for (index_t k = 0; k < P; ++k) mean += distance(k);
    mean /= static_cast<double>(P);
    for (index_t k = 0; k < P; ++k) squares += (distance(k) - mean) * (distance(k) - mean);
    double const unit = (std::sqrt(squares / static_cast<double>(P - 1)) + colour_eps) * w1;
    auto const score = [&](index_t k) { return -(distance(k) / unit) * (distance(k) / unit); };
    auto const total = softmax_of(P, score);
    for (index_t k = 0; k < P; ++k) out[k] = static_cast<T>(w2 * std::exp(score(k) - total.most) / total.sum / sum);
  }
};

/// Second rule: the weights of one pixel's neighbours. Energies are summed in the output.
template <class T, class S>
struct colour_affinity_pixel {
  dilated_neighbours near;
  stack_view<T const, S> image;
  bool squared;
  T w1, share;        ///< share: what the weights of colours sum to
  T const* position;  ///< [P]
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const K = image.extent[0], P = near.size();
    T const eps = static_cast<T>(colour_eps), centres = squared ? T(0) : static_cast<T>(near.count);
    T const n = static_cast<T>(P) + centres;
    for (index_t k = 0; k < P; ++k) out(k, y, x) = 0;
    for (index_t c = 0; c < K; ++c) {
      // Differences to the pixel, not colours: those of nearly equal colours are exact.
      T mean = 0;
      for (index_t k = 0; k < P; ++k) mean += difference(c, k, y, x);
      mean /= n;
      T squares = centres * mean * mean;
      for (index_t k = 0; k < P; ++k) {
        T const off = difference(c, k, y, x) - mean;
        squares += off * off;
      }
      T const s = std::sqrt(squares / (n - 1)), unit = squared ? (s + eps) * w1 : eps + w1 * s;
      for (index_t k = 0; k < P; ++k) {
        T const d = difference(c, k, y, x) / unit;
        out(k, y, x) += squared ? d * d : d < 0 ? -d : d;
      }
    }
    auto const total = softmax_of(
        P, [&](index_t k) { return -out(k, y, x) / static_cast<T>(K); },
        [&](index_t k, T energy) { return out(k, y, x) = std::exp(energy); });
    for (index_t k = 0; k < P; ++k) out(k, y, x) = out(k, y, x) * (share / total.sum) + position[k];
  }

  CAMBIUM_HD T difference(index_t c, index_t k, index_t y, index_t x) const
  {
    offset const to = near.at(static_cast<int>(k));
    return image(c, nearest_inside(y + to.dy, image.extent[1]), nearest_inside(x + to.dx, image.extent[2])) -
           image(c, y, x);
  }
};

/// The same for rows of pixels on the cpu, a register at a time, from an image with borders.
struct colour_affinity_rows {
  colour_affinity_pixel<float, host> pixel;
  float const* padded;  ///< [K,H,pitch], and a register beyond
  index_t pad, pitch;

  static constexpr int most = 8 * dilated_neighbours::capacity;

  /// The weights of row y in the order of their use, see neighbour_rows.hpp: [registers of a row][P][lanes].
  template <int Bytes>
  [[gnu::always_inline]] void ordered_row(index_t y, float* to) const
  {
    constexpr int lanes = Bytes / 4;
    index_t start[most];
    find(y, start);
    for (index_t x = 0; x < pixel.image.extent[2]; x += lanes) weigh<lanes>(y, x, start, to + x * pixel.near.size());
  }

  /// Where the neighbours of a row's first pixel are in a padded plane.
  void find(index_t y, index_t* start) const
  {
    for (int k = 0; k < pixel.near.size(); ++k) {
      offset const to = pixel.near.at(k);
      start[k] = nearest_inside(y + to.dy, pixel.image.extent[1]) * pitch + pad + std::clamp<index_t>(to.dx, -pad, pad);
    }
  }

  /// The weights of Lanes pixels from (y,x) on, [P][Lanes]. Beyond the end of a row they mean nothing.
  template <int Lanes>
  [[gnu::always_inline]] void weigh(index_t y, index_t x, index_t const* start, float* to) const
  {
    using numbers = pack<float, Lanes>;
    int const P = pixel.near.size();
    index_t const K = pixel.image.extent[0], H = pixel.image.extent[1];
    numbers const zero{};
    float const centres = pixel.squared ? 0.f : static_cast<float>(pixel.near.count),
                n = static_cast<float>(P) + centres;
    float const eps = static_cast<float>(colour_eps), to_mean = 1 / n, to_variance = 1 / (n - 1);
    alignas(64) float d[static_cast<std::size_t>(most * Lanes)];
    for (int k = 0; k < P; ++k) lanes_at<Lanes>(to + k * Lanes).v = zero;
    for (index_t c = 0; c < K; ++c) {
      float const* const plane = padded + c * H * pitch + x;
      numbers const here = lanes_at<Lanes>(plane + y * pitch + pad).v;
      numbers mean = zero;
      for (int k = 0; k < P; ++k) {
        numbers const v = lanes_at<Lanes>(plane + start[k]).v - here;
        lanes_at<Lanes>(d + k * Lanes).v = v;
        mean += v;
      }
      mean *= to_mean;
      numbers squares = centres * mean * mean;
      for (int k = 0; k < P; ++k) {
        numbers const off = lanes_at<Lanes>(d + k * Lanes).v - mean;
        squares += off * off;
      }
      squares *= to_variance;
      numbers s = squares;
      reciprocal_root<Lanes>(s);
      s *= squares;  // 0 of 0
      numbers const unit = pixel.squared ? (s + eps) * pixel.w1 : eps + pixel.w1 * s, per = 1 / unit;
      for (int k = 0; k < P; ++k) {
        numbers const v = lanes_at<Lanes>(d + k * Lanes).v * per;
        lanes_at<Lanes>(to + k * Lanes).v += pixel.squared ? v * v : v < zero ? -v : v;
      }
    }
    numbers least = lanes_at<Lanes>(to).v, sum = zero;
    for (int k = 1; k < P; ++k) {
      numbers const v = lanes_at<Lanes>(to + k * Lanes).v;
      least = v < least ? v : least;
    }
    float const to_energy = 1 / static_cast<float>(K);
    for (int k = 0; k < P; ++k) {
      numbers v = (least - lanes_at<Lanes>(to + k * Lanes).v) * to_energy;
      exponential<Lanes>(v);
      lanes_at<Lanes>(to + k * Lanes).v = v;
      sum += v;
    }
    numbers const share = pixel.share / sum;
    for (int k = 0; k < P; ++k)
      lanes_at<Lanes>(to + k * Lanes).v = lanes_at<Lanes>(to + k * Lanes).v * share + pixel.position[k];
  }
};

/// Rows first..last-1 into the output.
struct colour_affinity_band {
  colour_affinity_rows const& rows;
  index_t first, last;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    index_t const W = rows.pixel.image.extent[2], P = rows.pixel.near.size();
    index_t start[colour_affinity_rows::most];
    alignas(64) float weight[static_cast<std::size_t>(colour_affinity_rows::most * lanes)];
    for (index_t y = first; y < last; ++y) {
      rows.find(y, start);
      for (index_t x = 0; x < W; x += lanes) {
        rows.template weigh<lanes>(y, x, start, weight);
        index_t const count = std::min<index_t>(lanes, W - x);
        for (index_t k = 0; k < P; ++k) {
          float* const to = &rows.pixel.out(k, y, x);
          if (count == lanes)
            lanes_at<lanes>(to).v = lanes_at<lanes>(weight + k * lanes).v;
          else
            std::copy_n(weight + k * lanes, count, to);
        }
      }
    }
  }
};

}  // namespace rule

/// Room of colour_affinity_into for images of one shape. On the cpu it holds a float image with borders.
template <class T, execution_policy P>
struct colour_affinity_scratch {
  /// @param image  extents [K,H,W] of the images
  colour_affinity_scratch(P const& where, index_t const (&image)[3], dilated_neighbours const& near)
      : position(make_grid<T>(where, {index_t{near.size()}}))
  {
    if constexpr (std::is_same_v<P, cpu> && std::is_same_v<T, float>)
      padded = make_grid<T>(where, {padded_cells(image, near)});
  }

  /// Columns of a border: more repeat the same cell.
  static index_t border(index_t width, dilated_neighbours const& near)
  {
    return std::max<index_t>(0, std::min<index_t>(near.reach(), width - 1));
  }
  static index_t padded_cells(index_t const (&image)[3], dilated_neighbours const& near)
  {
    return image[0] * image[1] * (image[2] + 2 * border(image[2], near)) + 16;
  }

  /// Is there room for images of these extents and for these neighbours?
  bool fits(index_t const (&image)[3], dilated_neighbours const& near) const
  {
    constexpr bool borders = std::is_same_v<P, cpu> && std::is_same_v<T, float>;
    return position.size() >= near.size() && (!borders || padded.size() >= padded_cells(image, near));
  }

  grid<T, 1, typename P::memory> position;  ///< [8 dilations]
  grid<T, 1, typename P::memory> padded;
};

/// Throw unless the options are in their ranges. `who` begins the message.
inline void expects_colour_options(colour_affinity_options const& options, char const* who)
{
  expects(options.w1 >= 0.001 && options.w1 <= 1000, who, ": w1 is ", options.w1, ", outside [0.001,1000]");
  expects(options.w2 >= 0 && options.w2 <= 1e6, who, ": w2 is ", options.w2, ", outside [0,1e6]");
}

/// Lay borders around a float image of the cpu.
inline rule::colour_affinity_rows padded_rows(cpu const& where, rule::colour_affinity_pixel<float, host> const& pixel,
                                              colour_affinity_scratch<float, cpu>& scratch)
{
  auto const& image = pixel.image;
  index_t const K = image.extent[0], H = image.extent[1], W = image.extent[2];
  index_t const pad = scratch.border(W, pixel.near), pitch = W + 2 * pad;
  float* const padded = scratch.padded.data();
  for_each_share(where, K * H, 64, [&](index_t begin, index_t end) {
    for (index_t at = begin; at < end; ++at)
      copy_between_borders(&image(at / H, at % H, 0), W, pad, padded + at * pitch);
  });
  std::fill_n(padded + K * H * pitch, 16, 0.f);
  return {pixel, padded, pad, pitch};
}

/// The CPU schedule for float: rows with borders, a register of pixels at a time.
inline void colour_affinity_on(cpu const& where, rule::colour_affinity_pixel<float, host> const& pixel,
                               colour_affinity_scratch<float, cpu>& scratch)
{
  auto const rows = padded_rows(where, pixel, scratch);
  for_each_share(where, pixel.image.extent[1], 1 + 1023 / pixel.image.extent[2], [&](index_t begin, index_t end) {
    run_widest(vectors_of(where), rule::colour_affinity_band{rows, begin, end});
  });
}

/// Any other policy: the rule under that policy's loop.
template <execution_policy P, class T, class S>
void colour_affinity_on(P const& where, rule::colour_affinity_pixel<T, S> const& pixel, colour_affinity_scratch<T, P>&)
{
  for_each_cell(where, {1, pixel.out.extent[1], pixel.out.extent[2]}, pixel);
}

/// The checks of colour_affinity_into but those of the output, and the first rule.
/// @return the second rule, without an output
template <execution_policy P, class T, class S>
rule::colour_affinity_pixel<T, S> start_colour_affinity(P const& where, stack_view<T const, S> const& in,
                                                        dilated_neighbours const& near,
                                                        colour_affinity_options const& options,
                                                        colour_affinity_scratch<T, P>& scratch)
{
  expects_dilations(near, "colour_affinity");
  expects(in.extent[0] >= 1, "colour_affinity: image is ", in, "; it needs a channel");
  expects_colour_options(options, "colour_affinity");
  if constexpr (std::is_same_v<P, cpu>)
    expects_inside(where, in, static_cast<T>(-largest_colour), static_cast<T>(largest_colour), "colour_affinity: image",
                   "a colour of at most 1e6 in size");
  expects(scratch.fits(in.extent, near), "colour_affinity: the scratch was made for another shape or other neighbours");
  T* const position = scratch.position.view().data;
  double const sum = options.normalise ? 1 + options.w2 : 1;
  for_each_index(where, 1, rule::position_shares<T>{near, options.w1, options.w2, sum, position});
  return {
      near,     in, options.contrast == colour_contrast::squared, static_cast<T>(options.w1), static_cast<T>(1 / sum),
      position, {}};
}

/// Weigh the neighbours of every pixel by the similarity of colours: similar neighbours weigh much.
///
///   out(q,p) = softmax over q of -(mean over channels of contrast(I(q) - I(p))) + w2 softmax over q of -(r_q / (t w1))^2
///
/// contrast: see colour_contrast. r_q is the distance of neighbour q, t the standard deviation of these distances.
/// Standard deviations are those of samples (divisor n - 1) and are made in two passes. With w2 = 0.01 the weights of a
/// pixel sum to 1.01, as in PAR: each step of a walk makes scores 1 % larger. `normalise` divides by 1.01.
///
/// @param where    where to run; must reach the memory of the image
/// @param image    [K,H,W] colours of K >= 1 channels, in any unit, at most 1e6 in size
/// @param near     the P = 8 n neighbours; those outside the image are its nearest pixels
/// @param options  colour_affinity_options::par() or pamr()
/// @param out      [P,H,W] weights >= 0
/// @param scratch  colour_affinity_scratch for this shape, these neighbours and this policy
///
/// @pre          host memory: every |colour| <= 1e6 (NaN is refused)
/// @throws       precondition_error before anything is written
/// @invariant    the weights of a pixel sum to 1 + w2, or to 1 with `normalise`, up to rounding; neighbours of equal
///               colour and distance have equal weights; weights on a plain image are 1/P and their positions' share
/// @complexity   Theta(P * K * H * W) time
/// @determinism  the same bits on every run and for every number of threads; between instruction sets, and between cpu
///               and gpu, within 1e-5 of a weight of 1 in float. A weight below e^-87 may be e^-87 on the cpu
/// @asynchrony   gpu: enqueues and returns, and cannot check colours
/// @source       PAR: Ru, Zhan, Yu, Du, CVPR 2022; PAR.forward of rulixiang/ToCo. PAMR: Araslanov & Roth, CVPR 2020, eq.
///               (5); PAMR.forward of visinf/1-stage-wseg. Both hold all differences at once, [B,K,P,H,W]
template <execution_policy P, stack_like I, stack_like O>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<O, 3>>
void colour_affinity_into(P const& where, I const& image, dilated_neighbours const& near,
                          colour_affinity_options const& options, O&& out,
                          colour_affinity_scratch<value_of<I, 3>, P>& scratch)
{
  using T = value_of<I, 3>;
  using S = space_of<I, 3>;
  stack_view<T const, S> const in = as_view<3>(image, "colour_affinity: image");
  stack_view<T, S> const to = as_view<3>(out, "colour_affinity: out");
  expects_dilations(near, "colour_affinity");
  expects(to.extent[0] == near.size() && to.extent[1] == in.extent[1] && to.extent[2] == in.extent[2],
          "colour_affinity: out is ", to, " but the image is ", in, " and there are ", near.size(), " neighbours");
  expects(!overlap(in, to), "colour_affinity: image and out overlap");
  auto pixel = start_colour_affinity(where, in, near, options, scratch);
  if (to.size() == 0) return;
  pixel.out = to;
  colour_affinity_on(where, pixel, scratch);
}

/// The rows of colour_affinity's weights, each made when it is asked for, for neighbour_walk_by_rows. Memory: the
/// image with borders, in the scratch, instead of [P,H,W] weights.
///
/// @param where, image, near, options, scratch  as colour_affinity_into; the scratch and the image live as long as the
///                                              rows
/// @throws precondition_error as colour_affinity_into
template <stack_like I>
  requires std::is_same_v<value_of<I, 3>, float> && reaches<cpu, space_of<I, 3>>
[[nodiscard]] rule::colour_affinity_rows colour_affinity_by_rows(cpu const& where, I const& image,
                                                                 dilated_neighbours const& near,
                                                                 colour_affinity_options const& options,
                                                                 colour_affinity_scratch<float, cpu>& scratch)
{
  stack_view<float const> const in = as_view<3>(image, "colour_affinity: image");
  auto const pixel = start_colour_affinity(where, in, near, options, scratch);
  if (in.size() == 0) return {pixel, nullptr, 0, 0};
  return padded_rows(where, pixel, scratch);
}

/// As colour_affinity_into, and allocates the result and the scratch.
/// @return grid<T, 3> [P,H,W] in the memory of the policy
template <execution_policy P, stack_like I>
  requires reaches<P, space_of<I, 3>>
[[nodiscard]] auto colour_affinity(P const& where, I const& image, dilated_neighbours const& near = {},
                                   colour_affinity_options const& options = {})
{
  using T = value_of<I, 3>;
  auto const in = as_view<3>(image, "colour_affinity: image");
  expects_dilations(near, "colour_affinity");
  auto out = make_grid<T>(where, {index_t{near.size()}, in.extent[1], in.extent[2]});
  colour_affinity_scratch<T, P> scratch(where, in.extent, near);
  colour_affinity_into(where, in, near, options, out, scratch);
  return out;
}

}  // namespace cambium
