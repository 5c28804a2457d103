#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/gaussian_logit.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>
#include <type_traits>
#include <vector>

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
struct label_uncertainty_loss_of : label_uncertainty_value {
  grid<T, 4, Space> by_mean;          ///< [B,C,H,W]
  grid<T, 4, Space> by_log_variance;  ///< the shape of log_variance
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

/// A standard normal number for a counter: the same for the same pair, whoever asks and in which order.
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

/// Counts of certain and boxed cells on a row; is there any other value than the three?
struct trust_census {
  std::uint8_t const* row;
  index_t length;
  index_t* certain;
  index_t* boxed;
  bool* strange;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    using octets = pack<std::uint8_t, Bytes>;
    index_t x = 0, ones = 0, twos = 0;
    octets odd{};
    while (x + Bytes <= length) {
      octets one{}, two{};
      for (int i = 0; i < 255 && x + Bytes <= length; ++i, x += Bytes) {  // as long as a byte can count
        octets v;
        std::memcpy(&v, row + x, Bytes);
        one -= (octets)(v == trust::certain);
        two -= (octets)(v == trust::boxed);
        odd |= (octets)(v > trust::boxed);
      }
      for (int l = 0; l < Bytes; ++l) ones += one[l], twos += two[l];
    }
    bool any = false;
    for (int l = 0; l < Bytes; ++l) any = any || odd[l] != 0;
    for (; x < length; ++x) {
      ones += row[x] == trust::certain, twos += row[x] == trust::boxed;
      any = any || row[x] > trust::boxed;
    }
    *certain += ones, *boxed += twos, *strange = *strange || any;
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
  bool* suspect;               ///< set where a value may be outside its range, or not finite

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    flush_denormals const no_denormals;
    uncertain_row const local = *this;  // which no store below can change, so it stays in registers
    bits<float, Bytes / 4> doubtful{};
    *sum += local.sweep<Bytes / 4>(doubtful);
    for (int l = 0; l < Bytes / 4; ++l) *suspect = *suspect || doubtful[l] != 0;
  }

 private:
  /// Cells of a block: what lies between its loops stays in the nearest cache.
  static constexpr int block = 512;

  template <int Lanes>
  [[gnu::always_inline]] double sweep(bits<float, Lanes>& doubtful) const
  {
    double total = 0;
    index_t x = 0;
    for (; x + 16 <= length; x += std::min<index_t>(block, (length - x) / 16 * 16))
      total += of_block<Lanes>(mean + x, log_variance + x, target + x, trusted + x, by_mean + x, by_log_variance + x,
                               static_cast<int>(std::min<index_t>(block, (length - x) / 16 * 16)), doubtful);
    if (x < length) {
      float m[16] = {}, s[16] = {}, y[16] = {}, by_m[16], by_s[16] = {};
      std::uint8_t t[16] = {};  // ignored
      auto const n = static_cast<std::size_t>(length - x);
      std::copy_n(mean + x, n, m), std::copy_n(log_variance + x, n, s), std::copy_n(target + x, n, y);
      std::copy_n(trusted + x, n, t);
      if (add) std::copy_n(by_log_variance + x, n, by_s);
      total += of_block<Lanes>(m, s, y, t, by_m, by_s, 16, doubtful);
      std::copy_n(by_m, n, by_mean + x), std::copy_n(by_s, n, by_log_variance + x);
    }
    return total;
  }

  /// Bytes become integers.
  [[gnu::always_inline]] static void widen(std::uint8_t const* t, std::int32_t* kind, int cells)
  {
    using octets = pack<std::uint8_t, 16>;
    for (int x = 0; x < cells; x += 16) {
      octets v;
      std::memcpy(&v, t + x, 16);
#if defined(__clang__)
      for (int i = 0; i < 16; ++i) kind[x + i] = v[i];
#else
      // g++ 12 takes a conversion apart byte by byte: zeros are shuffled in, on x86 as high halves.
      octets const zero{};
      octets const two[2] = {
          __builtin_shuffle(v, zero, octets{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}),
          __builtin_shuffle(v, zero, octets{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31})};
      for (int i = 0; i < 2; ++i) {
        octets const low =
            __builtin_shuffle(two[i], zero, octets{0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23});
        octets const high =
            __builtin_shuffle(two[i], zero, octets{8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31});
        std::memcpy(kind + x + 8 * i, &low, 16);
        std::memcpy(kind + x + 8 * i + 4, &high, 16);
      }
#endif
    }
  }

  /// One of three numbers by kind 0, 1 or 2: the first is 0.
  template <int Lanes>
  [[gnu::always_inline]] static void look_up(bits<float, Lanes> const& kind, float one, float two,
                                             pack<float, Lanes>& found)
  {
    using integers = bits<float, Lanes>;
#if !defined(__clang__)
    if constexpr (Lanes >= 8) {  // narrower registers of old machines cannot shuffle by a variable
      pack<float, Lanes> table{};
      table[1] = one, table[2] = two;
      found = __builtin_shuffle(table, kind);
      return;
    }
#endif
    pack<float, Lanes> const zero{};
    found = (pack<float, Lanes>)(((integers)(zero + one) & (kind << 31 >> 31)) |
                                 ((integers)(zero + two) & (kind << 30 >> 31)));
  }

  /// Several short loops and not one long one: the packs of a short one overlap in the processor, which would wait
  /// for one result after the other in the long chain of a single cell. Choices are made with bits where g++ 12 would take
  /// comparisons of packs apart lane by lane.
  template <int Lanes>
  [[gnu::always_inline]] double of_block(float const* m, float const* ls, float const* y, std::uint8_t const* t,
                                         float* by_m, float* by_s, int cells, bits<float, Lanes>& doubtful) const
  {
    using numbers = pack<float, Lanes>;
    using integers = bits<float, Lanes>;
    numbers const zero{}, one = zero + 1.f, most = zero + largest_log_variance;
    integers const sign = (integers)(-zero);  // not min(): nvcc 13.0 dies of folding it
    alignas(64) float spread[block], kappa[block], widens[block], e[block];
    alignas(64) std::int32_t kind[block];
    widen(t, kind, cells);
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
    integers outside{};
    for (int x = 0; x < cells; x += Lanes) {
      numbers worth;
      look_up<Lanes>(lanes_at<Lanes>(kind + x).v, certain, boxed, worth);
      numbers const z = lanes_at<Lanes>(kappa + x).v * lanes_at<Lanes>(m + x).v;
      numbers const want = lanes_at<Lanes>(y + x).v;
      outside |= (integers)want | (integers)(one - want);
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
    doubtful |= outside >> 31 | (integers)(finite + loss * 0.f) << 1;
    double total = 0;
    for (int l = 0; l < Lanes; ++l) total += static_cast<double>(loss[l]);
    return total;
  }
};

/// One pixel's classes under a softmax, and the slopes by their logits. Buffers live as long as a thread's share.
class uncertain_softmax {
 public:
  /// Means and log variances are the caller's to fill; by_mean and by_log_variance hold the slopes after run().
  std::vector<double> mean, log_variance, target, by_mean, by_log_variance;

  uncertain_softmax(index_t classes, label_uncertainty_options const& options, double largest_log_variance)
      : mean(static_cast<std::size_t>(classes)),
        log_variance(mean),
        target(mean),
        by_mean(mean),
        by_log_variance(mean),
        options_(options),
        largest_(largest_log_variance)
  {
  }

  /// The loss of the pixel; `counter` numbers its random draws.
  double run(bool boxed, std::uint64_t counter)
  {
    if (boxed && options_.classes == class_model::sampled) return sampled(counter);
    auto const C = mean.size();
    logit_.resize(C), kappa_.resize(C), weight_.resize(C);
    double wanted = 0;
    for (std::size_t c = 0; c < C; ++c) {
      kappa_[c] = boxed ? gaussian_logit{0, std::min(log_variance[c], largest_)}.kappa() : 1;
      logit_[c] = kappa_[c] * mean[c];
      wanted += target[c];
    }
    double const normal = log_sum_exp(logit_.data(), C);
    double loss = 0;
    for (std::size_t c = 0; c < C; ++c) {
      if (target[c] > 0) loss += target[c] * (normal - logit_[c]);
      double const slope = wanted * std::exp(logit_[c] - normal) - target[c];
      double const spread = log_variance[c] > largest_ ? 0 : (1 - kappa_[c]) * (1 + kappa_[c]);
      by_mean[c] = slope * kappa_[c];
      by_log_variance[c] = -slope * logit_[c] * spread / 2;
    }
    return loss;
  }

 private:
  static double log_sum_exp(double const* v, std::size_t n)
  {
    double const most = *std::max_element(v, v + n);
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += std::exp(v[i] - most);
    return most + std::log(sum);
  }

  /// -sum over c of target_c log(mean over t of softmax(mean + sigma eps_t)_c)
  double sampled(std::uint64_t counter)
  {
    auto const C = mean.size(), N = static_cast<std::size_t>(options_.samples);
    logit_.resize(C), draw_.resize(N * C), log_p_.resize(C * N), weight_.resize(C * N);
    for (std::size_t t = 0; t < N; ++t) {
      for (std::size_t c = 0; c < C; ++c) {
        draw_[t * C + c] = normal_at(options_.seed, (counter * N + t) * C + c);
        logit_[c] = mean[c] + std::exp(std::min(log_variance[c], largest_) / 2) * draw_[t * C + c];
      }
      double const normal = log_sum_exp(logit_.data(), C);
      for (std::size_t c = 0; c < C; ++c) log_p_[c * N + t] = logit_[c] - normal;
    }
    std::fill(by_mean.begin(), by_mean.end(), 0.0);
    std::fill(by_log_variance.begin(), by_log_variance.end(), 0.0);
    double loss = 0;
    for (std::size_t c = 0; c < C; ++c) {
      if (target[c] == 0) {
        std::fill_n(weight_.begin() + static_cast<std::ptrdiff_t>(c * N), N, 0.0);
        continue;
      }
      double const whole = log_sum_exp(&log_p_[c * N], N);
      loss -= target[c] * (whole - std::log(static_cast<double>(N)));
      for (std::size_t t = 0; t < N; ++t) weight_[c * N + t] = target[c] * std::exp(log_p_[c * N + t] - whole);
    }
    for (std::size_t t = 0; t < N; ++t) {
      double all = 0;
      for (std::size_t c = 0; c < C; ++c) all += weight_[c * N + t];
      for (std::size_t c = 0; c < C; ++c) {
        double const slope = all * std::exp(log_p_[c * N + t]) - weight_[c * N + t];
        by_mean[c] += slope;
        if (log_variance[c] <= largest_)
          by_log_variance[c] += slope * draw_[t * C + c] * std::exp(log_variance[c] / 2) / 2;
      }
    }
    return loss;
  }

  label_uncertainty_options options_;
  double largest_;
  std::vector<double> logit_, kappa_, draw_, log_p_, weight_;
};

/// Throws unless the shapes fit, the gradients overlap nothing, and the options are within their ranges.
template <class T, class S>
void check_label_uncertainty(view<T const, 4, S> mean, view<T const, 4, S> log_variance, view<T const, 4, S> target,
                             view<std::uint8_t const, 4, S> trusted, label_uncertainty_options const& options,
                             view<T, 4, S> by_mean, view<T, 4, S> by_log_variance)
{
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

/// Compute label_uncertainty_loss into memory of the caller's.
///
/// @param by_mean          [B,C,H,W] d value / d mean
/// @param by_log_variance  the shape of log_variance; d value / d log_variance
///
/// @throws       precondition_error as label_uncertainty_loss, and for outputs that overlap an input, before anything is
///               written. But for NaN, infinities and wrong targets in one_vs_rest of floats, which are found on the way:
///               both gradients are 0 then
template <class T>
label_uncertainty_value label_uncertainty_loss_into(cpu const& where, std::type_identity_t<view<T const, 4>> mean,
                                                    std::type_identity_t<view<T const, 4>> log_variance,
                                                    std::type_identity_t<view<T const, 4>> target,
                                                    view<std::uint8_t const, 4> trusted,
                                                    label_uncertainty_options const& options, view<T, 4> by_mean,
                                                    view<T, 4> by_log_variance)
{
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  index_t const B = mean.extent[0], C = mean.extent[1], H = mean.extent[2], W = mean.extent[3];
  check_label_uncertainty(mean, log_variance, target, trusted, options, by_mean, by_log_variance);
  bool const binary = options.classes == class_model::one_vs_rest;
  auto const check_values = [&] {
    expects_finite(where, mean, "label_uncertainty_loss: mean");
    expects_finite(where, log_variance, "label_uncertainty_loss: log_variance");
    expects_inside(where, target, T(0), T(1), "label_uncertainty_loss: target", "a value in [0,1]");
  };
  bool const in_registers = binary && std::is_same_v<T, float>;  // a pass of its own would take a third of the time
  if (!in_registers) check_values();

  // Work in pieces of cells that lie side by side. They are the same for every number of threads, and so are the sums.
  auto const flat = [&](auto const& v) { return H == 1 || v.stride[2] == W; };
  bool const whole =
      flat(mean) && flat(log_variance) && flat(target) && flat(trusted) && flat(by_mean) && flat(by_log_variance);
  constexpr index_t piece = 4096;
  index_t const lines = whole ? 1 : H, length = whole ? H * W : W, cuts = (length + piece - 1) / piece;
  index_t const pieces = B * C * H * W == 0 ? 0 : B * lines * cuts;
  auto const run_of = [&](auto const& v, index_t i, index_t c) {  // the first cell of piece i in channel c
    return v.data + i / cuts / lines * v.stride[0] + (v.extent[1] == 1 ? 0 : c) * v.stride[1] +
           i / cuts % lines * v.stride[2] + i % cuts * piece;
  };
  auto const cells_of = [&](index_t i) { return std::min(piece, length - i % cuts * piece); };

  if (C == 0)  // no class says anything about a spread that all share
    for (index_t row = 0; row < B * by_log_variance.extent[1] * H; ++row) {
      index_t const b = row / H / by_log_variance.extent[1], c = row / H % by_log_variance.extent[1], y = row % H;
      if (W > 0) std::fill_n(&by_log_variance(b, c, y, 0), W, T(0));
    }

  isa const set = vectors_of(where);
  std::vector<index_t> certain(static_cast<std::size_t>(pieces)), boxed(certain);
  std::atomic<bool> strange{false};
  for_each_share(where, pieces, 8, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i)
      for (index_t c = 0; c < trusted.extent[1]; ++c) {
        bool odd = false;
        auto const at = static_cast<std::size_t>(i);
        run_widest(set, trust_census{run_of(trusted, i, c), cells_of(i), &certain[at], &boxed[at], &odd});
        if (odd) strange = true;
      }
  });
  if (strange)
    for (index_t i = 0; i < trusted.size(); ++i) {
      index_t const x = i % W, y = i / W % H, c = i / W / H % trusted.extent[1], b = i / W / H / trusted.extent[1];
      auto const found = static_cast<int>(trusted(b, c, y, x));
      expects(found <= trust::boxed, "label_uncertainty_loss: trusted(", b, ",", c, ",", y, ",", x, ") is ", found,
              "; expected 0 ignored, 1 certain or 2 boxed");
    }
  label_uncertainty_value out;
  for (std::size_t i = 0; i < certain.size(); ++i) out.certain += certain[i], out.boxed += boxed[i];
  double const shared = binary && trusted.extent[1] == 1 ? static_cast<double>(C) : 1;  // cells of a trust cell
  double const weights =
      shared * (static_cast<double>(out.certain) + options.box_weight * static_cast<double>(out.boxed));
  double const worth = weights > 0 ? 1 / weights : 0, box_worth = worth * options.box_weight;

  double const largest = 2 * std::log(options.largest_sigma);
  bool const add = log_variance.extent[1] != C;
  std::vector<double> sums(static_cast<std::size_t>(pieces));
  std::atomic<bool> suspect{false};
  for_each_share(where, pieces, 4, [&](index_t begin, index_t end) {
    uncertain_softmax pixel(binary ? 0 : C, options, largest);
    for (index_t i = begin; i < end; ++i) {
      double& sum = sums[static_cast<std::size_t>(i)];
      bool doubtful = false;
      index_t const n = cells_of(i);
      if (binary) {
        for (index_t c = 0; c < C; ++c) {
          T const *const mu = run_of(mean, i, c), *const s = run_of(log_variance, i, c),
                         *const y = run_of(target, i, c);
          std::uint8_t const* const t = run_of(trusted, i, c);
          T *const by_mu = run_of(by_mean, i, c), *const by_s = run_of(by_log_variance, i, c);
          if constexpr (std::is_same_v<T, float>) {
            run_widest(set, uncertain_row{mu, s, y, t, by_mu, by_s, n, add && c > 0, static_cast<float>(largest),
                                          static_cast<float>(worth), static_cast<float>(box_worth), &sum, &doubtful});
          } else {
            for (index_t x = 0; x < n; ++x) {
              auto const cell = uncertain_cell::of({mu[x], s[x]}, y[x], t[x], largest);
              double const part = t[x] == trust::boxed ? box_worth : worth;
              sum += cell.loss * part;
              by_mu[x] = cell.by_mean * part;
              by_s[x] = (add && c > 0 ? by_s[x] : 0) + cell.by_log_variance * part;
            }
          }
        }
        if (doubtful) suspect = true;
        continue;
      }
      std::uint8_t const* const t = run_of(trusted, i, 0);
      for (index_t x = 0; x < n; ++x) {
        double const part = t[x] == trust::boxed ? box_worth : t[x] == trust::certain ? worth : 0;
        for (index_t c = 0; c < C; ++c) {
          auto const k = static_cast<std::size_t>(c);
          pixel.mean[k] = static_cast<double>(run_of(mean, i, c)[x]);
          pixel.log_variance[k] = static_cast<double>(run_of(log_variance, i, c)[x]);
          pixel.target[k] = static_cast<double>(run_of(target, i, c)[x]);
        }
        if (part == 0) {
          std::fill(pixel.by_mean.begin(), pixel.by_mean.end(), 0.0);
          std::fill(pixel.by_log_variance.begin(), pixel.by_log_variance.end(), 0.0);
        } else {
          index_t const pixel_of_batch = i / cuts * length + i % cuts * piece + x;
          sum += part * pixel.run(t[x] == trust::boxed, static_cast<std::uint64_t>(pixel_of_batch));
        }
        double together = 0;
        for (index_t c = 0; c < C; ++c) {
          auto const k = static_cast<std::size_t>(c);
          run_of(by_mean, i, c)[x] = static_cast<T>(pixel.by_mean[k] * part);
          together += pixel.by_log_variance[k];
          if (!add) run_of(by_log_variance, i, c)[x] = static_cast<T>(pixel.by_log_variance[k] * part);
        }
        if (add) run_of(by_log_variance, i, 0)[x] = static_cast<T>(together * part);
      }
    }
  });
  if (suspect) {  // or an alarm that is false: a target of -0, a loss beyond every float
    try {
      check_values();
    } catch (...) {
      for (index_t i = 0; i < pieces; ++i)
        for (index_t c = 0; c < C; ++c) {
          std::fill_n(run_of(by_mean, i, c), cells_of(i), T(0));
          std::fill_n(run_of(by_log_variance, i, c), cells_of(i), T(0));
        }
      throw;
    }
  }
  for (double const part : sums) out.value += part;
  return out;
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
/// @param where         cpu
/// @param mean          [B,C,H,W] of the logits
/// @param log_variance  [B,C,H,W], or [B,1,H,W] for all classes of a pixel: log sigma^2
/// @param target        [B,C,H,W] in [0,1]; classes under a softmax usually sum to 1
/// @param trusted       [B,C,H,W] or [B,1,H,W] of trust::ignored, certain, boxed; with a softmax [B,1,H,W]
/// @param options       classes = one_vs_rest, largest_sigma = 1e15, box_weight = 1, samples = 32, seed = 0
/// @return value, counts, and gradients by mean and log_variance; beyond largest_sigma the latter is 0
///
/// @throws       precondition_error: shapes that differ, NaN or infinite values, targets outside [0,1], trust beyond 2,
///               options outside their ranges
/// @invariant    float and double agree within 5e-6 of a cell; nothing overflows for any finite log_variance
/// @complexity   Theta(B * C * H * W), `samples` times that for `sampled`
/// @determinism  the same bits on every run and for every number of threads: pieces of 4096 cells, summed in order, in
///               double. `sampled` draws by counter: seed, pixel, sample and class
/// @source       Neven et al., "Weakly-supervised semantic segmentation by learning label uncertainty", ICCVW 2021, whose
///               abstract says that an uncertainty is learned within the boxes; the equation of a binary cell as an
///               independent implementation cites it from section 3.2.1. That only boxed cells are softened, the cap, the
///               weight and all models of several classes are ours; `sampled` is Kendall & Gal, NIPS 2017
template <gridded<4> M, gridded<4> S, gridded<4> Y, gridded<4> R>
[[nodiscard]] auto label_uncertainty_loss(cpu const& where, M const& mean, S const& log_variance, Y const& target,
                                          R const& trusted, label_uncertainty_options const& options = {})
    -> label_uncertainty_loss_of<value_of<M, 4>>
{
  using T = value_of<M, 4>;
  view<T const, 4> const mu = as_view<4>(mean, "label_uncertainty_loss: mean");
  view<T const, 4> const s = as_view<4>(log_variance, "label_uncertainty_loss: log_variance");
  label_uncertainty_loss_of<T> out;
  out.by_mean = grid_like<T, host>(mu);
  out.by_log_variance = grid_like<T, host>(s);
  static_cast<label_uncertainty_value&>(out) = label_uncertainty_loss_into<T>(
      where, mu, s, as_view<4>(target, "label_uncertainty_loss: target"),
      as_view<4>(trusted, "label_uncertainty_loss: trusted"), options, out.by_mean.view(), out.by_log_variance.view());
  return out;
}

/// The probability a network with Gaussian logits expects: sigmoid(kappa * mean).
///
/// @param where          cpu
/// @param mean           [C,H,W]
/// @param log_variance   [C,H,W] or [1,H,W]
/// @param largest_sigma  larger ones count as this; > 0
/// @return [C,H,W] in [0,1]; above 1/2 where the mean is above 0
///
/// @throws       precondition_error: shapes that differ, NaN or infinite values, largest_sigma <= 0
/// @complexity   Theta(C * H * W)
/// @determinism  exact up to the mathematics library's exponential
/// @source       see gaussian_logit
template <stack_like M, stack_like S>
[[nodiscard]] auto expected_sigmoid(cpu const& where, M const& mean, S const& log_variance,
                                    double largest_sigma = 1e15) -> grid<value_of<M, 3>, 3>
{
  using T = value_of<M, 3>;
  auto const mu = as_view<3>(mean, "expected_sigmoid: mean");
  auto const s = as_view<3>(log_variance, "expected_sigmoid: log_variance");
  index_t const C = mu.extent[0], H = mu.extent[1], W = mu.extent[2];
  expects((s.extent[0] == C || s.extent[0] == 1) && s.extent[1] == H && s.extent[2] == W, "expected_sigmoid: mean is ",
          mu, " but log_variance is ", s);
  expects(largest_sigma > 0, "expected_sigmoid: largest_sigma is ", largest_sigma, "; it must be positive");
  expects_finite(where, mu, "expected_sigmoid: mean");
  expects_finite(where, s, "expected_sigmoid: log_variance");
  double const largest = 2 * std::log(largest_sigma);
  auto out = make_grid<T>({C, H, W});
  for_each_share(where, C * H, 16, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row) {
      index_t const c = row / H, y = row % H;
      for (index_t x = 0; x < W; ++x) {
        double const spread = static_cast<double>(s(s.extent[0] == 1 ? 0 : c, y, x));
        gaussian_logit const z{static_cast<double>(mu(c, y, x)), std::min(spread, largest)};
        out(c, y, x) = static_cast<T>(1 / (1 + std::exp(-z.expected_logit())));
      }
    }
  });
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


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
