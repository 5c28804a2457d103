#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/bilinear.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace cambium {

/// Over which channels scores are divided by their maximum before the background's constant score is met.
enum class score_scale {
  image,    ///< all channels of the image: the original. A weak object beside a strong one vanishes
  group,    ///< the channels of one group, for example of one class
  channel,  ///< each channel by itself: every instance reaches 1
};

/// What happens to an image whose largest score is not positive.
enum class no_score {
  background,     ///< everything is background
  first_channel,  ///< everything is the first channel: what 0/0 = NaN and argmax do in the original
};

struct assign_options {
  double background = 0.25;  ///< score of the background after scaling; --sem_seg_bg_thres, --ins_seg_bg_thres
  score_scale scale = score_scale::image;
  no_score empty = no_score::background;
  index_t stride = 4;  ///< [pixels per cell] enlargement of the scores
};

/// Which channel each pixel belongs to.
template <class T>
struct assignment {
  grid<std::int32_t, 2> channel;  ///< [H,W] 0 background, n+1 for channel n
  grid<T, 2> score;               ///< [H,W] scaled score of that channel, the background's where it won
};

/// Enlarge scores to the image, scale them, and let every pixel choose among them and the background.
///
/// @param where    cpu
/// @param scores   [N,h,w] finite, from the walk
/// @param groups   N group numbers; used by score_scale::group only and may be empty otherwise
/// @param image    [pixels] H, W of the image, at most stride * h, stride * w
/// @param options  background = 0.25, scale = image, empty = background, stride = 4
///
/// @throws       precondition_error before anything is written
/// @invariant    ties go to the lower channel, the background first; the largest scaled score is 1
/// @complexity   Theta(N * H * W) time, O(H * W) memory: enlarged channels are never stored
/// @determinism  the same bits on every run and for every number of threads
/// @source       _work of step/make_ins_seg_labels.py and step/make_sem_seg_labels.py of jiwoon-ahn/irn: bilinear
///               enlargement by exactly 4, then a crop (not a resize to the image); division by the global maximum;
///               argmax over [background, channels]
template <stack_like X>
[[nodiscard]] auto assign(cpu const& where, X const& scores, std::vector<std::int32_t> const& groups, extent2 image,
                          assign_options options = {}) -> assignment<value_of<X, 3>>
{
  using T = value_of<X, 3>;
  auto const in = as_view<3>(scores, "assign: scores");
  index_t const N = in.extent[0], H = image.height, W = image.width;
  expects(options.stride >= 1, "assign: stride is ", options.stride);
  expects(std::isfinite(options.background), "assign: background is ", options.background);
  expects(H >= 1 && W >= 1 && H <= options.stride * in.extent[1] && W <= options.stride * in.extent[2],
          "assign: scores ", in, " enlarged by ", options.stride, " do not cover an image of ", H, " x ", W);
  expects(options.scale != score_scale::group || static_cast<index_t>(groups.size()) == N, "assign: ", N,
          " channels but ", static_cast<index_t>(groups.size()), " group numbers");
  expects_finite(where, in, "assign: scores");

  T const step = T(1) / static_cast<T>(options.stride);
  auto const across = taps(W, step, in.extent[2]);
  // Enlarges row y of channel n into `row`.
  auto const enlarge = [&](index_t n, index_t y, std::vector<T>& mixed, std::vector<T>& row) {
    bilinear_row(image_view<T const>(in[n]), tap(y, step, in.extent[1]), across, mixed.data(), row.data());
  };
  auto const buffer = [](index_t n) { return std::vector<T>(static_cast<std::size_t>(n)); };

  std::vector<T> largest(static_cast<std::size_t>(N), std::numeric_limits<T>::lowest());
  for_each_share(where, N, 1, [&](index_t begin, index_t end) {
    auto mixed = buffer(in.extent[2]), row = buffer(W);
    for (index_t n = begin; n < end; ++n) {
      T& most = largest[static_cast<std::size_t>(n)];
      for (index_t y = 0; y < H; ++y) {
        enlarge(n, y, mixed, row);
        for (T const v : row) most = v > most ? v : most;
      }
    }
  });
  std::vector<T> divisor = largest;
  for (std::size_t n = 0; n < divisor.size(); ++n)
    for (std::size_t m = 0; m < divisor.size(); ++m)
      if (options.scale == score_scale::image || (options.scale == score_scale::group && groups[m] == groups[n]))
        divisor[n] = std::max(divisor[n], largest[m]);

  assignment<T> out{make_grid<std::int32_t>({H, W}), make_grid<T>({H, W})};
  bool const nothing = std::none_of(largest.begin(), largest.end(), [](T v) { return v > 0; });
  if (nothing) {
    bool const first = options.empty == no_score::first_channel && N > 0;
    std::fill(out.channel.cells().begin(), out.channel.cells().end(), first ? 1 : 0);
    std::fill(out.score.cells().begin(), out.score.cells().end(), first ? T(0) : static_cast<T>(options.background));
    return out;
  }
  for_each_share(where, H, 8, [&](index_t begin, index_t end) {
    auto mixed = buffer(in.extent[2]), row = buffer(W);
    for (index_t y = begin; y < end; ++y) {
      T* const best = &out.score(y, 0);
      std::int32_t* const channel = &out.channel(y, 0);
      std::fill_n(best, W, static_cast<T>(options.background));
      std::fill_n(channel, W, 0);
      for (index_t n = 0; n < N; ++n) {
        T const by = divisor[static_cast<std::size_t>(n)];
        if (!(by > 0)) continue;  // this group never scores
        enlarge(n, y, mixed, row);
        for (index_t x = 0; x < W; ++x) {
          T const v = row[static_cast<std::size_t>(x)] / by;
          bool const better = v > best[x];
          best[x] = better ? v : best[x];
          channel[x] = better ? static_cast<std::int32_t>(n + 1) : channel[x];
        }
      }
    }
  });
  return out;
}

}  // namespace cambium
