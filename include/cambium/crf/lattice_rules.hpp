#pragma once
// What a permutohedral lattice does at one position, corner or point while it is built, for any policy.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/lattice_keys.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/view.hpp>

#include <cstddef>
#include <cstdint>

namespace cambium {

namespace rule {

struct join_feature_ranges {
  CAMBIUM_HD feature_range operator()(feature_range const& a, feature_range const& b) const
  {
    return {b.least < a.least ? b.least : a.least, b.most > a.most ? b.most : a.most,
            b.invalid < a.invalid ? b.invalid : a.invalid};
  }
};
template <class S>
struct range_of_feature {
  view<float const, 2, S> features;
  CAMBIUM_HD feature_range operator()(index_t k, index_t i) const
  {
    float const v = features(k, i);
    feature_range out{v, v};
    if (!(v - v == 0)) out.invalid = i;
    return out;
  }
};

/// First rule: the simplex of one position, as find_simplices finds it, and the keys of its corners.
template <int Fixed, class S>
struct enter_simplex {
  static constexpr std::size_t room = Fixed > 0 ? Fixed + 1 : 9;
  view<float const, 2, S> features;
  lattice_plan const* plan;
  float* weight;  ///< [N,D + 1]
  lattice_keys keys;
  std::int32_t* number;  ///< [N * (D + 1)] of the corners
  float scale[room];

  CAMBIUM_HD void operator()(index_t i) const
  {
    int const D = Fixed > 0 ? Fixed : static_cast<int>(features.extent[0]);
    if (!plan->fits) {  // features hold no usable numbers
      for (index_t at = i * (D + 1); at < (i + 1) * (D + 1); ++at) {
        weight[at] = 0;
        keys.store(at, 0);
        number[at] = static_cast<std::int32_t>(at);
      }
      return;
    }
    constexpr float to_whole = 12582912.f;  // 1.5 * 2^23: drops the fraction
    float const down = 1.f / static_cast<float>(D + 1);
    float raised[room], beyond[room], sum = 0;
    int corner[room], order[room], wholes = 0;
    for (int j = D; j > 0; --j) {
      float const part = rounded_product(features(j - 1, i), scale[j - 1]);
      raised[j] = sum - rounded_product(static_cast<float>(j), part);
      sum = sum + part;
    }
    raised[0] = sum;
    for (int j = 0; j <= D; ++j) {
      float rounded = rounded_product(down, raised[j]) + to_whole;  // half to even
      rounded = rounded - to_whole;
      beyond[j] = raised[j] - rounded_product(rounded, static_cast<float>(D + 1));
      int const whole = static_cast<int>(rounded);
      wholes += whole;
      corner[j] = whole * (D + 1);
      order[j] = 0;
    }
    for (int j = 0; j < D; ++j)
      for (int k = j + 1; k <= D; ++k) {
        bool const less = beyond[j] < beyond[k];
        order[j] += less;
        order[k] += !less;
      }
    for (int j = 0; j <= D; ++j) {  // back into the hyperplane
      order[j] += wholes;
      int const turn = order[j] < 0 ? D + 1 : order[j] > D ? -(D + 1) : 0;
      order[j] += turn;
      corner[j] += turn;
      beyond[j] = rounded_product(raised[j] - static_cast<float>(corner[j]), down);
    }
    lattice_key key = 0 - plan->lowest;
    for (int j = 0; j < D; ++j) key += plan->stride[j] * static_cast<lattice_key>(static_cast<index_t>(corner[j]));
    float above = 0, rest = 1;  // the coordinate before, and what the weights leave for the first corner
    for (int c = 0; c <= D; ++c) {
      float here = 0;
      lattice_key step = 0;
      for (int j = 0; j <= D; ++j)
        if (order[j] == D - c) here = beyond[j], step = static_cast<lattice_key>(D + 1) * plan->stride[j];
      index_t const at = i * (D + 1) + c;
      if (c > 0) weight[at] = here - above, rest -= here - above;
      keys.store(at, key);
      number[at] = static_cast<std::int32_t>(at);
      key += plan->all - step;
      above = here;
    }
    weight[i * (D + 1)] = rest;
  }
};

/// Corner c of the simplex at the origin: c (1,...,1) - (D + 1) (0,..,1,1).
struct enter_origin {
  int D;
  index_t first;  ///< its place among the corners
  lattice_plan const* plan;
  lattice_keys keys;
  std::int32_t* number;

  CAMBIUM_HD void operator()(index_t c) const
  {
    lattice_key key = static_cast<lattice_key>(c) * plan->all - plan->lowest;
    for (int j = D - static_cast<int>(c) + 1; j <= D; ++j) key -= static_cast<lattice_key>(D + 1) * plan->stride[j];
    keys.store(first + c, key);
    number[first + c] = static_cast<std::int32_t>(first + c);
  }
};

/// Gathers words in the order of others.
struct gather_words {
  std::uint64_t const* from;
  std::int32_t const* number;
  std::uint64_t* to;
  CAMBIUM_HD void operator()(index_t i) const { to[i] = from[number[i]]; }
};

/// Does a point begin here?
struct mark_points {
  lattice_keys keys;
  std::int32_t* mark;
  CAMBIUM_HD void operator()(index_t i) const { mark[i] = i == 0 || keys[i] != keys[i - 1]; }
};

/// Where each point's corners begin, its key, and the point of each corner. Points beyond the room are counted; their
/// corners become the last one's, so that no index leaves the room.
struct number_points {
  lattice_keys keys;
  std::int32_t const* number;  ///< sorted like the keys
  std::int32_t const* mark;
  std::int32_t const* before;  ///< marks before
  index_t count, corners;      ///< of keys, and those of them that belong to positions
  index_t room;                ///< for points
  lattice_plan const* plan;
  std::int32_t* corner;
  std::int32_t* first;
  lattice_keys points;
  index_t* needed;  ///< points, or -1 where the features do not fit

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const point = index_t{before[i]} + mark[i] - 1;
    if (number[i] < corners) corner[number[i]] = static_cast<std::int32_t>(point < room ? point : room - 1);
    if (mark[i] != 0 && point <= room) first[point] = static_cast<std::int32_t>(i);
    if (mark[i] != 0 && point < room) points.store(point, keys[i]);
    if (i == count - 1) *needed = plan->fits ? point + 1 : -1;
  }
};

/// The points before and after each one along each axis, -1 where there is none.
struct find_neighbours {
  lattice_keys keys;  ///< of points, ascending
  index_t room;
  index_t const* needed;
  lattice_plan const* plan;
  int D;
  std::int32_t* neighbour;  ///< [D + 1,room,2]

  CAMBIUM_HD std::int32_t find(lattice_key key, index_t count) const
  {
    index_t low = 0, high = count;
    while (low < high) {
      index_t const mid = low + (high - low) / 2;
      if (keys[mid] < key)
        low = mid + 1;
      else
        high = mid;
    }
    return low < count && keys[low] == key ? static_cast<std::int32_t>(low) : -1;
  }
  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const point = i % room, count = *needed < room ? *needed : room;
    bool const there = point < count;
    lattice_key const here = there ? keys[point] : lattice_key{0};
    lattice_key const along = plan->all - static_cast<lattice_key>(D + 1) * plan->stride[i / room];
    neighbour[2 * i] = there ? find(here - along, count) : -1;
    neighbour[2 * i + 1] = there ? find(here + along, count) : -1;
  }
};

}  // namespace rule

}  // namespace cambium
