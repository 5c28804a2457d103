#pragma once
// Gaussian filtering of values that lie anywhere in a space of 1 to 8 dimensions.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace cambium {

/// Numbers for keys as they come, 1, 2, ... A table of slots that point at the keys, at most half full.
template <class Key>
class key_numbers {
 public:
  key_numbers() : key_(1), slot_(std::size_t{1} << bits_, 0) {}

  std::int32_t size() const { return static_cast<std::int32_t>(key_.size() - 1); }
  Key operator[](std::int32_t number) const { return key_[static_cast<std::size_t>(number)]; }
  void prefetch(Key key) const { __builtin_prefetch(&slot_[place(key)]); }

  /// The number of a key, or 0.
  std::int32_t find(Key key) const
  {
    for (std::size_t at = place(key);; at = (at + 1) & (slot_.size() - 1))
      if (slot_[at] == 0 || key_[static_cast<std::size_t>(slot_[at])] == key) return slot_[at];
  }

  /// The number of a key, a new one if it has none yet.
  std::int32_t number(Key key)
  {
    std::size_t at = place(key);
    for (; slot_[at] != 0; at = (at + 1) & (slot_.size() - 1))
      if (key_[static_cast<std::size_t>(slot_[at])] == key) return slot_[at];
    key_.push_back(key);
    slot_[at] = size();
    if (2 * key_.size() > slot_.size()) grow();
    return size();
  }

 private:
  std::size_t place(Key key) const
  {
    auto mixed = static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u;
    if constexpr (sizeof(Key) > 8) mixed ^= static_cast<std::uint64_t>(key >> 64) * 0xC2B2AE3D27D4EB4Fu;
    return static_cast<std::size_t>((mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u >> (64 - bits_));
  }
  void grow()
  {
    bits_ += 2;
    slot_.assign(std::size_t{1} << bits_, 0);
    for (std::size_t i = 1; i < key_.size(); ++i) {
      std::size_t at = place(key_[i]);
      while (slot_[at] != 0) at = (at + 1) & (slot_.size() - 1);
      slot_[at] = static_cast<std::int32_t>(i);
    }
  }

  int bits_ = 12;
  cells_t<Key> key_;  // key_[0] stands for no point
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
    constexpr float down = 1.f / static_cast<float>(D + 1), to_whole = 12582912.f;  // 1.5 * 2^23: drops the fraction
    for (int first = 0; first < block; first += lanes) {
      numbers raised[D + 1], beyond[D + 1], sum{};
      integers corner[D + 1], order[D + 1]{}, wholes{};
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
      numbers sorted[D + 1]{};  // by rank
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

struct lattice_options {
  bool pad = false;  ///< the package's quirk: where N is no multiple of 4, lattice points of positions at 0 take part
};

/// Positions in a space of 1 to 8 dimensions, ready to be filtered with a Gaussian of unit deviation.
///
/// The space is cut into simplices by a permutohedral lattice. Values are spread onto the corners of the simplex that
/// a position lies in, blurred along the lattice's axes, and read back. Build it once, filter often.
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
  /// @complexity   Theta(N * D^2) time; 16 * (D + 1) bytes a position and 8 * (D + 1) bytes a lattice point
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
    positions_ = N;
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
    list_positions(where);
  }

  int dimension() const { return dimension_; }
  index_t positions() const { return positions_; }
  index_t points() const { return points_; }  ///< of the lattice
  int corners() const { return dimension_ + 1; }

  /// What blurred values are multiplied by; the original's alpha.
  float gain() const { return gain_; }

  /// Corner c of the simplex of position i: a lattice point 1..points(), and its barycentric weight.
  std::int32_t point(index_t i, int c) const { return point_[static_cast<std::size_t>(i * corners() + c)]; }
  float weight(index_t i, int c) const { return weight_[static_cast<std::size_t>(i * corners() + c)]; }
  std::int32_t const* points_of(index_t i) const { return point_.data() + i * corners(); }
  float const* weights_of(index_t i) const { return weight_.data() + i * corners(); }

  /// The positions that spread onto a point, in order, with their weights.
  struct contribution {
    std::int32_t position;
    float weight;
  };
  contribution const* begin(index_t point) const { return spread_.data() + first_[static_cast<std::size_t>(point)]; }
  contribution const* end(index_t point) const { return begin(point + 1); }

  /// The points before and after a point along one of the D + 1 axes; 0 where there is none.
  struct neighbours {
    std::int32_t before;
    std::int32_t after;
  };
  neighbours const* along(int axis) const { return near_.data() + axis * (points_ + 1); }

 private:
  __extension__ typedef __int128 wide_key;

  float scale(int i) const
  {
    float const deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (dimension_ + 1));
    return static_cast<float>(1.0 / std::sqrt(static_cast<double>((i + 2) * (i + 1))) * deviation);
  }

  /// Bounds every coordinate that a corner or its neighbour can have.
  key_digits lay_out_keys(view<float const, 2> const& in, bool origin) const
  {
    int const D = dimension_;
    double low[8]{}, high[8]{};
    for (int k = 0; k < D; ++k) {
      float least = 0, most = 0;
      for (index_t i = 0; i < positions_; ++i) {
        float const v = in(k, i);
        if (i == 0 && !origin) least = most = v;
        least = std::min(least, v), most = std::max(most, v);
      }
      low[k] = static_cast<double>(least) * static_cast<double>(scale(k));
      high[k] = static_cast<double>(most) * static_cast<double>(scale(k));
    }
    key_digits digits{};
    for (int j = 0; j < D; ++j) {
      double least = 0, most = 0;
      for (int k = j; k < D; ++k) least += low[k], most += high[k];
      if (j > 0) least -= j * high[j - 1], most -= j * low[j - 1];
      double const reach = std::max(std::abs(least), std::abs(most));
      expects(reach < 0x1p21, "permutohedral: feature ", j, " reaches ", reach / static_cast<double>(scale(j)),
              " standard deviations; the lattice holds about ", std::floor(0x1p21 / static_cast<double>(scale(j))));
      digits.lowest[j] = std::floor(least) - 4 * (D + 1);
      digits.stride[j] = digits.limit;
      digits.limit *= std::ceil(most) + 4 * (D + 1) - digits.lowest[j] + 1;
    }
    digits.stride[D] = 0;
    expects(digits.limit < 0x1p126, "permutohedral: the features span too large a space for one lattice");
    return digits;
  }

  template <int D, class Key>
  void number_corners(cpu const& where, view<float const, 2> const& in, key_digits const& digits, bool origin)
  {
    constexpr int block = find_simplices<D>::block;
    Key stride[D + 1], lowest = 0, all = 0;
    for (int j = 0; j <= D; ++j) {
      stride[j] = static_cast<Key>(digits.stride[j]);
      all += stride[j];
      if (j < D) lowest += stride[j] * static_cast<Key>(digits.lowest[j]);
    }
    float scales[D];
    for (int k = 0; k < D; ++k) scales[k] = scale(k);
    point_.resize(static_cast<std::size_t>(positions_ * (D + 1)));
    weight_.resize(point_.size());
    isa const set = vectors_of(where);
    index_t const N = positions_, blocks = (N + block - 1) / block;

    // Each member of the team numbers the corners of its positions, then the numbers are united.
    int const most = team_size(where, N, 8192);
    std::vector<key_numbers<Key>> part(static_cast<std::size_t>(most));
    std::vector<index_t> border(static_cast<std::size_t>(most) + 1, N);
    std::size_t used = 1;
    as_team(most, [&](int rank, int size) {
      if (rank == 0) used = static_cast<std::size_t>(size);
      auto& numbers = part[static_cast<std::size_t>(rank)];
      index_t const from = blocks * rank / size, to = blocks * (rank + 1) / size;
      border[static_cast<std::size_t>(rank)] = std::min(N, from * block);
      float feature[D * block]{}, weight[(D + 1) * block];
      std::int32_t base[(D + 1) * block], order[(D + 1) * block];
      Key key[block][D + 1];
      for (index_t b = from; b < to; ++b) {
        index_t const first = b * block, n = std::min<index_t>(block, N - first);
        for (int k = 0; k < D; ++k) std::copy_n(&in(k, first), n, feature + k * block);
        run_widest(set, find_simplices<D>{feature, scales, base, order, weight});
        for (index_t i = 0; i < n; ++i) {
          Key at = -lowest, step[D + 1]{};
          for (int j = 0; j < D; ++j) {
            at += stride[j] * base[j * block + i];
            step[order[j * block + i]] = (D + 1) * stride[j];
          }
          for (int c = 0; c <= D; ++c) {
            key[i][c] = at;
            numbers.prefetch(at);
            at += all - step[D - c];
          }
        }
        for (index_t i = 0; i < n; ++i)
          for (int c = 0; c <= D; ++c) {
            auto const place = static_cast<std::size_t>((first + i) * (D + 1) + c);
            bool const again = i > 0 && key[i][c] == key[i - 1][c];
            point_[place] = again ? point_[place - (D + 1)] : numbers.number(key[i][c]);
            weight_[place] = weight[c * block + i];
          }
      }
    });
    auto& all_numbers = part[0];
    for (std::size_t p = 1; p < used; ++p) {
      cells_t<std::int32_t> united(static_cast<std::size_t>(part[p].size()) + 1);
      for (std::int32_t i = 1; i <= part[p].size(); ++i)
        united[static_cast<std::size_t>(i)] = all_numbers.number(part[p][i]);
      auto const from = point_.begin() + border[p] * (D + 1), to = point_.begin() + border[p + 1] * (D + 1);
      std::transform(from, to, from, [&](std::int32_t i) { return united[static_cast<std::size_t>(i)]; });
    }
    if (origin)  // its base is 0 and its coordinates are in order, so corner c is c (1,...,1) - (D + 1) (0,..,1,1)
      for (int c = 0; c <= D; ++c) {
        Key at = c * all - lowest;
        for (int j = D - c + 1; j <= D; ++j) at -= (D + 1) * stride[j];
        all_numbers.number(at);
      }
    points_ = all_numbers.size();

    near_.assign(static_cast<std::size_t>((D + 1) * (points_ + 1)), neighbours{0, 0});
    for (index_t axis = 0; axis <= D; ++axis) {
      neighbours* const near = near_.data() + axis * (points_ + 1);
      Key const step = all - (D + 1) * stride[axis];
      for_each_share(where, points_, 4096, [&](index_t begin, index_t end) {
        for (index_t p = begin + 1; p <= end; ++p) {
          std::int32_t const after = all_numbers.find(all_numbers[static_cast<std::int32_t>(p)] + step);
          if (after == 0) continue;
          near[p].after = after;
          near[after].before = static_cast<std::int32_t>(p);
        }
      });
    }
  }

  /// Turns corners by position into positions by point.
  void list_positions(cpu const& where)
  {
    // Each member of the team counts, and later lists, its own positions: they come in order all the same.
    int const most = team_size(where, positions_, 8192);
    auto const points = static_cast<std::size_t>(points_ + 2), n = static_cast<std::size_t>(corners());
    std::vector<cells_t<std::int32_t>> next(static_cast<std::size_t>(most));
    int used = 1;
    auto const share = [&](int rank, int size, auto const& visit) {
      auto const first = static_cast<std::size_t>(positions_ * rank / size);
      auto const last = static_cast<std::size_t>(positions_ * (rank + 1) / size);
      for (std::size_t i = first; i < last; ++i)
        for (std::size_t at = i * n; at < (i + 1) * n; ++at) visit(i, at);
    };
    as_team(most, [&](int rank, int size) {
      if (rank == 0) used = size;
      auto& count = next[static_cast<std::size_t>(rank)];
      count.assign(points, 0);
      share(rank, size, [&](std::size_t, std::size_t at) { ++count[static_cast<std::size_t>(point_[at])]; });
    });
    first_.resize(points);
    std::int32_t sum = 0;
    for (std::size_t p = 0; p < points; ++p) {
      first_[p] = sum;
      for (int t = 0; t < used; ++t) sum += std::exchange(next[static_cast<std::size_t>(t)][p], sum);
    }
    spread_.resize(point_.size());
    for_each_share(where, used, 1, [&](index_t begin, index_t end) {
      for (auto rank = static_cast<int>(begin); rank < static_cast<int>(end); ++rank) {
        auto& place = next[static_cast<std::size_t>(rank)];
        share(rank, used, [&](std::size_t i, std::size_t at) {
          auto const to = static_cast<std::size_t>(place[static_cast<std::size_t>(point_[at])]++);
          spread_[to] = {static_cast<std::int32_t>(i), weight_[at]};
        });
      }
    });
  }

  int dimension_ = 0;
  float gain_ = 1;
  index_t positions_ = 0, points_ = 0;
  cells_t<std::int32_t> point_;   // [N,D + 1]
  cells_t<float> weight_;         // [N,D + 1]
  cells_t<std::int32_t> first_;   // [points + 2]
  cells_t<contribution> spread_;  // [N * (D + 1)]
  cells_t<neighbours> near_;      // [D + 1,points + 1]
};

/// Values on the points of a lattice, point 0 staying 0: room for one filtering.
struct lattice_values {
  cells_t<float> now, next;

  void fit(permutohedral const& lattice, int width)
  {
    auto const n = static_cast<std::size_t>((lattice.points() + 1) * width);
    if (now.size() < n) now.resize(n), next.resize(n);
    std::fill_n(now.begin(), width, 0.f);
    std::fill_n(next.begin(), width, 0.f);
  }
};

/// Spreads `Width` values a position onto the lattice and blurs them. in(i) points at the values of position i.
template <int Width, class In>
void spread_and_blur(cpu const& where, permutohedral const& lattice, bool reverse, In const& in, lattice_values& values)
{
  values.fit(lattice, Width);
  index_t const points = lattice.points();
  for_each_share(where, points, 1024, [&](index_t begin, index_t end) {
    for (index_t p = begin + 1; p <= end; ++p) {
      pack<float, Width> sum{};
      for (auto const* c = lattice.begin(p); c != lattice.end(p); ++c)
        sum += c->weight * lanes_at<Width>(in(c->position)).v;
      lanes_at<Width>(&values.now[static_cast<std::size_t>(p * Width)]).v = sum;
    }
  });
  for (int step = 0; step < lattice.corners(); ++step) {
    auto const* const near = lattice.along(reverse ? lattice.corners() - 1 - step : step);
    float const* const from = values.now.data();
    float* const to = values.next.data();
    for_each_share(where, points, 4096, [&](index_t begin, index_t end) {
      for (index_t p = begin + 1; p <= end; ++p) {
        pack<float, Width> const sides = lanes_at<Width>(from + index_t{near[p].before} * Width).v +
                                         lanes_at<Width>(from + index_t{near[p].after} * Width).v;
        lanes_at<Width>(to + p * Width).v = lanes_at<Width>(from + p * Width).v + 0.5f * sides;
      }
    });
    std::swap(values.now, values.next);
  }
}

/// Adds `factor` times the `Width` blurred values at position i.
template <int Width>
[[gnu::always_inline]] inline void read_back(permutohedral const& lattice, lattice_values const& values, index_t i,
                                             float factor, float* to)
{
  std::int32_t const* const point = lattice.points_of(i);
  float const* const weight = lattice.weights_of(i);
  float const* const from = values.now.data();
  pack<float, Width> sum{};
  for (int c = 0, n = lattice.corners(); c < n; ++c)
    sum += weight[c] * lanes_at<Width>(from + index_t{point[c]} * Width).v;
  lanes_at<Width>(to).v += lattice.gain() * factor * sum;
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
///               kernels the lattice is off by 1-9 % (relative L2): it is the approximation everyone's constants were
///               found with, not an error to correct
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
  for_each_width(in.extent[1], [&]<int Width>(std::integral_constant<int, Width>, index_t c) {
    spread_and_blur<Width>(where, lattice, options.reverse, [&](index_t i) { return &in(i, c); }, scratch);
    for_each_share(where, in.extent[0], 4096, [&](index_t begin, index_t end) {
      for (index_t i = begin; i < end; ++i) read_back<Width>(lattice, scratch, i, 1, &out(i, c));
    });
  });
  return out;
}

}  // namespace cambium
