#pragma once

#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// One object that was found.
struct instance {
  std::int32_t category = 0;  ///< whatever the caller numbers classes by
  double score = 0;
  index_t area = 0;  ///< [cells]
  box bounds;
};

/// Objects that share no cell. In other memory than the host's the host does not know their number.
template <class Space = host>
struct instances {
  grid<std::int32_t, 2, Space> label;  ///< [H,W] 0 background, i+1 on the cells of found(i)
  grid<instance, 1, Space> found;      ///< [N] of which the first count(0) are instances
  grid<std::int32_t, 1, Space> count;  ///< [1]
};
template <>
struct instances<host> {
  grid<std::int32_t, 2> label;  ///< [H,W] 0 background, i+1 on the cells of found[i]
  std::vector<instance> found;
};

/// Semantic and instance labels of one image.
template <class Space = host>
struct image_labels {
  grid<std::int32_t, 2, Space> semantic;  ///< [H,W] 0 background, class + 1
  instances<Space> objects;               ///< categories are 0-based classes
};

/// The instances that write(label, found, count) writes: views of `label`, of [most] and of [1] in the policy's memory.
template <class P, class Write>
[[nodiscard]] instances<typename P::memory> make_instances(P const& where,
                                                           grid<std::int32_t, 2, typename P::memory> label,
                                                           index_t most, Write const& write)
{
  auto found = make_grid<instance>(where, {most});
  auto count = make_grid<std::int32_t>(where, {1});
  write(label.view(), found.view(), count.view());
  if constexpr (std::is_same_v<typename P::memory, host>)
    return {std::move(label), std::vector<instance>(found.data(), found.data() + count(0))};
  else
    return {std::move(label), std::move(found), std::move(count)};
}

/// The same on a label map of [H,W] that it makes.
template <class P, class Write>
[[nodiscard]] instances<typename P::memory> make_instances(P const& where, index_t H, index_t W, index_t most,
                                                           Write const& write)
{
  return make_instances(where, make_grid<std::int32_t>(where, {H, W}), most, write);
}

/// The same instances on the host.
/// @asynchrony gpu: waits for where.stream, twice
template <class P>
[[nodiscard]] instances<> to_host(P const& where, instances<typename P::memory> const& from)
{
  if constexpr (std::is_same_v<typename P::memory, host>) {
    return from;
  } else {
    index_t const count = read_cell(where, from.count.view().data);
    instances<> out{make_grid<std::int32_t>(from.label.view().extent),
                    std::vector<instance>(static_cast<std::size_t>(count))};
    copy(where, from.label.view(), out.label.view());
    copy(where, view<instance const, 1, typename P::memory>(from.found.view().data, {count}),
         view<instance, 1>(out.found.data(), {count}));
    wait_for(where, "to_host");
    return out;
  }
}

/// The same labels on the host. @asynchrony gpu: waits for where.stream
template <class P>
[[nodiscard]] image_labels<> to_host(P const& where, image_labels<typename P::memory> const& from)
{
  image_labels<> out{make_grid<std::int32_t>(from.semantic.view().extent), {}};
  copy(where, from.semantic.view(), out.semantic.view());
  out.objects = to_host(where, from.objects);  // waits for both
  return out;
}

namespace rule {

/// A label becomes its entry in a table, 0 where it has none.
template <class L, class To, class Entry, class S>
struct look_up_label {
  image_view<L const, S> label;
  Entry const* table;  ///< of labels 0..known-1
  index_t known;
  image_view<To, S> out;  ///< may be the labels themselves

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const at = static_cast<index_t>(label(y, x));
    out(y, x) = 0 <= at && at < known ? static_cast<To>(table[at]) : To(0);
  }

  /// The same for a row, where every label is in the table.
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t, index_t y) const
  {
    index_t const W = label.extent[1];
    L const* const from = &label(y, 0);
    Entry const* const entry = table;
    To* const to = &out(y, 0);
    for (index_t x = 0; x < W; ++x) to[x] = static_cast<To>(entry[static_cast<index_t>(from[x])]);
  }
};

}  // namespace rule

}  // namespace cambium
