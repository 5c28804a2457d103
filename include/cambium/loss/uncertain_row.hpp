#pragma once
// The binary loss of label_uncertainty_loss: what every class of a pixel costs by itself, as a rule and in registers.

#include <cambium/core/config.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/gaussian_logit.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace cambium {

namespace rule {

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
struct counts_trust {
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
  CAMBIUM_HD double capped_log_variance(index_t b, index_t c, index_t y, index_t x) const
  {
    double const s = log_variance_at(b, c, y, x);
    return largest < s ? largest : s;
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

/// The loss of one binary cell and its slopes: the rule that the schedules of label_uncertainty_loss follow.
///
///   z = kappa * mean on a boxed cell, mean on a certain one;  loss = log(1 + e^z) - target * z
struct uncertain_cell {
  double loss = 0, by_mean = 0, by_log_variance = 0;

  CAMBIUM_HD static uncertain_cell of(gaussian_logit z, double target, std::uint8_t trusted,
                                      double largest_log_variance)
  {
    if (trusted == trust::ignored) return {};
    bool const capped = z.log_variance > largest_log_variance;
    if (capped) z.log_variance = largest_log_variance;
    double const kappa = trusted == trust::boxed ? z.kappa() : 1, logit = kappa * z.mean;
    double const e = std::exp(-std::abs(logit)), near = 1 / (1 + e), far = e / (1 + e);
    double const p = logit >= 0 ? near : far, q = logit >= 0 ? far : near;
    double const slope = (1 - target) * p - target * q;            // p - target, without cancellation
    double const spread = capped ? 0 : (1 - kappa) * (1 + kappa);  // pi/8 v kappa^2
    return {(logit < 0 ? 0 : logit) - target * logit + std::log1p(e), slope * kappa, -slope * logit * spread / 2};
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

}  // namespace rule

/// Counts the certain and boxed cells of a row; any other value than the three is invalid.
struct count_trust_row {
  std::uint8_t const* row;
  index_t length;
  rule::trust_counts* counts;
  bool* invalid;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    using octets = pack<std::uint8_t, Bytes>;
    index_t x = 0, ones = 0, twos = 0;
    octets unknown{};
    while (x + Bytes <= length) {
      octets one{}, two{};
      for (int i = 0; i < 255 && x + Bytes <= length; ++i, x += Bytes) {  // as long as a byte can count
        octets v;
        std::memcpy(&v, row + x, Bytes);
        one -= (octets)(v == trust::certain);
        two -= (octets)(v == trust::boxed);
        unknown |= (octets)(v > trust::boxed);
      }
      for (int l = 0; l < Bytes; ++l) ones += one[l], twos += two[l];
    }
    bool any = false;
    for (int l = 0; l < Bytes; ++l) any = any || unknown[l] != 0;
    for (; x < length; ++x) {
      ones += row[x] == trust::certain, twos += row[x] == trust::boxed;
      any = any || row[x] > trust::boxed;
    }
    counts->certain += ones, counts->boxed += twos, *invalid = *invalid || any;
  }
};

/// The binary loss on cells that lie side by side, in registers.
struct uncertain_row {
  float const* mean;
  float const* log_variance;
  float const* target;
  std::uint8_t const* trusted;
  float* by_mean;
  float* by_log_variance;
  index_t length;
  bool add;                    ///< to by_log_variance, which other channels share
  float largest_log_variance;  ///< at most 80
  float certain, boxed;        ///< what a cell of that kind is worth, as part of the mean
  double* sum;                 ///< of the parts of the mean
  bool* invalid;               ///< set where a value may be outside its range, or not finite

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    flush_denormals const no_denormals;
    uncertain_row const local = *this;  // which no store below can change, so it stays in registers
    bits<float, Bytes / 4> outside{};
    *sum += local.sweep<Bytes / 4>(outside);
    for (int l = 0; l < Bytes / 4; ++l) *invalid = *invalid || outside[l] != 0;
  }

 private:
  /// Cells of a block: what lies between its loops stays in the nearest cache.
  static constexpr int block = 512;

  template <int Lanes>
  [[gnu::always_inline]] double sweep(bits<float, Lanes>& outside) const
  {
    double total = 0;
    index_t x = 0;
    for (; x + 16 <= length; x += std::min<index_t>(block, (length - x) / 16 * 16))
      total += of_block<Lanes>(mean + x, log_variance + x, target + x, trusted + x, by_mean + x, by_log_variance + x,
                               static_cast<int>(std::min<index_t>(block, (length - x) / 16 * 16)), outside);
    if (x < length) {
      float m[16] = {}, s[16] = {}, y[16] = {}, by_m[16], by_s[16] = {};
      std::uint8_t t[16] = {};  // ignored
      auto const n = static_cast<std::size_t>(length - x);
      std::copy_n(mean + x, n, m), std::copy_n(log_variance + x, n, s), std::copy_n(target + x, n, y);
      std::copy_n(trusted + x, n, t);
      if (add) std::copy_n(by_log_variance + x, n, by_s);
      total += of_block<Lanes>(m, s, y, t, by_m, by_s, 16, outside);
      std::copy_n(by_m, n, by_mean + x), std::copy_n(by_s, n, by_log_variance + x);
    }
    return total;
  }

  /// Several short loops and not one long one: the packs of a short one overlap in the processor, which would wait
  /// for one result after the other in the long chain of a single cell. Choices are made with bits where g++ 12 would
  /// take comparisons of packs apart lane by lane.
  template <int Lanes>
  [[gnu::always_inline]] double of_block(float const* m, float const* ls, float const* y, std::uint8_t const* t,
                                         float* by_m, float* by_s, int cells, bits<float, Lanes>& outside) const
  {
    using numbers = pack<float, Lanes>;
    using integers = bits<float, Lanes>;
    numbers const zero{}, one = zero + 1.f, most = zero + largest_log_variance;
    integers const sign = (integers)(-zero);  // not min(): nvcc 13.0 crashes when it folds that
    alignas(64) float spread[block], kappa[block], widens[block], e[block];
    alignas(64) std::int32_t kind[block];
    widen_bytes(t, kind, cells);
    numbers finite{};
    for (int x = 0; x < cells; x += Lanes) {  // spread = pi/8 e^s
      numbers s = lanes_at<Lanes>(ls + x).v;
      finite += s * 0.f;
      s = (s > most ? most : s) - 0.934711695f;  // log(pi/8)
      s = s < -87.f ? zero - 87.f : s;
      exponential_inside<Lanes>(s);
      lanes_at<Lanes>(spread + x).v = s;
    }
    for (int x = 0; x < cells; x += Lanes) {  // kappa = 1 / sqrt(1 + spread), and -spread kappa^2 / 2
      integers const capped = (integers)(most - lanes_at<Lanes>(ls + x).v) >> 31;
      integers const in_box = lanes_at<Lanes>(kind + x).v << 30 >> 31;
      numbers const v = (numbers)((integers)lanes_at<Lanes>(spread + x).v & in_box);
      numbers root = one + v;
      reciprocal_root<Lanes>(root);  // of 1 it is 1, so certain cells see the mean
      lanes_at<Lanes>(kappa + x).v = root;
      lanes_at<Lanes>(widens + x).v = (numbers)((integers)(v * -0.5f * root * root) & ~capped);
    }
    for (int x = 0; x < cells; x += Lanes) {  // e = e^-|z|
      numbers n = (numbers)((integers)(lanes_at<Lanes>(kappa + x).v * lanes_at<Lanes>(m + x).v) | sign);
      n = n < -87.f ? zero - 87.f : n;
      exponential_inside<Lanes>(n);
      lanes_at<Lanes>(e + x).v = n;
    }
    numbers loss{};
    integers beyond{};
    for (int x = 0; x < cells; x += Lanes) {
      numbers worth;
      pick_of_three<Lanes>(lanes_at<Lanes>(kind + x).v, certain, boxed, worth);
      numbers const z = lanes_at<Lanes>(kappa + x).v * lanes_at<Lanes>(m + x).v;
      numbers const want = lanes_at<Lanes>(y + x).v;
      beyond |= (integers)want | (integers)(one - want);
      integers const below = (integers)z >> 31;
      numbers l = lanes_at<Lanes>(e + x).v;
      numbers const near = one / (one + l);
      integers const swap = ((integers)near ^ (integers)(l * near)) & below;
      numbers const p = (numbers)((integers)near ^ swap);
      log_one_plus<Lanes>(l);
      loss += ((numbers)((integers)z & ~below) - want * z + l) * worth;
      numbers const slope = (p - want) * worth;
      lanes_at<Lanes>(by_m + x).v = slope * lanes_at<Lanes>(kappa + x).v;
      numbers const by = slope * z * lanes_at<Lanes>(widens + x).v;
      lanes_at<Lanes>(by_s + x).v = add ? lanes_at<Lanes>(by_s + x).v + by : by;
    }
    // A mean or a target that is no finite number makes the loss none, whatever it is worth.
    outside |= beyond >> 31 | (integers)(finite + loss * 0.f) << 1;
    double total = 0;
    for (int l = 0; l < Lanes; ++l) total += static_cast<double>(loss[l]);
    return total;
  }
};

}  // namespace cambium
