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

/// Clear a part's room on every filter.
inline void clear_parts(std::vector<crf_kernel<cpu>> const& kernels, index_t part, mean_field<cpu>& field)
{
  for (std::size_t k = 0; k < kernels.size(); ++k)
    std::visit([&](auto const& filter) { clear_part(filter, part, field.stride, field.room.held[k]); },
               kernels[k].filter());
}
/// All parts have spread.
inline void end_spreading(std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  for (std::size_t k = 0; k < kernels.size(); ++k)
    std::visit([&](auto const& filter) { clear_rest(filter, field.stride, field.room.held[k]); }, kernels[k].filter());
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
/// Room on every filter, for threads that take a part each.
inline void make_rooms(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  auto& room = field.room;
  room.held.resize(kernels.size());
  room.together = team_size(where, lattice_parts{field.pixels()}.count(), 1);
  for (std::size_t k = 0; k < kernels.size(); ++k)
    std::visit([&](auto const& filter) { make_room(filter, field.stride, room.held[k], room.together); },
               kernels[k].filter());
}

/// Bring the kernels' sums of the marginals up to date.
inline void gather(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field)
{
  auto& room = field.room;
  if (room.holds == mean_field_room<cpu>::nothing) {
    make_rooms(where, kernels, field);
    for_each_part(where, {field.pixels()}, [&](index_t part, index_t first, index_t n) {
      clear_parts(kernels, part, field);
      spread_marginals(vectors_of(where), kernels, field.stride, field.q.data() + first * field.stride, part, first, n,
                       room.held);
    });
    end_spreading(kernels, field);
  }
  bool const summed = room.holds == mean_field_room<cpu>::summed;
  room.holds = mean_field_room<cpu>::nothing;  // if this is stopped: sums are made in place
  if (!summed)
    for (std::size_t k = 0; k < kernels.size(); ++k)
      std::visit(
          [&](auto const& filter) {
            sum_up(where, filter, field.q.data(), field.stride, kernels[k].before(), field.stride, false, room.held[k]);
          },
          kernels[k].filter());
  room.holds = mean_field_room<cpu>::summed;
}

/// As receive in mean_field.hpp, for n pixels of a part: all are [n,stride].
inline float const* receive(isa set, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu> const& field,
                            index_t part, index_t first, index_t n, float const* below, float* force, float* message)
{
  auto const factor = [&](std::size_t k) {
    return kernels[k].after() == nullptr ? nullptr : kernels[k].after() + first;
  };
  if (auto const pair = pair_of(kernels, part)) {
    auto const& held = field.room.held;
    read_both(set, *pair.a, *pair.b, part, first, n, field.stride, held[0], held[1], {kernels[0].gain, kernels[1].gain},
              {factor(0), factor(1)}, below, force, field.stride);
    return force;
  }
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    auto const& kernel = kernels[k];
    std::visit(
        [&](auto const& filter) {
          read_some(set, filter, part, first, n, field.stride, field.room.held[k], kernel.gain, factor(k),
                    kernel.potts ? below : nullptr, kernel.potts ? force : message, field.stride);
        },
        kernel.filter());
    if (!kernel.potts) {
      rule::mix_labels const mix{message, field.compat(kernel), field.stride, below, force};
      for (index_t i = 0; i < n; ++i)
        for (index_t l = 0; l < field.labels; ++l) mix(i, l);
    }
    below = force;
  }
  return below;
}

/// New marginals. Where another step follows they are spread while they are at hand, and kept only if asked for.
inline void update(cpu const& where, std::vector<crf_kernel<cpu>> const& kernels, mean_field<cpu>& field,
                   bool with_messages, bool spread, bool keep)
{
  constexpr index_t block = normalise_marginals::block;
  index_t const stride = field.stride;
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
    std::vector<float> force(size), message(size), columns(size), latest(keep ? 0 : size);
    if (spread) clear_parts(kernels, part, field);
    for (index_t first = begin; first < begin + count; first += block) {
      index_t const n = std::min<index_t>(block, begin + count - first);
      float const* const gain = field.gain.data() + first * stride;
      float const* from =
          with_messages ? receive(set, kernels, field, part, first, n, gain, force.data(), message.data()) : gain;
      if (from == gain && n < block) from = std::copy_n(gain, n * stride, force.data()) - n * stride;
      float* const q = keep ? field.q.data() + first * stride : latest.data();
      run_widest(set, normalise_marginals{from, q, columns.data(), n, field.labels, stride});
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
  // sums over all pairs need all marginals again
  bool const pairs = std::any_of(kernels.begin(), kernels.end(), [](crf_kernel<cpu> const& k) {
    return std::holds_alternative<all_pairs<cpu>>(k.filter());
  });
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
  for_each_part(where, {field.pixels()}, [&](index_t part, index_t first, index_t n) {
    std::vector<float> message(static_cast<std::size_t>(n * field.stride));
    receive(vectors_of(where), kernels, field, part, first, n, nullptr, force.data() + first * field.stride,
            message.data());
  });
  return force.data();
}

}  // namespace cambium
