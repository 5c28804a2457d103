#pragma once
// The pairs of affinity_displacement_loss: kinds, options, sums over them and means.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/core/label.hpp>

#include <cstdint>

namespace cambium {

/// What two cells' labels make of the pair.
enum class pair_kind {
  background,  ///< both background
  foreground,  ///< both the same class
  negative,    ///< two different labels
  none         ///< one of them unknown: label::ignore, or below 0
};

CAMBIUM_HD constexpr pair_kind kind_of_pair(std::int32_t a, std::int32_t b)
{
  if (a < 0 || b < 0 || a == label::ignore || b == label::ignore) return pair_kind::none;
  return a != b ? pair_kind::negative : a == label::background ? pair_kind::background : pair_kind::foreground;
}

/// Which cells pairs start from.
enum class pair_sources {
  inner,  ///< those whose whole stencil lies on the map: the original
  all     ///< every cell; pairs that leave the map do not count
};

struct affinity_loss_options {
  int radius = 10;  ///< [cells] of the stencil; 1..17
  pair_sources sources = pair_sources::inner;
};

/// The parts of IRNet's training loss: means over the pairs of a batch.
struct affinity_loss_values {
  double background = 0;        ///< -log a over pairs of background
  double foreground = 0;        ///< -log a over pairs of one class
  double negative = 0;          ///< -log(1 - a) over pairs of different labels
  double field_foreground = 0;  ///< |D(i) - D(j) - (x_j - x_i)| over pairs of one class
  double field_background = 0;  ///< |D(i) - D(j)| over pairs of background
  index_t pairs[3]{};           ///< of background, of one class, of different labels

  double positive() const { return (background + foreground) / 2; }
  double total() const { return (positive() + negative) / 2 + (field_foreground + field_background) / 2; }
};

namespace rule {

/// What the cells of a batch add up to.
struct affinity_sums {
  index_t pairs[3]{};
  double minus_log[3]{};
  double off[2]{};
};
struct add_affinity_sums {
  CAMBIUM_HD affinity_sums operator()(affinity_sums a, affinity_sums const& b) const
  {
    for (int i = 0; i < 3; ++i) a.pairs[i] += b.pairs[i], a.minus_log[i] += b.minus_log[i];
    for (int i = 0; i < 2; ++i) a.off[i] += b.off[i];
    return a;
  }
};

/// What every cell's share of the total is multiplied by.
struct affinity_slopes {
  double boundary[3]{};
  double field[2]{};
};

/// Fourth rule: means, and the factors of the slopes.
struct take_means {
  affinity_sums const* sums;
  affinity_loss_values* value;
  affinity_slopes* slopes;

  CAMBIUM_HD void operator()(index_t) const
  {
    double mean[3], field_mean[2];
    for (int kind = 0; kind < 3; ++kind) {
      value->pairs[kind] = sums->pairs[kind];
      mean[kind] = 1 / (static_cast<double>(sums->pairs[kind]) + 1e-5);
    }
    for (int kind = 0; kind < 2; ++kind) field_mean[kind] = 1 / (2 * static_cast<double>(sums->pairs[kind]) + 1e-5);
    value->background = sums->minus_log[0] * mean[0];
    value->foreground = sums->minus_log[1] * mean[1];
    value->negative = sums->minus_log[2] * mean[2];
    value->field_background = sums->off[0] * field_mean[0];
    value->field_foreground = sums->off[1] * field_mean[1];
    slopes->boundary[0] = mean[0] / 4, slopes->boundary[1] = mean[1] / 4, slopes->boundary[2] = mean[2] / 2;
    slopes->field[0] = field_mean[0] / 2, slopes->field[1] = field_mean[1] / 2;
  }
};

}  // namespace rule

}  // namespace cambium
