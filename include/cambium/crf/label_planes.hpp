#pragma once
// Planes of labels, as callers have them, and rows of a pixel's labels, as mean-field inference holds them.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/pixel_order.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace cambium {

/// Turns 4 rows of 4 values into 4 columns.
[[gnu::always_inline]] inline void transpose_4x4(pack<float, 4> (&v)[4])
{
  pack<float, 4> const ab = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5),
                       cd = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5),
                       ef = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7),
                       gh = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  v[1] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(ef, gh, 0, 1, 4, 5);
  v[3] = __builtin_shufflevector(ef, gh, 2, 3, 6, 7);
}
/// The same from memory to memory.
[[gnu::always_inline]] inline void transpose_4x4(float const* from, index_t step, float* to, index_t to_step)
{
  pack<float, 4> v[4] = {lanes_at<4>(from).v, lanes_at<4>(from + step).v, lanes_at<4>(from + 2 * step).v,
                         lanes_at<4>(from + 3 * step).v};
  transpose_4x4(v);
  lanes_at<4>(to).v = v[0];
  lanes_at<4>(to + to_step).v = v[1];
  lanes_at<4>(to + 2 * to_step).v = v[2];
  lanes_at<4>(to + 3 * to_step).v = v[3];
}

/// The first `some` of 4 labels of a pixel, whose row ends there; 0 behind.
[[gnu::always_inline]] inline pack<float, 4> load_labels(float const* from, index_t some)
{
  if (some == 4) return lanes_at<4>(from).v;
  return pack<float, 4>{from[0], some > 1 ? from[1] : 0.f, some > 2 ? from[2] : 0.f, 0.f};
}
[[gnu::always_inline]] inline void store_labels(float* to, pack<float, 4> const& v, index_t some)
{
  if (some == 4) {
    lanes_at<4>(to).v = v;
    return;
  }
  to[0] = v[0];
  if (some > 1) to[1] = v[1];
  if (some > 2) to[2] = v[2];
}

/// Write rows of `labels` values as rows of `stride`, which is as many or the next multiple of 4; finite values of other
/// labels, or 0, lie behind them.
inline void widen_rows(float const* from, index_t n, index_t labels, float* to, index_t stride)
{
  if (stride == labels) {
    std::copy_n(from, n * labels, to);
    return;
  }
  for (index_t i = 0; i + 1 < n; ++i)  // the last row that is read may go on in the next one
    for (index_t l = 0; l < stride; l += 4) lanes_at<4>(to + i * stride + l).v = lanes_at<4>(from + i * labels + l).v;
  if (n > 0) std::fill(std::copy_n(from + (n - 1) * labels, labels, to + (n - 1) * stride), to + n * stride, 0.f);
}
/// The other way.
inline void narrow_rows(float const* from, index_t n, index_t stride, float* to, index_t labels)
{
  for (index_t i = 0; i < n; ++i)
    for (index_t l = 0; l < labels; l += 4)
      store_labels(to + i * labels + l, lanes_at<4>(from + i * stride + l).v, std::min<index_t>(labels - l, 4));
}

namespace rule {

/// Minus the unary energy of label l of those that take part, at a pixel.
template <class U, class S>
struct begin_gain {
  view<U const, 3, S> unary;
  std::int32_t const* id;
  index_t labels;
  float* gain;  ///< [N,labels]

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x, index_t at) const
  {
    gain[at * labels + l] = -static_cast<float>(unary(id[l], y, x));
  }
};

/// The marginal of label l of all, at a pixel; 0 where it takes no part.
template <class S>
struct place_marginals {
  float const* q;  ///< [N,labels]
  std::int32_t const* place;
  index_t labels;
  view<float, 3, S> out;

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x, index_t at) const
  {
    out(l, y, x) = place[l] < 0 ? 0.f : q[at * labels + place[l]];
  }
};

}  // namespace rule

/// Write rows of minus the energies. `id` has the labels that take part among the planes.
template <class P, class U, class S>
void planes_to_rows(P const& where, pixel_order order, view<U const, 3, S> unary, std::int32_t const* id,
                    index_t labels, float* gain)
{
  for_each_pixel(where, order, labels, rule::begin_gain<U, S>{unary, id, labels, gain});
}
/// The cpu's goes by blocks of 4 labels and 4 pixels.
inline void planes_to_rows(cpu const& where, pixel_order order, view<float const, 3> unary, std::int32_t const* id,
                           index_t labels, float* gain)
{
  rule::begin_gain<float, host> const one{unary, id, labels, gain};
  for_each_square(where, order, labels, [=](index_t top, index_t left, index_t bottom, index_t right, index_t at) {
    index_t const width = right - left, whole = width / 4 * 4;
    float none[std::size_t{pixel_order::side}];  // energies behind the last label
    std::fill_n(none, pixel_order::side, 0.f);
    auto const plane = [&](index_t l, index_t y) { return l < labels ? &unary(id[l], y, left) : none; };
    for (index_t y = top; y < bottom; ++y, at += width)
      for (index_t l = 0; l < labels; l += 4) {
        index_t const some = std::min<index_t>(labels - l, 4);
        float const *const a = plane(l, y), *const b = plane(l + 1, y), *const c = plane(l + 2, y),
                           *const d = plane(l + 3, y);
        float* to = gain + at * labels + l;
        for (index_t x = 0; x < whole; x += 4, to += 4 * labels) {
          pack<float, 4> v[4] = {-lanes_at<4>(a + x).v, -lanes_at<4>(b + x).v, -lanes_at<4>(c + x).v,
                                 -lanes_at<4>(d + x).v};
          transpose_4x4(v);
          for (index_t i = 0; i < 4; ++i) store_labels(to + i * labels, v[i], some);
        }
        for (index_t x = whole; x < width; ++x)
          for (index_t k = 0; k < some; ++k) one(l + k, y, left + x, at + x);
      }
  });
}

/// Write planes of marginals. `place` has where each label of all is among those that take part, or -1.
template <class P, class S>
void rows_to_planes(P const& where, pixel_order order, float const* q, std::int32_t const*, index_t labels,
                    std::int32_t const* place, view<float, 3, S> out)
{
  for_each_pixel(where, order, out.extent[0], rule::place_marginals<S>{q, place, labels, out});
}
/// The cpu's, as planes_to_rows.
inline void rows_to_planes(cpu const& where, pixel_order order, float const* q, std::int32_t const* id, index_t labels,
                           std::int32_t const* place, view<float, 3> out)
{
  index_t const all = out.extent[0];
  rule::place_marginals<host> const one{q, place, labels, out};
  for_each_square(where, order, all, [=](index_t top, index_t left, index_t bottom, index_t right, index_t at) {
    index_t const width = right - left, whole = width / 4 * 4;
    float behind[std::size_t{pixel_order::side}];  // the last label
    auto const plane = [&](index_t l, index_t y) { return l < labels ? &out(id[l], y, left) : behind; };
    for (index_t l = 0; l < all; ++l)
      for (index_t y = top; place[l] < 0 && y < bottom; ++y) std::fill_n(&out(l, y, left), width, 0.f);
    for (index_t y = top; y < bottom; ++y, at += width)
      for (index_t l = 0; l < labels; l += 4) {
        index_t const some = std::min<index_t>(labels - l, 4);
        float *const a = plane(l, y), *const b = plane(l + 1, y), *const c = plane(l + 2, y),
                     *const d = plane(l + 3, y);
        float const* from = q + at * labels + l;
        for (index_t x = 0; x < whole; x += 4, from += 4 * labels) {
          pack<float, 4> v[4];
          for (index_t i = 0; i < 4; ++i) v[i] = load_labels(from + i * labels, some);
          transpose_4x4(v);
          lanes_at<4>(a + x).v = v[0];
          lanes_at<4>(b + x).v = v[1];
          lanes_at<4>(c + x).v = v[2];
          lanes_at<4>(d + x).v = v[3];
        }
        for (index_t x = whole; x < width; ++x)
          for (index_t k = 0; k < some; ++k) one(id[l + k], y, left + x, at + x);
      }
  });
}

}  // namespace cambium
