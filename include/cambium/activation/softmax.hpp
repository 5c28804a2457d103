#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// Scores of all channels along a row, in place: they become their softmax.
struct softmax_row {
  float* row;  ///< [channels, width]
  index_t channels;
  index_t width;  ///< a multiple of 16

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    using numbers = pack<float, lanes>;
    for (index_t x = 0; x < width; x += lanes) {
      numbers most = lanes_at<lanes>(row + x).v, sum{};
      for (index_t l = 1; l < channels; ++l) {
        numbers const v = lanes_at<lanes>(row + l * width + x).v;
        most = v > most ? v : most;
      }
      for (index_t l = 0; l < channels; ++l) {
        numbers v = lanes_at<lanes>(row + l * width + x).v - most;
        exponential<lanes>(v);
        sum += v;
        lanes_at<lanes>(row + l * width + x).v = v;
      }
      for (index_t l = 0; l < channels; ++l) lanes_at<lanes>(row + l * width + x).v /= sum;
    }
  }
};

/// Buffers for the softmax of one row of an image: probabilities of all channels, the channels `width` apart.
struct softmax_rows {
  index_t width;
  cells_t<float> row, mirrored;

  softmax_rows(index_t channels, index_t cells) : width((cells + 15) / 16 * 16)
  {
    row.assign(static_cast<std::size_t>(channels * width), 0.f);
  }

  /// Fills `row` with the probabilities of row y; of two outputs, with their mean.
  template <class T>
  void fill(isa set, stack_view<T const> scores, stack_view<T const> flipped, index_t y)
  {
    index_t const L = scores.extent[0], W = scores.extent[2];
    auto const one = [&](stack_view<T const> const& from, cells_t<float>& to) {
      for (index_t l = 0; l < L; ++l) {
        T const* const cells = &from(l, y, 0);
        float* const out = to.data() + l * width;
        for (index_t x = 0; x < W; ++x) out[x] = static_cast<float>(cells[x]);
      }
      run_widest(set, softmax_row{to.data(), L, width});
    };
    one(scores, row);
    if (flipped.data == nullptr) return;
    mirrored.resize(row.size(), 0.f);
    one(flipped, mirrored);
    for (index_t l = 0; l < L; ++l)
      for (index_t x = 0; x < W; ++x) {
        float& p = row[static_cast<std::size_t>(l * width + x)];
        p = (p + mirrored[static_cast<std::size_t>(l * width + W - 1 - x)]) / 2;
      }
  }
};

/// The most probable class of each cell, and how probable it is.
struct class_decision {
  grid<std::int32_t, 2> label;  ///< [H,W] channel
  grid<float, 2> probability;   ///< [H,W] of that channel
};

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
/// @throws       precondition_error: NaN or infinite scores, no channel, shapes that differ
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
  expects_finite(where, in, "decide: scores");
  if (flipped.data != nullptr) expects_finite(where, flipped, "decide: mirrored scores");
  class_decision out{make_grid<std::int32_t>({H, W}), make_grid<float>({H, W})};
  isa const set = vectors_of(where);
  for_each_share(where, W == 0 ? 0 : H, 8, [&](index_t begin, index_t end) {
    softmax_rows p(L, W);
    for (index_t y = begin; y < end; ++y) {
      p.fill<T>(set, in, flipped, y);
      float* const best = &out.probability(y, 0);
      std::int32_t* const label = &out.label(y, 0);
      std::copy_n(p.row.data(), W, best);
      std::fill_n(label, W, 0);
      for (index_t l = 1; l < L; ++l) {
        if (!allowed.empty() && allowed[static_cast<std::size_t>(l)] == 0) continue;
        float const* const v = p.row.data() + l * p.width;
        for (index_t x = 0; x < W; ++x) {
          bool const better = v[x] > best[x];
          best[x] = better ? v[x] : best[x];
          label[x] = better ? static_cast<std::int32_t>(l) : label[x];
        }
      }
    }
  });
  return out;
}

/// How probable given labels are, by the softmax of a network's scores.
///
/// @param where   cpu
/// @param scores  [L,H,W] finite
/// @param labels  [H,W] of integers; elsewhere than 1..L-1 the result is 0
/// @return [H,W] softmax(scores)(label)
///
/// @throws       precondition_error: NaN or infinite scores, shapes that differ
/// @complexity   Theta(L) exponentials a labelled cell, sixteen cells at a time
/// @determinism  as decide
/// @source       refine_label_generation, utils/utils.py of clovaai/BESTIE
template <stack_like S, image_like M>
[[nodiscard]] grid<float, 2> probability_at(cpu const& where, S const& scores, M const& labels)
{
  static_assert(std::is_integral_v<value_of<M, 2>>, "probability_at: labels are integers");
  auto const in = as_view<3>(scores, "probability_at: scores");
  auto const label = as_view<2>(labels, "probability_at: labels");
  index_t const L = in.extent[0], H = in.extent[1], W = in.extent[2];
  expects(label.extent[0] == H && label.extent[1] == W, "probability_at: scores are ", in, " but labels are ", label);
  expects_finite(where, in, "probability_at: scores");
  grid<float, 2> out(H, W);
  isa const set = vectors_of(where);
  for_each_share(where, W == 0 ? 0 : H, 8, [&](index_t begin, index_t end) {
    cells_t<float> block(static_cast<std::size_t>(16 * L));
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; x += 16) {
        index_t const n = std::min<index_t>(16, W - x);
        auto const known = [&](index_t i) {
          auto const l = static_cast<index_t>(label(y, x + i));
          return 0 < l && l < L;
        };
        bool any = false;
        for (index_t i = 0; i < n; ++i) any = any || known(i);
        if (!any) continue;
        for (index_t l = 0; l < L; ++l)
          for (index_t i = 0; i < 16; ++i)
            block[static_cast<std::size_t>(16 * l + i)] = i < n ? static_cast<float>(in(l, y, x + i)) : 0.f;
        run_widest(set, softmax_row{block.data(), L, 16});
        for (index_t i = 0; i < n; ++i)
          if (known(i)) out(y, x + i) = block[static_cast<std::size_t>(16 * static_cast<index_t>(label(y, x + i)) + i)];
      }
  });
  return out;
}

}  // namespace cambium
