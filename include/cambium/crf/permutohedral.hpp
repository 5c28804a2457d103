#pragma once
// Gaussian filtering of values that lie anywhere in a space of 1 to 8 dimensions.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/exec/sort.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Names for keys: 1, 2, ... as they come, or names that are given. A table of slots that point at the keys, at most
/// half full. Looking a key up misses the cache twice: for the slot, then for the key. So whoever has many to look up
/// takes their hashes, announces them all, announces them again, and then asks.
template <class Key>
class key_names {
 public:
  using hash_t = std::uint64_t;

  key_names() : entry_(1), slot_(std::size_t{1} << bits_, 0) {}

  std::int32_t size() const { return static_cast<std::int32_t>(entry_.size() - 1); }
  Key operator[](std::int32_t i) const { return entry_[static_cast<std::size_t>(i)].key; }  ///< of the i-th, from 1
  std::int32_t name(std::int32_t i) const { return entry_[static_cast<std::size_t>(i)].name; }

  static hash_t hash(Key key)
  {
    auto mixed = static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u;
    if constexpr (sizeof(Key) > 8) mixed ^= static_cast<std::uint64_t>(key >> 64) * 0xC2B2AE3D27D4EB4Fu;
    return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u;
  }
  void announce(hash_t hash) const { __builtin_prefetch(&slot_[hash >> (64 - bits_)]); }
  void announce_again(hash_t hash) const { __builtin_prefetch(&entry_at(hash >> (64 - bits_))); }

  /// The name of a key, or 0.
  std::int32_t find(Key key, hash_t hash) const { return entry_at(place(key, hash)).name; }

  /// The name of a key, which is given this one if it has none yet.
  std::int32_t name(Key key, hash_t hash, std::int32_t name)
  {
    std::size_t const at = place(key, hash);
    if (slot_[at] != 0) return entry_at(at).name;
    entry_.push_back({key, name});
    slot_[at] = size();
    if (2 * entry_.size() > slot_.size()) grow();
    return name;
  }

 private:
  struct entry {
    Key key{};
    std::int32_t name = 0;
  };

  entry const& entry_at(std::size_t at) const { return entry_[static_cast<std::size_t>(slot_[at])]; }
  /// Where a key is, or would be.
  std::size_t place(Key key, hash_t hash) const
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
  cells_t<entry> entry_;  // entry_[0] stands for no key
  cells_t<std::int32_t> slot_;
};

/// The simplices that some positions lie in, `Bytes` of positions at a time.
///
/// A position of D features is raised into the hyperplane of D + 1 coordinates that sum to 0. There `base` is the
/// corner of remainder 0, `rank` orders the coordinates by how far they lie beyond it, and `weight` are barycentric.
/// The products are pinned: rounded one by one as in the original, whose weights carry that rounding.
template <int D>
struct find_simplices {
  static constexpr int block = 16;
  float const* feature;  ///< [D,block]
  float const* scale;    ///< [D]
  std::int32_t* base;    ///< [D + 1,block]
  std::int32_t* rank;    ///< [D + 1,block]
  float* weight;         ///< [D + 1,block]

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(float));
    using numbers = pack<float, lanes>;
    using integers = bits<float, lanes>;
    constexpr std::size_t corners = D + 1;
    constexpr float down = 1.f / static_cast<float>(D + 1), to_whole = 12582912.f;  // 1.5 * 2^23: drops the fraction
    for (int first = 0; first < block; first += lanes) {
      numbers raised[corners], beyond[corners], sum{};
      integers corner[corners], order[corners]{}, wholes{};
      CAMBIUM_UNROLL
      for (int j = D; j > 0; --j) {
        numbers part = lanes_at<lanes>(feature + (j - 1) * block + first).v * scale[j - 1];
        no_contract(part);
        numbers times = static_cast<float>(j) * part;
        no_contract(times);
        raised[j] = sum - times;
        sum = sum + part;
      }
      raised[0] = sum;
      CAMBIUM_UNROLL
      for (int i = 0; i <= D; ++i) {
        numbers v = down * raised[i];
        no_contract(v);
        numbers rounded = v + to_whole;  // half to even
        no_contract(rounded);
        rounded = rounded - to_whole;
        beyond[i] = raised[i] - rounded * static_cast<float>(D + 1);
        integers const whole = __builtin_convertvector(rounded, integers);
        wholes += whole;
        corner[i] = whole * (D + 1);
      }
      CAMBIUM_UNROLL
      for (int i = 0; i < D; ++i) {
        CAMBIUM_UNROLL
        for (int j = i + 1; j <= D; ++j) {
          integers const less = (integers)(beyond[i] < beyond[j]);  // -1 where true
          order[i] -= less;
          order[j] += less + 1;
        }
      }
      CAMBIUM_UNROLL
      for (int i = 0; i <= D; ++i) {  // back into the hyperplane
        order[i] += wholes;
        integers const low = (integers)(order[i] < 0) & (D + 1), high = (integers)(order[i] > D) & (D + 1);
        order[i] += low - high;
        corner[i] += low - high;
        beyond[i] = raised[i] - __builtin_convertvector(corner[i], numbers);
      }
      numbers sorted[corners]{};  // by rank
      CAMBIUM_UNROLL
      for (int i = 0; i <= D; ++i) {
        numbers v = beyond[i] * down;
        no_contract(v);
        CAMBIUM_UNROLL
        for (int r = 0; r <= D; ++r)
          sorted[r] = (numbers)((integers)sorted[r] | ((integers)v & (integers)(order[i] == r)));
      }
      CAMBIUM_UNROLL
      for (int i = 0; i <= D; ++i) {
        lanes_at<lanes>(base + i * block + first).v = corner[i];
        lanes_at<lanes>(rank + i * block + first).v = order[i];
        lanes_at<lanes>(weight + i * block + first).v =
            i == 0 ? sorted[D] + (1 - sorted[0]) : sorted[D - i] - sorted[D - i + 1];
      }
    }
  }
};

/// Where a lattice's key has room for its coordinates: each in digits of its own.
struct key_digits {
  double lowest[8];  ///< coordinate that counts as 0
  double stride[9];  ///< of a coordinate; the last one has none, since it follows from the others
  double limit = 1;  ///< keys are below this
};

/// What feature i of D is multiplied by on its way into the lattice.
CAMBIUM_HD inline float lattice_scale(int D, int i)
{
  float const deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (D + 1));
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>((i + 2) * (i + 1))) * deviation);
}

/// Bounds every coordinate that a corner or its neighbour can have, from the least and the most of each feature. `reach`
/// is how far from 0 coordinates lie; a lattice holds them below 2^21, and keys below 2^126.
CAMBIUM_HD inline key_digits bound_coordinates(int D, float const* least_feature, float const* most_feature,
                                               double (&reach)[8])
{
  double low[8]{}, high[8]{};
  for (int k = 0; k < D; ++k) {
    low[k] = static_cast<double>(least_feature[k]) * static_cast<double>(lattice_scale(D, k));
    high[k] = static_cast<double>(most_feature[k]) * static_cast<double>(lattice_scale(D, k));
  }
  key_digits digits{};
  for (int j = 0; j < D; ++j) {
    double least = 0, most = 0;
    for (int k = j; k < D; ++k) least += low[k], most += high[k];
    if (j > 0) least -= j * high[j - 1], most -= j * low[j - 1];
    reach[j] = std::abs(least) < std::abs(most) ? std::abs(most) : std::abs(least);
    digits.lowest[j] = std::floor(least) - 4 * (D + 1);
    digits.stride[j] = digits.limit;
    digits.limit *= std::ceil(most) + 4 * (D + 1) - digits.lowest[j] + 1;
  }
  digits.stride[D] = 0;
  return digits;
}

/// As bound_coordinates; throws where a lattice does not hold them.
inline key_digits lay_out_lattice_keys(int D, float const* least_feature, float const* most_feature)
{
  double reach[8]{};
  key_digits const digits = bound_coordinates(D, least_feature, most_feature, reach);
  for (int j = 0; j < D; ++j) {
    double const scale = static_cast<double>(lattice_scale(D, j));
    expects(reach[j] < 0x1p21, "permutohedral: feature ", j, " reaches ", reach[j] / scale,
            " standard deviations; the lattice holds about ", std::floor(0x1p21 / scale));
  }
  expects(digits.limit < 0x1p126, "permutohedral: the features span too large a space for one lattice");
  return digits;
}

struct lattice_options {
  bool pad = false;  ///< the package's quirk: where N is no multiple of 4, lattice points of positions at 0 take part
};

/// The parts that positions are divided into, whatever the number of threads: each sums on its own, and the parts' sums
/// are added in order.
struct lattice_parts {
  static constexpr index_t granule = 64, size = 768 * granule;

  index_t positions = 0;

  CAMBIUM_HD index_t count() const { return positions < size / 2 ? 1 : (positions + size / 2) / size; }
  /// Positions begin(part) .. begin(part + 1) - 1 are a part; all but the last end on a granule.
  CAMBIUM_HD index_t begin(index_t part) const
  {
    index_t const granules = (positions + granule - 1) / granule, first = granules * part / count() * granule;
    return first < positions ? first : positions;
  }
};

/// Calls body(part, its first position, their number) for all parts.
template <class Body>
void for_each_part(cpu const& where, lattice_parts const& parts, Body const& body)
{
  for_each_share(where, parts.count(), 1, [&](index_t begin, index_t end) {
    for (index_t p = begin; p < end; ++p) body(p, parts.begin(p), parts.begin(p + 1) - parts.begin(p));
  });
}

/// Positions in a space of 1 to 8 dimensions, ready to be filtered with a Gaussian of unit deviation.
///
/// The space is cut into simplices by a permutohedral lattice. Values are spread onto the corners of the simplex that
/// a position lies in, blurred along the lattice's axes, and read back. Build it once, filter often.
///
/// Each part of the positions has slots of its own, 1 to slots() over all parts, for the lattice points it touches. A
/// point's values live in its first slot; where other parts touch it too, their slots are joined to that one.
class permutohedral {
 public:
  /// Build the lattice of some positions.
  ///
  /// @param where     cpu
  /// @param features  [D,N] coordinates of N positions, in standard deviations; D is 1..8
  /// @param options   pad = false
  ///
  /// @throws       precondition_error: D outside 1..8, NaN or infinite features, features so far apart that the
  ///               lattice's coordinates need more than 126 bits, more than 2^31 corners
  /// @complexity   Theta(N * D^2) time; 8 * (D + 1) bytes a position and 5 * (D + 1) bytes a lattice point
  /// @determinism  what is filtered has the same bits for every number of threads and every instruction set
  /// @source       Adams, Baek, Davis, Eurographics 2010; Permutohedral of pydensecrf (Kraehenbuehl & Koltun, NIPS
  ///               2011). That one pads N to a multiple of 4 with positions at 0, whose empty lattice points then
  ///               take part in the blur; here only options.pad does so
  template <image_like F>
  permutohedral(cpu const& where, F const& features, lattice_options options = {})
  {
    view<float const, 2> const in = as_view<2>(features, "permutohedral: features");
    index_t const D = in.extent[0], N = in.extent[1];
    expects(1 <= D && D <= 8, "permutohedral: features are ", in, "; the first extent, the dimension, must be 1..8");
    expects(N <= std::numeric_limits<std::int32_t>::max() / (D + 1), "permutohedral: features are ", in,
            "; at most 2^31 / (dimension + 1) positions fit");
    expects_finite(where, in, "permutohedral: features");
    dimension_ = static_cast<int>(D);
    gain_ = 1.f / (1.f + std::ldexp(1.f, -dimension_));
    parts_.positions = N;
    bool const origin = options.pad && N % 4 != 0;
    key_digits const digits = lay_out_keys(in, origin);
    bool const narrow = digits.limit < 0x1p63;
    auto const build = [&]<int Dim>(std::integral_constant<int, Dim>) {
      if (narrow)
        number_corners<Dim, std::int64_t>(where, in, digits, origin);
      else
        number_corners<Dim, wide_key>(where, in, digits, origin);
    };
    [&]<int... Dim>(std::integer_sequence<int, Dim...>) {
      static_cast<void>(((D == Dim + 1 ? (build(std::integral_constant<int, Dim + 1>{}), true) : false) || ...));
    }(std::make_integer_sequence<int, 8>{});
  }

  int dimension() const { return dimension_; }
  index_t positions() const { return parts_.positions; }
  index_t points() const { return slots_ - static_cast<index_t>(shared_.size()); }  ///< of the lattice
  index_t slots() const { return slots_; }
  int corners() const { return dimension_ + 1; }
  lattice_parts const& parts() const { return parts_; }

  /// What blurred values are multiplied by; the original's alpha.
  float gain() const { return gain_; }

  /// The corners of the simplex of position i: its part's slots, counted from slot first_slot(part) on, and barycentric
  /// weights.
  std::int32_t const* corners_of(index_t i) const { return corner_.data() + i * corners(); }
  float const* weights_of(index_t i) const { return weight_.data() + i * corners(); }
  index_t first_slot(index_t part) const { return first_slot_[static_cast<std::size_t>(part)]; }

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

  float scale(int i) const { return lattice_scale(dimension_, i); }

  key_digits lay_out_keys(view<float const, 2> const& in, bool origin) const
  {
    float least[8]{}, most[8]{};
    for (int k = 0; k < dimension_; ++k)
      for (index_t i = 0; i < positions(); ++i) {
        float const v = in(k, i);
        if (i == 0 && !origin) least[k] = most[k] = v;
        least[k] = std::min(least[k], v), most[k] = std::max(most[k], v);
      }
    return lay_out_lattice_keys(dimension_, least, most);
  }

  template <int D, class Key>
  void number_corners(cpu const& where, view<float const, 2> const& in, key_digits const& digits, bool origin)
  {
    constexpr int block = find_simplices<D>::block;
    Key stride[std::size_t{D + 1}], lowest = 0, all = 0;
    for (int j = 0; j <= D; ++j) {
      stride[j] = static_cast<Key>(digits.stride[j]);
      all += stride[j];
      if (j < D) lowest += stride[j] * static_cast<Key>(digits.lowest[j]);
    }
    float scales[std::size_t{D}];
    for (int k = 0; k < D; ++k) scales[k] = scale(k);
    corner_.resize(static_cast<std::size_t>(positions() * (D + 1)));
    weight_.resize(corner_.size());
    isa const set = vectors_of(where);
    index_t const P = parts_.count();
    std::vector<key_names<Key>> part(static_cast<std::size_t>(P));
    for_each_share(where, P, 1, [&](index_t begin, index_t end) {
      float feature[std::size_t{D * block}]{}, weight[std::size_t{(D + 1) * block}];
      std::int32_t base[std::size_t{(D + 1) * block}], order[std::size_t{(D + 1) * block}];
      Key key[std::size_t{block * (D + 1) + 1}], before[std::size_t{D + 1}];
      std::uint64_t hash[std::size_t{block * (D + 1)}];
      std::int32_t name[std::size_t{block * (D + 1) + 1}]{}, latest[std::size_t{D + 1}]{};
      for (index_t p = begin; p < end; ++p) {
        auto& names = part[static_cast<std::size_t>(p)];
        index_t const last = parts_.begin(p + 1);
        std::fill_n(before, D + 1, Key{-1});  // no key
        for (index_t first = parts_.begin(p); first < last; first += block) {
          index_t const n = std::min<index_t>(block, last - first);
          for (int k = 0; k < D; ++k) std::copy_n(&in(k, first), n, feature + k * block);
          run_widest(set, find_simplices<D>{feature, scales, base, order, weight});
          // Mostly a corner is the one of the position before. Which are not is hard to foretell, so no branch asks.
          int fresh = 0;
          bool is_fresh[std::size_t{block}][std::size_t{D + 1}];
          for (index_t i = 0; i < n; ++i) {
            Key at = -lowest, step[std::size_t{D + 1}]{};
            for (int j = 0; j < D; ++j) {
              at += stride[j] * base[j * block + i];
              step[order[j * block + i]] = (D + 1) * stride[j];
            }
            for (int c = 0; c <= D; ++c) {
              is_fresh[i][c] = at != before[c];
              key[fresh] = before[c] = at;
              fresh += is_fresh[i][c];
              at += all - step[D - c];
            }
          }
          for (int k = 0; k < fresh; ++k) {
            hash[k] = names.hash(key[k]);
            names.announce(hash[k]);
          }
          for (int k = 0; k < fresh; ++k) names.announce_again(hash[k]);
          for (int k = 0; k < fresh; ++k) name[k + 1] = names.name(key[k], hash[k], names.size() + 1);
          std::int32_t* const corner = corner_.data() + first * (D + 1);
          float* const weights = weight_.data() + first * (D + 1);
          std::int32_t const* next = name;
          for (index_t i = 0; i < n; ++i)
            for (int c = 0; c <= D; ++c) {
              next += is_fresh[i][c];
              corner[i * (D + 1) + c] = latest[c] = is_fresh[i][c] ? *next : latest[c];
              weights[i * (D + 1) + c] = weight[c * block + i];
            }
        }
      }
    });
    first_slot_.assign(static_cast<std::size_t>(P) + 1, 0);
    for (std::size_t p = 0; p < part.size(); ++p) first_slot_[p + 1] = first_slot_[p] + part[p].size();
    slots_ = first_slot_.back();

    // The first part's names are slots already; the others' keys are looked up and, if new, given theirs.
    auto& slot_of = part[0];
    for (std::size_t p = 1; p < part.size(); ++p) {
      auto const& names = part[p];
      look_up(names, slot_of, Key{0}, [&](std::int32_t i, Key key, std::uint64_t hash) {
        auto const slot = static_cast<std::int32_t>(first_slot_[p] + i);
        auto const home = slot_of.name(key, hash, slot);
        if (home != slot) shared_.push_back({home, slot});
      });
    }
    if (origin)  // its base is 0 and its coordinates are in order, so corner c is c (1,...,1) - (D + 1) (0,..,1,1)
      for (int c = 0; c <= D; ++c) {
        Key at = c * all - lowest;
        for (int j = D - c + 1; j <= D; ++j) at -= (D + 1) * stride[j];
        auto const next = static_cast<std::int32_t>(slots_ + 1);
        if (slot_of.name(at, slot_of.hash(at), next) == next) ++slots_;
      }
    std::sort(shared_.begin(), shared_.end(),
              [](sharing a, sharing b) { return a.home != b.home ? a.home < b.home : a.slot < b.slot; });

    chains_.resize(D + 1);
    for_each_share(where, D + 1, 1, [&](index_t begin, index_t end) {
      for (index_t axis = begin; axis < end; ++axis)
        chain_points(slot_of, all - (D + 1) * stride[axis], chains_[static_cast<std::size_t>(axis)]);
    });
  }

  /// Calls visit(i, key, hash) for keys[i] + step, i from 1, announced to a table.
  template <class Key, class Visit>
  static void look_up(key_names<Key> const& keys, key_names<Key> const& in, Key step, Visit const& visit)
  {
    constexpr std::int32_t block = 32;
    Key key[block];
    std::uint64_t hash[block];
    for (std::int32_t first = 1, size = keys.size(); first <= size; first += block) {
      std::int32_t const n = std::min(block, size - first + 1);
      for (std::int32_t i = 0; i < n; ++i) {
        key[i] = keys[first + i] + step;
        hash[i] = in.hash(key[i]);
        in.announce(hash[i]);
      }
      for (std::int32_t i = 0; i < n; ++i) in.announce_again(hash[i]);
      for (std::int32_t i = 0; i < n; ++i) visit(first + i, key[i], hash[i]);
    }
  }

  /// Lists the points that lie `step` apart.
  template <class Key>
  void chain_points(key_names<Key> const& slot_of, Key step, cells_t<std::int32_t>& chain) const
  {
    constexpr std::int32_t preceded = std::numeric_limits<std::int32_t>::min();  // the sign bit
    cells_t<std::int32_t> next(static_cast<std::size_t>(slots_ + 1), 0);
    std::size_t links = 0;
    look_up(slot_of, slot_of, step, [&](std::int32_t i, Key key, std::uint64_t hash) {
      std::int32_t const after = slot_of.find(key, hash);  // or 0, as likely as not: that is written like any other
      next[static_cast<std::size_t>(slot_of.name(i))] |= after;
      next[static_cast<std::size_t>(after)] |= preceded;
      links += after != 0;
    });
    chain.reserve(2 * links + 2);
    chain.push_back(0);
    for (std::size_t first = 1; first < next.size(); ++first) {
      if (next[first] <= 0) continue;  // alone, or not the first
      chain.push_back(static_cast<std::int32_t>(first));
      for (std::size_t at = first; (next[at] & ~preceded) != 0;) {
        at = static_cast<std::size_t>(next[at] & ~preceded);
        chain.push_back(static_cast<std::int32_t>(at));
      }
      chain.push_back(0);
    }
  }

  int dimension_ = 0;
  float gain_ = 1;
  lattice_parts parts_;
  index_t slots_ = 0;
  cells_t<std::int32_t> corner_;     // [N,D + 1]
  cells_t<float> weight_;            // [N,D + 1]
  std::vector<index_t> first_slot_;  // [parts + 1] slot 0 of a part's own numbers
  cells_t<sharing> shared_;
  std::vector<cells_t<std::int32_t>> chains_;  // [D + 1]
};

/// Values on the slots of a lattice, slot 0 staying 0: room for one filtering.
using lattice_values = cells_t<float>;

/// Adds values at n positions onto the slots of their part, a register at a time.
template <int Width, int Corners>
struct spread_positions {
  std::int32_t const* corner;  ///< [n,Corners]
  float const* weight;         ///< [n,Corners]
  float const* from;           ///< values of the first position
  index_t step;                ///< between the values of one position and the next
  float const* factor;         ///< [n], or null
  index_t n;
  float* slots;  ///< slot 0 of the part

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    auto const self = *this;  // in registers: no store can change it
    for (index_t i = 0; i < self.n; ++i)
      for (int first = 0; first < Width; first += lanes) {
        pack<float, lanes> value = lanes_at<lanes>(self.from + i * self.step + first).v;
        if (self.factor != nullptr) value = value * self.factor[i];
        float* to[std::size_t{Corners}];
        pack<float, lanes> part[std::size_t{Corners}];
        CAMBIUM_UNROLL
        for (int c = 0; c < Corners; ++c) {
          to[c] = self.slots + index_t{self.corner[i * Corners + c]} * Width + first;
          part[c] = self.weight[i * Corners + c] * value;
          no_contract(part[c]);  // rounded by itself on every machine
        }
        CAMBIUM_UNROLL
        for (int c = 0; c < Corners; ++c) part[c] += lanes_at<lanes>(to[c]).v;  // the corners are different points
        CAMBIUM_UNROLL
        for (int c = 0; c < Corners; ++c) lanes_at<lanes>(to[c]).v = part[c];
      }
  }
};

/// What each of n positions' simplex holds, times a factor, on top of other values.
template <int Width, int Corners>
struct read_positions {
  std::int32_t const* corner;  ///< [n,Corners]
  float const* weight;         ///< [n,Corners]
  float const* slots;          ///< slot 0 of the part
  float gain;
  float const* factor;  ///< [n], or null
  index_t n;
  float const* on;  ///< other values, laid out like the result; may be the same
  float* to;
  index_t step;  ///< between the values of one position and the next

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    auto const self = *this;
    for (index_t i = 0; i < self.n; ++i) {
      float const times = self.factor != nullptr ? self.gain * self.factor[i] : self.gain;
      std::int32_t const* const corners = self.corner + i * Corners;
      float const* const weights = self.weight + i * Corners;
      for (int first = 0; first < Width; first += lanes) {
        pack<float, lanes> sum{};
        CAMBIUM_UNROLL
        for (int c = 0; c < Corners; ++c) {
          pack<float, lanes> part = weights[c] * lanes_at<lanes>(self.slots + index_t{corners[c]} * Width + first).v;
          no_contract(part);
          sum += part;
        }
        sum = times * sum;
        no_contract(sum);
        lanes_at<lanes>(self.to + i * self.step + first).v = lanes_at<lanes>(self.on + i * self.step + first).v + sum;
      }
    }
  }
};

/// Blurs along whole chains: every point takes half of either neighbour.
template <int Width>
struct blur_chains {
  std::int32_t const* slot;  ///< slot[-1] and slot[n] are 0, or slot[0] is
  index_t n;
  float* values;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = std::min(Width, Bytes / static_cast<int>(sizeof(float)));
    auto const self = *this;
    float nowhere[std::size_t{Width}];
    for (int first = 0; first < Width; first += lanes) {
      float* at = self.values + index_t{self.slot[0]} * Width + first;
      pack<float, lanes> before{}, here = lanes_at<lanes>(at).v;
      for (index_t i = 1; i <= self.n; ++i) {
        float* const next = self.values + index_t{self.slot[i]} * Width + first;
        pack<float, lanes> const after = lanes_at<lanes>(next).v;
        lanes_at<lanes>(at != self.values + first ? at : nowhere).v = here + 0.5f * (before + after);  // slot 0 stays 0
        before = here;
        here = after;
        at = next;
      }
    }
  }
};

/// Calls body(std::integral_constant<int, Corners>) for the number of corners of a lattice's simplices.
template <class Body>
void with_corners(permutohedral const& lattice, Body const& body)
{
  [&]<int... D>(std::integer_sequence<int, D...>) {
    static_cast<void>(
        ((lattice.corners() == D + 2 ? (body(std::integral_constant<int, D + 2>{}), true) : false) || ...));
  }(std::make_integer_sequence<int, 8>{});
}

/// Makes room for `Width` values a slot. A part's slots are cleared by clear_part, before it spreads onto them.
template <int Width>
void make_room(permutohedral const& lattice, lattice_values& values)
{
  auto const n = static_cast<std::size_t>((lattice.slots() + 1) * Width);
  if (values.size() < n) values.resize(n);
  std::fill_n(values.begin(), Width, 0.f);
  std::fill(values.begin() + lattice.first_slot(lattice.parts().count()) * Width,
            values.begin() + (lattice.slots() + 1) * Width, 0.f);
}
template <int Width>
void clear_part(permutohedral const& lattice, index_t part, lattice_values& values)
{
  auto const slots = values.begin() + Width;
  std::fill(slots + lattice.first_slot(part) * Width, slots + lattice.first_slot(part + 1) * Width, 0.f);
}

/// Spreads n positions of a part from position `first` on. `from` points at the values of the first, `factor` at its
/// factor, or is null.
template <int Width>
void spread_some(isa set, permutohedral const& lattice, index_t part, index_t first, index_t n, float const* from,
                 index_t step, float const* factor, lattice_values& values)
{
  with_corners(lattice, [&]<int Corners>(std::integral_constant<int, Corners>) {
    run_widest(set, spread_positions<Width, Corners>{lattice.corners_of(first), lattice.weights_of(first), from, step,
                                                     factor, n, values.data() + lattice.first_slot(part) * Width});
  });
}

/// Writes `on` plus what n positions of a part read back, times `scale` and their factors, if there are any.
template <int Width>
void read_some(isa set, permutohedral const& lattice, index_t part, index_t first, index_t n,
               lattice_values const& values, float scale, float const* factor, float const* on, float* to, index_t step)
{
  with_corners(lattice, [&]<int Corners>(std::integral_constant<int, Corners>) {
    run_widest(set, read_positions<Width, Corners>{lattice.corners_of(first), lattice.weights_of(first),
                                                   values.data() + lattice.first_slot(part) * Width,
                                                   lattice.gain() * scale, factor, n, on, to, step});
  });
}

/// Joins what the parts have spread, blurs it, and gives every part its share.
template <int Width>
void blur(cpu const& where, permutohedral const& lattice, bool reverse, lattice_values& values)
{
  auto const& shared = lattice.shared();
  auto const at = [&](std::int32_t slot) { return values.data() + index_t{slot} * Width; };
  auto const n = static_cast<index_t>(shared.size());
  // Of points that are shared by several parts no two threads see the same.
  auto const border = [&](index_t i) {
    while (0 < i && i < n && shared[static_cast<std::size_t>(i)].home == shared[static_cast<std::size_t>(i - 1)].home)
      ++i;
    return i;
  };
  for_each_share(where, n, 8192, [&](index_t begin, index_t end) {
    for (index_t i = border(begin); i < border(end); ++i) {
      auto const [home, slot] = shared[static_cast<std::size_t>(i)];
      for (int c = 0; c < Width; ++c) at(home)[c] += at(slot)[c];
    }
  });
  isa const set = vectors_of(where);
  for (int step = 0; step < lattice.corners(); ++step) {
    auto const& chain = lattice.chains(reverse ? lattice.corners() - 1 - step : step);
    auto const last = static_cast<index_t>(chain.size()) - 1;
    auto const end_of_chain = [&](index_t i) {
      while (i > 1 && i < last && chain[static_cast<std::size_t>(i)] != 0) ++i;
      return i;
    };
    for_each_share(where, last - 1, 8192, [&](index_t begin, index_t end) {
      index_t const first = end_of_chain(begin + 1), to = end_of_chain(end + 1);
      if (first < to) run_widest(set, blur_chains<Width>{chain.data() + first, to - first, values.data()});
    });
  }
  for_each_share(where, n, 8192, [&](index_t begin, index_t end) {
    for (index_t i = begin; i < end; ++i) {
      auto const [home, slot] = shared[static_cast<std::size_t>(i)];
      std::copy_n(at(home), Width, at(slot));
    }
  });
}

/// Calls body(std::integral_constant<int, Width>, first channel) for pieces of 16, 8, 4, 2 and 1 channels.
template <class Body>
void for_each_width(index_t channels, Body const& body)
{
  index_t c = 0;
  auto const pieces = [&]<int Width>(std::integral_constant<int, Width> width) {
    for (; c + Width <= channels; c += Width) body(width, c);
  };
  pieces(std::integral_constant<int, 16>{});
  pieces(std::integral_constant<int, 8>{});
  pieces(std::integral_constant<int, 4>{});
  pieces(std::integral_constant<int, 2>{});
  pieces(std::integral_constant<int, 1>{});
}

/// What a position's simplex gives back of the value that the position spreads onto it, gain apart.
///
/// A value travels along some of the axes, in their order, and halves with every step. It comes back to the simplex only if
/// all steps go the same way: corners differ by sums of axes, and the sum of all axes is 0.
///
/// @param beside  beside(axis, point, way) is the next point that way, 0 or 1, along an axis, or `nowhere`
template <class Beside>
CAMBIUM_HD double own_share(int corners, std::int32_t const* corner, float const* weight, std::int32_t nowhere,
                            Beside const& beside)
{
  double sum = 0;
  for (int c = 0; c < corners; ++c) {
    double const spread = static_cast<double>(weight[c]);
    sum += spread * spread;
    for (int way = 0; way < 2; ++way)
      for (int path = 1; path < 1 << corners; ++path) {  // a bit for each axis; the first axis is the highest
        std::int32_t at = corner[c];
        double part = spread;
        for (int axis = 0; axis < corners && at != nowhere; ++axis) {
          int const bit = corners - 1 - axis;
          if ((path >> bit & 1) == 0) continue;
          at = beside(axis, at, way);
          part /= 2;
          if (at == nowhere) path |= (1 << bit) - 1;  // skip all paths that begin like this one
        }
        for (int e = 0; e < corners && at != nowhere; ++e)
          if (corner[e] == at) sum += part * static_cast<double>(weight[e]);
      }
  }
  return sum;
}

/// The next points along the axes, as own_share asks for them: 0 is none.
struct slot_neighbours {
  std::int32_t const* next;  ///< [D + 1,2,slots]
  index_t slots;
  CAMBIUM_HD std::int32_t operator()(int axis, std::int32_t point, int way) const
  {
    return next[(2 * axis + way) * slots + point];
  }
};

/// What filter() gives each position of its own value: the diagonal of the lattice's kernel.
///
/// @return [N]
/// @complexity   O(N * 2^D * D^2), less where points have no neighbours; 8 (D + 1) bytes a point
/// @determinism  exact
[[nodiscard]] inline cells_t<float> own_shares(cpu const& where, permutohedral const& lattice)
{
  int const corners = lattice.corners();
  auto const slots = static_cast<std::size_t>(lattice.slots() + 1);
  cells_t<std::int32_t> home(slots), next(2 * slots * static_cast<std::size_t>(corners), 0);
  std::iota(home.begin(), home.end(), 0);
  for (auto const& s : lattice.shared()) home[static_cast<std::size_t>(s.slot)] = s.home;
  slot_neighbours const beside{next.data(), static_cast<index_t>(slots)};
  for (int axis = 0; axis < corners; ++axis) {
    auto const& chain = lattice.chains(axis);
    std::int32_t *const after = next.data() + 2 * static_cast<std::size_t>(axis) * slots, *const before = after + slots;
    for (std::size_t i = 1; i < chain.size(); ++i)
      if (chain[i - 1] != 0 && chain[i] != 0) after[chain[i - 1]] = chain[i], before[chain[i]] = chain[i - 1];
  }
  cells_t<float> out(static_cast<std::size_t>(lattice.positions()));
  for_each_part(where, lattice.parts(), [&](index_t part, index_t first, index_t n) {
    std::int32_t corner[9];
    for (index_t i = first; i < first + n; ++i) {
      for (int c = 0; c < corners; ++c)
        corner[c] = home[static_cast<std::size_t>(lattice.first_slot(part) + lattice.corners_of(i)[c])];
      out[static_cast<std::size_t>(i)] =
          static_cast<float>(static_cast<double>(lattice.gain()) *
                             own_share(corners, corner, lattice.weights_of(i), std::int32_t{0}, beside));
    }
  });
  return out;
}

struct filter_options {
  bool reverse = false;  ///< blur along the axes in the other order: the transposed filter, for gradients
};

/// Filter values with the Gaussian of a lattice, without normalisation.
///
///   out(i) ~ sum over j of exp(-|f_i - f_j|^2 / 2) values(j), the term j = i included
///
/// @param where    cpu
/// @param lattice  of N positions
/// @param values   [N,C] finite
/// @param options  reverse = false
/// @return [N,C]
///
/// @throws       precondition_error: another number of positions, NaN or infinite values
/// @complexity   Theta(C * (N * D + points * D)) time, 8 bytes a point and channel (16 at a time)
/// @determinism  the same bits on every run and for every number of threads
/// @source       Permutohedral::compute of pydensecrf, whose rounding differs by its order of sums. Against exact
///               kernels the lattice gives too little, 0.28 to 0.88 of it, so that it is off by 12-71 % (relative L2, 45
///               kernels of sxy 1-80, srgb 0 or 3-40, on 44x56 pixels); divided by filtered ones, as a mean is, by
///               0.02-15 %. It is the approximation everyone's constants were found with, not an error to correct
template <image_like X>
[[nodiscard]] grid<float, 2> filter(cpu const& where, permutohedral const& lattice, X const& values,
                                    filter_options options = {})
{
  view<float const, 2> const in = as_view<2>(values, "filter: values");
  expects(in.extent[0] == lattice.positions(), "filter: values are ", in, " but the lattice holds ",
          lattice.positions(), " positions");
  expects_finite(where, in, "filter: values");
  grid<float, 2> out(in.extent[0], in.extent[1]);
  lattice_values scratch;
  isa const set = vectors_of(where);
  auto const& parts = lattice.parts();
  if (in.extent[0] == 0) return out;
  for_each_width(in.extent[1], [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    make_room<Width>(lattice, scratch);
    for_each_part(where, parts, [&](index_t p, index_t first, index_t n) {
      clear_part<Width>(lattice, p, scratch);
      spread_some<Width>(set, lattice, p, first, n, &in(first, c), in.stride[0], nullptr, scratch);
    });
    blur<Width>(where, lattice, options.reverse, scratch);
    for_each_part(where, parts, [&](index_t p, index_t first, index_t n) {
      read_some<Width>(set, lattice, p, first, n, scratch, 1, nullptr, &out(first, c), &out(first, c), in.extent[1]);
    });
  });
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Least and most of a feature, and its first position that is no finite number.
struct feature_range {
  float least = std::numeric_limits<float>::max(), most = std::numeric_limits<float>::lowest();
  index_t odd = std::numeric_limits<index_t>::max();
};
struct widen_range {
  CAMBIUM_HD feature_range operator()(feature_range const& a, feature_range const& b) const
  {
    return {b.least < a.least ? b.least : a.least, b.most > a.most ? b.most : a.most, b.odd < a.odd ? b.odd : a.odd};
  }
};
template <class S>
struct range_of_feature {
  view<float const, 2, S> features;
  CAMBIUM_HD feature_range operator()(index_t k, index_t i) const
  {
    float const v = features(k, i);
    feature_range out;
    out.least = out.most = v;
    if (!(v - v == 0)) out.odd = i;
    return out;
  }
};

__extension__ typedef unsigned __int128 lattice_key;

/// Keys in two halves; without a high one they are below 2^64.
struct lattice_keys {
  std::uint64_t* low;
  std::uint64_t* high;

  CAMBIUM_HD lattice_key operator[](index_t i) const
  {
    return high == nullptr ? lattice_key{low[i]} : lattice_key{high[i]} << 64 | low[i];
  }
  CAMBIUM_HD void put(index_t i, lattice_key key) const
  {
    low[i] = static_cast<std::uint64_t>(key);
    if (high != nullptr) high[i] = static_cast<std::uint64_t>(key >> 64);
  }
};

/// What a lattice learns of its features before it sorts their corners.
struct lattice_plan {
  feature_range range[8];
  lattice_key stride[9];  ///< of a coordinate in a key; the last one has none, since it follows from the others
  lattice_key all;        ///< their sum
  lattice_key lowest;     ///< key of the lowest coordinates
  double limit;           ///< keys are below this
  bool fits;              ///< all features are finite, and the lattice holds them
};

/// From ranges to a plan. A double holds a stride exactly or, beyond 2^53, rounded: so they are multiplied as integers.
struct plan_lattice {
  int D;
  index_t positions;
  bool origin;  ///< takes part
  lattice_plan* plan;

  CAMBIUM_HD void operator()(index_t) const
  {
    float least[8]{}, most[8]{};
    bool finite = true;
    for (int k = 0; k < D && positions > 0; ++k) {
      auto const& range = plan->range[k];
      finite = finite && range.odd >= positions;
      least[k] = origin && range.least > 0 ? 0 : range.least;
      most[k] = origin && range.most < 0 ? 0 : range.most;
    }
    double reach[8]{};
    key_digits const digits = bound_coordinates(D, least, most, reach);
    plan->limit = digits.limit;
    plan->fits = finite && digits.limit < 0x1p126;
    for (int j = 0; j < D; ++j) plan->fits = plan->fits && reach[j] < 0x1p21;
    lattice_key stride = plan->fits ? 1 : 0;
    plan->all = plan->lowest = 0;
    for (int j = 0; j <= D; ++j) {
      plan->stride[j] = j < D ? stride : 0;
      plan->all += plan->stride[j];
      if (j == D || !plan->fits) continue;
      plan->lowest += stride * static_cast<lattice_key>(static_cast<index_t>(digits.lowest[j]));
      double const values = (j + 1 < D ? digits.stride[j + 1] : digits.limit) / digits.stride[j];
      stride *= static_cast<lattice_key>(static_cast<index_t>(values + 0.5));
    }
  }
};

/// First rule: the simplex of one position, as find_simplices finds it, and the keys of its corners.
template <int D, class S>
struct enter_simplex {
  view<float const, 2, S> features;
  lattice_plan const* plan;
  float scale[std::size_t{D}];
  float* weight;  ///< [N,D + 1]
  lattice_keys keys;
  std::int32_t* number;  ///< [N * (D + 1)] of the corners

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (!plan->fits) {  // then nothing here is a number to reckon with
      for (index_t at = i * (D + 1); at < (i + 1) * (D + 1); ++at) {
        weight[at] = 0;
        keys.put(at, 0);
        number[at] = static_cast<std::int32_t>(at);
      }
      return;
    }
    constexpr float down = 1.f / static_cast<float>(D + 1), to_whole = 12582912.f;  // 1.5 * 2^23: drops the fraction
    float raised[std::size_t{D} + 1], beyond[std::size_t{D} + 1], sum = 0;
    int corner[std::size_t{D} + 1], order[std::size_t{D} + 1], wholes = 0;
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
    float first = 0, last = 0, above = 0;  // by rank: 0, D, and the one before
    for (int j = 0; j <= D; ++j) {
      first = order[j] == 0 ? beyond[j] : first;
      last = order[j] == D ? beyond[j] : last;
    }
    for (int c = 0; c <= D; ++c) {
      float here = 0;
      lattice_key step = 0;
      for (int j = 0; j <= D; ++j)
        if (order[j] == D - c) here = beyond[j], step = (D + 1) * plan->stride[j];
      index_t const at = i * (D + 1) + c;
      weight[at] = c == 0 ? last + (1 - first) : here - above;
      keys.put(at, key);
      number[at] = static_cast<std::int32_t>(at);
      key += plan->all - step;
      above = here;
    }
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
    keys.put(first + c, key);
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

struct put_index {
  index_t value;
  index_t* to;
  CAMBIUM_HD void operator()(index_t) const { *to = value; }
};

/// Points that have no corners, for now: their lists begin at the end.
struct begin_at_end {
  std::int32_t end;
  std::int32_t* first;
  CAMBIUM_HD void operator()(index_t i) const { first[i] = end; }
};

/// Where each point's corners begin, its key, and the point of each corner. Points beyond the room are counted; their
/// corners become the last one's, so that no one reads beyond it.
struct name_points {
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
    if (mark[i] != 0 && point < room) points.put(point, keys[i]);
    if (i == count - 1) *needed = plan->fits ? point + 1 : -1;
  }
};

/// The points before and after each one along each axis, -1 where there is none.
struct meet_neighbours {
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

/// What kernels see of a lattice.
struct lattice_map {
  int corners = 0;  ///< D + 1
  index_t positions = 0, points = 0;
  std::int32_t const* corner = nullptr;     ///< [N,D + 1] points
  float const* weight = nullptr;            ///< [N,D + 1] barycentric
  std::int32_t const* first = nullptr;      ///< [points + 1] into
  std::int32_t const* number = nullptr;     ///< corners by point; a point's by position, what is no position's last
  std::int32_t const* neighbour = nullptr;  ///< [D + 1,points,2]
};

/// Room to build a lattice in: up to 60 bytes a corner, and what a sort works in.
template <execution_policy P>
struct lattice_build_scratch {
  using S = typename P::memory;
  lattice_build_scratch() = default;
  /// For permutohedral_on::rebuild, of N positions of D features.
  lattice_build_scratch(P const& where, index_t D, index_t N, lattice_options options = {})
      : plan(make_grid<lattice_plan>(where, {1}))
  {
    make_room(where, (N + (options.pad && N % 4 != 0 ? 1 : 0)) * (D + 1), true);
  }

  void make_room(P const& where, index_t corners, bool wide_keys)
  {
    wide = wide_keys;
    for (auto* words : {&low, &sorted_low}) *words = make_grid<std::uint64_t>(where, {corners});
    for (auto* words : {&high, &sorted_high, &gathered})
      *words = make_grid<std::uint64_t>(where, {wide ? corners : index_t{0}});
    for (auto* numbers : {&number, &mark, &before}) *numbers = make_grid<std::int32_t>(where, {corners});
    by_low = make_grid<std::int32_t>(where, {wide ? corners : index_t{0}});
  }
  lattice_keys drawn() { return {low.view().data, wide ? high.view().data : nullptr}; }
  lattice_keys sorted() { return {sorted_low.view().data, wide ? sorted_high.view().data : nullptr}; }

  bool wide = true;
  grid<lattice_plan, 1, S> plan;
  grid<std::uint64_t, 1, S> low, high, sorted_low, sorted_high, gathered;
  grid<std::int32_t, 1, S> number, by_low, mark, before;
  workspace<P> space;
};

/// A lattice as permutohedral, in the memory of a policy. Made once, filters often.
template <execution_policy P>
class permutohedral_on {
 public:
  using S = typename P::memory;

  /// Build the lattice of some positions: that of permutohedral, point by point, the same on every device.
  ///
  /// @param where     gpu
  /// @param features  [D,N] coordinates of N positions, in standard deviations; D is 1..8
  /// @param options   pad = false
  ///
  /// @throws       precondition_error as permutohedral, NaN and infinite features included; gpu_error
  /// @complexity   a sort of N * (D + 1) keys, twice where they need more than 64 bits; while building up to 80 bytes a
  ///               corner, then 12 bytes a corner and 4 + 8 * (D + 1) a point
  /// @determinism  exact
  /// @asynchrony   gpu: waits for the stream twice, to learn how far the features reach and how many points they touch
  template <image_like F>
    requires reaches<P, space_of<F, 2>>
  permutohedral_on(P const& where, F const& features, lattice_options options = {})
  {
    view<float const, 2, S> const in = as_view<2>(features, "permutohedral: features");
    take_shape(in.extent[0], in.extent[1], options);
    lattice_build_scratch<P> scratch;
    scratch.plan = make_grid<lattice_plan>(where, {1});
    measure(where, in, scratch);
    auto const plan = read_cell(where, static_cast<lattice_plan const*>(scratch.plan.view().data));
    expects_fits(where, in, plan);
    int bits = 0;  // of a key
    while (std::ldexp(1.0, bits) < plan.limit) ++bits;
    scratch.make_room(where, count(), bits > 64);
    make_corners(where);
    sort_corners(where, in, bits, scratch);
    if (count() > 0)
      points_ = index_t{read_cell(where, scratch.before.view().data + count() - 1)} +
                read_cell(where, scratch.mark.view().data + count() - 1);
    make_points(where);
    connect(where, scratch);
  }

  /// Room for lattices of N positions of D features with up to `most_points` points, for rebuild(). Until then there is
  /// none in it.
  ///
  /// @throws precondition_error: D outside 1..8, too many positions, fewer points than a simplex has
  permutohedral_on(P const& where, index_t D, index_t N, index_t most_points, lattice_options options = {})
  {
    take_shape(D, N, options);
    expects(most_points > D && most_points <= std::numeric_limits<std::int32_t>::max(), "permutohedral: room for ",
            most_points, " points; a simplex alone has ", D + 1);
    points_ = most_points;
    make_corners(where);
    make_points(where);
  }

  /// Build the lattice of other positions in the same room, without waiting and without allocating. filter and the rest
  /// then work on it as on any other, over all the room.
  ///
  /// @param features  [D,N]
  /// @param scratch   made for the same D, N and options
  ///
  /// @pre          needed() is 0..points() afterwards, which only who waits can know. Where it is more, nothing is read or
  ///               written out of place, but what the lattice filters is not a Gaussian's. Where it is -1, because
  ///               features are not finite or too far apart, all weights are 0
  /// @throws       precondition_error: another shape, a scratch of another
  /// @determinism  exact
  /// @asynchrony   gpu: enqueues and returns
  template <image_like F>
    requires reaches<P, space_of<F, 2>>
  void rebuild(P const& where, F const& features, lattice_build_scratch<P>& scratch)
  {
    view<float const, 2, S> const in = as_view<2>(features, "permutohedral: features");
    expects(in.extent[0] == dimension_ && in.extent[1] == positions_, "permutohedral: features are ", in,
            " but the room is for [", dimension_, ",", positions_, "]");
    expects(scratch.wide && scratch.low.size() == count() && scratch.plan.size() == 1,
            "permutohedral: the scratch is for another number of corners");
    measure(where, in, scratch);
    sort_corners(where, in, 128, scratch);
    connect(where, scratch);
  }

  int dimension() const { return dimension_; }
  int corners() const { return dimension_ + 1; }
  index_t positions() const { return positions_; }
  index_t points() const { return points_; }  ///< of the lattice, or what there is room for

  /// How many points the features touch, in device memory: what the room must hold. -1: no lattice holds them.
  view<index_t const, 1, S> needed() const { return needed_.view(); }

  /// What blurred values are multiplied by; the original's alpha.
  float gain() const { return gain_; }

  lattice_map map() const
  {
    return {corners(),
            positions_,
            points_,
            corner_.view().data,
            weight_.view().data,
            first_.view().data,
            number_.view().data,
            neighbour_.view().data};
  }

 private:
  index_t count() const { return (positions_ + (origin_ ? 1 : 0)) * corners(); }  ///< of corners

  void take_shape(index_t D, index_t N, lattice_options options)
  {
    index_t const extent[2] = {D, N};
    view<float const, 2> const shape(nullptr, extent);
    expects(1 <= D && D <= 8, "permutohedral: features are ", shape, "; the first extent, the dimension, must be 1..8");
    origin_ = options.pad && N % 4 != 0;
    expects(0 <= N && N + (origin_ ? 1 : 0) <= std::numeric_limits<std::int32_t>::max() / (D + 1),
            "permutohedral: features are ", shape, "; at most 2^31 / (dimension + 1) positions fit");
    dimension_ = static_cast<int>(D);
    positions_ = N;
    gain_ = 1.f / (1.f + std::ldexp(1.f, -dimension_));
  }
  void make_corners(P const& where)
  {
    number_ = make_grid<std::int32_t>(where, {count()});
    corner_ = make_grid<std::int32_t>(where, {positions_ * corners()});
    weight_ = make_grid<float>(where, {positions_ * corners()});
  }
  void make_points(P const& where)
  {
    first_ = make_grid<std::int32_t>(where, {points_ + 1});
    neighbour_ = make_grid<std::int32_t>(where, {corners() * points_ * 2});
    needed_ = make_grid<index_t>(where, {1});
  }

  void measure(P const& where, view<float const, 2, S> in, lattice_build_scratch<P>& scratch) const
  {
    lattice_plan* const plan = scratch.plan.view().data;
    reduce_rows(where, in.extent[0], in.extent[1], range_of_feature<S>{in}, feature_range{}, widen_range{},
                &plan->range[0], scratch.space);
    for_each_index(where, 1, plan_lattice{dimension_, positions_, origin_, plan});
  }
  /// Throws what the cpu throws.
  void expects_fits(P const& where, view<float const, 2, S> in, lattice_plan const& plan) const
  {
    if (plan.fits) return;
    float least[8]{}, most[8]{};
    for (int k = 0; k < dimension_ && positions_ > 0; ++k) {
      index_t const odd = plan.range[k].odd;
      expects(odd >= positions_, "permutohedral: features(", k, ",", odd, ") is ",
              odd < positions_ ? read_cell(where, &in(k, odd)) : 0.f, "; expected a finite number");
      least[k] = plan.range[k].least, most[k] = plan.range[k].most;
    }
    static_cast<void>(lay_out_lattice_keys(dimension_, least, most));
    throw precondition_error("permutohedral: the features do not fit a lattice");
  }

  /// Draws the corners of all simplices, sorts them by their keys, and marks where points begin.
  void sort_corners(P const& where, view<float const, 2, S> in, int bits, lattice_build_scratch<P>& scratch)
  {
    int const D = dimension_;
    index_t const M = count();
    lattice_plan const* const plan = scratch.plan.view().data;
    lattice_keys const drawn = scratch.drawn(), sorted = scratch.sorted();
    std::int32_t* const number = scratch.number.view().data;
    auto const enter = [&]<int Dim>(std::integral_constant<int, Dim>) {
      enter_simplex<Dim, S> rule{in, plan, {}, weight_.view().data, drawn, number};
      for (int j = 0; j < Dim; ++j) rule.scale[j] = lattice_scale(D, j);
      for_each_index(where, positions_, rule);
    };
    [&]<int... Dim>(std::integer_sequence<int, Dim...>) {
      static_cast<void>(((D == Dim + 1 ? (enter(std::integral_constant<int, Dim + 1>{}), true) : false) || ...));
    }(std::make_integer_sequence<int, 8>{});
    if (origin_) for_each_index(where, D + 1, enter_origin{D, positions_ * (D + 1), plan, drawn, number});

    std::int32_t* const order = number_.view().data;
    if (!scratch.wide) {
      sort_by_key(where, M, drawn.low, number, sorted.low, order, bits, scratch.space);
    } else {  // by the low half, then by the high one, which keeps that order among its equals
      std::int32_t* const by_low = scratch.by_low.view().data;
      std::uint64_t* const gathered = scratch.gathered.view().data;
      sort_by_key(where, M, drawn.low, number, sorted.low, by_low, 64, scratch.space);
      for_each_index(where, M, gather_words{drawn.high, by_low, gathered});
      sort_by_key(where, M, gathered, by_low, sorted.high, order, bits - 64, scratch.space);
      for_each_index(where, M, gather_words{drawn.low, order, sorted.low});
    }
    std::int32_t* const mark = scratch.mark.view().data;
    for_each_index(where, M, mark_points{sorted, mark});
    exclusive_scan(where, M, mark, scratch.before.view().data, scratch.space);
  }

  /// Names the points and finds their neighbours.
  void connect(P const& where, lattice_build_scratch<P>& scratch)
  {
    index_t const M = count();
    lattice_plan const* const plan = scratch.plan.view().data;
    index_t* const needed = needed_.view().data;
    lattice_keys const points = scratch.drawn();  // whose corners are no longer needed
    for_each_index(where, 1, put_index{0, needed});
    for_each_index(where, points_ + 1, begin_at_end{static_cast<std::int32_t>(M), first_.view().data});
    for_each_index(
        where, M,
        name_points{scratch.sorted(), number_.view().data, scratch.mark.view().data, scratch.before.view().data, M,
                    positions_ * corners(), points_, plan, corner_.view().data, first_.view().data, points, needed});
    for_each_index(where, corners() * points_,
                   meet_neighbours{points, points_, needed, plan, dimension_, neighbour_.view().data});
  }

  int dimension_ = 0;
  float gain_ = 1;
  bool origin_ = false;  ///< takes part
  index_t positions_ = 0, points_ = 0;
  grid<std::int32_t, 1, S> corner_, first_, number_, neighbour_;
  grid<float, 1, S> weight_;
  grid<index_t, 1, S> needed_;
};

/// Fourth rule: what positions spread onto a point, for one channel. A part of the positions sums on its own, and the
/// parts' sums are added in order, as on the cpu.
struct spread_onto_points {
  lattice_map map;
  float const* from;    ///< value of a position and channel, or null: then all are 1
  index_t step;         ///< from the values of one position to those of the next
  float const* factor;  ///< [N], or null
  index_t channels;
  float* to;  ///< [points,channels]

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const point = at / channels, c = at % channels;
    lattice_parts const parts{map.positions};
    index_t part = 0, end = parts.begin(1);
    float total = 0, sum = 0;
    for (std::int32_t k = map.first[point]; k < map.first[point + 1]; ++k) {
      std::int32_t const number = map.number[k];
      index_t const i = number / map.corners;
      if (i >= map.positions) break;  // the origin's
      if (i >= end) {
        total += sum, sum = 0;
        while (i >= end) end = parts.begin(++part + 1);
      }
      float const value = from == nullptr ? 1.f : from[i * step + c];
      sum += rounded_product(map.weight[number], factor == nullptr ? value : rounded_product(value, factor[i]));
    }
    to[at] = total + sum;
  }
};

/// Fifth rule: every point takes half of either neighbour along an axis.
struct blur_points {
  lattice_map map;
  int axis;
  index_t channels;
  float const* from;
  float* to;  ///< other memory

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const point = at / channels, c = at % channels;
    std::int32_t const* const beside = map.neighbour + (axis * map.points + point) * 2;
    float const before = beside[0] < 0 ? 0.f : from[beside[0] * channels + c];
    float const after = beside[1] < 0 ? 0.f : from[beside[1] * channels + c];
    to[at] = from[at] + rounded_product(0.5f, before + after);
  }
};

/// Last rule: what a position's simplex holds, times a gain and a factor, on top of another value.
struct read_simplices {
  lattice_map map;
  float const* values;  ///< [points,channels]
  float gain;
  float const* factor;  ///< [N], or null
  index_t channels;
  float const* on;  ///< laid out like the result, may be the same; or null: 0
  float* to;
  index_t step;  ///< from the values of one position to those of the next

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = at / channels, c = at % channels;
    float const times = factor == nullptr ? gain : rounded_product(gain, factor[i]);
    float sum = 0;
    for (int k = 0; k < map.corners; ++k) {
      index_t const corner = i * map.corners + k;
      sum += rounded_product(map.weight[corner], values[map.corner[corner] * channels + c]);
    }
    sum = rounded_product(times, sum);
    to[i * step + c] = (on == nullptr ? 0.f : on[i * step + c]) + sum;
  }
};

/// Room for filtering some channels on a lattice: 8 bytes a point and channel.
template <execution_policy P>
struct lattice_scratch {
  using S = typename P::memory;
  lattice_scratch() = default;
  lattice_scratch(P const& where, permutohedral_on<P> const& lattice, index_t channels)
      : values(make_grid<float>(where, {lattice.points() * channels})),
        others(make_grid<float>(where, {lattice.points() * channels}))
  {
  }

  grid<float, 1, S> values, others;
};

/// Spreads values and blurs them. @return where in the scratch they are, [points,channels]
/// @param from  [N,channels] with `step` from row to row, or null: all 1
template <class P>
float const* spread_and_blur(P const& where, permutohedral_on<P> const& lattice, float const* from, index_t step,
                             float const* factor, index_t channels, bool reverse, lattice_scratch<P>& scratch)
{
  lattice_map const map = lattice.map();
  index_t const cells = map.points * channels;
  float *here = scratch.values.view().data, *there = scratch.others.view().data;
  for_each_index(where, cells, spread_onto_points{map, from, step, factor, channels, here});
  for (int k = 0; k < map.corners; ++k) {
    int const axis = reverse ? map.corners - 1 - k : k;
    for_each_index(where, cells, blur_points{map, axis, channels, here, there});
    std::swap(here, there);
  }
  return here;
}

/// filter into memory of the caller's.
///
/// As in permutohedral.hpp, but that values are not looked at: a NaN or an infinity spreads as far as the filter reaches.
///
/// @param where    gpu
/// @param values   [N,C]
/// @param out      [N,C], no gaps between channels; not the values
/// @param scratch  made for this lattice and at least C channels; one call at a time
///
/// @throws       precondition_error: another number of positions, shapes that differ, overlap, too small a scratch
/// @complexity   Theta(C * (N * D + points * D)); a point sums its corners alone, so where most positions lie in one
///               simplex the device waits for few threads
/// @determinism  the same bits on every run, and those of the cpu
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P>
  requires(!std::same_as<P, cpu>)
void filter_into(P const& where, permutohedral_on<P> const& lattice, view<float const, 2, typename P::memory> values,
                 filter_options options, view<float, 2, typename P::memory> out, lattice_scratch<P>& scratch)
{
  index_t const C = values.extent[1];
  expects(values.extent[0] == lattice.positions(), "filter: values are ", values, " but the lattice holds ",
          lattice.positions(), " positions");
  expects(same_shape(values, out), "filter: values are ", values, " but out is ", out);
  expects(!overlap(values, out), "filter: out overlaps the values");
  expects(scratch.values.size() >= lattice.points() * C,
          "filter: the scratch is for another lattice or fewer channels");
  if (values.size() == 0) return;
  float const* const blurred =
      spread_and_blur(where, lattice, values.data, values.stride[0], nullptr, C, options.reverse, scratch);
  for_each_index(where, values.size(),
                 read_simplices{lattice.map(), blurred, lattice.gain(), nullptr, C, nullptr, out.data, out.stride[0]});
}

/// As filter in permutohedral.hpp, with what filter_into says of values and rounding.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like X>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<X, 2>>
[[nodiscard]] auto filter(P const& where, permutohedral_on<P> const& lattice, X const& values,
                          filter_options options = {})
{
  view<float const, 2, typename P::memory> const in = as_view<2>(values, "filter: values");
  expects(in.extent[0] == lattice.positions(), "filter: values are ", in, " but the lattice holds ",
          lattice.positions(), " positions");
  auto out = make_grid<float>(where, in.extent);
  lattice_scratch<P> scratch(where, lattice, in.extent[1]);
  filter_into(where, lattice, in, options, out.view(), scratch);
  return out;
}

}  // namespace cambium
