#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

/// Scores of all channels along a row, in place: they become their softmax.
struct softmax_row {
  float* row;  ///< [channels, width]
  index_t channels;
  index_t width;  ///< a multiple of 16
  bool* finite;   ///< becomes false when a score is not

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    using numbers = pack<float, lanes>;
    for (index_t x = 0; x < width; x += lanes) {
      numbers most, sum, invalid;
      largest_scores<lanes>(row + x, channels, width, most, &invalid);
      bits<float, lanes> const odd = invalid != invalid;
      for (int i = 0; i < lanes; ++i) *finite = *finite && odd[i] == 0;
      exponentials_of_scores<lanes>(row + x, channels, width, most, sum);
      numbers const part = 1 / sum;
      for (index_t l = 0; l < channels; ++l) lanes_at<lanes>(row + l * width + x).v *= part;
    }
  }
};

/// Copies cells into a buffer of floats.
template <class T>
void copy_as_float(T const* from, index_t count, float* to)
{
  if constexpr (std::is_same_v<T, float>)
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
  else
    for (index_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

/// The softmax of a block of cells that lie side by side; or of two outputs, their mean.
class softmax_block {
 public:
  static constexpr index_t cells = 64;  ///< few enough that all channels stay in the nearest cache

  explicit softmax_block(index_t channels) : own_(static_cast<std::size_t>(channels * cells), 0.f), mirrored_(own_) {}

  /// Was every score so far a finite number, as a float?
  bool finite() const { return finite_; }

  /// Probabilities of cells x .. x+n-1 of row y: channel l at [l * cells].
  template <class T>
  float const* operator()(isa set, stack_view<T const> scores, stack_view<T const> flipped, index_t y, index_t x,
                          index_t n)
  {
    fill(set, scores, y, x, n, own_);
    if (flipped.data != nullptr) {
      fill(set, flipped, y, scores.extent[2] - x - n, n, mirrored_);
      for (index_t l = 0; l < scores.extent[0]; ++l) {
        float* const p = own_.data() + l * cells;
        float const* const q = mirrored_.data() + l * cells + n - 1;
        for (index_t i = 0; i < n; ++i) p[i] = (p[i] + q[-i]) / 2;
      }
    }
    return own_.data();
  }

 private:
  template <class T>
  void fill(isa set, stack_view<T const> const& from, index_t y, index_t x, index_t n, cells_t<float>& to)
  {
    for (index_t l = 0; l < from.extent[0]; ++l)
      if (n == cells)  // a constant number of bytes is copied in registers
        copy_as_float(&from(l, y, x), cells, to.data() + l * cells);
      else
        copy_as_float(&from(l, y, x), n, to.data() + l * cells);
    run_widest(set, softmax_row{to.data(), from.extent[0], cells, &finite_});
  }

  cells_t<float> own_, mirrored_;
  bool finite_ = true;
};

/// The largest of the channels of a block, the lowest of equal ones.
struct largest_channel {
  float const* value;
  index_t channels;
  char const* allowed;  ///< one entry a channel, or null
  float* best;
  std::int32_t* label;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    for (index_t x = 0; x < softmax_block::cells; x += lanes) {
      pack<float, lanes> most = lanes_at<lanes>(value + x).v;
      bits<float, lanes> of{};
      for (index_t l = 1; l < channels; ++l) {
        if (allowed != nullptr && allowed[l] == 0) continue;
        pack<float, lanes> const v = lanes_at<lanes>(value + l * softmax_block::cells + x).v;
        bits<float, lanes> const better = v > most;
        most = better ? v : most;
        of = better ? bits<float, lanes>{} + static_cast<std::int32_t>(l) : of;
      }
      lanes_at<lanes>(best + x).v = most;
      lanes_at<lanes>(label + x).v = of;
    }
  }
};

/// What softmax_row and largest_channel find between them, without writing the probabilities in between.
struct largest_softmax {
  float const* score;  ///< of channel 0; a block of cells
  index_t stride;      ///< [elements] from channel to channel
  index_t channels;
  char const* allowed;  ///< one entry a channel, or null
  float* best;
  std::int32_t* label;
  bool* finite;  ///< becomes false when a score is not
  bool* sure;    ///< becomes false when rounding may make two of the probabilities equal: then the lower channel counts

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    using numbers = pack<float, lanes>;
    using integers = bits<float, lanes>;
    integers odd{}, unsure{};
    for (index_t x = 0; x < softmax_block::cells; x += lanes) {
      numbers most, invalid;
      largest_scores<lanes>(score + x, channels, stride, most, &invalid);
      odd |= invalid != invalid;
      numbers sum{}, top{}, second{};  // the second is what the top displaced, the largest of the lower channels
      integers of{};
      for (index_t l = 0; l < channels; ++l) {
        numbers v = lanes_at<lanes>(score + l * stride + x).v - most;
        exponential<lanes>(v);
        sum += v;
        if (l > 0 && allowed != nullptr && allowed[l] == 0) continue;
        integers const better = v > top;
        second = better ? top : second;
        top = better ? v : top;
        of = better ? integers{} + static_cast<std::int32_t>(l) : of;
      }
      numbers const p = top * (1 / sum);
      unsure |= (second > top * (1 - 0x1p-20f)) | (p < 1e-30f);
      lanes_at<lanes>(best + x).v = p;
      lanes_at<lanes>(label + x).v = of;
    }
    for (int i = 0; i < lanes; ++i) *finite = *finite && odd[i] == 0, *sure = *sure && unsure[i] == 0;
  }
};

/// Throws unless every score is a finite number, as a float too.
template <class T>
void expects_scores(cpu const& where, stack_view<T const> const& scores, char const* what)
{
  constexpr auto most = static_cast<T>(std::numeric_limits<float>::max());
  expects_inside(where, scores, -most, most, what, "a finite number, not larger than a float can hold");
}

/// The most probable class of each cell, and how probable it is.
template <class Space>
struct class_decision_in {
  grid<std::int32_t, 2, Space> label;  ///< [H,W] channel
  grid<float, 2, Space> probability;   ///< [H,W] of that channel
};
using class_decision = class_decision_in<host>;

/// Decide for one class a cell, by the softmax of a network's scores.
///
///   label = argmax over l of p(l),   p = softmax of scores, or its mean with that of the mirror image
///
/// @param where    cpu
/// @param scores   [L,H,W] finite, L >= 1; channel 0 is the background
/// @param flipped  [L,H,W] of the mirror image, or null
/// @param allowed  L entries, or none: classes where it is 0 do not take part, without the others gaining; the background
///                 always does
///
/// @throws       precondition_error: NaN or infinite scores, scores larger than a float can hold, no channel, shapes that
///               differ
/// @invariant    ties go to the lower channel
/// @complexity   Theta(L * H * W) exponentials
/// @determinism  the same bits for every number of threads; between instruction sets within a few ulp
/// @source       get_ins_map, utils/utils.py of clovaai/BESTIE
template <stack_like S>
[[nodiscard]] class_decision decide(cpu const& where, S const& scores, stack_view<value_of<S, 3> const> flipped = {},
                                    std::vector<char> const& allowed = {})
{
  using T = value_of<S, 3>;
  auto const in = as_view<3>(scores, "decide: scores");
  index_t const L = in.extent[0], H = in.extent[1], W = in.extent[2];
  expects(L >= 1, "decide: scores are ", in, ", without a channel");
  expects(flipped.data == nullptr || same_shape(in, flipped), "decide: scores are ", in,
          " but those of the mirror image ", flipped);
  expects(allowed.empty() || static_cast<index_t>(allowed.size()) == L, "decide: ", L, " channels but ",
          static_cast<index_t>(allowed.size()), " entries of allowed");
  class_decision out{make_grid<std::int32_t>({H, W}), make_grid<float>({H, W})};
  isa const set = vectors_of(where);
  char const* const among = allowed.empty() ? nullptr : allowed.data();
  std::atomic<bool> finite{true};
  for_each_share(where, W == 0 ? 0 : H, 8, [&](index_t begin, index_t end) {
    softmax_block block(L);
    bool all_finite = true;
    float best[softmax_block::cells];
    std::int32_t label[softmax_block::cells];
    for (index_t y = begin; y < end; ++y)
      for (index_t next = 0; next < W; next += softmax_block::cells) {
        index_t x = next, n = std::min(softmax_block::cells, W - x);
        bool sure = false;
        if constexpr (std::is_same_v<T, float>)
          if (flipped.data == nullptr && W >= softmax_block::cells) {
            n = softmax_block::cells, x = std::min(x, W - n);  // the last block begins earlier
            sure = true;
            run_widest(set, largest_softmax{&in(0, y, x), in.stride[0], L, among, best, label, &all_finite, &sure});
          }
        if (!sure) {
          float const* const p = block(set, stack_view<T const>(in), flipped, y, x, n);
          run_widest(set, largest_channel{p, L, among, best, label});
        }
        std::copy_n(best, n, &out.probability(y, x));
        std::copy_n(label, n, &out.label(y, x));
      }
    if (!block.finite() || !all_finite) finite = false;
  });
  if (!finite) {  // looked at while they were read; now which one is it?
    expects_scores<T>(where, in, "decide: scores");
    if (flipped.data != nullptr) expects_scores<T>(where, flipped, "decide: mirrored scores");
  }
  return out;
}

/// How probable given labels are, by the softmax of a network's scores.
///
/// @param where   cpu
/// @param scores  [L,H,W] finite
/// @param labels  [H,W] of integers; elsewhere than 1..L-1 the result is 0
/// @return [H,W] softmax(scores)(label)
///
/// @throws       precondition_error: NaN or infinite scores, scores larger than a float can hold, shapes that differ
/// @complexity   O(L) exponentials a cell, in blocks with a labelled cell
/// @determinism  as decide
/// @source       refine_label_generation, utils/utils.py of clovaai/BESTIE
template <stack_like S, image_like M>
[[nodiscard]] grid<float, 2> probability_at(cpu const& where, S const& scores, M const& labels)
{
  static_assert(std::is_integral_v<value_of<M, 2>>, "probability_at: labels are integers");
  auto const in = as_view<3>(scores, "probability_at: scores");
  using T = value_of<S, 3>;
  auto const label = as_view<2>(labels, "probability_at: labels");
  index_t const L = in.extent[0], H = in.extent[1], W = in.extent[2];
  expects(label.extent[0] == H && label.extent[1] == W, "probability_at: scores are ", in, " but labels are ", label);
  expects_scores<T>(where, in, "probability_at: scores");
  grid<float, 2> out(H, W);
  isa const set = vectors_of(where);
  for_each_share(where, W == 0 ? 0 : H, 8, [&](index_t begin, index_t end) {
    softmax_block block(L);
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; x += softmax_block::cells) {
        auto const known = [&](index_t u) {
          auto const l = static_cast<index_t>(label(y, u));
          return 0 < l && l < L;
        };
        index_t first = x, last = std::min(x + softmax_block::cells, W);
        while (first < last && !known(first)) ++first;
        while (first < last && !known(last - 1)) --last;
        if (first == last) continue;
        float const* const p = block(set, stack_view<T const>(in), {}, y, first, last - first);
        for (index_t u = first; u < last; ++u)
          if (known(u)) out(y, u) = p[static_cast<index_t>(label(y, u)) * softmax_block::cells + u - first];
      }
  });
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// The softmax of a cell's scores.
template <class T, class S>
struct softmax_of_cell {
  stack_view<T const, S> scores;
  index_t y;
  index_t x;
  float most;
  float part;

  CAMBIUM_HD softmax_of_cell(stack_view<T const, S> const& all, index_t at_y, index_t at_x)
      : scores(all), y(at_y), x(at_x)
  {
    auto const score = [this](index_t l) { return static_cast<float>(scores(l, y, x)); };
    auto const all_of = softmax_of(scores.extent[0], score, [](index_t, float v) { return exponential(v); });
    most = all_of.most, part = 1 / all_of.sum;
  }

  CAMBIUM_HD float operator()(index_t l) const { return exponential(static_cast<float>(scores(l, y, x)) - most) * part; }
};

/// Rule: the most probable class of a cell.
template <class T, class S>
struct decide_cell {
  stack_view<T const, S> scores;
  stack_view<T const, S> flipped;  ///< or null
  char const* allowed;             ///< or null
  image_view<std::int32_t, S> label;
  image_view<float, S> probability;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    softmax_of_cell<T, S> const own(scores, y, x);
    bool const both = flipped.data != nullptr;
    softmax_of_cell<T, S> const other(both ? flipped : scores, y, both ? scores.extent[2] - 1 - x : x);
    float best = 0;
    std::int32_t of = 0;
    for (index_t l = 0; l < scores.extent[0]; ++l) {
      if (l > 0 && allowed != nullptr && allowed[l] == 0) continue;
      float const p = both ? (own(l) + other(l)) / 2 : own(l);
      if (l == 0 || p > best) best = p, of = static_cast<std::int32_t>(l);
    }
    label(y, x) = of;
    probability(y, x) = best;
  }
};

/// Rule: how probable a cell's label is.
template <class T, class L, class S>
struct read_probability {
  stack_view<T const, S> scores;
  image_view<L const, S> label;
  image_view<float, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    auto const l = static_cast<index_t>(label(y, x));
    out(y, x) = 0 < l && l < scores.extent[0] ? softmax_of_cell<T, S>(scores, y, x)(l) : 0.f;
  }
};

/// Decide for one class a cell, by the softmax of a network's scores, on a device.
///
/// @param allowed      [L] of char in the policy's memory, or null
/// @param label        [H,W] of std::int32_t
/// @param probability  [H,W] of float; where scores are not finite it may be NaN, and the label is any of 0..L-1
///
/// @determinism  the same bits on every run; probabilities within 1e-5 of the cpu's, relatively, and the label differs
///               only where two are nearer to each other than that
/// @asynchrony   gpu: enqueues and returns
///
/// Everything else as decide in softmax.hpp.
template <execution_policy P, stack_like M, image_like O, image_like Q>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void decide_into(P const& where, M const& scores, stack_view<value_of<M, 3> const, typename P::memory> flipped,
                 view<char const, 1, typename P::memory> allowed, O&& label, Q&& probability)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(scores, "decide: scores");
  image_view<std::int32_t, S> const to = as_view<2>(label, "decide: label");
  image_view<float, S> const sure = as_view<2>(probability, "decide: probability");
  index_t const L = in.extent[0], H = in.extent[1], W = in.extent[2];
  expects(L >= 1, "decide: scores are ", in, ", without a channel");
  expects(flipped.data == nullptr || same_shape(stack_view<T const, S>(in), flipped), "decide: scores are ", in,
          " but those of the mirror image ", flipped);
  expects(allowed.data == nullptr || (allowed.extent[0] == L && allowed.contiguous()), "decide: ", L, " channels but ",
          allowed.extent[0], " entries of allowed");
  expects(to.extent[0] == H && to.extent[1] == W && same_shape(to, sure), "decide: scores are ", in, " but label is ",
          to, " and probability ", sure);
  expects(
      !overlap(in, to) && !overlap(in, sure) && !overlap(to, sure) && !overlap(flipped, to) && !overlap(flipped, sure),
      "decide: scores, label and probability overlap");
  for_each_cell(where, {1, H, W}, decide_cell<T, S>{in, flipped, allowed.data, to, sure});
}

/// As decide_into, and allocates.
/// @param allowed  on the host: L entries, or none
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] class_decision_in<typename P::memory> decide(
    P const& where, M const& scores, stack_view<value_of<M, 3> const, typename P::memory> flipped = {},
    std::vector<char> const& allowed = {})
{
  auto const in = as_view<3>(scores, "decide: scores");
  auto const count = static_cast<index_t>(allowed.size());
  auto listed = make_grid<char>(where, {count});
  if (count > 0) copy(where, view<char const, 1>(allowed.data(), {count}), listed.view());
  class_decision_in<typename P::memory> out{make_grid<std::int32_t>(where, {in.extent[1], in.extent[2]}),
                                            make_grid<float>(where, {in.extent[1], in.extent[2]})};
  view<char const, 1, typename P::memory> const among = listed.view();
  decide_into(where, scores, flipped, count > 0 ? among : view<char const, 1, typename P::memory>{}, out.label,
              out.probability);
  return out;
}

/// How probable given labels are, by the softmax of a network's scores, on a device.
///
/// @param out    [H,W] of float
/// @determinism  the same bits on every run; within 1e-5 of the cpu's, relatively
/// @asynchrony   gpu: enqueues and returns
///
/// Everything else as probability_at in softmax.hpp.
template <execution_policy P, stack_like M, image_like L, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void probability_at_into(P const& where, M const& scores, L const& labels, O&& out)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<L, 2>>, "probability_at: labels are integers");
  auto const in = as_view<3>(scores, "probability_at: scores");
  auto const label = as_view<2>(labels, "probability_at: labels");
  image_view<float, S> const to = as_view<2>(out, "probability_at: out");
  expects(label.extent[0] == in.extent[1] && label.extent[1] == in.extent[2], "probability_at: scores are ", in,
          " but labels are ", label);
  expects(same_shape(label, to), "probability_at: labels are ", label, " but out is ", to);
  expects(!overlap(in, to) && !overlap(label, to), "probability_at: scores or labels and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]},
                read_probability<value_of<M, 3>, value_of<L, 2>, S>{in, label, to});
}

/// As probability_at_into, and allocates.
template <execution_policy P, stack_like M, image_like L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] grid<float, 2, typename P::memory> probability_at(P const& where, M const& scores, L const& labels)
{
  auto out = make_grid<float>(where, as_view<2>(labels, "probability_at: labels").extent);
  probability_at_into(where, scores, labels, out);
  return out;
}

}  // namespace cambium
