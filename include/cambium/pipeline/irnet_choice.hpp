#pragma once
// Which channel every pixel of an image takes, window by window. For a large image the cpu keeps neither enlarged
// scores nor scores of pixels: it computes them again where they are needed again. A device has one window.

#include <cambium/component/relabel.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/tiles.hpp>
#include <cambium/instance/assign.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// [pixels] of a window, about: their channels and scores stay in the cache of all cores.
inline constexpr index_t pixels_of_window = index_t{1} << 20;

/// Call body(Channel{}) with the smallest type that counts so many channels.
template <class Body>
auto with_channel_type(index_t channels, Body const& body)
{
  if (channels <= std::numeric_limits<std::uint8_t>::max()) return body(std::uint8_t{});
  if (channels <= std::numeric_limits<std::uint16_t>::max()) return body(std::uint16_t{});
  return body(std::int32_t{});
}

/// A part of the image, and the scores it is assigned from. Lists are in the policy's memory.
template <class T, class S>
struct score_window {
  box window;                              ///< [pixels] of the image
  box local;                               ///< [pixels] the same in the enlarged scores
  stack_view<T const, S> scores;           ///< [N,h,w]
  view<T const, 1, S> divisor;             ///< [N]
  view<std::int32_t const, 1, S> channel;  ///< [N+1] 0, and the image's channel of each, from 1
};

/// The choice of all pixels of an image, between the channels of walked scores and a background of any score.
template <class P, class T>
class pixel_choice {
  using S = typename P::memory;

 public:
  /// A choice among scores of the whole image, which it does not own.
  /// @throws precondition_error as assign
  pixel_choice(P const& where, stack_view<T const, S> scores, std::vector<std::int32_t> const& groups, extent2 image,
               assign_options const& options)
      : image_(image), channels_(scores.extent[0]), stride_(options.stride)
  {
    auto const [H, W] = image;
    index_t const N = channels_;
    expects_assignable(scores, image, options);
    expects_groups(static_cast<index_t>(groups.size()), N, options.scale);
    if constexpr (std::is_same_v<P, cpu>) expects_finite(where, scores, "assign: scores");
    auto largest = make_grid<T>(where, {N});
    auto& divisor = divisors_.emplace_back(make_grid<T>(where, {N + 1}));
    auto const group = to_memory(where, groups);
    workspace<P> space;
    largest_scores_on(where, scores, {0, 0, H, W}, stride_, largest.view().data, space);
    find_divisors_on(where, group.view(), N, options.scale, std::as_const(largest).view().data, divisor.view().data);
    if (options.empty == no_score::first_channel) largest_ = divisor.view().data + N;
    std::vector<std::int32_t> same(static_cast<std::size_t>(N + 1));
    std::iota(same.begin(), same.end(), 0);
    auto const& table = tables_.emplace_back(to_memory(where, same));
    index_t const rows = std::is_same_v<P, cpu> ? std::max<index_t>(1, pixels_of_window / W) : H;
    for (index_t y = 0; y < H; y += rows) {
      box const band{y, 0, std::min(y + rows, H), W};
      windows_.push_back({band, band, scores, {divisor.view().data, {N}}, table.view()});
    }
  }

  /// A choice among the scores of windows, which partition the image.
  /// @param channels  of the image
  /// @param nothing   true: nothing scores, and the first channel takes every pixel
  pixel_choice(extent2 image, index_t channels, bool nothing, index_t stride)
      : image_(image), channels_(channels), stride_(stride), nothing_(nothing)
  {
  }
  void add(box window, box local, stack_view<T const, S> scores, grid<T, 1, S> divisor,
           grid<std::int32_t, 1, S> channel)
  {
    divisors_.push_back(std::move(divisor)), tables_.push_back(std::move(channel));
    windows_.push_back(
        {window, local, scores, std::as_const(divisors_.back()).view(), std::as_const(tables_.back()).view()});
  }

  pixel_choice(pixel_choice&&) = default;  // windows hold views of the lists

  index_t channels() const { return channels_; }
  extent2 image() const { return image_; }

  /// The channel of every pixel, 0 for the background.
  /// @throws precondition_error: Channel does not hold channels()
  template <class Channel>
  [[nodiscard]] grid<Channel, 2, S> map(P const& where, double background) const
  {
    expects(std::in_range<Channel>(channels_), "pixel_choice: ", channels_, " channels in ", sizeof(Channel),
            " bytes a pixel");
    return looked_up<Channel>(where, background, [](auto const& at) { return at.channel; });
  }

  /// table[channel] for every pixel.
  [[nodiscard]] grid<std::int32_t, 2, S> labels(P const& where, double background,
                                                std::vector<std::int32_t> const& table) const
  {
    expects(static_cast<index_t>(table.size()) == channels_ + 1, "pixel_choice: ", channels_,
            " channels but a table of ", static_cast<index_t>(table.size()), " entries");
    auto const entries = to_memory(where, table);
    return looked_up<std::int32_t>(where, background, [&](auto const&) { return entries.view(); });
  }

  /// The scores of pixels: a function that calls visit(window, score) for all windows.
  auto scores(P const& where, double background) const
  {
    return [this, &where, background](auto const& visit) {
      for_each_window(where, background, [&](auto const& at, auto const&, image_view<T, S> const& score) {
        visit(at.window, image_view<T const, S>(score));
      });
    };
  }

 private:
  /// Calls visit(window, channel, score). A window's channels count its own scores. The only window of an image is
  /// computed once for all calls with its background.
  template <class Visit>
  void for_each_window(P const& where, double background, Visit const& visit) const
  {
    for (auto const& at : windows_) {
      index_t const H = at.window.bottom - at.window.top, W = at.window.right - at.window.left;
      image_view<std::int32_t, S> const channel(reserve(where, channel_, H * W), {H, W});
      image_view<T, S> const score(reserve(where, score_, H * W), {H, W});
      if (nothing_) {
        fill(where, H * W, channel.data, std::int32_t{1});
        fill(where, H * W, score.data, T(0));
      } else if (windows_.size() > 1 || !known_ || background != known_background_) {
        choose_channels_on(where, at.scores, at.divisor.data, largest_, at.local, static_cast<T>(background), stride_,
                           channel, score);
        known_ = true, known_background_ = background;
      }
      visit(at, channel, score);
    }
  }

  template <class To, class Table>
  grid<To, 2, S> looked_up(P const& where, double background, Table const& table_of) const
  {
    auto out = make_grid<To>(where, {image_.height, image_.width});
    for_each_window(where, background, [&](auto const& at, image_view<std::int32_t, S> const& channel, auto const&) {
      view<std::int32_t const, 1, S> const table = table_of(at);
      auto const to = crop(out.view(), at.window);
      for_each_cell(where, as_batch(to).extent,
                    rule::look_up_label<std::int32_t, To, std::int32_t, S>{channel, table.data, table.extent[0], to});
    });
    return out;
  }

  extent2 image_;
  index_t channels_;
  index_t stride_;
  bool nothing_ = false;
  T const* largest_ = nullptr;  ///< of all scores, if the first channel takes an image where nothing scores
  std::vector<grid<T, 1, S>> divisors_;
  std::vector<grid<std::int32_t, 1, S>> tables_;
  std::vector<score_window<T, S>> windows_;
  mutable grid<std::int32_t, 1, S> channel_;  ///< of the last window
  mutable grid<T, 1, S> score_;
  mutable bool known_ = false;
  mutable double known_background_ = 0;
};

}  // namespace cambium
