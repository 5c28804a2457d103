#pragma once
// Gaussian filtering of values that lie anywhere in a space of 1 to 8 dimensions.

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
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
        pin(part);
        numbers times = static_cast<float>(j) * part;
        pin(times);
        raised[j] = sum - times;
        sum = sum + part;
      }
      raised[0] = sum;
      CAMBIUM_UNROLL
      for (int i = 0; i <= D; ++i) {
        numbers v = down * raised[i];
        pin(v);
        numbers rounded = v + to_whole;  // half to even
        pin(rounded);
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
        pin(v);
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
          pin(part[c]);  // rounded by itself on every machine
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
          pin(part);
          sum += part;
        }
        sum = times * sum;
        pin(sum);
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

}  // namespace cambium
