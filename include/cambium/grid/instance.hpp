#pragma once

#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// A box of cells: rows top..bottom-1, columns left..right-1.
struct box {
  index_t top = 0;
  index_t left = 0;
  index_t bottom = 0;
  index_t right = 0;

  friend bool operator==(box const&, box const&) = default;
};

/// The part of a box that lies on a map; top = bottom where nothing does.
inline box clipped(box b, index_t H, index_t W)
{
  b = {std::clamp<index_t>(b.top, 0, H), std::clamp<index_t>(b.left, 0, W), std::clamp<index_t>(b.bottom, 0, H),
       std::clamp<index_t>(b.right, 0, W)};
  if (b.top >= b.bottom || b.left >= b.right) return {};
  return b;
}

/// One object that was found.
struct instance {
  std::int32_t category = 0;  ///< whatever the caller numbers classes by
  double score = 0;
  index_t area = 0;  ///< [cells]
  box bounds;
};

/// Objects that share no cell.
struct instances {
  grid<std::int32_t, 2> label;  ///< [H,W] 0 background, i+1 where found[i] is
  std::vector<instance> found;
};

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Objects that share no cell, where nobody on the host knows yet how many there are.
template <class Space>
struct instance_table {
  grid<std::int32_t, 2, Space> label;  ///< [H,W] 0 background, i+1 where found(i) is
  grid<instance, 1, Space> found;      ///< [N] of which the first count(0) hold a value
  grid<std::int32_t, 1, Space> count;  ///< [1]
};

/// The same instances on the host.
/// @asynchrony gpu: waits for where.stream, twice
template <class P>
[[nodiscard]] instances to_host(P const& where, instance_table<typename P::memory> const& from)
{
  index_t const count = read_cell(where, from.count.view().data);
  instances out{make_grid<std::int32_t>(from.label.view().extent),
                std::vector<instance>(static_cast<std::size_t>(count))};
  copy(where, from.label.view(), out.label.view());
  copy(where, view<instance const, 1, typename P::memory>(from.found.view().data, {count}),
       view<instance, 1>(out.found.data(), {count}));
  wait_for(where, "to_host");
  return out;
}

/// The rule that closes labels up: label l, kept where before[l] != before[l-1], becomes before[l]; others 0.
template <class L, class S>
struct close_up_label {
  image_view<L const, S> label;
  view<std::int32_t const, 1, S> before;  ///< [N+1] how many of the labels 1..l are kept
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const at = static_cast<index_t>(label(y, x));
    bool const kept = 0 < at && at < before.extent[0] && before(at) != before(at - 1);
    out(y, x) = kept ? before(at) : 0;
  }
};

}  // namespace cambium
