#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
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

}  // namespace cambium
