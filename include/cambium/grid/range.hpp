#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

namespace cambium {

/// The distance by which rounding may carry a value out of [0,1]: 4 steps of its type at 1, 4.8e-7 in float.
template <class T>
inline constexpr T unit_slack = 4 * std::numeric_limits<T>::epsilon();

namespace rule {

/// Whether all cells of a row are inside [low, high]. NaN is outside.
template <class T>
struct row_inside {
  T const* row;
  index_t length;
  T low;
  T high;
  bool* inside;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    index_t x = 0;
    bool all = true;
    if (length >= lanes) {
      // The test uses sign bits, because g++ 12 splits comparisons lane by lane here. A difference is negative outside
      // the range. v - v is not 0 for NaN and infinity. An infinite limit or rounding may give a false alarm, so the
      // second pass checks it.
      using integers = bits<T, lanes>;
      integers outside{};
      for (; x + lanes <= length; x += lanes) {
        pack<T, lanes> const v = lanes_at<lanes>(row + x).v + T(0);  // -0 becomes 0
        outside |= ((integers)(v - low) | (integers)(high - v)) >> (8 * sizeof(T) - 1);
        outside |= (integers)(v - v);
      }
      for (int l = 0; l < lanes; ++l) all = all && outside[l] == 0;
      if (!all) x = 0, all = true;
    }
    for (; x < length; ++x) all = all && row[x] >= low && row[x] <= high;
    *inside = all;
  }
};

}  // namespace rule

/// Throw unless every cell of v is inside [low, high]: "what(c,y,x) is 1.5; expected ...". All threads of the policy
/// check cells. The message names the first invalid cell by index.
///
/// @complexity Theta(cells), one register at a time
template <class T, int Rank, class value = std::remove_const_t<T>>
void expects_inside(cpu const& where, view<T, Rank> const& v, std::type_identity_t<value> low,
                    std::type_identity_t<value> high, char const* what, char const* expected)
{
  if (v.size() == 0) return;
  // Contiguous runs of cells: rows, or long pieces of a view without gaps.
  index_t const run = v.contiguous() ? 8192 : v.extent[Rank - 1], count = (v.size() + run - 1) / run;
  auto const run_at = [&](index_t i) {
    value const* at = v.data;
    if (v.contiguous()) return at + i * run;
    for (int r = Rank - 2; r >= 0; --r) at += i % v.extent[r] * v.stride[r], i /= v.extent[r];
    return at;
  };
  isa const set = vectors_of(where);
  std::atomic<index_t> first_bad{count};
  for_each_share(where, count, std::max<index_t>(1, 32768 / run), [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      bool inside = false;
      run_widest(set, rule::row_inside<value>{run_at(i), std::min(run, v.size() - i * run), low, high, &inside});
      if (inside) continue;
      for (index_t seen = first_bad; i < seen && !first_bad.compare_exchange_weak(seen, i);) {
      }
      return;
    }
  });
  if (first_bad == count) return;
  value const* const cells = run_at(first_bad);
  index_t x = 0;
  while (cells[x] >= low && cells[x] <= high) ++x;
  value const found = cells[x];
  index_t at = first_bad * run + x;
  std::string where_text = std::to_string(at % v.extent[Rank - 1]) + ")";
  at /= v.extent[Rank - 1];
  for (int r = Rank - 2; r >= 0; --r) {
    where_text = std::to_string(at % v.extent[r]) + "," + where_text;
    at /= v.extent[r];
  }
  throw precondition_error(std::string(what) + "(" + where_text + " is " + message_part(found) + "; expected " +
                           expected);
}

/// Throw unless every cell is finite. Integers always are.
template <class T, int Rank>
void expects_finite(cpu const& where, view<T, Rank> const& v, char const* what)
{
  using value = std::remove_const_t<T>;
  if constexpr (std::is_floating_point_v<value>)
    expects_inside(where, v, std::numeric_limits<value>::lowest(), std::numeric_limits<value>::max(), what,
                   "a finite number");
}

/// Throw unless every cell of a label map is in 0..most: "what(y,x) is 7, outside 0..5". With most = -1 every label is
/// invalid.
///
/// @complexity Theta(cells), one register at a time, and a second pass over a row with an alarm
template <class T>
void expects_labels(image_view<T> const& labels, index_t most, char const* what)
{
  static_assert(std::is_integral_v<T>, "labels are integers");
  using wide = std::conditional_t<std::is_same_v<std::remove_const_t<T>, bool>, std::uint8_t, std::remove_const_t<T>>;
  using number = std::make_unsigned_t<wide>;
  constexpr int lanes = 16 / static_cast<int>(sizeof(number));
  constexpr int sign = 8 * static_cast<int>(sizeof(number)) - 1;
  // As an unsigned number a negative label is large. So is limit - label if the label is larger. For unsigned types,
  // values above half the range also set the top bit. The second pass sorts out these false alarms.
  auto const limit = static_cast<number>(std::min(static_cast<std::uint64_t>(std::max<index_t>(most, 0)),
                                                  static_cast<std::uint64_t>(std::numeric_limits<wide>::max())));
  for (index_t y = 0; labels.extent[1] > 0 && y < labels.extent[0]; ++y) {
    T* const row = &labels(y, 0);
    pack<number, lanes> odd{};
    index_t x = 0;
    auto const look = [&] {
      auto const v = lanes_at<lanes>(reinterpret_cast<number const*>(row + x)).v;
      odd |= v | (limit - v);
      x += lanes;
    };
    while (x + 4 * lanes <= labels.extent[1]) look(), look(), look(), look();
    while (x + lanes <= labels.extent[1]) look();
    bool alarm = most < 0;
    for (int l = 0; l < lanes; ++l) alarm = alarm || odd[l] >> sign != 0;
    for (; x < labels.extent[1]; ++x) alarm = alarm || static_cast<number>(row[x]) > limit;
    for (x = 0; alarm && x < labels.extent[1]; ++x)
      expects(most >= 0 && static_cast<number>(row[x]) <= limit, what, "(", y, ",", x, ") is ", row[x], ", outside 0..",
              most);
  }
}

}  // namespace cambium
