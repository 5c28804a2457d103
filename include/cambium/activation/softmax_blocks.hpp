#pragma once
// The CPU schedule of decide and probability_at: blocks of cells whose channels stay in the nearest cache.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

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

/// Decide by blocks. Values are checked while they are read.
template <class T>
void decide_on(cpu const& where, stack_view<T const> scores, stack_view<T const> flipped, char const* allowed,
               image_view<std::int32_t> label, image_view<float> probability)
{
  index_t const L = scores.extent[0], H = scores.extent[1], W = scores.extent[2];
  isa const set = vectors_of(where);
  std::atomic<bool> finite{true};
  for_each_share(where, W == 0 ? 0 : H, 8, [&](index_t begin, index_t end) {
    softmax_block block(L);
    bool all_finite = true;
    float best[softmax_block::cells];
    std::int32_t of[softmax_block::cells];
    for (index_t y = begin; y < end; ++y)
      for (index_t next = 0; next < W; next += softmax_block::cells) {
        index_t x = next, n = std::min(softmax_block::cells, W - x);
        bool sure = false;
        if constexpr (std::is_same_v<T, float>)
          if (flipped.data == nullptr && W >= softmax_block::cells) {
            n = softmax_block::cells, x = std::min(x, W - n);  // the last block begins earlier
            sure = true;
            run_widest(set,
                       largest_softmax{&scores(0, y, x), scores.stride[0], L, allowed, best, of, &all_finite, &sure});
          }
        if (!sure) {
          float const* const p = block(set, scores, flipped, y, x, n);
          run_widest(set, largest_channel{p, L, allowed, best, of});
        }
        std::copy_n(best, n, &probability(y, x));
        std::copy_n(of, n, &label(y, x));
      }
    if (!block.finite() || !all_finite) finite = false;
  });
  if (finite) return;
  expects_scores<T>(where, scores, "decide: scores");  // now find the one that is not
  if (flipped.data != nullptr) expects_scores<T>(where, flipped, "decide: mirrored scores");
}

/// Probabilities of labels by blocks, each no longer than its labelled cells.
template <class T, class L>
void probability_at_on(cpu const& where, stack_view<T const> scores, image_view<L const> label, image_view<float> out)
{
  index_t const channels = scores.extent[0], H = scores.extent[1], W = scores.extent[2];
  isa const set = vectors_of(where);
  for_each_share(where, W == 0 ? 0 : H, 8, [&](index_t begin, index_t end) {
    softmax_block block(channels);
    for (index_t y = begin; y < end; ++y) {
      std::fill_n(&out(y, 0), W, 0.f);
      for (index_t x = 0; x < W; x += softmax_block::cells) {
        auto const known = [&](index_t u) {
          auto const l = static_cast<index_t>(label(y, u));
          return 0 < l && l < channels;
        };
        index_t first = x, last = std::min(x + softmax_block::cells, W);
        while (first < last && !known(first)) ++first;
        while (first < last && !known(last - 1)) --last;
        if (first == last) continue;
        float const* const p = block(set, scores, {}, y, first, last - first);
        for (index_t u = first; u < last; ++u)
          if (known(u)) out(y, u) = p[static_cast<index_t>(label(y, u)) * softmax_block::cells + u - first];
      }
    }
  });
}

}  // namespace cambium
