#pragma once
// label_uncertainty_loss under a softmax: of means, or of logits drawn from their Gaussians. One pixel a call.

#include <cambium/core/config.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/gaussian_logit.hpp>
#include <cambium/grid/view.hpp>
#include <cambium/loss/uncertain_row.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>

namespace cambium {

/// A standard normal number for a counter. The same pair gives the same number.
CAMBIUM_HD inline double normal_at(std::uint64_t seed, std::uint64_t counter)
{
  auto const mixed = [](std::uint64_t v) {  // the finaliser of splitmix64 (Steele, Lea, Flood 2014)
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9u;
    v = (v ^ (v >> 27)) * 0x94d049bb133111ebu;
    return v ^ (v >> 31);
  };
  std::uint64_t const first = mixed(mixed(seed + 0x9e3779b97f4a7c15u) + counter * 0x9e3779b97f4a7c15u);
  auto const uniform = [](std::uint64_t v) { return (static_cast<double>(v >> 11) + 0.5) * 0x1p-53; };
  double const radius = std::sqrt(-2 * std::log(uniform(first)));
  return radius * std::cos(2 * std::numbers::pi * uniform(mixed(first + 0x9e3779b97f4a7c15u)));
}

namespace rule {

/// Second rule of a softmax over kappa * mean.
template <class T, class S>
struct uncertain_mean_field {
  uncertain_maps<T, S> maps;
  bool certain_only;  ///< boxed pixels are another rule's

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const { run(b, y, x, nullptr); }

  /// @param kept  room for two numbers a class, or null: then they are formed as often as they are needed
  CAMBIUM_HD void run(index_t b, index_t y, index_t x, double* kept) const
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
    auto const form_kappa = [&](index_t c) {
      return boxed ? gaussian_logit{0, maps.capped_log_variance(b, c, y, x)}.kappa() : 1;
    };
    for (index_t c = 0; kept != nullptr && c < C; ++c)
      kept[c] = form_kappa(c), kept[C + c] = kept[c] * maps.mean_at(b, c, y, x);
    auto const kappa_of = [&](index_t c) { return kept != nullptr ? kept[c] : form_kappa(c); };
    auto const logit_of = [&](index_t c) {
      return kept != nullptr ? kept[C + c] : form_kappa(c) * maps.mean_at(b, c, y, x);
    };
    double const normal = softmax_of(C, logit_of).log_sum_exp();
    double wanted = 0, loss = 0, together = 0;
    for (index_t c = 0; c < C; ++c) wanted += maps.target_at(b, c, y, x);
    for (index_t c = 0; c < C; ++c) {
      double const kappa = kappa_of(c), logit = logit_of(c), target = maps.target_at(b, c, y, x);
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

/// Third rule of drawn logits: boxed pixels, some thousands at a time, each with `samples` draws of all classes in
/// room.
///
///   loss = -sum over c of target_c log(mean over t of softmax(mean + sigma eps_t)_c)
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
    auto const sigma = [&](index_t c) -> double& { return at(2 * N * C + N + c); };
    for (index_t c = 0; c < C; ++c) sigma(c) = std::exp(maps.capped_log_variance(b, c, y, x) / 2);
    for (index_t t = 0; t < N; ++t) {
      for (index_t c = 0; c < C; ++c) {
        draw(c, t) = normal_at(seed, static_cast<std::uint64_t>((pixel * N + t) * C + c));
        log_p(c, t) = maps.mean_at(b, c, y, x) + sigma(c) * draw(c, t);
      }
      double const normal = softmax_of(C, [&](index_t c) { return log_p(c, t); }).log_sum_exp();
      for (index_t c = 0; c < C; ++c) log_p(c, t) -= normal;
    }
    auto const whole = [&](index_t c) -> double& { return sigma(c); };  // in the same room
    double loss = 0;
    for (index_t c = 0; c < C; ++c) {
      double const target = maps.target_at(b, c, y, x);
      if (target == 0) continue;
      whole(c) = softmax_of(N, [&](index_t t) { return log_p(c, t); }).log_sum_exp();
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
      double const s = maps.log_variance_at(b, c, y, x), spread = s <= maps.largest ? std::exp(s / 2) : 0;
      double by_mean = 0, by_log_variance = 0;
      for (index_t t = 0; t < N; ++t) {
        double const slope = all(t) * std::exp(log_p(c, t)) - weight(c, t);
        by_mean += slope;
        by_log_variance += slope * draw(c, t) * spread / 2;
      }
      maps.by_mean(b, c, y, x) = static_cast<T>(by_mean * part);
      together += by_log_variance;
      if (!maps.shared_spread()) maps.by_log_variance(b, c, y, x) = static_cast<T>(by_log_variance * part);
    }
    if (maps.shared_spread()) maps.by_log_variance(b, 0, y, x) = static_cast<T>(together * part);
    maps.loss(b, y, x) = loss * part;
  }
};

}  // namespace rule

}  // namespace cambium
