#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
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

  /// Is every labelled pixel taken? Then there is nothing to choose.
  bool every_labelled() const { return fraction == 1 && of == pixel_pool::labelled; }
};

namespace rule {

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
  CAMBIUM_HD bool labelled(index_t i) const
  {
    index_t const H = labels.extent[1], W = labels.extent[2];
    return label(i / W / H, i / W % H, i % W) >= 0;
  }
  CAMBIUM_HD double score(index_t b, index_t c, index_t y, index_t x) const
  {
    return static_cast<double>(logits(b, c, y, x));
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
    auto const all = softmax_of(of.logits.extent[1], [&](index_t c) { return of.score(b, c, y, x); });
    out = std::log(all.sum) + (all.most - of.score(b, at, y, x));
  }
};

/// Is a pixel labelled? For counting.
template <class T, class I, class S>
struct counts_labelled {
  labelled_logits<T, I, S> of;
  CAMBIUM_HD index_t operator()(index_t i) const { return of.labelled(i); }
};

/// The number of pixels that the mean is taken of.
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

/// Keys that rise where losses fall; NaN comes first, pixels that do not count last.
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
    constexpr std::uint64_t sign = std::uint64_t{1} << 63;
    double const v = loss[i];
    bool const counts = !labelled_only || of.labelled(i);
    key[i] = !counts ? ~std::uint64_t{0} : v != v ? 0 : ~(static_cast<std::uint64_t>(order_key(v)) ^ sign);
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

/// Softmax minus one at the label, over the number of pixels; 0 at pixels that are not chosen.
template <class T, class I, class S>
struct slope_of_pixel {
  labelled_logits<T, I, S> of;
  std::uint8_t const* chosen;  ///< or null: all
  cross_entropy_value const* value;
  view<T, 4, S> gradient;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const { slopes(b, y, x, nullptr); }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t b, index_t y) const
  {
    std::vector<double> kept(static_cast<std::size_t>(of.logits.extent[1]));
    for (index_t x = 0; x < of.labels.extent[2]; ++x) slopes(b, y, x, kept.data());
  }

 private:
  /// Exponentials are kept where there is room for them, or formed twice.
  CAMBIUM_HD void slopes(index_t b, index_t y, index_t x, double* kept) const
  {
    index_t const C = of.logits.extent[1], at = of.label(b, y, x);
    bool const counts =
        at >= 0 && (chosen == nullptr || chosen[(b * of.labels.extent[1] + y) * of.labels.extent[2] + x] != 0);
    if (!counts) {
      for (index_t c = 0; c < C; ++c) gradient(b, c, y, x) = 0;
      return;
    }
    // Relative to the largest logit: loss + logit of the label would be their normaliser, but cancels.
    double const part = value->pixels > 0 ? 1 / static_cast<double>(value->pixels) : 0;
    auto const rest = softmax_of(
        C, [&](index_t c) { return of.score(b, c, y, x); },
        [&](index_t c, double v) {
          double const e = std::exp(v);
          if (kept != nullptr) kept[c] = e;
          return c == at ? 0 : e;
        });
    auto const exponential = [&](index_t c) {
      return kept != nullptr ? kept[c] : std::exp(of.score(b, c, y, x) - rest.most);
    };
    double const sum = rest.sum + exponential(at);
    for (index_t c = 0; c < C; ++c)
      gradient(b, c, y, x) =
          static_cast<T>(c == at ? -(rest.sum / sum) * part : exponential(c) / sum * part);  // 1 - p does not cancel
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

}  // namespace rule

/// Room for the cross entropy of a batch of this shape: 8 bytes a pixel; 33 and what a sort works in if a device
/// chooses.
template <execution_policy P>
struct cross_entropy_scratch {
  using S = typename P::memory;
  cross_entropy_scratch(P const& where, index_t const (&extent)[3],  ///< [B,H,W]
                        hard_pixel_options const& options)
      : loss(make_grid<double>(where, extent)),
        labelled(make_grid<index_t>(where, {1})),
        sum(make_grid<double>(where, {1}))
  {
    if (options.every_labelled()) return;
    chosen = make_grid<std::uint8_t>(where, {loss.size()});
    if constexpr (!std::is_same_v<P, cpu>) {
      key = make_grid<std::uint64_t>(where, {loss.size()}), sorted_key = make_grid<std::uint64_t>(where, {loss.size()});
      number = make_grid<std::int32_t>(where, {loss.size()});
      sorted_number = make_grid<std::int32_t>(where, {loss.size()});
    }
  }

  grid<double, 3, S> loss;
  grid<index_t, 1, S> labelled;
  grid<double, 1, S> sum;
  grid<std::uint64_t, 1, S> key, sorted_key;
  grid<std::int32_t, 1, S> number, sorted_number;
  grid<std::uint8_t, 1, S> chosen;
  workspace<P> space;
};

/// The cpu's count of labelled pixels, in order; other policies reduce.
template <class T, class I>
void count_labelled_on(cpu const&, rule::labelled_logits<T, I, host> const& of, index_t* out, workspace<cpu>&)
{
  index_t n = 0;
  for (index_t b = 0; b < of.labels.extent[0]; ++b)
    for (index_t y = 0; y < of.labels.extent[1]; ++y)
      for (index_t x = 0; x < of.labels.extent[2]; ++x) n += of.label(b, y, x) >= 0;
  *out = n;
}
template <class P, class T, class I, class S>
void count_labelled_on(P const& where, rule::labelled_logits<T, I, S> const& of, index_t* out, workspace<P>& space)
{
  reduce(where, of.labels.size(), rule::counts_labelled<T, I, S>{of}, index_t{0}, plus{}, out, space);
}

/// The cpu's sum: row by row, then the rows in order.
inline void sum_losses_on(cpu const&, index_t const (&extent)[3], rule::loss_if_chosen const& loss, double* out,
                          workspace<cpu>&)
{
  *out = 0;
  for (index_t row = 0; row < extent[0] * extent[1]; ++row) {
    double sum = 0;
    for (index_t x = 0; x < extent[2]; ++x) sum += loss(row * extent[2] + x);
    *out += sum;
  }
}
template <class P>
void sum_losses_on(P const& where, index_t const (&extent)[3], rule::loss_if_chosen const& loss, double* out,
                   workspace<P>& space)
{
  reduce(where, extent[0] * extent[1] * extent[2], loss, 0.0, plus{}, out, space);
}

/// Mark the hardest pixels in scratch.chosen: the cpu selects the k-th loss, other policies sort.
template <class T, class I>
void choose_hardest_on(cpu const&, rule::labelled_logits<T, I, host> const& of, bool labelled_only,
                       cross_entropy_value const* value, cross_entropy_scratch<cpu>& scratch)
{
  double const* const loss = scratch.loss.data();
  index_t const N = scratch.loss.size();
  std::vector<double> pool;
  pool.reserve(static_cast<std::size_t>(N));
  for (index_t i = 0; i < N; ++i)
    if (!labelled_only || of.labelled(i)) pool.push_back(loss[i]);
  if (pool.empty()) return scratch.chosen.cells().assign(scratch.chosen.cells().size(), 0);
  auto const last = pool.begin() + static_cast<std::ptrdiff_t>(value->pixels - 1);
  std::nth_element(pool.begin(), last, pool.end(), std::greater<>{});
  double const least = *last;
  index_t room = value->pixels;  // for losses equal to the k-th, of which the first are taken
  for (index_t i = 0; i < N; ++i) room -= loss[i] > least;
  for (index_t i = 0; i < N; ++i) {
    bool const tied = loss[i] == least && room > 0 && (!labelled_only || of.labelled(i));
    scratch.chosen.data()[i] = loss[i] > least || tied;
    room -= tied;
  }
}
template <class P, class T, class I, class S>
void choose_hardest_on(P const& where, rule::labelled_logits<T, I, S> const& of, bool labelled_only,
                       cross_entropy_value const* value, cross_entropy_scratch<P>& scratch)
{
  index_t const N = scratch.loss.size();
  std::uint64_t* const key = scratch.key.view().data;
  std::int32_t *const number = scratch.number.view().data, *const sorted = scratch.sorted_number.view().data;
  std::uint8_t* const chosen = scratch.chosen.view().data;
  double const* const loss = scratch.loss.view().data;
  for_each_index(where, N, rule::order_losses<T, I, S>{of, labelled_only, loss, key, number, chosen});
  sort_by_key(where, N, key, number, scratch.sorted_key.view().data, sorted, 64, scratch.space);
  for_each_index(where, N, rule::choose_first{sorted, value, chosen});
}

/// Cross entropy over the hardest pixels of a batch, and its gradient.
///
///   a pixel's loss: log sum_c exp(logits_c) - logits_label
///
/// The k = floor(fraction * pixels) largest losses, at least one, are summed and divided by k. Of equal losses the
/// pixels that come first in [b,y,x] are taken. An ignored pixel has loss 0.
///
/// @param where     where to run; must reach all memory
/// @param logits    [B,C,H,W] finite
/// @param labels    [B,H,W] 0..C-1, or label::ignore, which is no class even where there are more than 255
/// @param options   fraction = 0.2, of = all
/// @param gradient  [B,C,H,W] d value / d logits, 0 at every other pixel; no input
/// @param value     [1] the value and k; both 0 where no pixel counts
/// @param scratch   made for [B,H,W] and these options; one call at a time
/// @param name      begins every message
///
/// @throws       precondition_error before anything is written: shapes that differ, NaN or infinite logits, labels or
///               fraction outside their range, a gradient that overlaps an input; on a device more than 2^31 - 1 pixels
/// @invariant    fraction = 1 of the labelled pixels is cross_entropy
/// @complexity   Theta(B * C * H * W) exponentials; selection in expected Theta(B * H * W), by sorting on a device
/// @determinism  the same bits on every run and for every number of threads; sums in double. A device sums in a fixed
///               tree: values within 1e-12 of the cpu's, slopes within a rounding. It takes the same pixels, unless two
///               losses around the last one lie within a rounding of each other
/// @asynchrony   gpu: enqueues and returns, and does not look at values: a label that is no class is ignored, and NaN
///               or infinite logits make the value, and the slopes of their own pixel, what arithmetic makes of them. A
///               NaN is harder than any number
/// @source       DeepLabCE, utils/loss.py of clovaai/BESTIE, after Yang et al., "DeeperLab", 2019. There fewer than 5
///               pixels give k = 0 and NaN, and which of equal losses are taken is left open
template <execution_policy P, gridded<4> X, gridded<3> L, gridded<4> G, gridded<1> V>
  requires reaches<P, space_of<X, 4>>
void hardest_pixels_cross_entropy_into(P const& where, X const& logits, L const& labels, hard_pixel_options options,
                                       G&& gradient, V&& value, cross_entropy_scratch<P>& scratch,
                                       std::string const& name = "hardest_pixels_cross_entropy")
{
  using T = value_of<X, 4>;
  using I = value_of<L, 3>;
  using S = space_of<X, 4>;
  static_assert(std::is_integral_v<I>, "cross entropy: labels are integers");
  view<T const, 4, S> const z = as_view<4>(logits, (name + ": logits").c_str());
  view<I const, 3, S> const l = as_view<3>(labels, (name + ": labels").c_str());
  view<T, 4, S> const by = as_view<4>(gradient, (name + ": gradient").c_str());
  view<cross_entropy_value, 1, S> const to = as_view<1>(value, (name + ": value").c_str());
  index_t const C = z.extent[1], N = l.size();
  expects(options.fraction > 0 && options.fraction <= 1, name, ": fraction is ", options.fraction, ", outside (0,1]");
  expects(l.extent[0] == z.extent[0] && l.extent[1] == z.extent[2] && l.extent[2] == z.extent[3], name,
          ": logits are ", z, " but labels are ", l);
  expects(same_shape(z, by), name, ": logits are ", z, " but gradient is ", by);
  expects(to.extent[0] == 1, name, ": value is ", to, "; it is one cell");
  expects(!overlap(by, z) && !overlap(by, l), name, ": the gradient overlaps an input");
  expects(same_shape(l, scratch.loss.view()) && (options.every_labelled() || scratch.chosen.size() == N), name,
          ": labels are ", l, " but the scratch is for ", scratch.loss.view(), " or other options");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, z, (name + ": logits").c_str());
    for (index_t b = 0; b < l.extent[0]; ++b)
      for (index_t y = 0; y < l.extent[1]; ++y)
        for (index_t x = 0; x < l.extent[2]; ++x) {
          auto const at = static_cast<index_t>(l(b, y, x));
          expects((0 <= at && at < C) || at == label::ignore, name, ": label(", b, ",", y, ",", x, ") is ", at,
                  ", outside 0..", C - 1, " and not ", label::ignore);
        }
  } else {
    expects(N <= std::numeric_limits<std::int32_t>::max(), name, ": ", N, " pixels are too many");
  }

  rule::labelled_logits<T, I, S> const of{z, l};
  bool const labelled_only = options.of == pixel_pool::labelled;
  index_t* const labelled = labelled_only ? scratch.labelled.view().data : nullptr;
  double *const loss = scratch.loss.view().data, *const sum = scratch.sum.view().data;
  std::uint8_t* const chosen = options.every_labelled() ? nullptr : scratch.chosen.view().data;
  if (labelled != nullptr) count_labelled_on(where, of, labelled, scratch.space);
  for_each_index(where, 1, rule::share_pixels{labelled, N, options.fraction, to.data});
  for_each_cell(where, l.extent, rule::lose_pixel<T, I, S>{of, loss});
  if (chosen != nullptr) choose_hardest_on(where, of, labelled_only, to.data, scratch);
  for_each_cell(where, l.extent, rule::slope_of_pixel<T, I, S>{of, chosen, to.data, by});
  sum_losses_on(where, l.extent, rule::loss_if_chosen{loss, chosen}, sum, scratch.space);
  for_each_index(where, 1, rule::mean_of_pixels{sum, to.data});
}

/// As hardest_pixels_cross_entropy_into, and allocates the result.
/// @return value and k, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> X, gridded<3> L>
  requires reaches<P, space_of<X, 4>>
[[nodiscard]] auto hardest_pixels_cross_entropy(P const& where, X const& logits, L const& labels,
                                                hard_pixel_options options = {},
                                                std::string const& name = "hardest_pixels_cross_entropy")
{
  using T = value_of<X, 4>;
  auto const z = as_view<4>(logits, (name + ": logits").c_str());
  auto const l = as_view<3>(labels, (name + ": labels").c_str());
  cross_entropy_loss<T, space_of<X, 4>> out{{}, make_grid<T>(where, z.extent)};
  auto value = make_grid<cross_entropy_value>(where, {1});
  cross_entropy_scratch<P> scratch(where, l.extent, options);
  hardest_pixels_cross_entropy_into(where, z, l, options, out.gradient.view(), value.view(), scratch, name);
  static_cast<cross_entropy_value&>(out) = read_cell(where, static_cast<cross_entropy_value const*>(value.view().data));
  return out;
}

/// Cross entropy over the labelled pixels of a batch, and its gradient: that of the hardest pixels with fraction = 1 of
/// the labelled ones, see hardest_pixels_cross_entropy_into.
///
/// @return the value, the number of labelled pixels, and d value / d logits; 0 without a labelled pixel
/// @source RegularCE, utils/loss.py of clovaai/BESTIE
template <execution_policy P, gridded<4> X, gridded<3> L>
[[nodiscard]] auto cross_entropy(P const& where, X const& logits, L const& labels)
{
  return hardest_pixels_cross_entropy(where, logits, labels, {.fraction = 1, .of = pixel_pool::labelled},
                                      "cross_entropy");
}

}  // namespace cambium
