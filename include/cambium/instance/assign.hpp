#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/instance/enlarged.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

namespace cambium {

/// The channels over whose maximum scores are divided, before they are compared with the background's constant score.
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
template <class T, class Space = host>
struct assignment {
  grid<std::int32_t, 2, Space> channel;  ///< [H,W] 0 background, n+1 for channel n
  grid<T, 2, Space> score;               ///< [H,W] scaled score of that channel, the background's where it won
};

/// Throws unless scores of this shape cover the image and the options are valid.
template <class T, class S>
void expects_assignable(stack_view<T, S> const& scores, extent2 image, assign_options const& options)
{
  auto const [H, W] = image;
  expects(options.stride >= 1, "assign: stride is ", options.stride);
  expects(std::isfinite(options.background), "assign: background is ", options.background);
  expects(
      H >= 1 && W >= 1 && covers(scores.extent[1], options.stride, H) && covers(scores.extent[2], options.stride, W),
      "assign: scores ", scores, " enlarged by ", options.stride, " do not cover an image of ", H, " x ", W);
}

/// Throws unless there are as many group numbers as channels where they are needed.
inline void expects_groups(index_t groups, index_t channels, score_scale scale)
{
  expects(scale != score_scale::group || groups == channels, "assign: ", channels, " channels but ", groups,
          " group numbers");
}

namespace rule {

/// Channel n is divided by the largest score of the channels it is measured with; entry N is the largest of all.
template <class T, class S>
struct find_divisor {
  T const* largest;
  view<std::int32_t const, 1, S> group;  ///< read with score_scale::group only
  index_t channels;
  score_scale scale;
  T lowest;  ///< of its type
  T* divisor;

  CAMBIUM_HD void operator()(index_t n) const
  {
    bool const alone = scale == score_scale::channel && n < channels;
    T most = lowest;
    for (index_t m = alone ? n : 0; m < (alone ? n + 1 : channels); ++m) {
      bool const together = scale != score_scale::group || n == channels || group(m) == group(n);
      if (together && largest[m] > most) most = largest[m];
    }
    divisor[n] = most;
  }
};

/// One pixel chooses.
template <class T, class S>
struct choose_channel {
  enlarged_at<T, S> enlarged;
  T const* divisor;  ///< N
  T const* largest;  ///< of all channels, or null: where it is not positive, the first channel takes everything
  box window;
  T background;
  image_view<std::int32_t, S> channel;
  image_view<T, S> score;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    T best = background;
    std::int32_t chosen = 0;
    index_t const N = enlarged.scores.extent[0];
    bilinear_tap<T> const down = enlarged.down(window.top + y), across = enlarged.across(window.left + x);
    for (index_t n = 0; n < N; ++n) {
      if (!(divisor[n] > 0)) continue;
      T const v = enlarged(n, down, across) / divisor[n];
      if (v > best) best = v, chosen = static_cast<std::int32_t>(n + 1);
    }
    if (largest != nullptr && N > 0 && !(*largest > 0)) best = 0, chosen = 1;
    channel(y, x) = chosen, score(y, x) = best;
  }
};

/// The pixels of a row look at one more channel.
template <class T>
struct choose_row {
  T const* enlarged;
  T divisor;
  index_t width;
  std::int32_t channel;  ///< its number in the result
  T* best;
  std::int32_t* chosen;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    index_t x = 0;
    if constexpr (sizeof(T) == 4) {
      constexpr int lanes = Bytes / 4;
      for (; x + lanes <= width; x += lanes) {
        pack<T, lanes> const v = lanes_at<lanes>(enlarged + x).v / divisor, before = lanes_at<lanes>(best + x).v;
        pack<std::int32_t, lanes> const number = lanes_at<lanes>(chosen + x).v;
        lanes_at<lanes>(best + x).v = v > before ? v : before;
        lanes_at<lanes>(chosen + x).v = v > before ? channel - pack<std::int32_t, lanes>{} : number;
      }
    }
    for (; x < width; ++x) {
      T const v = enlarged[x] / divisor;
      bool const better = v > best[x];
      best[x] = better ? v : best[x];
      chosen[x] = better ? channel : chosen[x];
    }
  }
};

template <class T, class S>
struct keep_above_background {
  T background;
  image_view<std::int32_t, S> channel;
  image_view<T, S> score;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    if (!(score(y, x) > background)) channel(y, x) = 0, score(y, x) = background;
  }
};

}  // namespace rule

/// The cpu's schedule of largest_scores: a channel at a time.
template <class T>
void largest_scores_on(cpu const& where, stack_view<T const> in, box window, index_t stride, T* largest,
                       workspace<cpu>&)
{
  enlarged_rows<T> const enlarged(in, window, stride);
  for_each_share(where, in.extent[0], 1, [&](index_t begin, index_t end) {
    auto mixed = enlarged.mixed(), row = enlarged.row();
    for (index_t n = begin; n < end; ++n) largest[n] = enlarged.largest(n, mixed, row);
  });
}

/// Any other policy's schedule: a reduction over the pixels.
template <execution_policy P, class T, class S>
void largest_scores_on(P const& where, stack_view<T const, S> in, box window, index_t stride, T* largest,
                       workspace<P>& space)
{
  index_t const height = window.bottom - window.top, width = window.right - window.left;
  rule::enlarged_at<T, S> const enlarged{in, T(1) / static_cast<T>(stride)};
  reduce_rows(where, in.extent[0], height * width, rule::enlarged_pixel<T, S>{enlarged, window.top, window.left, width},
              std::numeric_limits<T>::lowest(), max_of{}, largest, space);
}

/// Find the largest enlarged score of every channel on a window of the image.
///
/// @param where   where to run; must reach the scores
/// @param scores  [N,h,w] finite; a gpu ignores NaN
/// @param window  [pixels] inside stride * h, stride * w
/// @param stride  [pixels per cell] enlargement of the scores, >= 1
/// @param out     [N] the lowest number where the window is empty
///
/// @throws       precondition_error before anything is written
/// @complexity   Theta(N * window)
/// @determinism  as assign
/// @asynchrony   gpu: enqueues and returns; takes memory only while the workspace grows
template <execution_policy P, stack_like X, gridded<1> O>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<O, 1>>
void largest_scores_into(P const& where, X const& scores, box window, index_t stride, O&& out, workspace<P>& space)
{
  using T = value_of<X, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const in = as_view<3>(scores, "largest_scores: scores");
  view<T, 1, S> const to = as_view<1>(out, "largest_scores: out");
  expects_window_of(in, window, stride, "largest_scores");
  expects(to.extent[0] == in.extent[0] && to.contiguous(), "largest_scores: scores are ", in, " but out is ", to);
  expects(!overlap(in, to), "largest_scores: scores and out overlap");
  largest_scores_on(where, in, window, stride, to.data, space);
}

/// As largest_scores_into, and allocates the result.
template <execution_policy P, stack_like X>
  requires reaches<P, space_of<X, 3>>
[[nodiscard]] auto largest_scores(P const& where, X const& scores, box window, index_t stride = 4)
    -> grid<value_of<X, 3>, 1, typename P::memory>
{
  auto const in = as_view<3>(scores, "largest_scores: scores");
  auto out = make_grid<value_of<X, 3>>(where, {in.extent[0]});
  workspace<P> space;
  largest_scores_into(where, in, window, stride, out, space);
  return out;
}

/// What each channel is divided by: the largest score of all channels, of its group, or its own.
template <class T>
[[nodiscard]] std::vector<T> score_divisors(std::vector<T> const& largest, std::vector<std::int32_t> const& groups,
                                            score_scale scale)
{
  expects_groups(static_cast<index_t>(groups.size()), static_cast<index_t>(largest.size()), scale);
  if (scale == score_scale::channel) return largest;
  std::map<std::int32_t, T> of_group;
  auto const group = [&](std::size_t n) { return scale == score_scale::group ? groups[n] : 0; };
  for (std::size_t n = 0; n < largest.size(); ++n) {
    auto const [at, fresh] = of_group.emplace(group(n), largest[n]);
    if (!fresh) at->second = std::max(at->second, largest[n]);
  }
  std::vector<T> divisor;
  for (std::size_t n = 0; n < largest.size(); ++n) divisor.push_back(of_group.at(group(n)));
  return divisor;
}

/// Find what channels are divided by, N entries, and the largest score of all, entry N, on the cpu.
template <class T>
void find_divisors_on(cpu const&, view<std::int32_t const, 1> group, index_t N, score_scale scale, T const* largest,
                      T* divisor)
{
  std::vector<std::int32_t> groups;
  for (index_t n = 0; n < group.extent[0]; ++n) groups.push_back(group(n));
  auto const found = score_divisors(std::vector<T>(largest, largest + N), groups, scale);
  std::copy(found.begin(), found.end(), divisor);
  divisor[N] = std::accumulate(largest, largest + N, std::numeric_limits<T>::lowest(), max_of{});
}

/// Any other policy's schedule: each channel looks at all others.
template <execution_policy P, class T, class S>
void find_divisors_on(P const& where, view<std::int32_t const, 1, S> group, index_t N, score_scale scale,
                      T const* largest, T* divisor)
{
  for_each_index(where, N + 1,
                 rule::find_divisor<T, S>{largest, group, N, scale, std::numeric_limits<T>::lowest(), divisor});
}

/// The cpu's schedule of a choice: a row at a time, channel after channel. See rule::choose_channel for the arguments.
template <class T>
void choose_channels_on(cpu const& where, stack_view<T const> in, T const* divisor, T const* largest, box window,
                        T background, index_t stride, image_view<std::int32_t> channel, image_view<T> score)
{
  index_t const N = in.extent[0], W = window.right - window.left;
  bool const nothing = largest != nullptr && N > 0 && !(*largest > 0);
  enlarged_rows<T> const enlarged(in, window, stride);
  isa const set = vectors_of(where);
  for_each_share(where, window.bottom - window.top, 8, [&](index_t begin, index_t end) {
    auto mixed = enlarged.mixed(), row = enlarged.row();
    for (index_t y = begin; y < end; ++y) {
      T* const best = &score(y, 0);
      std::int32_t* const chosen = &channel(y, 0);
      std::fill_n(best, W, nothing ? T(0) : background);
      std::fill_n(chosen, W, nothing ? 1 : 0);
      for (index_t n = 0; n < N && !nothing; ++n) {
        T const by = divisor[n];
        if (!(by > 0)) continue;
        enlarged(n, window.top + y, mixed, row.data());
        run_widest(set, rule::choose_row<T>{row.data(), by, W, static_cast<std::int32_t>(n + 1), best, chosen});
      }
    }
  });
}

/// Any other policy's schedule: a pixel at a time.
template <execution_policy P, class T, class S>
void choose_channels_on(P const& where, stack_view<T const, S> in, T const* divisor, T const* largest, box window,
                        T background, index_t stride, image_view<std::int32_t, S> channel, image_view<T, S> score)
{
  rule::enlarged_at<T, S> const enlarged{in, T(1) / static_cast<T>(stride)};
  for_each_cell(where, {1, window.bottom - window.top, window.right - window.left},
                rule::choose_channel<T, S>{enlarged, divisor, largest, window, background, channel, score});
}

/// Throws unless maps of a choice fit a window and overlap no input. `in` are the scores.
template <class T, class S>
void expects_choice(stack_view<T const, S> const& in, image_view<std::int32_t, S> const& channel,
                    image_view<T, S> const& score, index_t H, index_t W)
{
  expects(same_shape(channel, score) && channel.extent[0] == H && channel.extent[1] == W, "assign: a window of ", H,
          " x ", W, " but channel is ", channel, " and score ", score);
  expects(!overlap(channel, score) && !overlap(in, channel) && !overlap(in, score),
          "assign: channel and score overlap the scores or each other");
}

/// Enlarge scores on a window of the image, divide them, and let every pixel choose among them and the background.
///
/// @param where       where to run; must reach the maps
/// @param scores      [N,h,w] finite
/// @param divisors    [N] a channel whose divisor is not positive never scores
/// @param window      [pixels] inside stride * h, stride * w; the whole image, or the part for which these scores are
///                    valid
/// @param background  score of the background
/// @param stride      [pixels per cell]
/// @param channel     [window] int32; `score` likewise
///
/// @throws       precondition_error before anything is written
/// @invariant    ties go to the lower channel, the background first
/// @complexity   Theta(N * window) time, O(window) memory: enlarged channels are never stored
/// @determinism  as assign
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, stack_like X, gridded<1> V, image_like C, image_like O>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<V, 1>> && reaches<P, space_of<C, 2>> &&
           reaches<P, space_of<O, 2>>
void assign_divided_into(P const& where, X const& scores, V const& divisors, box window, double background,
                         index_t stride, C&& channel, O&& score)
{
  using T = value_of<X, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const in = as_view<3>(scores, "assign: scores");
  view<T const, 1, S> const by = as_view<1>(divisors, "assign: divisors");
  image_view<std::int32_t, S> const chosen = as_view<2>(channel, "assign: channel");
  image_view<T, S> const best = as_view<2>(score, "assign: score");
  expects(by.extent[0] == in.extent[0] && by.contiguous(), "assign: scores are ", in, " but there are ", by.extent[0],
          " divisors");
  expects_window_of(in, window, stride, "assign");
  expects_choice(in, chosen, best, window.bottom - window.top, window.right - window.left);
  expects(!overlap(by, best), "assign: score overlaps the divisors");
  choose_channels_on(where, in, by.data, static_cast<T const*>(nullptr), window, static_cast<T>(background), stride,
                     chosen, best);
}

/// As assign_divided_into, and allocates the result.
template <execution_policy P, stack_like X, gridded<1> V>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<V, 1>>
[[nodiscard]] auto assign_divided(P const& where, X const& scores, V const& divisors, box window, double background,
                                  index_t stride = 4) -> assignment<value_of<X, 3>, typename P::memory>
{
  auto const in = as_view<3>(scores, "assign: scores");
  expects_window_of(in, window, stride, "assign");
  index_t const H = window.bottom - window.top, W = window.right - window.left;
  assignment<value_of<X, 3>, typename P::memory> out{make_grid<std::int32_t>(where, {H, W}),
                                                     make_grid<value_of<X, 3>>(where, {H, W})};
  assign_divided_into(where, in, divisors, window, background, stride, out.channel, out.score);
  return out;
}

/// Memory of assign. It grows to the largest number of channels and the largest image.
template <execution_policy P, class T>
struct assign_scratch {
  grid<T, 1, typename P::memory> numbers;  ///< N largest scores, N divisors and the largest of all
  workspace<P> space;
};

/// Enlarge scores to the image, scale them, and let every pixel choose among them and the background.
///
/// @param where    where to run; must reach the maps
/// @param scores   [N,h,w] finite, from the walk; at most stride times smaller than the image
/// @param groups   [N] int32 group numbers; read with score_scale::group only and may be empty otherwise
/// @param options  background = 0.25, scale = image, empty = background, stride = 4
/// @param channel  [H,W] int32
/// @param score    [H,W]
///
/// @pre          gpu: scores are finite. NaN is not refused and never wins
/// @throws       precondition_error before anything is written
/// @invariant    ties go to the lower channel, the background first; the largest scaled score is 1
/// @complexity   Theta(N * H * W) time twice and N^2 for the divisors, O(H * W) memory: enlarged channels are never
///               stored
/// @determinism  the same bits on every run and for every number of threads. Policies agree where the stride is a power
///               of two, unless the cpu's compiler fuses products into sums. Otherwise scores are within 4 ulp of the
///               largest one of a pixel's four cells, and either of two channels closer than that may win
/// @asynchrony   gpu: enqueues and returns; takes memory only while the scratch grows
/// @source       _work of step/make_ins_seg_labels.py and step/make_sem_seg_labels.py of jiwoon-ahn/irn: bilinear
///               enlargement by exactly 4, then a crop (not a resize to the image); division by the global maximum;
///               argmax over [background, channels]
template <execution_policy P, stack_like X, gridded<1> G, image_like C, image_like O>
  requires reaches<P, space_of<X, 3>> && reaches<P, space_of<G, 1>> && reaches<P, space_of<C, 2>> &&
           reaches<P, space_of<O, 2>>
void assign_into(P const& where, X const& scores, G const& groups, assign_options options, C&& channel, O&& score,
                 assign_scratch<P, value_of<X, 3>>& scratch)
{
  using T = value_of<X, 3>;
  using S = typename P::memory;
  stack_view<T const, S> const in = as_view<3>(scores, "assign: scores");
  view<std::int32_t const, 1, S> const group = as_view<1>(groups, "assign: groups");
  image_view<std::int32_t, S> const chosen = as_view<2>(channel, "assign: channel");
  image_view<T, S> const best = as_view<2>(score, "assign: score");
  index_t const N = in.extent[0], H = chosen.extent[0], W = chosen.extent[1];
  expects_assignable(in, {H, W}, options);
  expects_groups(group.extent[0], N, options.scale);
  expects_choice(in, chosen, best, H, W);
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "assign: scores");
  T* const largest = reserve(where, scratch.numbers, 2 * N + 1);
  T* const divisor = largest + N;
  box const whole{0, 0, H, W};
  largest_scores_on(where, in, whole, options.stride, largest, scratch.space);
  find_divisors_on(where, group, N, options.scale, static_cast<T const*>(largest), divisor);
  T const* const all = options.empty == no_score::first_channel ? divisor + N : nullptr;
  choose_channels_on(where, in, static_cast<T const*>(divisor), all, whole, static_cast<T>(options.background),
                     options.stride, chosen, best);
}

/// As assign_into, with the groups on the host; allocates the result and the scratch.
/// @param image  [pixels] H, W of the image, at most stride * h, stride * w
template <execution_policy P, stack_like X>
  requires reaches<P, space_of<X, 3>>
[[nodiscard]] auto assign(P const& where, X const& scores, std::vector<std::int32_t> const& groups, extent2 image,
                          assign_options options = {}) -> assignment<value_of<X, 3>, typename P::memory>
{
  using T = value_of<X, 3>;
  auto const in = as_view<3>(scores, "assign: scores");
  expects_assignable(in, image, options);
  expects_groups(static_cast<index_t>(groups.size()), in.extent[0], options.scale);
  assignment<T, typename P::memory> out{make_grid<std::int32_t>(where, {image.height, image.width}),
                                        make_grid<T>(where, {image.height, image.width})};
  assign_scratch<P, T> scratch;
  assign_into(where, in, to_memory(where, groups), options, out.channel, out.score, scratch);
  return out;
}

/// The same choice where the background scores more.
///
/// @param chosen      from assign() with a lower background
/// @param background  score of the background
/// @invariant    equals assign() with this background, but for no_score::first_channel where no score is above 0
/// @complexity   Theta(H * W)
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires reaches<P, S>
[[nodiscard]] assignment<T, S> raise_background(P const& where, assignment<T, S> chosen, double background)
{
  index_t const cells[3] = {1, chosen.score.view().extent[0], chosen.score.view().extent[1]};
  for_each_cell(
      where, cells,
      rule::keep_above_background<T, S>{static_cast<T>(background), chosen.channel.view(), chosen.score.view()});
  return chosen;
}

}  // namespace cambium
