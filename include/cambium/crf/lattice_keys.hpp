#pragma once
// Keys of the points of a lattice: how its coordinates are packed into one integer, and a hash table of such keys.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace cambium {

/// A hash table that numbers keys 1, 2, ... in the order of insertion. At most half of its slots are taken; a slot holds
/// a number. A search misses the cache twice, for the slot and for the key. To insert many keys: hash them all, prefetch
/// the slots, prefetch the keys, then insert.
template <class Key>
class key_index {
 public:
  using hash_t = std::uint64_t;

  key_index() : key_(1, Key{-1}), slot_(std::size_t{1} << bits_, 0) {}

  std::int32_t size() const { return static_cast<std::int32_t>(key_.size() - 1); }
  Key key(std::int32_t i) const { return key_[static_cast<std::size_t>(i)]; }  ///< number i, from 1
  /// Give back all memory but that of the keys. Nothing can be inserted then.
  void close()
  {
    slot_ = cells_t<std::int32_t>();  // {} would keep its memory
    key_.shrink_to_fit();
  }

  static hash_t hash(Key key)
  {
    auto mixed = static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u;
    if constexpr (sizeof(Key) > 8) mixed ^= static_cast<std::uint64_t>(key >> 64) * 0xC2B2AE3D27D4EB4Fu;
    return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u;
  }
  void prefetch_slot(hash_t hash) const { __builtin_prefetch(&slot_[hash >> (64 - bits_)]); }
  void prefetch_key(hash_t hash) const { __builtin_prefetch(&key_at(hash >> (64 - bits_))); }

  /// The number of a key. A key that the table does not hold is inserted.
  [[gnu::always_inline]] std::int32_t insert(Key key, hash_t hash)
  {
    std::size_t at = hash >> (64 - bits_);
    while (int{slot_[at] != 0} & int{key_at(at) != key}) at = (at + 1) & (slot_.size() - 1);
    return slot_[at] != 0 ? slot_[at] : insert_at(at, key);
  }

 private:
  Key const& key_at(std::size_t at) const { return key_[static_cast<std::size_t>(slot_[at])]; }
  [[gnu::noinline]] std::int32_t insert_at(std::size_t at, Key key)
  {
    key_.push_back(key);
    slot_[at] = size();
    if (2 * key_.size() > slot_.size()) grow();
    return size();
  }
  void grow()
  {
    bits_ += 2;
    slot_.assign(std::size_t{1} << bits_, 0);
    for (std::size_t i = 1; i < key_.size(); ++i) {
      std::size_t at = hash(key_[i]) >> (64 - bits_);
      while (slot_[at] != 0) at = (at + 1) & (slot_.size() - 1);
      slot_[at] = static_cast<std::int32_t>(i);
    }
  }

  int bits_ = 12;
  cells_t<Key> key_;  // key_[0] is no key
  cells_t<std::int32_t> slot_;
};

/// A slot of a lattice point, by its key.
template <class Key>
struct keyed_slot {
  Key key;
  std::int32_t slot;
};

/// Sort slots by their keys, which are below `limit`. Equal keys keep their order.
template <class Key>
void sort_by_key(cells_t<keyed_slot<Key>>& slots, double limit)
{
  constexpr int bits = 11;
  cells_t<keyed_slot<Key>> sorted(slots.size());
  for (int shift = 0; std::ldexp(1.0, shift) < limit; shift += bits) {
    std::uint32_t begin[(1 << bits) + 1]{};
    auto const digit = [&](keyed_slot<Key> const& s) {
      return static_cast<std::size_t>(s.key >> shift) & ((1 << bits) - 1);
    };
    for (auto const& s : slots) ++begin[digit(s) + 1];
    for (int d = 0; d < 1 << bits; ++d) begin[d + 1] += begin[d];
    for (auto const& s : slots) sorted[begin[digit(s)]++] = s;
    slots.swap(sorted);
  }
}

__extension__ typedef unsigned __int128 lattice_key;

/// Keys in two halves. Without a high half they are below 2^64.
struct lattice_keys {
  std::uint64_t* low;
  std::uint64_t* high;

  CAMBIUM_HD lattice_key operator[](index_t i) const
  {
    return high == nullptr ? lattice_key{low[i]} : lattice_key{high[i]} << 64 | low[i];
  }
  CAMBIUM_HD void store(index_t i, lattice_key key) const
  {
    low[i] = static_cast<std::uint64_t>(key);
    if (high != nullptr) high[i] = static_cast<std::uint64_t>(key >> 64);
  }
};

/// The factor of feature i of D on its way into the lattice.
CAMBIUM_HD inline float lattice_scale(int D, int i)
{
  float const deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (D + 1));
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>((i + 2) * (i + 1))) * deviation);
}

/// The least and the largest value of a feature, and its first position that is not finite.
struct feature_range {
  float least = std::numeric_limits<float>::max(), most = std::numeric_limits<float>::lowest();
  index_t invalid = std::numeric_limits<index_t>::max();
};

/// The key of a point: each coordinate has digits of its own, of which `stride` is the first.
struct lattice_plan {
  feature_range range[8];
  lattice_key stride[9];  ///< of a coordinate in a key; 0 for the last one, which follows from the others
  lattice_key all;        ///< their sum
  lattice_key lowest;     ///< key of the lowest coordinates
  double reach[8];        ///< how far from 0 each coordinate lies
  double limit;           ///< keys are below this
  bool fits;              ///< all features are finite, coordinates are below 2^21, keys below 2^126
};

namespace rule {

/// Plan the keys from the ranges of the features: bounds every coordinate that a corner or its neighbour can have. A
/// double holds a stride exactly or, beyond 2^53, rounded: so strides are multiplied as integers.
struct plan_lattice {
  int D;
  index_t positions;
  bool origin;  ///< takes part
  lattice_plan* plan;

  CAMBIUM_HD void operator()(index_t) const
  {
    double low[8]{}, high[8]{};
    plan->fits = true;
    for (int k = 0; k < D && positions > 0; ++k) {
      auto const& range = plan->range[k];
      double const scale = static_cast<double>(lattice_scale(D, k));
      plan->fits = plan->fits && range.invalid >= positions;
      low[k] = static_cast<double>(origin && range.least > 0 ? 0 : range.least) * scale;
      high[k] = static_cast<double>(origin && range.most < 0 ? 0 : range.most) * scale;
    }
    double lowest[8], values[8];  // of each coordinate: the least one, and how many there are
    plan->limit = 1;
    for (int j = 0; j < D; ++j) {
      double least = 0, most = 0;
      for (int k = j; k < D; ++k) least += low[k], most += high[k];
      if (j > 0) least -= j * high[j - 1], most -= j * low[j - 1];
      plan->reach[j] = std::abs(least) < std::abs(most) ? std::abs(most) : std::abs(least);
      lowest[j] = std::floor(least) - 4 * (D + 1);
      values[j] = std::ceil(most) + 4 * (D + 1) - lowest[j] + 1;
      plan->limit *= values[j];
      plan->fits = plan->fits && plan->reach[j] < 0x1p21;
    }
    plan->fits = plan->fits && plan->limit < 0x1p126;
    plan->all = plan->lowest = 0;
    lattice_key stride = plan->fits ? 1 : 0;
    for (int j = 0; j <= D; ++j) {
      plan->stride[j] = j < D ? stride : 0;
      plan->all += plan->stride[j];
      if (j == D || !plan->fits) continue;
      plan->lowest += stride * static_cast<lattice_key>(static_cast<index_t>(lowest[j]));
      stride *= static_cast<lattice_key>(static_cast<index_t>(values[j]));
    }
  }
};

}  // namespace rule

/// Throws where finite features lie too far apart for a lattice.
inline void expects_fits(int D, lattice_plan const& plan)
{
  for (int j = 0; j < D; ++j) {
    double const scale = static_cast<double>(lattice_scale(D, j));
    expects(plan.reach[j] < 0x1p21, "permutohedral: feature ", j, " reaches ", plan.reach[j] / scale,
            " standard deviations; the lattice holds about ", std::floor(0x1p21 / scale));
  }
  expects(plan.limit < 0x1p126, "permutohedral: the features span too large a space for one lattice");
}

/// The shape of a lattice's input.
struct lattice_shape {
  int dimension = 0;
  index_t positions = 0;
  bool origin = false;  ///< takes part

  /// @throws precondition_error: D outside 1..8, too many positions
  static lattice_shape of(index_t D, index_t N, bool pad)
  {
    index_t const extent[2] = {D, N};
    view<float const, 2> const shape(nullptr, extent);
    bool const origin = pad && N % 4 != 0;
    expects(1 <= D && D <= 8, "permutohedral: features are ", shape, "; the first extent, the dimension, must be 1..8");
    expects(0 <= N && N + (origin ? 1 : 0) <= std::numeric_limits<std::int32_t>::max() / (D + 1),
            "permutohedral: features are ", shape, "; at most 2^31 / (dimension + 1) positions fit");
    return {static_cast<int>(D), N, origin};
  }
  int corners() const { return dimension + 1; }
};

}  // namespace cambium
