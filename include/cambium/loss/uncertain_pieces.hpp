#pragma once
// The cpu's schedule of label_uncertainty_loss: pieces of cells that lie side by side.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/loss/uncertain_row.hpp>
#include <cambium/loss/uncertain_softmax.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// Set all cells to 0.
template <class T>
void clear_rows(view<T, 4> v)
{
  for (index_t row = 0; v.size() > 0 && row < v.extent[0] * v.extent[1] * v.extent[2]; ++row) {
    index_t const b = row / v.extent[2] / v.extent[1], c = row / v.extent[2] % v.extent[1], y = row % v.extent[2];
    std::fill_n(&v(b, c, y, 0), v.extent[3], T(0));
  }
}

/// The pieces of a batch. They are the same for every number of threads, and so are the sums.
template <class T>
class uncertain_pieces {
 public:
  explicit uncertain_pieces(rule::uncertain_maps<T, host> const& maps) : maps_(maps)
  {
    index_t const B = maps.mean.extent[0], C = maps.mean.extent[1], H = maps.mean.extent[2], W = maps.mean.extent[3];
    auto const flat = [&](auto const& v) { return H == 1 || v.stride[2] == W; };
    bool const whole = flat(maps.mean) && flat(maps.log_variance) && flat(maps.target) && flat(maps.trusted) &&
                       flat(maps.by_mean) && flat(maps.by_log_variance);
    lines_ = whole ? 1 : H, length_ = whole ? H * W : W, cuts_ = (length_ + piece - 1) / piece;
    count_ = B * C * H * W == 0 ? 0 : B * lines_ * cuts_;
  }

  /// Counts certain and boxed cells.
  /// @throws precondition_error: any other value than the three
  rule::trust_counts count(cpu const& where) const
  {
    auto const& trusted = maps_.trusted;
    std::vector<rule::trust_counts> counts(static_cast<std::size_t>(count_));
    std::atomic<bool> invalid{false};
    isa const set = vectors_of(where);
    for_each_share(where, count_, 8, [&](index_t begin, index_t end) {
      for (index_t i = begin; i < end; ++i)
        for (index_t c = 0; c < trusted.extent[1]; ++c) {
          bool bad = false;
          run_widest(set, count_trust_row{first(trusted, i, c), cells(i), &counts[static_cast<std::size_t>(i)], &bad});
          if (bad) invalid = true;
        }
    });
    index_t const C = trusted.extent[1], H = trusted.extent[2], W = trusted.extent[3];
    for (index_t i = 0; invalid && i < trusted.size(); ++i) {
      index_t const x = i % W, y = i / W % H, c = i / W / H % C, b = i / W / H / C;
      auto const found = static_cast<int>(trusted(b, c, y, x));
      expects(found <= trust::boxed, "label_uncertainty_loss: trusted(", b, ",", c, ",", y, ",", x, ") is ", found,
              "; expected 0 ignored, 1 certain or 2 boxed");
    }
    rule::trust_counts out;
    for (auto const& of_piece : counts) out = rule::add_trust_counts{}(out, of_piece);
    return out;
  }

  /// Gradients, and the sum of the losses of one_vs_rest.
  /// @param invalid  set where a value may be outside its range, or not finite; floats only
  double binary(cpu const& where, bool* invalid) const
  {
    if (maps_.mean.extent[1] == 0) clear_rows(maps_.by_log_variance);  // no class says anything about a shared spread
    isa const set = vectors_of(where);
    double const worth = maps_.worth[0], box_worth = maps_.worth[1];
    std::atomic<bool> any{false};
    double const total = sum(where, [&] {
      return [&](index_t i) {
        double of_piece = 0;
        bool bad = false;
        index_t const n = cells(i);
        for (index_t c = 0; c < maps_.mean.extent[1]; ++c) {
          T const *const mu = first(maps_.mean, i, c), *const s = first(maps_.log_variance, i, c),
                         *const y = first(maps_.target, i, c);
          std::uint8_t const* const t = first(maps_.trusted, i, c);
          T *const by_mu = first(maps_.by_mean, i, c), *const by_s = first(maps_.by_log_variance, i, c);
          bool const add = maps_.shared_spread() && c > 0;
          if constexpr (std::is_same_v<T, float>) {
            run_widest(set, uncertain_row{mu, s, y, t, by_mu, by_s, n, add, static_cast<float>(maps_.largest),
                                          static_cast<float>(worth), static_cast<float>(box_worth), &of_piece, &bad});
          } else {
            for (index_t x = 0; x < n; ++x) {
              auto const cell = rule::uncertain_cell::of({mu[x], s[x]}, y[x], t[x], maps_.largest);
              double const part = maps_.part(t[x]);
              of_piece += cell.loss * part;
              by_mu[x] = cell.by_mean * part;
              by_s[x] = (add ? by_s[x] : 0) + cell.by_log_variance * part;
            }
          }
        }
        if (bad) any = true;
        return of_piece;
      };
    });
    *invalid = any;
    return total;
  }

  /// Gradients, and the sum of the losses under a softmax.
  double softmax(cpu const& where, bool sampled, index_t samples, std::uint64_t seed) const
  {
    index_t const C = maps_.mean.extent[1], H = maps_.mean.extent[2], W = maps_.mean.extent[3];
    if (C == 0) clear_rows(maps_.by_log_variance);
    using drawn = rule::uncertain_sampled<T, host>;
    return sum(where, [&, C, H, W] {
      std::vector<double> room(static_cast<std::size_t>(sampled ? drawn::numbers(samples, C) : 2 * C));
      rule::uncertain_mean_field<T, host> const of_means{maps_, sampled};
      return [&, C, H, W, of_means, room](index_t i) mutable {
        index_t const start = i / cuts_ * length_ + i % cuts_ * piece, b = start / W / H;  // a pixel of the batch
        index_t y = start / W % H, x = start % W;
        double of_piece = 0;
        for (index_t pixel = start; pixel < start + cells(i); ++pixel) {
          if (sampled && maps_.trust_of(b, 0, y, x) == trust::boxed)
            drawn{maps_, pixel, 1, samples, seed, room.data()}(0);
          else
            of_means.run(b, y, x, room.data());
          of_piece += maps_.loss(b, y, x);
          if (++x == W) x = 0, ++y;
        }
        return of_piece;
      };
    });
  }

 private:
  static constexpr index_t piece = 4096;

  template <class V>
  auto* first(V const& v, index_t i, index_t c) const  ///< the first cell of piece i in channel c
  {
    return v.data + i / cuts_ / lines_ * v.stride[0] + (v.extent[1] == 1 ? 0 : c) * v.stride[1] +
           i / cuts_ % lines_ * v.stride[2] + i % cuts_ * piece;
  }
  index_t cells(index_t i) const { return std::min(piece, length_ - i % cuts_ * piece); }

  /// The sum over pieces, in order. Every thread makes a body of its own.
  template <class Make>
  double sum(cpu const& where, Make const& make) const
  {
    std::vector<double> parts(static_cast<std::size_t>(count_));
    for_each_share(where, count_, 4, [&](index_t begin, index_t end) {
      auto body = make();
      for (index_t i = begin; i < end; ++i) parts[static_cast<std::size_t>(i)] = body(i);
    });
    double total = 0;
    for (double const part : parts) total += part;
    return total;
  }

  rule::uncertain_maps<T, host> maps_;
  index_t lines_, length_, cuts_, count_;
};

}  // namespace cambium
