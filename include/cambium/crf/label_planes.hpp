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

namespace rule {

/// Minus the unary energy of label l of those that take part, at a pixel; 0 behind the last label.
template <class U, class S>
struct begin_gain {
  view<U const, 3, S> unary;
  std::int32_t const* id;
  index_t labels, stride;
  float* gain;  ///< [N,stride]

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x, index_t at) const
  {
    gain[at * stride + l] = l < labels ? -static_cast<float>(unary(id[l], y, x)) : 0;
  }
};

/// The marginal of label l of all, at a pixel; 0 where it takes no part.
template <class S>
struct place_marginals {
  float const* q;
  std::int32_t const* place;
  index_t stride;
  view<float, 3, S> out;

  CAMBIUM_HD void operator()(index_t l, index_t y, index_t x, index_t at) const
  {
    out(l, y, x) = place[l] < 0 ? 0.f : q[at * stride + place[l]];
  }
};

}  // namespace rule

/// Write rows of minus the energies. `id` has the labels that take part among the planes.
template <class P, class U, class S>
void planes_to_rows(P const& where, pixel_order order, view<U const, 3, S> unary, std::int32_t const* id,
                    index_t labels, index_t stride, float* gain)
{
  for_each_pixel(where, order, stride, rule::begin_gain<U, S>{unary, id, labels, stride, gain});
}
/// The cpu's goes by blocks of 4 labels and 4 pixels.
inline void planes_to_rows(cpu const& where, pixel_order order, view<float const, 3> unary, std::int32_t const* id,
                           index_t labels, index_t stride, float* gain)
{
  rule::begin_gain<float, host> const one{unary, id, labels, stride, gain};
  if (stride % 4 != 0) return for_each_pixel(where, order, stride, one);
  for_each_square(where, order, stride, [=](index_t top, index_t left, index_t bottom, index_t right, index_t at) {
    index_t const width = right - left, whole = width / 4 * 4;
    float none[std::size_t{pixel_order::side}];  // energies behind the last label
    std::fill_n(none, pixel_order::side, -0.f);
    auto const plane = [&](index_t l, index_t y) { return l < labels ? &unary(id[l], y, left) : none; };
    for (index_t y = top; y < bottom; ++y, at += width)
      for (index_t l = 0; l < stride; l += 4) {
        float const *const a = plane(l, y), *const b = plane(l + 1, y), *const c = plane(l + 2, y),
                           *const d = plane(l + 3, y);
        float* to = gain + at * stride + l;
        for (index_t x = 0; x < whole; x += 4, to += 4 * stride) {
          pack<float, 4> v[4] = {-lanes_at<4>(a + x).v, -lanes_at<4>(b + x).v, -lanes_at<4>(c + x).v,
                                 -lanes_at<4>(d + x).v};
          transpose_4x4(v);
          lanes_at<4>(to).v = v[0];
          lanes_at<4>(to + stride).v = v[1];
          lanes_at<4>(to + 2 * stride).v = v[2];
          lanes_at<4>(to + 3 * stride).v = v[3];
        }
        for (index_t x = whole; x < width; ++x)
          for (index_t k = 0; k < 4; ++k) one(l + k, y, left + x, at + x);
      }
  });
}

/// Write planes of marginals. `place` has where each label of all is among those that take part, or -1.
template <class P, class S>
void rows_to_planes(P const& where, pixel_order order, float const* q, std::int32_t const*, index_t, index_t stride,
                    std::int32_t const* place, view<float, 3, S> out)
{
  for_each_pixel(where, order, out.extent[0], rule::place_marginals<S>{q, place, stride, out});
}
/// The cpu's, as planes_to_rows.
inline void rows_to_planes(cpu const& where, pixel_order order, float const* q, std::int32_t const* id, index_t labels,
                           index_t stride, std::int32_t const* place, view<float, 3> out)
{
  index_t const all = out.extent[0];
  rule::place_marginals<host> const one{q, place, stride, out};
  if (stride % 4 != 0) return for_each_pixel(where, order, all, one);
  for_each_square(where, order, all, [=](index_t top, index_t left, index_t bottom, index_t right, index_t at) {
    index_t const width = right - left, whole = width / 4 * 4;
    float behind[std::size_t{pixel_order::side}];  // the last label
    auto const plane = [&](index_t l, index_t y) { return l < labels ? &out(id[l], y, left) : behind; };
    for (index_t l = 0; l < all; ++l)
      for (index_t y = top; place[l] < 0 && y < bottom; ++y) std::fill_n(&out(l, y, left), width, 0.f);
    for (index_t y = top; y < bottom; ++y, at += width)
      for (index_t l = 0; l < labels; l += 4) {
        float *const a = plane(l, y), *const b = plane(l + 1, y), *const c = plane(l + 2, y),
                     *const d = plane(l + 3, y);
        float const* from = q + at * stride + l;
        for (index_t x = 0; x < whole; x += 4, from += 4 * stride) {
          pack<float, 4> v[4] = {lanes_at<4>(from).v, lanes_at<4>(from + stride).v, lanes_at<4>(from + 2 * stride).v,
                                 lanes_at<4>(from + 3 * stride).v};
          transpose_4x4(v);
          lanes_at<4>(a + x).v = v[0];
          lanes_at<4>(b + x).v = v[1];
          lanes_at<4>(c + x).v = v[2];
          lanes_at<4>(d + x).v = v[3];
        }
        for (index_t x = whole; x < width; ++x)
          for (index_t k = 0; k < std::min<index_t>(labels - l, 4); ++k) one(id[l + k], y, left + x, at + x);
      }
  });
}

}  // namespace cambium
