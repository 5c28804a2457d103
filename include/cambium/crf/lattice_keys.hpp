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

/// A hash table from keys to ids: 1, 2, ... in the order of insertion, or ids of the caller's. At most half of its
/// slots are taken; a slot holds the index of an entry. A search misses the cache twice, for the slot and for the
/// entry. To look up many keys: hash them all, prefetch the slots, prefetch the entries, then search.
template <class Key>
class key_index {
 public:
  using hash_t = std::uint64_t;

  key_index() : entry_(1), slot_(std::size_t{1} << bits_, 0) {}

  std::int32_t size() const { return static_cast<std::int32_t>(entry_.size() - 1); }
  Key key(std::int32_t i) const { return entry_[static_cast<std::size_t>(i)].key; }  ///< of the i-th entry, from 1
  std::int32_t id(std::int32_t i) const { return entry_[static_cast<std::size_t>(i)].id; }

  static hash_t hash(Key key)
  {
    auto mixed = static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u;
    if constexpr (sizeof(Key) > 8) mixed ^= static_cast<std::uint64_t>(key >> 64) * 0xC2B2AE3D27D4EB4Fu;
    return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u;
  }
  void prefetch_slot(hash_t hash) const { __builtin_prefetch(&slot_[hash >> (64 - bits_)]); }
  void prefetch_entry(hash_t hash) const { __builtin_prefetch(&entry_at(hash >> (64 - bits_))); }

  /// The id of a key, or 0 where the table does not hold it.
  std::int32_t find(Key key, hash_t hash) const { return entry_at(slot_of(key, hash)).id; }

  /// The id of a key. A key that the table does not hold is inserted with the given id.
  std::int32_t insert(Key key, hash_t hash, std::int32_t id)
  {
    std::size_t const at = slot_of(key, hash);
    if (slot_[at] != 0) return entry_at(at).id;
    entry_.push_back({key, id});
    slot_[at] = size();
    if (2 * entry_.size() > slot_.size()) grow();
    return id;
  }

  /// Call visit(i, key, hash) for entry.key(i) + step, i = 1, 2, ..., prefetched in this table.
  template <class Visit>
  void look_up(key_index const& entry, Key step, Visit const& visit) const
  {
    constexpr std::int32_t block = 32;
    Key key[block];
    hash_t hash[block];
    for (std::int32_t first = 1, size = entry.size(); first <= size; first += block) {
      std::int32_t const n = block < size - first + 1 ? block : size - first + 1;
      for (std::int32_t i = 0; i < n; ++i) {
        key[i] = entry.key(first + i) + step;
        hash[i] = this->hash(key[i]);
        prefetch_slot(hash[i]);
      }
      for (std::int32_t i = 0; i < n; ++i) prefetch_entry(hash[i]);
      for (std::int32_t i = 0; i < n; ++i) visit(first + i, key[i], hash[i]);
    }
  }

 private:
  struct entry_t {
    Key key{};
    std::int32_t id = 0;
  };

  entry_t const& entry_at(std::size_t at) const { return entry_[static_cast<std::size_t>(slot_[at])]; }
  /// The slot of a key, or the free one where it would be inserted.
  std::size_t slot_of(Key key, hash_t hash) const
  {
    std::size_t at = hash >> (64 - bits_);
    while (int{slot_[at] != 0} & int{entry_at(at).key != key}) at = (at + 1) & (slot_.size() - 1);
    return at;
  }
  void grow()
  {
    bits_ += 2;
    slot_.assign(std::size_t{1} << bits_, 0);
    for (std::size_t i = 1; i < entry_.size(); ++i) {
      std::size_t at = hash(entry_[i].key) >> (64 - bits_);
      while (slot_[at] != 0) at = (at + 1) & (slot_.size() - 1);
      slot_[at] = static_cast<std::int32_t>(i);
    }
  }

  int bits_ = 12;
  cells_t<entry_t> entry_;  // entry_[0] stands for no key
  cells_t<std::int32_t> slot_;
};

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
