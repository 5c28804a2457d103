#pragma once
// The cpu's own schedule of mean-field inference: new marginals are spread while they are in the cache.

#include <cambium/core/index.hpp>
#include <cambium/crf/label_planes.hpp>
#include <cambium/crf/mean_field.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/exec/softmax.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

namespace cambium {

/// Softmax over the labels of some pixels.
struct normalise_marginals {
  static constexpr int block = lattice_parts::granule;
  float const* force;  ///< [block,stride] minus energies
  float* q;            ///< [n,stride] marginals
  float* room;         ///< [stride,block]
  index_t n;
  index_t labels;
  index_t stride;  ///< 1, 2, or a multiple of 4

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(float));
    for (index_t i = 0; i < block; i += 4)
      for (index_t l = 0; stride % 4 == 0 && l < stride; l += 4)
        transpose_4x4(force + i * stride + l, stride, room + l * block + i, block);
    for (index_t i = 0; stride % 4 != 0 && i < block; ++i)
      for (index_t l = 0; l < stride; ++l) room[l * block + i] = force[i * stride + l];
    for (int first = 0; first < block; first += lanes) {
      float* const at = room + first;
      pack<float, lanes> most, sum;
      largest_scores<lanes>(at, labels, block, most);
      exponentials_of_scores<lanes>(at, labels, block, most, sum);
      sum = 1 / sum;
      for (index_t l = 0; l < labels; ++l) lanes_at<lanes>(at + l * block).v = lanes_at<lanes>(at + l * block).v * sum;
      for (index_t l = labels; l < stride; ++l) lanes_at<lanes>(at + l * block).v = pack<float, lanes>{};
    }
    index_t const whole = stride % 4 == 0 ? n / 4 * 4 : 0;
    for (index_t i = 0; i < whole; i += 4)
      for (index_t l = 0; l < stride; l += 4) transpose_4x4(room + l * block + i, block, q + i * stride + l, stride);
    for (index_t i = whole; i < n; ++i)
      for (index_t l = 0; l < stride; ++l) q[i * stride + l] = room[l * block + i];
  }
};

/// How the cpu steps from one pixel's values to the next one's, in a block of pixels and on lattices.
inline index_t stride_of(mean_field<cpu> const& field) { return padded_labels<cpu>(field.labels); }

/// Clear a part's room on every filter.
inline void clear_parts(std::vector<crf_kernel<cpu>> const& kernels, index_t part, mean_field<cpu>& field)
{
  for (std::size_t k = 0; k < kernels.size(); ++k)
    std::visit([&](auto const& filter) { clear_part(filter, part, stride_of(field), field.room.held[k]); },
               kernels[k].filter());
}
/// All parts have spread.
inline void end_spreading(std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  for (std::size_t k = 0; k < kernels.size(); ++k)
    std::visit([&](auto const& filter) { clear_rest(filter, stride_of(field), field.room.held[k]); },
               kernels[k].filter());
  field.room.holds = mean_field_room<cpu>::spread;
}
/// The two lattices of kernels that can work together in a part, or null.
struct lattice_pair {
  permutohedral<cpu> const *a = nullptr, *b = nullptr;
  explicit operator bool() const { return b != nullptr; }
};
inline lattice_pair pair_of(std::vector<crf_kernel<cpu>> const& kernels, index_t part)
{
  if (kernels.size() != 2 || !kernels[0].potts || !kernels[1].potts) return {};
  auto const *const a = std::get_if<permutohedral<cpu>>(&kernels[0].filter()), *const b =
                                                                                   std::get_if<permutohedral<cpu>>(
                                                                                       &kernels[1].filter());
  return a != nullptr && b != nullptr && together(*a, *b, part) ? lattice_pair{a, b} : lattice_pair{};
}

/// @param q  of the first of these pixels
inline void spread_marginals(isa set, std::vector<crf_kernel<cpu>> const& kernels, index_t stride, float const* q,
                             index_t part, index_t first, index_t n, std::vector<lattice_values>& rooms)
{
  auto const factor = [&](std::size_t k) {
    return kernels[k].before() == nullptr ? nullptr : kernels[k].before() + first;
  };
  if (auto const pair = pair_of(kernels, part))
    return spread_both(set, *pair.a, *pair.b, part, first, n, q, stride, {factor(0), factor(1)}, stride, rooms[0],
                       rooms[1]);
  for (std::size_t k = 0; k < kernels.size(); ++k)
    std::visit(
        [&](auto const& filter) { spread_some(set, filter, part, first, n, q, stride, factor(k), stride, rooms[k]); },
        kernels[k].filter());
}
/// Sums over all pairs need all marginals again.
inline bool sums_pairs(std::vector<crf_kernel<cpu>> const& kernels)
{
  return std::any_of(kernels.begin(), kernels.end(),
                     [](crf_kernel<cpu> const& k) { return std::holds_alternative<all_pairs<cpu>>(k.filter()); });
}
/// The rows of n pixels, [N,labels], as rows of `stride`: where they are, or in `room`, [n,stride].
inline float const* rows_of(grid<float, 1> const& all, index_t first, index_t n, index_t labels, float* room,
                            index_t stride)
{
  float const* const rows = all.data() + first * labels;
  if (stride == labels) return rows;
  widen_rows(rows, n, labels, room, stride);
  return room;
}

/// Room on every filter, for threads that take a part each.
inline void make_rooms(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  auto& room = field.room;
  room.held.resize(kernels.size());
  room.together = team_size(where, lattice_parts{field.pixels()}.count(), 1);
  for (std::size_t k = 0; k < kernels.size(); ++k)
    std::visit([&](auto const& filter) { make_room(filter, stride_of(field), room.held[k], room.together); },
               kernels[k].filter());
}

/// Bring the kernels' sums of the marginals up to date.
inline void gather(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  auto& room = field.room;
  index_t const stride = stride_of(field), L = field.labels;
  if (room.holds == mean_field_room<cpu>::nothing) {
    make_rooms(where, kernels, field);
    for_each_part(where, {field.pixels()}, [&](index_t part, index_t begin, index_t count) {
      constexpr index_t block = normalise_marginals::block;
      clear_parts(kernels, part, field);
      std::vector<float> rows(static_cast<std::size_t>(stride * block));
      for (index_t first = begin; first < begin + count; first += block) {
        index_t const n = std::min<index_t>(block, begin + count - first);
        float const* const q = rows_of(field.q, first, n, L, rows.data(), stride);
        spread_marginals(vectors_of(where), kernels, stride, q, part, first, n, room.held);
      }
    });
    end_spreading(kernels, field);
  }
  bool const summed = room.holds == mean_field_room<cpu>::summed;
  room.holds = mean_field_room<cpu>::nothing;  // if this is stopped: sums are made in place
  if (!summed) {
    cells_t<float> rows(static_cast<std::size_t>(sums_pairs(kernels) && stride != L ? field.pixels() * stride : 0));
    float const* const q = rows_of(field.q, 0, rows.empty() ? 0 : field.pixels(), L, rows.data(), stride);
    for (std::size_t k = 0; k < kernels.size(); ++k)
      std::visit(
          [&](auto const& filter) {
            sum_up(where, filter, q, stride, kernels[k].before(), stride, false, room.held[k]);
          },
          kernels[k].filter());
  }
  room.holds = mean_field_room<cpu>::summed;
}

/// As receive in mean_field.hpp, for n pixels of a part. `below` has whole registers behind the last of them; force and
/// message are [n,stride].
inline value_rows receive(isa set, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu> const& field,
                          index_t part, index_t first, index_t n, value_rows below, float* force, float* message)
{
  index_t const stride = stride_of(field);
  auto const factor = [&](std::size_t k) {
    return kernels[k].after() == nullptr ? nullptr : kernels[k].after() + first;
  };
  if (auto const pair = pair_of(kernels, part)) {
    auto const& held = field.room.held;
    read_both(set, *pair.a, *pair.b, part, first, n, stride, held[0], held[1], {kernels[0].gain, kernels[1].gain},
              {factor(0), factor(1)}, below, force, stride);
    return {force, stride};
  }
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    auto const& kernel = kernels[k];
    std::visit(
        [&](auto const& filter) {
          read_some(set, filter, part, first, n, stride, field.room.held[k], kernel.gain, factor(k),
                    kernel.potts ? below : value_rows{}, kernel.potts ? force : message, stride);
        },
        kernel.filter());
    if (!kernel.potts) {
      rule::mix_labels const mix{message, field.compat(kernel), stride, below, force};
      for (index_t i = 0; i < n; ++i)
        for (index_t l = 0; l < field.labels; ++l) mix(i, l);
    }
    below = {force, stride};
  }
  return below;
}

/// New marginals. Where another step follows they are spread while they are at hand, and kept only if asked for.
inline void update(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field,
                   bool with_messages, bool spread, bool keep)
{
  constexpr index_t block = normalise_marginals::block;
  index_t const stride = stride_of(field), L = field.labels;
  isa const set = vectors_of(where);
  auto& room = field.room;
  lattice_parts const parts{field.pixels()};
  bool const both = with_messages && spread;
  index_t const together = both ? room.together : parts.count(), groups = (parts.count() + together - 1) / together;
  bool up = true;  // what is spread lies before what is read
  if (spread && !with_messages) make_rooms(where, kernels, field);
  for (auto& values : room.held)
    if (both) up = values.zero > 0, values.latest = up ? 0 : values.gap;
  room.holds = mean_field_room<cpu>::nothing;  // if this is stopped
  auto const update_part = [&](index_t part, index_t begin, index_t count) {
    auto const size = static_cast<std::size_t>(stride * block);
    std::vector<float> force(size), message(size), columns(size), latest(size);
    if (spread) clear_parts(kernels, part, field);
    for (index_t first = begin; first < begin + count; first += block) {
      index_t const n = std::min<index_t>(block, begin + count - first);
      // registers that read a pixel of fewer labels go on in the next one: the last pixels of all are copied
      bool const direct = with_messages && first + n < field.pixels();
      value_rows const gain = direct ? value_rows{field.gain.data() + first * L, L}
                                     : value_rows{rows_of(field.gain, first, n, L, force.data(), stride), stride};
      value_rows const sum =
          with_messages ? receive(set, kernels, field, part, first, n, gain, force.data(), message.data()) : gain;
      float const* from = sum.first;
      if (from != force.data() && (n < block || sum.step != stride)) {
        widen_rows(from, n, L, force.data(), stride);
        from = force.data();
      }
      float* const q = keep && stride == L ? field.q.data() + first * L : latest.data();
      run_widest(set, normalise_marginals{from, q, columns.data(), n, L, stride});
      if (keep && stride != L) narrow_rows(q, n, stride, field.q.data() + first * L, L);
      if (spread) spread_marginals(set, kernels, stride, q, part, first, n, room.held);
    }
  };
  for (index_t g = 0; g < groups; ++g) {
    index_t const from = (up ? g : groups - 1 - g) * together;
    for_each_part(where, parts, from, std::min(from + together, parts.count()), update_part);
  }
  if (spread) end_spreading(kernels, field);
}

inline void make_room_on(cpu const&, std::vector<crf_kernel<cpu>> const&, mean_field<cpu>& field)
{
  field.room.holds = mean_field_room<cpu>::nothing;
}
inline void start_on(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  update(where, kernels, field, false, true, true);
}
inline void step_on(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field, int count)
{
  bool const pairs = sums_pairs(kernels);
  for (int t = 0; t < count; ++t) {
    gather(where, kernels, field);
    update(where, kernels, field, true, t + 1 < count, t + 1 == count || pairs);
  }
  if (count > 1) field.room.held = {};  // another step spreads anew
}
inline float* energies_taken(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  if (kernels.empty()) return nullptr;
  gather(where, kernels, field);
  cells_t<float>& force = field.room.force;
  force.resize(field.q.cells().size());
  for_each_part(where, {field.pixels()}, [&](index_t part, index_t begin, index_t count) {
    constexpr index_t block = normalise_marginals::block;
    index_t const stride = stride_of(field), L = field.labels;
    std::vector<float> rows(static_cast<std::size_t>(stride * block)), message(rows.size());
    for (index_t first = begin; first < begin + count; first += block) {
      index_t const n = std::min<index_t>(block, begin + count - first);
      receive(vectors_of(where), kernels, field, part, first, n, {}, rows.data(), message.data());
      narrow_rows(rows.data(), n, stride, force.data() + first * L, L);
    }
  });
  return force.data();
}

}  // namespace cambium
