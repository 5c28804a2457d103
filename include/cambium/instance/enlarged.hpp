#pragma once
// Scores enlarged to the image: row by row for the cpu, cell by cell for rules. Those of many channels are never
// stored.

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/bilinear.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <limits>
#include <vector>

namespace cambium {

/// Are so many pixels covered by cells of `stride` pixels each?
inline bool covers(index_t cells, index_t stride, index_t pixels)
{
  return pixels <= 0 || (pixels - 1) / stride < cells;
}

/// Throws unless scores enlarged by the stride cover the window. `who` begins the message.
template <class T, class S>
void expects_window_of(stack_view<T, S> const& scores, box window, index_t stride, char const* who)
{
  index_t const H = scores.extent[1], W = scores.extent[2];
  expects(stride >= 1, who, ": stride is ", stride);
  expects(0 <= window.top && window.top <= window.bottom && covers(H, stride, window.bottom) && 0 <= window.left &&
              window.left <= window.right && covers(W, stride, window.right),
          who, ": the window ", window.top, ",", window.left, " to ", window.bottom, ",", window.right,
          " leaves scores ", scores, " enlarged by ", stride);
}

namespace rule {

/// Reads enlarged scores one by one, with the operations of bilinear_row in their order.
template <class T, class S>
struct enlarged_at {
  stack_view<T const, S> scores;
  T step;  ///< [cells per pixel] 1 / stride

  CAMBIUM_HD bilinear_tap<T> down(index_t y) const { return tap(y, step, scores.extent[1]); }
  CAMBIUM_HD bilinear_tap<T> across(index_t x) const { return tap(x, step, scores.extent[2]); }

  CAMBIUM_HD T operator()(index_t n, bilinear_tap<T> const& y, bilinear_tap<T> const& x) const
  {
    T const low = mix(scores(n, y.low, x.low), scores(n, y.high, x.low), y.fraction);
    T const high = mix(scores(n, y.low, x.high), scores(n, y.high, x.high), y.fraction);
    return mix(low, high, x.fraction);
  }

 private:
  static CAMBIUM_HD T mix(T low, T high, T fraction)
  {
    return low == high ? low : rounded_product(1 - fraction, low) + rounded_product(fraction, high);
  }
};

/// Values of a reduction: channel n at pixel i of the window.
template <class T, class S>
struct enlarged_pixel {
  enlarged_at<T, S> enlarged;
  index_t top;
  index_t left;
  index_t width;

  CAMBIUM_HD T operator()(index_t n, index_t i) const
  {
    return enlarged(n, enlarged.down(top + i / width), enlarged.across(left + i % width));
  }
};

}  // namespace rule

/// Rows of enlarged scores on a window of the image.
template <class T>
class enlarged_rows {
 public:
  enlarged_rows(stack_view<T const> scores, box window, index_t stride)
      : scores_(scores), window_(window), step_(T(1) / static_cast<T>(stride))
  {
    for (index_t x = window.left; x < window.right; ++x) across_.push_back(tap(x, step_, scores.extent[2]));
    // Between two cells lie four pixels. Their fractions are exact up to this place.
    by_fours_ = sizeof(T) == 4 && stride == 4 && window.right <= index_t{1} << 20;
  }

  std::vector<T> mixed() const { return std::vector<T>(static_cast<std::size_t>(scores_.extent[2])); }
  std::vector<T> row() const { return std::vector<T>(across_.size()); }

  /// Row y of channel n; the other two are scratch and result.
  void operator()(index_t n, index_t y, std::vector<T>& mixed, T* row) const
  {
    image_view<T const> const map = scores_[n];
    auto const down = tap(y, step_, scores_.extent[1]);
    if (!by_fours_) return bilinear_row(map, down, across_, mixed.data(), row);
    mix_rows(&map(down.low, 0), &map(down.high, 0), down.fraction, map.extent[1], mixed.data());
    index_t const first = std::max<index_t>(0, (window_.left + 1) / 4), begin = 4 * first + 2 - window_.left;
    index_t const count = std::min(map.extent[1] - 1, (window_.right - 2) / 4) - first;
    index_t const end = count > 0 ? begin + 4 * count : 0;
    for (index_t x = 0; x < std::min(begin, end); ++x) row[x] = at(mixed, x);
    if constexpr (sizeof(T) == 4) {
      pack<T, 4> const high{.125, .375, .625, .875}, low = 1 - high;
      for (index_t c = first; c < first + count; ++c) {
        pack<T, 4> const a = mixed[static_cast<std::size_t>(c)] - pack<T, 4>{},
                         b = mixed[static_cast<std::size_t>(c + 1)] - pack<T, 4>{};
        lanes_at<4>(row + begin + 4 * (c - first)).v = a == b ? a : low * a + high * b;
      }
    }
    for (index_t x = end; x < window_.right - window_.left; ++x) row[x] = at(mixed, x);
  }

  /// The largest value of channel n on the window, the lowest number if that is empty. No enlarged value exceeds its
  /// cells but for rounding, so most rows need not be enlarged.
  T largest(index_t n, std::vector<T>& mixed, std::vector<T>& row) const
  {
    auto const top = [](T const* from, index_t count, T most) {
      for (index_t x = 0; x < count; ++x) most = from[x] > most ? from[x] : most;
      return most;
    };
    T constexpr lowest = std::numeric_limits<T>::lowest(), slack = 1 - 16 * std::numeric_limits<T>::epsilon();
    image_view<T const> const map = scores_[n];
    index_t const w = map.extent[1];
    T most = lowest, bound = lowest;
    index_t low = -1;
    for (index_t y = window_.top; y < window_.bottom; ++y) {
      auto const down = tap(y, step_, map.extent[0]);
      if (down.low != low) bound = top(&map(down.high, 0), w, top(&map(down.low, 0), w, lowest)), low = down.low;
      if (most > 0 && bound < most * slack) continue;
      (*this)(n, y, mixed, row.data());
      most = top(row.data(), static_cast<index_t>(row.size()), most);
    }
    return most;
  }

 private:
  T at(std::vector<T> const& mixed, index_t x) const
  {
    bilinear_tap<T> const& t = across_[static_cast<std::size_t>(x)];
    return between(mixed[static_cast<std::size_t>(t.low)], mixed[static_cast<std::size_t>(t.high)], t.fraction);
  }

  stack_view<T const> scores_;
  box window_;
  T step_;
  std::vector<bilinear_tap<T>> across_;
  bool by_fours_ = false;
};

}  // namespace cambium
