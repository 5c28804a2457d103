#pragma once
// Which cells belong together: relations between neighbours, for connected and its schedules. A relation has
//
//   inside(b, y, x)            is the cell of map b in a component at all?
//   join(b, y, x, ny, nx)      do two neighbours, both inside, belong together? Symmetric

#include <cambium/core/config.hpp>
#include <cambium/grid/view.hpp>

namespace cambium {

/// A join predicate: two cells belong together while neither lies on a boundary.
template <class T, class Space = host>
struct below_boundary {
  image_view<T const, Space> boundary;  ///< [H,W]
  T threshold;

  CAMBIUM_HD bool operator()(index_t y, index_t x, index_t ny, index_t nx) const
  {
    return boundary(y, x) < threshold && boundary(ny, nx) < threshold;
  }
};

namespace rule {

/// A mask as a relation: neighbours inside belong together.
template <class T, class S>
struct inside_mask {
  stack_view<T const, S> mask;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return mask(b, y, x) != T(0); }
  CAMBIUM_HD bool join(index_t, index_t, index_t, index_t, index_t) const { return true; }
};

/// A label map as a relation: neighbours with equal labels belong together.
template <class T, class S>
struct equal_labels {
  stack_view<T const, S> labels;
  T background;

  CAMBIUM_HD bool inside(index_t b, index_t y, index_t x) const { return labels(b, y, x) != background; }
  CAMBIUM_HD bool join(index_t b, index_t y, index_t x, index_t ny, index_t nx) const
  {
    return labels(b, y, x) == labels(b, ny, nx);
  }
};

/// Two predicates of one map as a relation.
template <class Inside, class Join>
struct relation_of {
  Inside is_inside;
  Join joins;

  CAMBIUM_HD bool inside(index_t, index_t y, index_t x) const { return is_inside(y, x); }
  CAMBIUM_HD bool join(index_t, index_t y, index_t x, index_t ny, index_t nx) const { return joins(y, x, ny, nx); }
};

}  // namespace rule

}  // namespace cambium
