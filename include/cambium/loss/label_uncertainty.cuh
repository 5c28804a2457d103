#pragma once
// The loss of uncertain labels on a GPU: a thread a pixel, in double, with the operations of label_uncertainty.hpp.

#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/reduce.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/loss/label_uncertainty.hpp>

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace cambium {

/// Counts of certain and boxed cells.
struct trust_counts {
  index_t certain = 0, boxed = 0;
};
struct add_trust_counts {
  CAMBIUM_HD trust_counts operator()(trust_counts a, trust_counts const& b) const
  {
    return {a.certain + b.certain, a.boxed + b.boxed};
  }
};
template <class S>
struct trust_at {
  view<std::uint8_t const, 4, S> trusted;
  CAMBIUM_HD trust_counts operator()(index_t i) const
  {
    index_t const C = trusted.extent[1], H = trusted.extent[2], W = trusted.extent[3];
    std::uint8_t const t = trusted(i / W / H / C, i / W / H % C, i / W % H, i % W);
    return {t == trust::certain, t == trust::boxed};
  }
};

/// First rule: what a certain and a boxed cell are worth as parts of the mean.
struct weigh_trust {
  trust_counts const* counts;
  double shared;  ///< cells of a trust cell
  double box_weight;
  double* worth;  ///< [2]

  CAMBIUM_HD void operator()(index_t) const
  {
    double const weights =
        shared * (static_cast<double>(counts->certain) + box_weight * static_cast<double>(counts->boxed));
    worth[0] = weights > 0 ? 1 / weights : 0;
    worth[1] = worth[0] * box_weight;
  }
};

/// What the rules of all models read and write.
template <class T, class S>
struct uncertain_maps {
  view<T const, 4, S> mean, log_variance, target;
  view<std::uint8_t const, 4, S> trusted;
  view<T, 4, S> by_mean, by_log_variance;
  double largest;  ///< log variance
  double const* worth;
  view<double, 3, S> loss;  ///< [B,H,W] share of the value

  CAMBIUM_HD bool shared_spread() const { return log_variance.extent[1] != mean.extent[1]; }
  CAMBIUM_HD double mean_at(index_t b, index_t c, index_t y, index_t x) const
  {
    return static_cast<double>(mean(b, c, y, x));
  }
  CAMBIUM_HD double log_variance_at(index_t b, index_t c, index_t y, index_t x) const
  {
    return static_cast<double>(log_variance(b, log_variance.extent[1] == 1 ? 0 : c, y, x));
  }
  CAMBIUM_HD double target_at(index_t b, index_t c, index_t y, index_t x) const
  {
    return static_cast<double>(target(b, c, y, x));
  }
  /// What is neither certain nor boxed is ignored.
  CAMBIUM_HD std::uint8_t trust_of(index_t b, index_t c, index_t y, index_t x) const
  {
    std::uint8_t const t = trusted(b, trusted.extent[1] == 1 ? 0 : c, y, x);
    return t > trust::boxed ? trust::ignored : t;
  }
  CAMBIUM_HD double part(std::uint8_t t) const
  {
    return t == trust::boxed ? worth[1] : t == trust::certain ? worth[0] : 0;
  }
};

/// Second rule of one_vs_rest: all classes of a pixel, each by itself.
template <class T, class S>
struct uncertain_binary {
  uncertain_maps<T, S> maps;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    double sum = 0, together = 0;
    bool const shared = maps.shared_spread();
    for (index_t c = 0; c < maps.mean.extent[1]; ++c) {
      std::uint8_t const t = maps.trust_of(b, c, y, x);
      auto const cell = uncertain_cell::of({maps.mean_at(b, c, y, x), maps.log_variance_at(b, c, y, x)},
                                           maps.target_at(b, c, y, x), t, maps.largest);
      double const part = maps.part(t);
      sum += cell.loss * part;
      maps.by_mean(b, c, y, x) = static_cast<T>(cell.by_mean * part);
      double const by = cell.by_log_variance * part;
      together += by;
      if (!shared) maps.by_log_variance(b, c, y, x) = static_cast<T>(by);
    }
    if (shared) maps.by_log_variance(b, 0, y, x) = static_cast<T>(together);
    maps.loss(b, y, x) = sum;
  }
};

/// Second rule of a softmax over kappa * mean. Logits are formed three times instead of being kept.
template <class T, class S>
struct uncertain_mean_field {
  uncertain_maps<T, S> maps;
  bool certain_only;  ///< boxed pixels are another rule's

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    index_t const C = maps.mean.extent[1];
    std::uint8_t const t = maps.trust_of(b, 0, y, x);
    double const part = C == 0 ? 0 : maps.part(t);
    bool const boxed = t == trust::boxed;
    if (certain_only && boxed) return;
    if (part == 0) {
      for (index_t c = 0; c < C; ++c) maps.by_mean(b, c, y, x) = 0;
      for (index_t c = 0; c < maps.by_log_variance.extent[1]; ++c) maps.by_log_variance(b, c, y, x) = 0;
      maps.loss(b, y, x) = 0;
      return;
    }
    auto const kappa_of = [&](index_t c) {
      double const s = maps.log_variance_at(b, c, y, x);
      return boxed ? gaussian_logit{0, maps.largest < s ? maps.largest : s}.kappa() : 1;
    };
    auto const logit_of = [&](index_t c) { return kappa_of(c) * maps.mean_at(b, c, y, x); };
    double most = logit_of(0), sum = 0, wanted = 0, loss = 0, together = 0;
    for (index_t c = 1; c < C; ++c) {
      double const logit = logit_of(c);
      most = most < logit ? logit : most;
    }
    for (index_t c = 0; c < C; ++c) {
      wanted += maps.target_at(b, c, y, x);
      sum += std::exp(logit_of(c) - most);
    }
    double const normal = most + std::log(sum);
    for (index_t c = 0; c < C; ++c) {
      double const kappa = kappa_of(c), logit = kappa * maps.mean_at(b, c, y, x), target = maps.target_at(b, c, y, x);
      if (target > 0) loss += target * (normal - logit);
      double const slope = wanted * std::exp(logit - normal) - target;
      double const spread = maps.log_variance_at(b, c, y, x) > maps.largest ? 0 : (1 - kappa) * (1 + kappa);
      double const by = -slope * logit * spread / 2;
      maps.by_mean(b, c, y, x) = static_cast<T>(slope * kappa * part);
      together += by;
      if (!maps.shared_spread()) maps.by_log_variance(b, c, y, x) = static_cast<T>(by * part);
    }
    if (maps.shared_spread()) maps.by_log_variance(b, 0, y, x) = static_cast<T>(together * part);
    maps.loss(b, y, x) = loss * part;
  }
};

/// Third rule of drawn logits: boxed pixels, some thousands at a time, each with `samples` draws of all classes in room.
template <class T, class S>
struct uncertain_sampled {
  uncertain_maps<T, S> maps;
  index_t first, many;  ///< pixels of this launch; their numbers are neighbours in room
  index_t samples;
  std::uint64_t seed;
  double* room;  ///< [2 * samples * C + samples + C, many]

  CAMBIUM_HD static index_t numbers(index_t samples, index_t classes)  ///< of room, a pixel
  {
    return 2 * samples * classes + samples + classes;
  }

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const C = maps.mean.extent[1], H = maps.mean.extent[2], W = maps.mean.extent[3], N = samples;
    index_t const pixel = first + i, b = pixel / W / H, y = pixel / W % H, x = pixel % W;
    if (maps.trust_of(b, 0, y, x) != trust::boxed) return;
    auto const at = [&](index_t k) -> double& { return room[k * many + i]; };
    auto const draw = [&](index_t c, index_t t) -> double& { return at(t * C + c); };
    auto const log_p = [&](index_t c, index_t t) -> double& { return at(N * C + c * N + t); };
    auto const all = [&](index_t t) -> double& { return at(2 * N * C + t); };
    auto const whole = [&](index_t c) -> double& { return at(2 * N * C + N + c); };
    for (index_t t = 0; t < N; ++t) {
      double most = 0, sum = 0;
      for (index_t c = 0; c < C; ++c) {
        double const s = maps.log_variance_at(b, c, y, x);
        draw(c, t) = normal_at(seed, static_cast<std::uint64_t>((pixel * N + t) * C + c));
        double const logit =
            maps.mean_at(b, c, y, x) + std::exp((maps.largest < s ? maps.largest : s) / 2) * draw(c, t);
        log_p(c, t) = logit;
        most = c == 0 || most < logit ? logit : most;
      }
      for (index_t c = 0; c < C; ++c) sum += std::exp(log_p(c, t) - most);
      double const normal = most + std::log(sum);
      for (index_t c = 0; c < C; ++c) log_p(c, t) -= normal;
    }
    double loss = 0;
    for (index_t c = 0; c < C; ++c) {
      double const target = maps.target_at(b, c, y, x);
      if (target == 0) continue;
      double most = log_p(c, 0), sum = 0;
      for (index_t t = 1; t < N; ++t) most = most < log_p(c, t) ? log_p(c, t) : most;
      for (index_t t = 0; t < N; ++t) sum += std::exp(log_p(c, t) - most);
      whole(c) = most + std::log(sum);
      loss -= target * (whole(c) - std::log(static_cast<double>(N)));
    }
    auto const weight = [&](index_t c, index_t t) {
      double const target = maps.target_at(b, c, y, x);
      return target == 0 ? 0 : target * std::exp(log_p(c, t) - whole(c));
    };
    for (index_t t = 0; t < N; ++t) {
      double sum = 0;
      for (index_t c = 0; c < C; ++c) sum += weight(c, t);
      all(t) = sum;
    }
    double const part = maps.part(trust::boxed);
    double together = 0;
    for (index_t c = 0; c < C; ++c) {
      double const s = maps.log_variance_at(b, c, y, x);
      double by_mean = 0, by_log_variance = 0;
      for (index_t t = 0; t < N; ++t) {
        double const slope = all(t) * std::exp(log_p(c, t)) - weight(c, t);
        by_mean += slope;
        if (s <= maps.largest) by_log_variance += slope * draw(c, t) * std::exp(s / 2) / 2;
      }
      maps.by_mean(b, c, y, x) = static_cast<T>(by_mean * part);
      together += by_log_variance;
      if (!maps.shared_spread()) maps.by_log_variance(b, c, y, x) = static_cast<T>(by_log_variance * part);
    }
    if (maps.shared_spread()) maps.by_log_variance(b, 0, y, x) = static_cast<T>(together * part);
    maps.loss(b, y, x) = loss * part;
  }
};

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

/// Room for the loss of a batch of this shape: 8 bytes a pixel, and for `sampled` up to 64 MB, or what 256 pixels need.
template <execution_policy P>
struct label_uncertainty_scratch {
  using S = typename P::memory;
  label_uncertainty_scratch(P const& where, index_t const (&mean)[4],  ///< [B,C,H,W]
                            label_uncertainty_options const& options)
      : loss(make_grid<double>(where, {mean[0], mean[2], mean[3]})),
        counts(make_grid<trust_counts>(where, {1})),
        numbers(make_grid<double>(where, {3}))
  {
    if (options.classes != class_model::sampled || options.samples < 1) return;
    index_t const pixels = loss.size(), a_pixel = uncertain_sampled<float, S>::numbers(options.samples, mean[1]);
    many = std::min(pixels, std::max<index_t>(256, (index_t{8} << 20) / std::max<index_t>(1, a_pixel)));
    drawn = make_grid<double>(where, {many * a_pixel});
  }

  grid<double, 3, S> loss;
  grid<trust_counts, 1, S> counts;
  grid<double, 1, S> numbers;  ///< what a certain and a boxed cell are worth, and the value
  index_t many = 0;            ///< pixels whose draws fit
  grid<double, 1, S> drawn;
  workspace<P> sums;
};

/// label_uncertainty_loss into memory of the caller's.
///
/// As in label_uncertainty.hpp, but that values are not looked at: trust beyond 2 is ignored, and NaN, infinities and
/// targets outside [0,1] come out as arithmetic makes them, in the value and in the slopes of their own pixel. Ignored
/// cells stay 0 whatever they hold.
///
/// @param where    gpu
/// @param by_mean  [B,C,H,W] d value / d mean
/// @param by_log_variance  the shape of log_variance; d value / d log_variance
/// @param value    [1]
/// @param scratch  made for the shape of mean and these options; one call at a time
///
/// @throws       precondition_error: shapes that differ, options outside their ranges, gradients that overlap an input or
///               each other
/// @complexity   Theta(B * C * H * W), `samples` times that for `sampled`
/// @determinism  the same bits on every run: a pixel is one thread's, in double, and pixels are summed in a fixed tree.
///               Beside the cpu: values and slopes of double within 1e-12, unless a sum cancels; of float the cpu takes
///               one_vs_rest in float, within 5e-6 of a cell. `sampled` draws the same numbers, up to the last bits of
///               logarithm and cosine
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void label_uncertainty_loss_into(P const& where, std::type_identity_t<view<T const, 4, S>> mean,
                                 std::type_identity_t<view<T const, 4, S>> log_variance,
                                 std::type_identity_t<view<T const, 4, S>> target,
                                 std::type_identity_t<view<std::uint8_t const, 4, S>> trusted,
                                 label_uncertainty_options const& options, view<T, 4, S> by_mean,
                                 view<T, 4, S> by_log_variance,
                                 std::type_identity_t<view<label_uncertainty_value, 1, S>> value,
                                 label_uncertainty_scratch<P>& scratch)
{
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  index_t const B = mean.extent[0], C = mean.extent[1], H = mean.extent[2], W = mean.extent[3];
  check_label_uncertainty(mean, log_variance, target, trusted, options, by_mean, by_log_variance);
  expects(value.extent[0] == 1, "label_uncertainty_loss: value is ", value, "; it is one cell");
  view<double, 3, S> const loss = scratch.loss.view();
  index_t const a_pixel = uncertain_sampled<T, S>::numbers(options.samples, C);
  expects(loss.extent[0] == B && loss.extent[1] == H && loss.extent[2] == W &&
              (options.classes != class_model::sampled || loss.size() == 0 ||
               (scratch.many > 0 && scratch.drawn.size() >= scratch.many * a_pixel)),
          "label_uncertainty_loss: mean is ", mean, " but the scratch is for another shape or other options");

  bool const binary = options.classes == class_model::one_vs_rest;
  trust_counts* const counts = scratch.counts.view().data;
  double* const worth = scratch.numbers.view().data;
  reduce(where, C == 0 ? 0 : trusted.size(), trust_at<S>{trusted}, trust_counts{}, add_trust_counts{}, counts,
         scratch.sums);
  double const shared = binary && trusted.extent[1] == 1 ? static_cast<double>(C) : 1;
  for_each_index(where, 1, weigh_trust{counts, shared, options.box_weight, worth});
  uncertain_maps<T, S> const maps{
      mean, log_variance, target, trusted, by_mean, by_log_variance, 2 * std::log(options.largest_sigma), worth, loss};
  bool const sampled = options.classes == class_model::sampled && C > 0;
  if (binary)
    for_each_cell(where, loss.extent, uncertain_binary<T, S>{maps});
  else
    for_each_cell(where, loss.extent, uncertain_mean_field<T, S>{maps, sampled});
  for (index_t first = 0; sampled && first < loss.size(); first += scratch.many)
    for_each_index(
        where, std::min(scratch.many, loss.size() - first),
        uncertain_sampled<T, S>{maps, first, scratch.many, options.samples, options.seed, scratch.drawn.view().data});
  reduce(where, loss.size(), loss_of_pixel<S>{loss}, 0.0, plus{}, worth + 2, scratch.sums);
  for_each_index(where, 1, hand_out_uncertainty{worth + 2, counts, value.data});
}

/// As label_uncertainty_loss in label_uncertainty.hpp, with what label_uncertainty_loss_into says of values and rounding.
///
/// @return value and counts, and the gradients in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> M, gridded<4> V, gridded<4> Y, gridded<4> R>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 4>>
[[nodiscard]] auto label_uncertainty_loss(P const& where, M const& mean, V const& log_variance, Y const& target,
                                          R const& trusted, label_uncertainty_options const& options = {})
{
  using T = value_of<M, 4>;
  using S = space_of<M, 4>;
  view<T const, 4, S> const mu = as_view<4>(mean, "label_uncertainty_loss: mean");
  view<T const, 4, S> const s = as_view<4>(log_variance, "label_uncertainty_loss: log_variance");
  label_uncertainty_loss_of<T, S> out;
  out.by_mean = make_grid<T>(where, mu.extent);
  out.by_log_variance = make_grid<T>(where, s.extent);
  auto value = make_grid<label_uncertainty_value>(where, {1});
  label_uncertainty_scratch<P> scratch(where, mu.extent, options);
  label_uncertainty_loss_into<P, T, S>(where, mu, s, as_view<4>(target), as_view<4>(trusted), options,
                                       out.by_mean.view(), out.by_log_variance.view(), value.view(), scratch);
  static_cast<label_uncertainty_value&>(out) =
      read_cell(where, static_cast<label_uncertainty_value const*>(value.view().data));
  return out;
}

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

/// expected_sigmoid into memory of the caller's. As in label_uncertainty.hpp, but that values are not looked at: NaN
/// stays NaN.
///
/// @param out  [C,H,W]; may be the mean
/// @throws       precondition_error: shapes that differ, largest_sigma <= 0
/// @determinism  the same bits on every run; within a rounding of the cpu's
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void expected_sigmoid_into(P const& where, std::type_identity_t<view<T const, 3, S>> mean,
                           std::type_identity_t<view<T const, 3, S>> log_variance, double largest_sigma,
                           view<T, 3, S> out)
{
  index_t const C = mean.extent[0], H = mean.extent[1], W = mean.extent[2];
  expects((log_variance.extent[0] == C || log_variance.extent[0] == 1) && log_variance.extent[1] == H &&
              log_variance.extent[2] == W,
          "expected_sigmoid: mean is ", mean, " but log_variance is ", log_variance);
  expects(largest_sigma > 0, "expected_sigmoid: largest_sigma is ", largest_sigma, "; it must be positive");
  expects(same_shape(mean, out), "expected_sigmoid: mean is ", mean, " but out is ", out);
  expects(!overlap(out, log_variance), "expected_sigmoid: out overlaps log_variance");
  for_each_cell(where, mean.extent, expect_sigmoid<T, S>{mean, log_variance, 2 * std::log(largest_sigma), out});
}

/// As expected_sigmoid in label_uncertainty.hpp, with what expected_sigmoid_into says of values and rounding.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, stack_like M, stack_like V>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] auto expected_sigmoid(P const& where, M const& mean, V const& log_variance, double largest_sigma = 1e15)
{
  using T = value_of<M, 3>;
  using S = space_of<M, 3>;
  view<T const, 3, S> const mu = as_view<3>(mean, "expected_sigmoid: mean");
  auto out = make_grid<T>(where, mu.extent);
  expected_sigmoid_into<P, T, S>(where, mu, as_view<3>(log_variance, "expected_sigmoid: log_variance"), largest_sigma,
                                 out.view());
  return out;
}

}  // namespace cambium
