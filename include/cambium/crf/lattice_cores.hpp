#pragma once
// The cpu's own schedule of building a permutohedral lattice: simplices a register of positions at a time, points in
// hash tables and in the order of their keys. It gives the points and the weights of the rules in lattice_rules.hpp.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/crf/find_simplices.hpp>
#include <cambium/crf/lattice.hpp>
#include <cambium/crf/lattice_keys.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Call body(part, its first position, their number) for parts from..to-1.
template <class Body>
void for_each_part(cpu const& where, lattice_parts const& parts, index_t from, index_t to, Body const& body)
{
  for_each_share(where, to - from, 1, [&](index_t begin, index_t end) {
    for (index_t p = from + begin; p < from + end; ++p) {
      ask_to_stop(where);
      body(p, parts.begin(p), parts.begin(p + 1) - parts.begin(p));
    }
  });
}

/// The same for all parts.
template <class Body>
void for_each_part(cpu const& where, lattice_parts const& parts, Body const& body)
{
  for_each_part(where, parts, 0, parts.count(), body);
}

/// What number_corners works in, for a block of positions.
template <int Fixed, class Key>
struct corner_block {
  static constexpr int positions = find_simplices<Fixed>::block;
  static constexpr std::size_t room = find_simplices<Fixed>::room, cells = room * std::size_t{positions};
  float feature[cells]{}, weight[cells];
  std::int32_t base[cells], rank[cells];
  Key before[room];           // keys of the position before
  Key key[cells + 1];         // those that are not
  std::uint64_t hash[cells];  // of those whose number must be looked up
  std::int32_t place[cells];  // of these among the keys
  std::int32_t id[cells + 1]{};
  std::int32_t latest[room]{};
  bool is_fresh[cells];
  static constexpr int seen_bits = 10;
  struct {
    Key key;
    std::int32_t id;
  } seen[1 << seen_bits];  // numbers of the part that were looked up last, by hash, in the first-level cache
};

/// The cpu's lattice. Each part of the positions has slots of its own, 1 to slots() over all parts, for the lattice
/// points it touches. A point's values live in its first slot; where other parts touch it too, their slots are joined
/// to that one.
template <>
class permutohedral<cpu> {
 public:
  /// As the primary template.
  template <image_like F>
  permutohedral(cpu const& where, F const& features, lattice_options options = {})
  {
    build(where, as_view<2>(features, "permutohedral: features"), options, [] {});
  }
  /// The same. The features are given back as soon as they are no longer needed.
  permutohedral(cpu const& where, grid<float, 2>&& features, lattice_options options = {})
  {
    build(where, std::as_const(features).view(), options, [&] { features = grid<float, 2>(); });
  }

  int dimension() const { return shape_.dimension; }
  int corners() const { return shape_.corners(); }
  index_t positions() const { return shape_.positions; }
  index_t points() const { return slots_ - static_cast<index_t>(shared_.size()); }  ///< of the lattice
  index_t slots() const { return slots_; }
  lattice_parts const& parts() const { return parts_; }

  /// The factor of blurred values; the original's alpha.
  float gain() const { return 1.f / (1.f + std::ldexp(1.f, -dimension())); }

  /// The simplices of a part's positions, one behind the other, with slots of 16 bits, or of 32 where the part has more.
  /// They are counted from slot first_slot(part) on.
  std::byte const* simplices_of(index_t part) const { return simplices_[static_cast<std::size_t>(part)].data(); }
  bool wide(index_t part) const { return first_slot(part + 1) - first_slot(part) > most_narrow; }
  index_t first_slot(index_t part) const { return first_slot_[static_cast<std::size_t>(part)]; }

  /// The simplex of position i of a part, by the slots of its corners and their barycentric weights.
  struct simplex {
    std::int32_t slot[9];
    float weight[9];
  };
  simplex simplex_of(index_t part, index_t i) const
  {
    return wide(part) ? read<std::int32_t>(part, i) : read<std::uint16_t>(part, i);
  }

  /// A slot of a point that has an earlier one.
  struct sharing {
    std::int32_t home;  ///< the point's first slot
    std::int32_t slot;
  };
  cells_t<sharing> const& shared() const { return shared_; }  ///< by home, then by slot

  /// The first slots of points that follow one another along one of the D + 1 axes. Each chain is preceded and followed
  /// by a 0; points without neighbours are left out.
  cells_t<std::int32_t> const& chains(int axis) const { return chains_[static_cast<std::size_t>(axis)]; }

 private:
  __extension__ typedef __int128 wide_key;
  static constexpr index_t most_narrow = std::numeric_limits<std::uint16_t>::max();

  template <class Slot>
  simplex read(index_t part, index_t i) const
  {
    simplex out{};
    int c = 0;
    for_each_corner<0, Slot>(dimension(), simplices_of(part) + i * simplex_bytes<Slot>(dimension()),
                             [&](float weight, index_t slot) {
                               out.weight[c] = weight;
                               out.slot[c++] = static_cast<std::int32_t>(slot);
                             });
    return out;
  }

  /// The simplices of the first n positions again, with slots of 32 bits, and room for `all` of them.
  static cells_t<std::byte> widened(cells_t<std::byte> const& narrow, int D, index_t n, index_t all)
  {
    index_t const from = simplex_bytes<std::uint16_t>(D), to = simplex_bytes<std::int32_t>(D);
    cells_t<std::byte> out(static_cast<std::size_t>(all * to));
    for (index_t i = 0; i < n; ++i) {
      std::memcpy(out.data() + i * to, narrow.data() + i * from, static_cast<std::size_t>(4 * D));
      auto const* const slot = reinterpret_cast<std::uint16_t const*>(narrow.data() + i * from + 4 * D);
      std::copy_n(slot, D + 1, reinterpret_cast<std::int32_t*>(out.data() + i * to + 4 * D));
    }
    return out;
  }

  /// Write the simplices of n positions of a block.
  template <int Fixed, class Slot, class Block>
  static void write_simplices(Block& b, int dimension, index_t n, std::byte* at)
  {
    int const D = Fixed > 0 ? Fixed : dimension;
    std::int32_t const* next = b.id;
    std::int32_t latest[Block::room];
    std::copy_n(b.latest, D + 1, latest);
    for (index_t i = 0; i < n; ++i, at += simplex_bytes<Slot>(D)) {
      auto* const slot = reinterpret_cast<Slot*>(at + 4 * D);
      for (int c = 0; c < D; ++c) std::memcpy(at + 4 * c, b.weight + c * Block::positions + i, sizeof(float));
      for (int c = 0; c <= D; ++c) {
        std::int32_t const fresh = b.is_fresh[i * (D + 1) + c];  // 0 or 1; no branch, which would be mispredicted
        next += fresh;
        latest[c] += (*next - latest[c]) & -fresh;
        slot[c] = static_cast<Slot>(latest[c]);
      }
    }
    std::copy_n(latest, D + 1, b.latest);
  }

  /// @param end_of_features  called when they are no longer needed
  template <class End>
  void build(cpu const& where, view<float const, 2> const& in, lattice_options options, End const& end_of_features)
  {
    shape_ = lattice_shape::of(in.extent[0], in.extent[1], options.pad);
    expects_finite(where, in, "permutohedral: features");
    parts_.positions = shape_.positions;
    lattice_plan plan{};
    for_each_share(where, positions() > 0 ? dimension() : 0, std::max<index_t>(1, 65536 / (positions() + 1)),
                   [&](index_t begin, index_t end) {
                     for (index_t k = begin; k < end; ++k)
                       run_widest(vectors_of(where),
                                  find_range{&in(k, 0), positions(), &plan.range[k].least, &plan.range[k].most});
                   });
    rule::plan_lattice{dimension(), positions(), shape_.origin, &plan}(0);
    expects_fits(dimension(), plan);
    with_dimension(dimension(), [&]<int Fixed>(std::integral_constant<int, Fixed>) {
      if (plan.limit < 0x1p63)
        number_corners<Fixed, std::int64_t>(where, in, plan, end_of_features);
      else
        number_corners<Fixed, wide_key>(where, in, plan, end_of_features);
    });
  }

  template <int Fixed, class Key, class End>
  void number_corners(cpu const& where, view<float const, 2> const& in, lattice_plan const& plan,
                      End const& end_of_features)
  {
    using block_t = corner_block<Fixed, Key>;
    constexpr int block = block_t::positions;
    int const D = Fixed > 0 ? Fixed : dimension();
    Key stride[block_t::room];
    float scales[block_t::room];
    for (int j = 0; j <= D; ++j) {
      stride[j] = static_cast<Key>(plan.stride[j]);
      if (j < D) scales[j] = lattice_scale(D, j);
    }
    Key const all = static_cast<Key>(plan.all), lowest = static_cast<Key>(plan.lowest);
    isa const set = vectors_of(where);
    index_t const P = parts_.count();
    // All simplices are allocated before what is freed again: so the latter leaves one gap, which an inference fits in.
    simplices_.resize(static_cast<std::size_t>(P));
    for (index_t p = 0; p < P; ++p)
      simplices_[static_cast<std::size_t>(p)].resize(
          static_cast<std::size_t>((parts_.begin(p + 1) - parts_.begin(p)) * simplex_bytes<std::uint16_t>(D)));
    std::vector<key_index<Key>> part(static_cast<std::size_t>(P));
    for_each_share(where, P, 1, [&](index_t begin, index_t end) {
      block_t b;
      for (index_t p = begin; p < end; ++p) {
        ask_to_stop(where);
        auto& ids = part[static_cast<std::size_t>(p)];
        auto& simplices = simplices_[static_cast<std::size_t>(p)];
        index_t const begin_of_part = parts_.begin(p), last = parts_.begin(p + 1);
        index_t record = simplex_bytes<std::uint16_t>(D);
        std::fill_n(b.before, D + 1, Key{-1});  // no key
        for (auto& seen : b.seen) seen = {Key{-1}, 0};
        for (index_t first = begin_of_part; first < last; first += block) {
          index_t const n = std::min<index_t>(block, last - first);
          for (int k = 0; k < D; ++k) std::copy_n(&in(k, first), n, b.feature + k * block);
          run_widest(set, find_simplices<Fixed>{D, b.feature, scales, b.base, b.rank, b.weight});
          // Mostly a corner is that of the position before. Which are not is hard to predict, so no branch asks.
          int fresh = 0;
          for (index_t i = 0; i < n; ++i) {
            Key at = -lowest, step[block_t::room]{};
            for (int j = 0; j < D; ++j) {
              at += stride[j] * b.base[j * block + i];
              step[b.rank[j * block + i]] = (D + 1) * stride[j];
            }
            for (int c = 0; c <= D; ++c) {
              bool const is_fresh = at != b.before[c];
              b.is_fresh[i * (D + 1) + c] = is_fresh;
              b.key[fresh] = b.before[c] = at;
              fresh += is_fresh;
              at += all - step[D - c];
            }
          }
          // Nor does one ask which of the others were numbered shortly before.
          int rest = 0;
          for (int k = 0; k < fresh; ++k) {
            auto const hash = ids.hash(b.key[k]);
            auto const& seen = b.seen[hash >> (64 - block_t::seen_bits)];
            b.id[k + 1] = seen.id;
            b.hash[rest] = hash;
            b.place[rest] = k;
            rest += seen.key != b.key[k];
            ids.prefetch_slot(hash);
          }
          for (int r = 0; r < rest; ++r) ids.prefetch_key(b.hash[r]);
          for (int r = 0; r < rest; ++r) {
            int const k = b.place[r];
            std::int32_t const id = b.id[k + 1] = ids.insert(b.key[k], b.hash[r]);
            b.seen[b.hash[r] >> (64 - block_t::seen_bits)] = {b.key[k], id};
          }
          bool const narrow = record == simplex_bytes<std::uint16_t>(D);
          if (narrow && ids.size() > most_narrow) {
            simplices = widened(simplices, D, first - begin_of_part, last - begin_of_part);
            record = simplex_bytes<std::int32_t>(D);
          }
          std::byte* const at = simplices.data() + (first - begin_of_part) * record;
          if (record == simplex_bytes<std::uint16_t>(D))
            write_simplices<Fixed, std::uint16_t>(b, D, n, at);
          else
            write_simplices<Fixed, std::int32_t>(b, D, n, at);
        }
        ids.close();
      }
    });
    end_of_features();
    first_slot_.assign(static_cast<std::size_t>(P) + 1, 0);
    for (std::size_t p = 0; p < part.size(); ++p) first_slot_[p + 1] = first_slot_[p] + part[p].size();
    slots_ = first_slot_.back();

    // All slots by key: those with one key are slots of one point, whose home is the first of them.
    cells_t<keyed_slot<Key>> points(static_cast<std::size_t>(slots_ + (shape_.origin ? D + 1 : 0)));
    for_each_share(where, P, 1, [&](index_t begin, index_t end) {
      for (index_t p = begin; p < end; ++p) {
        keyed_slot<Key>* const at = points.data() + first_slot(p) - 1;
        for (std::int32_t i = 1; i <= part[static_cast<std::size_t>(p)].size(); ++i)
          at[i] = {part[static_cast<std::size_t>(p)].key(i), static_cast<std::int32_t>(first_slot(p) + i)};
      }
    });
    part.clear();
    // the base of the origin is 0 and its coordinates are in order, so corner c is c (1,...,1) - (D + 1) (0,..,1,1)
    if (shape_.origin)
      for (int c = 0; c <= D; ++c) {
        Key at = c * all - lowest;
        for (int j = D - c + 1; j <= D; ++j) at -= (D + 1) * stride[j];
        points[static_cast<std::size_t>(slots_ + c)] = {at, static_cast<std::int32_t>(slots_ + c + 1)};
      }
    ask_to_stop(where);
    sort_by_key(points, plan.limit);
    ask_to_stop(where);
    auto const touched = static_cast<std::int32_t>(slots_);
    // The points in the order of their keys.
    cells_t<Key> keys;
    cells_t<std::int32_t> homes;
    keys.reserve(points.size() + 1), homes.reserve(points.size());
    for (auto const& s : points) {
      if (!keys.empty() && keys.back() == s.key) {
        if (s.slot <= touched) shared_.push_back({homes.back(), s.slot});
        continue;
      }
      keys.push_back(s.key);
      homes.push_back(s.slot > touched ? static_cast<std::int32_t>(++slots_) : s.slot);
    }
    points = cells_t<keyed_slot<Key>>();                                 // {} would keep its memory
    keys.push_back((((Key{1} << (8 * sizeof(Key) - 2)) - 1) << 1) + 1);  // no point, behind all
    std::sort(shared_.begin(), shared_.end(),
              [](sharing a, sharing b) { return a.home != b.home ? a.home < b.home : a.slot < b.slot; });

    chains_.resize(static_cast<std::size_t>(corners()));
    for_each_share(where, corners(), 1, [&](index_t begin, index_t end) {
      chain_room room;
      for (index_t axis = begin; axis < end; ++axis)
        chain_points(where, keys, homes, all - (D + 1) * stride[axis], room, chains_[static_cast<std::size_t>(axis)]);
    });
  }

  /// What chain_points works in.
  struct chain_room {
    cells_t<std::int32_t> chain;   // [points] the chain of each point, from 1
    cells_t<std::int32_t> place;   // [points] in its chain
    cells_t<std::int32_t> length;  // [points + 1] of each chain
    cells_t<std::int32_t> first;   // [points + 1] where the list has the first point that was seen of each chain
    cells_t<std::int32_t> begun;   // [slots + 1] the chain that begins with this slot, or 0
  };

  /// Lists the points that lie `step` apart: keys and keys one step on are both in order, so a point is seen after the
  /// one before it on a chain. No branch depends on how long chains are: most have two or three points.
  template <class Key>
  void chain_points(cpu const& where, cells_t<Key> const& keys, cells_t<std::int32_t> const& homes, Key step,
                    chain_room& room, cells_t<std::int32_t>& list) const
  {
    std::size_t const n = homes.size();
    constexpr std::size_t often = 1 << 18;  // lattices of noise have millions of points
    bool const backwards = step < 0;        // the last point of a chain is seen first
    Key const apart = backwards ? -step : step;
    room.chain.assign(n + 1, 0), room.place.resize(n), room.length.assign(n + 1, 0), room.first.resize(n + 1);
    room.begun.assign(static_cast<std::size_t>(slots_ + 1), 0);
    auto* const chain = room.chain.data();
    auto* const length = room.length.data();
    auto* const first = room.first.data();
    std::int32_t chains = 0;
    Key const* ahead = keys.data();
    for (std::size_t i = 0; i < n; ++i) {
      if (i % often == 0) ask_to_stop(where);
      Key const key = keys[i] + apart;
      while (*ahead < key) ++ahead;
      std::int32_t const begins = chain[i] == 0;
      chains += begins;
      std::int32_t const own = chain[i] + (chains & -begins);
      chain[i] = own;
      room.place[i] = length[own]++;
      std::int32_t const linked = *ahead == key;
      auto& next = chain[ahead - keys.data()];
      next |= own & -linked;
      room.begun[static_cast<std::size_t>(homes[i] & -begins)] = own;
    }
    room.begun[0] = 0;
    // Chains in the order of the slots they begin with. A 0 stands before and behind each; a point alone goes to the end.
    std::int32_t at = 1;
    std::int32_t total = 1;
    for (std::int32_t c = 1; c <= chains; ++c) total += length[c] > 1 ? length[c] + 1 : 0;
    list.assign(static_cast<std::size_t>(total) + 1, 0);
    for (std::int32_t const c : room.begun) {
      std::int32_t const points = length[c], listed = -std::int32_t{points > 1};
      std::int32_t const last = at + points - 1;
      first[c] = ((backwards ? last : at) & listed) | (total & ~listed);
      at += (points + 1) & listed;
    }
    std::int32_t const way = backwards ? -1 : 1;
    for (std::size_t i = 0; i < n; ++i)
      list[static_cast<std::size_t>(first[chain[i]] + way * room.place[i])] = homes[i];
    list.pop_back();
  }

  lattice_shape shape_;
  lattice_parts parts_;
  index_t slots_ = 0;
  std::vector<cells_t<std::byte>> simplices_;  // of each part
  std::vector<index_t> first_slot_;            // [parts + 1] slot 0 of a part's own numbers
  cells_t<sharing> shared_;
  std::vector<cells_t<std::int32_t>> chains_;  // [D + 1]
};

}  // namespace cambium
