#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace cambium {

/// Cross entropy of a batch.
struct cross_entropy_value {
  double value = 0;
  index_t pixels = 0;  ///< what the sum was divided by
};

/// Cross entropy of a batch and its gradient by the logits.
template <class T, class Space = host>
struct cross_entropy_loss : cross_entropy_value {
  grid<T, 4, Space> gradient;  ///< [B,C,H,W]
};

/// Which pixels the share of hardest ones is taken of.
enum class pixel_pool {
  all,      ///< ignored pixels count, with loss 0: the original
  labelled  ///< pixels that have a label
};

struct hard_pixel_options {
  double fraction = 0.2;  ///< of the pixels that count; in (0,1]
  pixel_pool of = pixel_pool::all;
};

/// The cross entropy of every pixel [B,H,W], 0 where it is ignored.
template <class T, class L>
grid<double, 3> pixel_cross_entropy(cpu const& where, view<T const, 4> logits, view<L const, 3> labels,
                                    std::string const& name)
{
  static_assert(std::is_integral_v<L>, "cross entropy: labels are integers");
  index_t const B = logits.extent[0], C = logits.extent[1], H = logits.extent[2], W = logits.extent[3];
  expects(labels.extent[0] == B && labels.extent[1] == H && labels.extent[2] == W, name, ": logits are ", logits,
          " but labels are ", labels);
  expects_finite(where, logits, (name + ": logits").c_str());
  for (index_t b = 0; b < B; ++b)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        auto const at = static_cast<index_t>(labels(b, y, x));
        expects((0 <= at && at < C) || at == label::ignore, name, ": label(", b, ",", y, ",", x, ") is ", at,
                ", outside 0..", C - 1, " and not ", label::ignore);
      }
  auto out = make_grid<double>({B, H, W});
  for_each_share(where, B * H, 8, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row)
      for (index_t x = 0; x < W; ++x) {
        index_t const b = row / H, y = row % H;
        auto const at = static_cast<index_t>(labels(b, y, x));
        out(b, y, x) = 0;
        if (at == label::ignore) continue;
        double most = static_cast<double>(logits(b, 0, y, x)), sum = 0;
        for (index_t c = 1; c < C; ++c) most = std::max(most, static_cast<double>(logits(b, c, y, x)));
        for (index_t c = 0; c < C; ++c) sum += std::exp(static_cast<double>(logits(b, c, y, x)) - most);
        out(b, y, x) = std::log(sum) + (most - static_cast<double>(logits(b, at, y, x)));
      }
  });
  return out;
}

/// Sum the losses of the chosen pixels, divide by `pixels`, and add the gradient: softmax minus one at the label.
template <class T, class L, class Chosen>
cross_entropy_loss<T> chosen_cross_entropy(cpu const& where, view<T const, 4> logits, view<L const, 3> labels,
                                           grid<double, 3> const& losses, index_t pixels, Chosen const& chosen)
{
  index_t const B = logits.extent[0], C = logits.extent[1], H = logits.extent[2], W = logits.extent[3];
  cross_entropy_loss<T> out{{0, pixels}, grid<T, 4>(B, C, H, W)};
  double const part = pixels > 0 ? 1 / static_cast<double>(pixels) : 0;
  std::vector<double> rows(static_cast<std::size_t>(B * H));
  for_each_share(where, B * H, 8, [&](index_t begin, index_t end) {
    std::vector<double> share(static_cast<std::size_t>(C));
    for (index_t row = begin; row < end; ++row)
      for (index_t x = 0; x < W; ++x) {
        index_t const b = row / H, y = row % H;
        auto const at = static_cast<index_t>(labels(b, y, x));
        if (at == label::ignore || !chosen(row * W + x)) continue;
        rows[static_cast<std::size_t>(row)] += losses(b, y, x);
        // Relative to the largest logit: loss + logit of the label would be their normaliser, but cancels.
        double most = static_cast<double>(logits(b, 0, y, x)), rest = 0;
        for (index_t c = 1; c < C; ++c) most = std::max(most, static_cast<double>(logits(b, c, y, x)));
        for (index_t c = 0; c < C; ++c) {
          double const e = std::exp(static_cast<double>(logits(b, c, y, x)) - most);
          share[static_cast<std::size_t>(c)] = e;
          if (c != at) rest += e;
        }
        double const sum = rest + share[static_cast<std::size_t>(at)];
        for (index_t c = 0; c < C; ++c)
          out.gradient(b, c, y, x) = static_cast<T>(share[static_cast<std::size_t>(c)] / sum * part);
        out.gradient(b, at, y, x) = static_cast<T>(-(rest / sum) * part);  // 1 - p without cancellation
      }
  });
  for (double const row : rows) out.value += row;
  out.value *= part;
  return out;
}

/// Cross entropy over the labelled pixels of a batch, and its gradient.
///
///   mean over labelled pixels of log sum_c exp(logits_c) - logits_label
///
/// @param where   cpu
/// @param logits  [B,C,H,W] finite
/// @param labels  [B,H,W] 0..C-1, or label::ignore, which is no class even where there are more than 255
/// @return the value, the number of labelled pixels, and d value / d logits; 0 without a labelled pixel
///
/// @throws       precondition_error: shapes that differ, NaN or infinite logits, labels outside their range
/// @complexity   Theta(B * C * H * W) exponentials
/// @determinism  the same bits on every run and for every number of threads; sums in double
/// @source       RegularCE, utils/loss.py of clovaai/BESTIE
template <gridded<4> X, gridded<3> L>
[[nodiscard]] auto cross_entropy(cpu const& where, X const& logits,
                                 L const& labels) -> cross_entropy_loss<value_of<X, 4>>
{
  using T = value_of<X, 4>;
  using I = value_of<L, 3>;
  view<T const, 4> const z = as_view<4>(logits, "cross_entropy: logits");
  view<I const, 3> const l = as_view<3>(labels, "cross_entropy: labels");
  auto const losses = pixel_cross_entropy<T, I>(where, z, l, "cross_entropy");
  index_t labelled = 0;
  for (index_t b = 0; b < l.extent[0]; ++b)
    for (index_t y = 0; y < l.extent[1]; ++y)
      for (index_t x = 0; x < l.extent[2]; ++x) labelled += static_cast<index_t>(l(b, y, x)) != label::ignore;
  return chosen_cross_entropy<T, I>(where, z, l, losses, labelled, [](index_t) { return true; });
}

/// Cross entropy over the hardest pixels of a batch, and its gradient.
///
/// The k = floor(fraction * pixels) largest losses, at least one, are summed and divided by k. Of equal losses the pixels
/// that come first in [b,y,x] are taken. An ignored pixel has loss 0.
///
/// @param where    cpu
/// @param logits   [B,C,H,W] finite
/// @param labels   [B,H,W] 0..C-1, or label::ignore
/// @param options  fraction = 0.2, of = all
/// @return the value, k, and d value / d logits, 0 at every other pixel; 0 where no pixel counts
///
/// @throws       precondition_error: shapes that differ, NaN or infinite logits, labels or fraction outside their range
/// @invariant    fraction = 1 of the labelled pixels is cross_entropy
/// @complexity   Theta(B * C * H * W) exponentials; selection in expected Theta(B * H * W)
/// @determinism  the same bits on every run and for every number of threads; sums in double
/// @source       DeepLabCE, utils/loss.py of clovaai/BESTIE, after Yang et al., "DeeperLab", 2019. There fewer than 5 pixels
///               give k = 0 and NaN, and which of equal losses are taken is left open
template <gridded<4> X, gridded<3> L>
[[nodiscard]] auto hardest_pixels_cross_entropy(cpu const& where, X const& logits, L const& labels,
                                                hard_pixel_options options = {}) -> cross_entropy_loss<value_of<X, 4>>
{
  using T = value_of<X, 4>;
  using I = value_of<L, 3>;
  view<T const, 4> const z = as_view<4>(logits, "hardest_pixels_cross_entropy: logits");
  view<I const, 3> const l = as_view<3>(labels, "hardest_pixels_cross_entropy: labels");
  expects(options.fraction > 0 && options.fraction <= 1, "hardest_pixels_cross_entropy: fraction is ", options.fraction,
          ", outside (0,1]");
  auto const losses = pixel_cross_entropy<T, I>(where, z, l, "hardest_pixels_cross_entropy");

  std::vector<double> pool;
  pool.reserve(losses.cells().size());
  for (index_t b = 0; b < l.extent[0]; ++b)
    for (index_t y = 0; y < l.extent[1]; ++y)
      for (index_t x = 0; x < l.extent[2]; ++x)
        if (options.of == pixel_pool::all || static_cast<index_t>(l(b, y, x)) != label::ignore)
          pool.push_back(losses(b, y, x));
  if (pool.empty()) return chosen_cross_entropy<T, I>(where, z, l, losses, 0, [](index_t) { return false; });
  auto const k =
      std::max<std::size_t>(1, static_cast<std::size_t>(options.fraction * static_cast<double>(pool.size())));
  auto const last = pool.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(pool.begin(), last, pool.end(), std::greater<>{});
  double const least = *last;

  // All losses above the k-th, and of those equal to it the first ones.
  index_t above = 0;
  for (double const loss : losses.cells()) above += loss > least;
  index_t room = static_cast<index_t>(k) - above, end = losses.size();  // pixels before `end` may be equal
  for (index_t i = 0; i < losses.size(); ++i) {
    if (losses.data()[i] != least) continue;
    index_t const H = l.extent[1], W = l.extent[2];
    if (options.of == pixel_pool::labelled && static_cast<index_t>(l(i / W / H, i / W % H, i % W)) == label::ignore)
      continue;
    if (room-- == 0) {
      end = i;
      break;
    }
  }
  return chosen_cross_entropy<T, I>(where, z, l, losses, static_cast<index_t>(k), [&](index_t i) {
    double const loss = losses.data()[i];
    return loss > least || (loss == least && i < end);
  });
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Logits and labels; a label that is no class counts as ignored.
template <class T, class I, class S>
struct labelled_logits {
  view<T const, 4, S> logits;
  view<I const, 3, S> labels;

  CAMBIUM_HD index_t label(index_t b, index_t y, index_t x) const  ///< or -1
  {
    auto const at = static_cast<index_t>(labels(b, y, x));
    return 0 <= at && at < logits.extent[1] && at != label::ignore ? at : -1;
  }
  CAMBIUM_HD double most(index_t b, index_t y, index_t x) const
  {
    double out = static_cast<double>(logits(b, 0, y, x));
    for (index_t c = 1; c < logits.extent[1]; ++c) {
      double const v = static_cast<double>(logits(b, c, y, x));
      out = out < v ? v : out;
    }
    return out;
  }
  CAMBIUM_HD double exponential(index_t b, index_t c, index_t y, index_t x, double above) const
  {
    return std::exp(static_cast<double>(logits(b, c, y, x)) - above);
  }
};

/// First rule: the loss of a pixel, 0 where it is ignored.
template <class T, class I, class S>
struct lose_pixel {
  labelled_logits<T, I, S> of;
  double* loss;  ///< [B,H,W]

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const at = of.label(b, y, x);
    double& out = loss[(b * of.labels.extent[1] + y) * of.labels.extent[2] + x];
    out = 0;
    if (at < 0) return;
    double const most = of.most(b, y, x);
    double sum = 0;
    for (index_t c = 0; c < of.logits.extent[1]; ++c) sum += of.exponential(b, c, y, x, most);
    out = std::log(sum) + (most - static_cast<double>(of.logits(b, at, y, x)));
  }
};

/// Is a pixel labelled? For counting.
template <class T, class I, class S>
struct counts_labelled {
  labelled_logits<T, I, S> of;
  CAMBIUM_HD index_t operator()(index_t i) const
  {
    index_t const H = of.labels.extent[1], W = of.labels.extent[2];
    return of.label(i / W / H, i / W % H, i % W) >= 0;
  }
};

/// How many pixels the mean is taken of.
struct share_pixels {
  index_t const* labelled;  ///< or null: all
  index_t all;
  double fraction;
  cross_entropy_value* value;

  CAMBIUM_HD void operator()(index_t) const
  {
    index_t const pool = labelled != nullptr ? *labelled : all;
    auto const k = static_cast<index_t>(fraction * static_cast<double>(pool));
    value->pixels = pool == 0 ? 0 : k < 1 ? 1 : k;
  }
};

/// Keys that rise where losses fall; pixels that do not count come last.
template <class T, class I, class S>
struct order_losses {
  labelled_logits<T, I, S> of;
  bool labelled_only;
  double const* loss;
  std::uint64_t* key;
  std::int32_t* number;
  std::uint8_t* chosen;

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const H = of.labels.extent[1], W = of.labels.extent[2];
    double const v = loss[i] + 0.0;  // -0 is 0
    std::uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    constexpr std::uint64_t sign = std::uint64_t{1} << 63;
    bool const counts = !labelled_only || of.label(i / W / H, i / W % H, i % W) >= 0;
    key[i] = !counts ? ~std::uint64_t{0} : (bits & sign) != 0 ? bits : ~(bits | sign);
    number[i] = static_cast<std::int32_t>(i);
    chosen[i] = 0;
  }
};
struct choose_first {
  std::int32_t const* number;
  cross_entropy_value const* value;
  std::uint8_t* chosen;
  CAMBIUM_HD void operator()(index_t i) const
  {
    if (i < value->pixels) chosen[number[i]] = 1;
  }
};

/// The loss of a chosen pixel; without a choice all are.
struct loss_if_chosen {
  double const* loss;
  std::uint8_t const* chosen;
  CAMBIUM_HD double operator()(index_t i) const { return chosen == nullptr || chosen[i] != 0 ? loss[i] : 0; }
};

/// Softmax minus one at the label, over the number of pixels.
template <class T, class I, class S>
struct slope_of_pixel {
  labelled_logits<T, I, S> of;
  std::uint8_t const* chosen;
  cross_entropy_value const* value;
  view<T, 4, S> gradient;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const C = of.logits.extent[1], at = of.label(b, y, x);
    bool const counts =
        at >= 0 && (chosen == nullptr || chosen[(b * of.labels.extent[1] + y) * of.labels.extent[2] + x] != 0);
    if (!counts) {
      for (index_t c = 0; c < C; ++c) gradient(b, c, y, x) = 0;
      return;
    }
    double const part = value->pixels > 0 ? 1 / static_cast<double>(value->pixels) : 0, most = of.most(b, y, x);
    double rest = 0;
    for (index_t c = 0; c < C; ++c)
      if (c != at) rest += of.exponential(b, c, y, x, most);
    double const sum = rest + of.exponential(b, at, y, x, most);
    for (index_t c = 0; c < C; ++c)
      gradient(b, c, y, x) = static_cast<T>(
          c == at ? -(rest / sum) * part : of.exponential(b, c, y, x, most) / sum * part);  // 1 - p does not cancel
  }
};

/// Last rule.
struct mean_of_pixels {
  double const* sum;
  cross_entropy_value* value;
  CAMBIUM_HD void operator()(index_t) const
  {
    value->value = value->pixels > 0 ? *sum * (1 / static_cast<double>(value->pixels)) : 0;
  }
};

/// Room for cross_entropy of a batch of this shape: 8 bytes a pixel.
template <execution_policy P>
struct cross_entropy_scratch {
  using S = typename P::memory;
  cross_entropy_scratch(P const& where, index_t const (&extent)[3])  ///< [B,H,W]
      : loss(make_grid<double>(where, extent)),
        labelled(make_grid<index_t>(where, {1})),
        sum(make_grid<double>(where, {1}))
  {
  }

  grid<double, 3, S> loss;
  grid<index_t, 1, S> labelled;
  grid<double, 1, S> sum;
  workspace<P> space;
};

/// Room for hardest_pixels_cross_entropy as well: 33 bytes a pixel, and what a sort works in.
template <execution_policy P>
struct hard_pixels_scratch : cross_entropy_scratch<P> {
  using S = typename P::memory;
  hard_pixels_scratch(P const& where, index_t const (&extent)[3])  ///< [B,H,W]
      : cross_entropy_scratch<P>(where, extent),
        key(make_grid<std::uint64_t>(where, {this->loss.size()})),
        sorted_key(make_grid<std::uint64_t>(where, {this->loss.size()})),
        number(make_grid<std::int32_t>(where, {this->loss.size()})),
        sorted_number(make_grid<std::int32_t>(where, {this->loss.size()})),
        chosen(make_grid<std::uint8_t>(where, {this->loss.size()}))
  {
  }

  grid<std::uint64_t, 1, S> key, sorted_key;
  grid<std::int32_t, 1, S> number, sorted_number;
  grid<std::uint8_t, 1, S> chosen;
};

template <class P, class T, class I, class S>
void check_cross_entropy(labelled_logits<T, I, S> const& of, view<T, 4, S> gradient,
                         view<cross_entropy_value, 1, S> value, cross_entropy_scratch<P> const& scratch,
                         std::string const& name)
{
  static_assert(std::is_integral_v<I>, "cross entropy: labels are integers");
  auto const& logits = of.logits;
  auto const& labels = of.labels;
  expects(labels.extent[0] == logits.extent[0] && labels.extent[1] == logits.extent[2] &&
              labels.extent[2] == logits.extent[3],
          name, ": logits are ", logits, " but labels are ", labels);
  expects(same_shape(logits, gradient), name, ": logits are ", logits, " but gradient is ", gradient);
  expects(value.extent[0] == 1, name, ": value is ", value, "; it is one cell");
  expects(!overlap(gradient, logits) && !overlap(gradient, labels), name, ": the gradient overlaps an input");
  expects(same_shape(labels, scratch.loss.view()), name, ": labels are ", labels, " but the scratch is for ",
          scratch.loss.view());
}

/// Value and gradient from the losses of all pixels and the choice among them.
template <class P, class T, class I, class S>
void finish_cross_entropy(P const& where, labelled_logits<T, I, S> const& of, std::uint8_t const* chosen,
                          view<T, 4, S> gradient, cross_entropy_value* value, cross_entropy_scratch<P>& scratch)
{
  double const* const loss = scratch.loss.view().data;
  double* const sum = scratch.sum.view().data;
  for_each_cell(where, of.labels.extent, slope_of_pixel<T, I, S>{of, chosen, value, gradient});
  reduce(where, of.labels.size(), loss_if_chosen{loss, chosen}, 0.0, plus{}, sum, scratch.space);
  for_each_index(where, 1, mean_of_pixels{sum, value});
}

/// cross_entropy into memory of the caller's.
///
/// As in hard_pixels.hpp, but that values are not looked at: a label that is no class is ignored, and NaN or infinite
/// logits make the value, and the slopes of their own pixel, what arithmetic makes of them.
///
/// @param where     gpu
/// @param gradient  [B,C,H,W] d value / d logits
/// @param value     [1]
/// @param scratch   made for [B,H,W]; one call at a time
///
/// @throws       precondition_error: shapes that differ, a gradient that overlaps an input
/// @complexity   Theta(B * C * H * W) exponentials
/// @determinism  the same bits on every run; sums in double and in a fixed tree: values within 1e-12 of the cpu's, slopes
///               within a rounding
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class I, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void cross_entropy_into(P const& where, view<T const, 4, S> logits, view<I const, 3, S> labels,
                        std::type_identity_t<view<T, 4, S>> gradient,
                        std::type_identity_t<view<cross_entropy_value, 1, S>> value, cross_entropy_scratch<P>& scratch)
{
  labelled_logits<T, I, S> const of{logits, labels};
  check_cross_entropy<P, T, I, S>(of, gradient, value, scratch, "cross_entropy");
  index_t* const labelled = scratch.labelled.view().data;
  reduce(where, labels.size(), counts_labelled<T, I, S>{of}, index_t{0}, plus{}, labelled, scratch.space);
  for_each_index(where, 1, share_pixels{labelled, 0, 1.0, value.data});
  for_each_cell(where, labels.extent, lose_pixel<T, I, S>{of, scratch.loss.view().data});
  finish_cross_entropy<P, T, I, S>(where, of, nullptr, gradient, value.data, scratch);
}

/// hardest_pixels_cross_entropy into memory of the caller's. As cross_entropy_into; the same pixels are taken as on the
/// cpu, unless two losses around the last one lie within a rounding of each other. A NaN is harder than any number.
///
/// @param scratch  made for [B,H,W]; one call at a time
/// @throws       precondition_error: as there, a fraction outside (0,1], more than 2^31 - 1 pixels
/// @complexity   Theta(B * C * H * W) exponentials, and a sort of B * H * W
template <execution_policy P, class T, class I, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void hardest_pixels_cross_entropy_into(P const& where, view<T const, 4, S> logits, view<I const, 3, S> labels,
                                       hard_pixel_options options, std::type_identity_t<view<T, 4, S>> gradient,
                                       std::type_identity_t<view<cross_entropy_value, 1, S>> value,
                                       hard_pixels_scratch<P>& scratch)
{
  labelled_logits<T, I, S> const of{logits, labels};
  expects(options.fraction > 0 && options.fraction <= 1, "hardest_pixels_cross_entropy: fraction is ", options.fraction,
          ", outside (0,1]");
  check_cross_entropy<P, T, I, S>(of, gradient, value, scratch, "hardest_pixels_cross_entropy");
  index_t const N = labels.size();
  expects(N <= std::numeric_limits<std::int32_t>::max(), "hardest_pixels_cross_entropy: ", N, " pixels are too many");
  bool const labelled_only = options.of == pixel_pool::labelled;
  index_t* const labelled = scratch.labelled.view().data;
  double* const loss = scratch.loss.view().data;
  std::uint64_t* const key = scratch.key.view().data;
  std::int32_t *const number = scratch.number.view().data, *const sorted = scratch.sorted_number.view().data;
  std::uint8_t* const chosen = scratch.chosen.view().data;
  reduce(where, N, counts_labelled<T, I, S>{of}, index_t{0}, plus{}, labelled, scratch.space);
  for_each_index(where, 1, share_pixels{labelled_only ? labelled : nullptr, N, options.fraction, value.data});
  for_each_cell(where, labels.extent, lose_pixel<T, I, S>{of, loss});
  for_each_index(where, N, order_losses<T, I, S>{of, labelled_only, loss, key, number, chosen});
  sort_by_key(where, N, key, number, scratch.sorted_key.view().data, sorted, 64, scratch.space);
  for_each_index(where, N, choose_first{sorted, value.data, chosen});
  finish_cross_entropy<P, T, I, S>(where, of, chosen, gradient, value.data, scratch);
}

/// As cross_entropy in hard_pixels.hpp, with what cross_entropy_into says of values and rounding.
///
/// @return value and number of pixels, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> X, gridded<3> L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 4>>
[[nodiscard]] auto cross_entropy(P const& where, X const& logits, L const& labels)
{
  using T = value_of<X, 4>;
  using I = value_of<L, 3>;
  using S = space_of<X, 4>;
  view<T const, 4, S> const z = as_view<4>(logits, "cross_entropy: logits");
  view<I const, 3, S> const l = as_view<3>(labels, "cross_entropy: labels");
  cross_entropy_loss<T, S> out{{}, make_grid<T>(where, z.extent)};
  auto value = make_grid<cross_entropy_value>(where, {1});
  cross_entropy_scratch<P> scratch(where, l.extent);
  cross_entropy_into<P, T, I, S>(where, z, l, out.gradient.view(), value.view(), scratch);
  static_cast<cross_entropy_value&>(out) = read_cell(where, static_cast<cross_entropy_value const*>(value.view().data));
  return out;
}

/// As hardest_pixels_cross_entropy in hard_pixels.hpp, with what hardest_pixels_cross_entropy_into says of values and
/// rounding.
///
/// @return value and k, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> X, gridded<3> L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 4>>
[[nodiscard]] auto hardest_pixels_cross_entropy(P const& where, X const& logits, L const& labels,
                                                hard_pixel_options options = {})
{
  using T = value_of<X, 4>;
  using I = value_of<L, 3>;
  using S = space_of<X, 4>;
  view<T const, 4, S> const z = as_view<4>(logits, "hardest_pixels_cross_entropy: logits");
  view<I const, 3, S> const l = as_view<3>(labels, "hardest_pixels_cross_entropy: labels");
  cross_entropy_loss<T, S> out{{}, make_grid<T>(where, z.extent)};
  auto value = make_grid<cross_entropy_value>(where, {1});
  hard_pixels_scratch<P> scratch(where, l.extent);
  hardest_pixels_cross_entropy_into<P, T, I, S>(where, z, l, options, out.gradient.view(), value.view(), scratch);
  static_cast<cross_entropy_value&>(out) = read_cell(where, static_cast<cross_entropy_value const*>(value.view().data));
  return out;
}

}  // namespace cambium
