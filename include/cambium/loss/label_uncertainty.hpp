#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/gaussian_logit.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/loss/uncertain_pieces.hpp>
#include <cambium/loss/uncertain_row.hpp>
#include <cambium/loss/uncertain_softmax.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// What the classes of a cell have to do with each other.
enum class class_model {
  one_vs_rest,  ///< every channel is a binary question of its own: boxes of several classes may overlap
  mean_field,   ///< softmax over kappa_c * mean_c; channel 0 is usually the background
  sampled       ///< the mean of softmax over logits drawn from their Gaussians
};

struct label_uncertainty_options {
  class_model classes = class_model::one_vs_rest;
  double largest_sigma = 1e15;  ///< larger ones count as this; in (0,1e15]. 5 to 50 where much of a box may be wrong
  double box_weight = 1;        ///< what a boxed cell counts, where a certain one counts 1; in [1e-30,1e30]
  int samples = 32;             ///< of `sampled`, >= 1
  std::uint64_t seed = 0;       ///< of `sampled`: the same seed draws the same numbers; change it every iteration
};

/// The loss of a batch.
struct label_uncertainty_value {
  double value = 0;     ///< the weighted mean over cells that are not ignored; 0 without one
  index_t certain = 0;  ///< [cells] of the trust map
  index_t boxed = 0;    ///< [cells] of the trust map
};

/// The loss of a batch and its gradient.
template <class T, class Space = host>
struct uncertainty_loss : label_uncertainty_value {
  grid<T, 4, Space> by_mean;          ///< [B,C,H,W]
  grid<T, 4, Space> by_log_variance;  ///< the shape of log_variance
};

namespace rule {

template <class S>
struct loss_of_pixel {
  view<double const, 3, S> loss;
  CAMBIUM_HD double operator()(index_t i) const { return loss.data[i]; }  // without gaps
};

/// Last rule.
struct hand_out_uncertainty {
  double const* sum;
  trust_counts const* counts;
  label_uncertainty_value* value;
  CAMBIUM_HD void operator()(index_t) const { *value = {*sum, counts->certain, counts->boxed}; }
};

template <class T, class S>
struct expect_sigmoid {
  view<T const, 3, S> mean, log_variance;
  double largest;
  view<T, 3, S> out;

  CAMBIUM_HD void operator()(index_t c, index_t y, index_t x) const
  {
    double const s = static_cast<double>(log_variance(log_variance.extent[0] == 1 ? 0 : c, y, x));
    gaussian_logit const z{static_cast<double>(mean(c, y, x)), largest < s ? largest : s};
    out(c, y, x) = static_cast<T>(1 / (1 + std::exp(-z.expected_logit())));
  }
};

}  // namespace rule

/// Room for the loss of a batch of this shape: 8 bytes a pixel, and for `sampled` on a device up to 64 MB, or what 256
/// pixels need. The cpu needs none for one_vs_rest.
template <execution_policy P>
struct label_uncertainty_scratch {
  using S = typename P::memory;
  static constexpr bool cores = std::is_same_v<P, cpu>;

  label_uncertainty_scratch(P const& where, index_t const (&mean)[4],  ///< [B,C,H,W]
                            label_uncertainty_options const& options)
      : counts(make_grid<rule::trust_counts>(where, {1})), numbers(make_grid<double>(where, {3}))
  {
    if (cores && options.classes == class_model::one_vs_rest) return;
    loss = make_grid<double>(where, {mean[0], mean[2], mean[3]});
    if (cores || options.classes != class_model::sampled || options.samples < 1) return;
    index_t const pixels = loss.size(), a_pixel = rule::uncertain_sampled<float, S>::numbers(options.samples, mean[1]);
    many = std::min(pixels, std::max<index_t>(256, (index_t{8} << 20) / std::max<index_t>(1, a_pixel)));
    drawn = make_grid<double>(where, {many * a_pixel});
  }

  /// Does the loss of this shape and these options fit?
  bool fits(index_t const (&mean)[4], label_uncertainty_options const& options) const
  {
    if (cores && options.classes == class_model::one_vs_rest) return true;
    index_t const a_pixel = rule::uncertain_sampled<float, S>::numbers(options.samples, mean[1]);
    auto const v = loss.view();
    return v.extent[0] == mean[0] && v.extent[1] == mean[2] && v.extent[2] == mean[3] &&
           (cores || options.classes != class_model::sampled || loss.size() == 0 ||
            (many > 0 && drawn.size() >= many * a_pixel));
  }

  grid<double, 3, S> loss;
  grid<rule::trust_counts, 1, S> counts;
  grid<double, 1, S> numbers;  ///< what a certain and a boxed cell are worth, and the value
  index_t many = 0;            ///< pixels whose draws fit
  grid<double, 1, S> drawn;
  workspace<P> sums;
};

/// Counts certain and boxed cells; the cpu refuses other values.
template <class T>
void count_trust_on(cpu const& where, rule::uncertain_maps<T, host> const& maps,
                    label_uncertainty_scratch<cpu>& scratch)
{
  scratch.counts(0) = uncertain_pieces<T>(maps).count(where);
}
template <class P, class T, class S>
void count_trust_on(P const& where, rule::uncertain_maps<T, S> const& maps, label_uncertainty_scratch<P>& scratch)
{
  reduce(where, maps.mean.extent[1] == 0 ? 0 : maps.trusted.size(), rule::counts_trust<S>{maps.trusted},
         rule::trust_counts{}, rule::add_trust_counts{}, scratch.counts.view().data, scratch.sums);
}

/// Gradients, and the sum of all losses. @return may a value be invalid? Only the cpu knows
template <class T>
bool sum_losses_on(cpu const& where, rule::uncertain_maps<T, host> const& maps,
                   label_uncertainty_options const& options, double* sum, label_uncertainty_scratch<cpu>&)
{
  bool invalid = false;
  uncertain_pieces<T> const pieces(maps);
  *sum = options.classes == class_model::one_vs_rest
             ? pieces.binary(where, &invalid)
             : pieces.softmax(where, options.classes == class_model::sampled, options.samples, options.seed);
  return invalid;
}
template <class P, class T, class S>
bool sum_losses_on(P const& where, rule::uncertain_maps<T, S> const& maps, label_uncertainty_options const& options,
                   double* sum, label_uncertainty_scratch<P>& scratch)
{
  auto const loss = maps.loss;
  bool const sampled = options.classes == class_model::sampled && maps.mean.extent[1] > 0;
  if (options.classes == class_model::one_vs_rest)
    for_each_cell(where, loss.extent, rule::uncertain_binary<T, S>{maps});
  else
    for_each_cell(where, loss.extent, rule::uncertain_mean_field<T, S>{maps, sampled});
  for (index_t first = 0; sampled && first < loss.size(); first += scratch.many)
    for_each_index(where, std::min(scratch.many, loss.size() - first),
                   rule::uncertain_sampled<T, S>{maps, first, scratch.many, options.samples, options.seed,
                                                 scratch.drawn.view().data});
  reduce(where, loss.size(), rule::loss_of_pixel<S>{loss}, 0.0, plus{}, sum, scratch.sums);
  return false;
}

/// Throws unless the shapes fit, the gradients overlap nothing, and the options are within their ranges.
template <class T, class S>
void expects_uncertainty(rule::uncertain_maps<T, S> const& maps, label_uncertainty_options const& options)
{
  auto const& [mean, log_variance, target, trusted, by_mean, by_log_variance, largest, worth, loss] = maps;
  index_t const B = mean.extent[0], C = mean.extent[1], H = mean.extent[2], W = mean.extent[3];
  auto const fits = [&](auto const& v) {
    return v.extent[0] == B && (v.extent[1] == C || v.extent[1] == 1) && v.extent[2] == H && v.extent[3] == W;
  };
  bool const binary = options.classes == class_model::one_vs_rest;
  expects(fits(log_variance), "label_uncertainty_loss: mean is ", mean, " but log_variance is ", log_variance);
  expects(same_shape(mean, target), "label_uncertainty_loss: mean is ", mean, " but target is ", target);
  expects(fits(trusted), "label_uncertainty_loss: mean is ", mean, " but trusted is ", trusted);
  expects(binary || trusted.extent[1] == 1, "label_uncertainty_loss: trusted is ", trusted,
          "; with a softmax it is one a pixel, [B,1,H,W]");
  expects(same_shape(mean, by_mean), "label_uncertainty_loss: mean is ", mean, " but by_mean is ", by_mean);
  expects(same_shape(log_variance, by_log_variance), "label_uncertainty_loss: log_variance is ", log_variance,
          " but by_log_variance is ", by_log_variance);
  expects(options.largest_sigma > 0 && options.largest_sigma <= 1e15, "label_uncertainty_loss: largest_sigma is ",
          options.largest_sigma, ", outside (0,1e15]");
  expects(options.box_weight >= 1e-30 && options.box_weight <= 1e30, "label_uncertainty_loss: box_weight is ",
          options.box_weight, ", outside [1e-30,1e30]");
  expects(options.samples >= 1, "label_uncertainty_loss: ", options.samples, " samples");
  for (auto const& out : {by_mean, by_log_variance})
    expects(!overlap(out, mean) && !overlap(out, log_variance) && !overlap(out, target) && !overlap(out, trusted),
            "label_uncertainty_loss: a gradient overlaps an input");
  expects(!overlap(by_mean, by_log_variance), "label_uncertainty_loss: the gradients overlap");
}

/// Learn how wrong box labels are: cross entropy with an expected probability on boxed cells, with the plain one on
/// certain cells, and its gradient.
///
/// The network gives a Gaussian over every logit. With kappa = 1 / sqrt(1 + pi/8 sigma^2), y the target,
///
///   loss = -y log sigmoid(z) - (1 - y) log(1 - sigmoid(z)),  z = kappa * mean in boxes, mean elsewhere,
///
/// and for several classes -sum_c y_c log softmax(z)_c, or Monte Carlo over drawn logits. A cell that looks like
/// background can then explain a foreground label inside a box by a large sigma, and keep the sign that the certain
/// cells teach it.
///
/// @param where            where to run; must reach all memory
/// @param mean             [B,C,H,W] of the logits
/// @param log_variance     [B,C,H,W], or [B,1,H,W] for all classes of a pixel: log sigma^2
/// @param target           [B,C,H,W] in [0,1]; classes under a softmax usually sum to 1
/// @param trusted          [B,C,H,W] or [B,1,H,W] of trust::ignored, certain, boxed; with a softmax [B,1,H,W]
/// @param options          classes = one_vs_rest, largest_sigma = 1e15, box_weight = 1, samples = 32, seed = 0
/// @param by_mean          [B,C,H,W] d value / d mean
/// @param by_log_variance  the shape of log_variance: d value / d log_variance; beyond largest_sigma it is 0
/// @param value            [1] value and counts
/// @param scratch          made for the shape of mean and these options; one call at a time
///
/// @throws       precondition_error before anything is written: shapes that differ, NaN or infinite values, targets
///               outside [0,1], trust beyond 2, options outside their ranges, gradients that overlap an input or each
///               other. But for NaN, infinities and wrong targets in one_vs_rest of floats, which the cpu finds on the
///               way: both gradients are 0 then
/// @invariant    float and double agree within 5e-6 of a cell; nothing overflows for any finite log_variance
/// @complexity   Theta(B * C * H * W), `samples` times that for `sampled`
/// @determinism  the same bits on every run and for every number of threads: pieces of 4096 cells, summed in order, in
///               double. `sampled` draws by counter: seed, pixel, sample and class. A device computes a pixel in one
///               thread, in double, and sums pixels in a fixed tree: values and slopes of double within 1e-12 of the
///               cpu's, unless a sum cancels; of float the cpu takes one_vs_rest in float, within 5e-6 of a cell.
///               `sampled` draws the same numbers, up to the last bits of logarithm and cosine
/// @asynchrony   gpu: enqueues and returns, and does not look at values: trust beyond 2 is ignored, and NaN, infinities
///               and targets outside [0,1] come out as arithmetic makes them, in the value and in the slopes of their
///               own pixel. Ignored cells stay 0 whatever they hold
/// @source       Neven et al., "Weakly-supervised semantic segmentation by learning label uncertainty", ICCVW 2021,
///               whose abstract says that an uncertainty is learned within the boxes; the equation of a binary cell as
///               an independent implementation cites it from section 3.2.1. That only boxed cells are softened, the
///               cap, the weight and all models of several classes are ours; `sampled` is Kendall & Gal, NIPS 2017
template <execution_policy P, gridded<4> M, gridded<4> V, gridded<4> Y, gridded<4> R, gridded<4> G, gridded<4> H,
          gridded<1> N>
  requires reaches<P, space_of<M, 4>>
void label_uncertainty_loss_into(P const& where, M const& mean, V const& log_variance, Y const& target,
                                 R const& trusted, label_uncertainty_options const& options, G&& by_mean,
                                 H&& by_log_variance, N&& value, label_uncertainty_scratch<P>& scratch)
{
  using T = value_of<M, 4>;
  using S = space_of<M, 4>;
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  double* const worth = scratch.numbers.view().data;
  rule::uncertain_maps<T, S> const maps{as_view<4>(mean, "label_uncertainty_loss: mean"),
                                        as_view<4>(log_variance, "label_uncertainty_loss: log_variance"),
                                        as_view<4>(target, "label_uncertainty_loss: target"),
                                        as_view<4>(trusted, "label_uncertainty_loss: trusted"),
                                        as_view<4>(by_mean, "label_uncertainty_loss: by_mean"),
                                        as_view<4>(by_log_variance, "label_uncertainty_loss: by_log_variance"),
                                        2 * std::log(options.largest_sigma),
                                        worth,
                                        scratch.loss.view()};
  view<label_uncertainty_value, 1, S> const to = as_view<1>(value, "label_uncertainty_loss: value");
  expects_uncertainty(maps, options);
  expects(to.extent[0] == 1, "label_uncertainty_loss: value is ", to, "; it is one cell");
  expects(scratch.fits(maps.mean.extent, options), "label_uncertainty_loss: mean is ", maps.mean,
          " but the scratch is for another shape or other options");
  bool const binary = options.classes == class_model::one_vs_rest;
  bool const in_registers = binary && std::is_same_v<T, float>;  // a pass of its own would take a third of the time
  auto const expects_values = [&] {
    if constexpr (std::is_same_v<P, cpu>) {
      expects_finite(where, maps.mean, "label_uncertainty_loss: mean");
      expects_finite(where, maps.log_variance, "label_uncertainty_loss: log_variance");
      expects_inside(where, maps.target, T(0), T(1), "label_uncertainty_loss: target", "a value in [0,1]");
    }
  };
  if (!in_registers) expects_values();

  rule::trust_counts const* const counts = scratch.counts.view().data;
  count_trust_on(where, maps, scratch);
  double const shared = binary && maps.trusted.extent[1] == 1 ? static_cast<double>(maps.mean.extent[1]) : 1;
  for_each_index(where, 1, rule::weigh_trust{counts, shared, options.box_weight, worth});
  if (sum_losses_on(where, maps, options, worth + 2, scratch)) {  // or a false alarm: target -0, a loss beyond floats
    try {
      expects_values();
    } catch (...) {
      if constexpr (std::is_same_v<P, cpu>) clear_rows(maps.by_mean), clear_rows(maps.by_log_variance);
      throw;
    }
  }
  for_each_index(where, 1, rule::hand_out_uncertainty{worth + 2, counts, to.data});
}

/// As label_uncertainty_loss_into, and allocates the result.
/// @return value and counts, and the gradients in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> M, gridded<4> V, gridded<4> Y, gridded<4> R>
  requires reaches<P, space_of<M, 4>>
[[nodiscard]] auto label_uncertainty_loss(P const& where, M const& mean, V const& log_variance, Y const& target,
                                          R const& trusted, label_uncertainty_options const& options = {})
{
  using T = value_of<M, 4>;
  auto const mu = as_view<4>(mean, "label_uncertainty_loss: mean");
  auto const s = as_view<4>(log_variance, "label_uncertainty_loss: log_variance");
  uncertainty_loss<T, space_of<M, 4>> out{{}, make_grid<T>(where, mu.extent), make_grid<T>(where, s.extent)};
  auto value = make_grid<label_uncertainty_value>(where, {1});
  label_uncertainty_scratch<P> scratch(where, mu.extent, options);
  label_uncertainty_loss_into(where, mu, s, target, trusted, options, out.by_mean.view(), out.by_log_variance.view(),
                              value.view(), scratch);
  static_cast<label_uncertainty_value&>(out) =
      read_cell(where, static_cast<label_uncertainty_value const*>(value.view().data));
  return out;
}

/// The probability a network with Gaussian logits expects: sigmoid(kappa * mean).
///
/// @param where          where to run; must reach all memory
/// @param mean           [C,H,W]
/// @param log_variance   [C,H,W] or [1,H,W]
/// @param largest_sigma  larger ones count as this; > 0
/// @param out            [C,H,W] in [0,1]; above 1/2 where the mean is above 0. May be the mean
///
/// @throws       precondition_error: shapes that differ, NaN or infinite values, largest_sigma <= 0
/// @complexity   Theta(C * H * W)
/// @determinism  exact up to the mathematics library's exponential; a device's is within a rounding of the cpu's
/// @asynchrony   gpu: enqueues and returns, and does not look at values: NaN stays NaN
/// @source       see gaussian_logit
template <execution_policy P, stack_like M, stack_like V, stack_like O>
  requires reaches<P, space_of<M, 3>>
void expected_sigmoid_into(P const& where, M const& mean, V const& log_variance, double largest_sigma, O&& out)
{
  using T = value_of<M, 3>;
  using S = space_of<M, 3>;
  view<T const, 3, S> const mu = as_view<3>(mean, "expected_sigmoid: mean");
  view<T const, 3, S> const s = as_view<3>(log_variance, "expected_sigmoid: log_variance");
  view<T, 3, S> const to = as_view<3>(out, "expected_sigmoid: out");
  expects((s.extent[0] == mu.extent[0] || s.extent[0] == 1) && s.extent[1] == mu.extent[1] &&
              s.extent[2] == mu.extent[2],
          "expected_sigmoid: mean is ", mu, " but log_variance is ", s);
  expects(largest_sigma > 0, "expected_sigmoid: largest_sigma is ", largest_sigma, "; it must be positive");
  expects(same_shape(mu, to), "expected_sigmoid: mean is ", mu, " but out is ", to);
  expects(!overlap(to, s), "expected_sigmoid: out overlaps log_variance");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, mu, "expected_sigmoid: mean");
    expects_finite(where, s, "expected_sigmoid: log_variance");
  }
  for_each_cell(where, mu.extent, rule::expect_sigmoid<T, S>{mu, s, 2 * std::log(largest_sigma), to});
}

/// As expected_sigmoid_into, and allocates the result.
template <execution_policy P, stack_like M, stack_like V>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto expected_sigmoid(P const& where, M const& mean, V const& log_variance, double largest_sigma = 1e15)
{
  auto const mu = as_view<3>(mean, "expected_sigmoid: mean");
  auto out = make_grid<value_of<M, 3>>(where, mu.extent);
  expected_sigmoid_into(where, mu, log_variance, largest_sigma, out.view());
  return out;
}

}  // namespace cambium
