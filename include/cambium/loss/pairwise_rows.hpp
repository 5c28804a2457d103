#pragma once
// The pairwise loss of one instance on cores: every pair once, a register of pairs at a time.

#include <cambium/core/config.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace cambium {

/// The neighbours of a cell: a square of size x size cells, without its middle, row by row. The opposite of neighbour k
/// is neighbour count() - 1 - k.
struct pixel_square {
  int size = 3;
  int dilation = 2;

  CAMBIUM_HD int count() const { return size * size - 1; }
  CAMBIUM_HD int reach() const { return size / 2 * dilation; }
  CAMBIUM_HD offset at(int k) const
  {
    int const cell = k < count() / 2 ? k : k + 1;
    return {(cell / size - size / 2) * dilation, (cell % size - size / 2) * dilation};
  }
};

namespace rule {

/// A ring of rows holds what pairs need: logits, probabilities P, log(1 + e^-|logit|), slopes, and the bits of the
/// cell's pairs that count. A row is written to the gradient when all its pairs have been seen.
class pairwise_rows {
 public:
  pairwise_rows(pixel_square square, image_view<float const> logits, image_view<std::uint32_t const> pairs, box in,
                float part, image_view<float> gradient, std::vector<float>& ring, std::vector<std::uint32_t>& bits,
                double* sum)
      : square_(square), logits_(logits), pairs_(pairs), in_(in), part_(part), gradient_(gradient), sum_(sum)
  {
    index_t const reach = square.reach(), H = logits.extent[0], W = logits.extent[1];
    rows_ = reach + 1;
    stride_ = reach + (W + widest - 1) / widest * widest + reach + widest;
    ring.assign(static_cast<std::size_t>(4 * rows_ * stride_), 0.f);
    bits.assign(static_cast<std::size_t>(rows_ * stride_), 0u);
    ring_ = ring.data(), bits_ = bits.data();
    bool const empty = in.top >= in.bottom || in.left >= in.right;
    top_ = empty ? 0 : std::max<index_t>(0, in.top - reach), bottom_ = empty ? 0 : std::min(H, in.bottom + reach);
    left_ = empty ? 0 : std::max<index_t>(0, in.left - reach), right_ = empty ? 0 : std::min(W, in.right + reach);
  }

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    index_t const H = logits_.extent[0], W = logits_.extent[1], reach = rows_ - 1;
    *sum_ = 0;
    for (index_t y = 0; y < H; ++y) {
      if (y < top_ || y >= bottom_) {
        std::memset(&gradient_(y, 0), 0, static_cast<std::size_t>(W) * sizeof(float));
        continue;
      }
      for (index_t e = y == top_ ? top_ : y + reach; e <= y + reach && e < bottom_; ++e) enter<Bytes>(e);
      *sum_ += pairs_below<Bytes>(y);
      leave<Bytes>(y);
    }
  }

 private:
  static constexpr index_t widest = 16;  ///< lanes of the widest register
  enum part_of_ring { logit, probability, log_part, slope };

  float* row(part_of_ring which, index_t y) const
  {
    return ring_ + (index_t{which} * rows_ + y % rows_) * stride_ + (rows_ - 1);
  }
  std::uint32_t* bits_of(index_t y) const { return bits_ + (y % rows_) * stride_ + (rows_ - 1); }

  /// Take a row of the map into the ring.
  template <int Bytes>
  [[gnu::always_inline]] void enter(index_t y) const
  {
    constexpr int lanes = Bytes / 4;
    using numbers = pack<float, lanes>;
    float *const z = row(logit, y), *const p = row(probability, y), *const l = row(log_part, y),
                 *const g = row(slope, y);
    std::memcpy(z + left_, &logits_(y, left_), static_cast<std::size_t>(right_ - left_) * sizeof(float));
    for (index_t x = right_; x < right_ + lanes; ++x) z[x] = 0;
    numbers const zero{};
    for (index_t x = left_; x < right_; x += lanes) {
      numbers const v = lanes_at<lanes>(z + x).v;
      numbers e = v < zero ? v : -v;
      exponential<lanes>(e);
      lanes_at<lanes>(p + x).v = (v < zero ? e : zero + 1.f) / (e + 1.f);
      log_one_plus<lanes>(e);
      lanes_at<lanes>(l + x).v = e;
    }
    std::fill(g + left_ - (rows_ - 1), g + right_ + rows_ - 1 + lanes, 0.f);

    std::uint32_t* const b = bits_of(y);
    std::fill(b + left_ - (rows_ - 1), b + right_ + rows_ - 1 + lanes, 0u);
    if (y < in_.top || y >= in_.bottom) return;
    index_t const W = logits_.extent[1], reach = rows_ - 1;
    for (index_t x = in_.left; x < in_.right; ++x) {  // rows beyond the map are in no pair; columns are, so bits go
      std::uint32_t own = pairs_(y, x);
      if (x < reach || x >= W - reach)
        for (int k = 0; k < square_.count(); ++k)
          if (index_t const at = x + square_.at(k).dx; at < 0 || at >= W) own &= ~(std::uint32_t{1} << k);
      b[x] = own;
    }
  }

  /// All pairs of row y with itself and the rows below; their slopes are added to both ends.
  /// @return their loss
  template <int Bytes>
  [[gnu::always_inline]] double pairs_below(index_t y) const
  {
    constexpr int lanes = Bytes / 4;
    using numbers = pack<float, lanes>;
    using integers = bits<float, lanes>;
    numbers const zero{};
    numbers sum{};
    for (int k = square_.count() / 2; k < square_.count(); ++k) {
      offset const to = square_.at(k);
      if (y + to.dy >= bottom_) break;
      int const back = square_.count() - 1 - k;
      std::uint32_t const *const own = bits_of(y), *const other = bits_of(y + to.dy) + to.dx;
      float const *const za = row(logit, y), *const zb = row(logit, y + to.dy) + to.dx;
      float const *const pa = row(probability, y), *const pb = row(probability, y + to.dy) + to.dx;
      float const *const la = row(log_part, y), *const lb = row(log_part, y + to.dy) + to.dx;
      float *const ga = row(slope, y), *const gb = row(slope, y + to.dy) + to.dx;
      for (index_t x = left_; x < right_; x += lanes) {
        integers const from = lanes_at<lanes>(reinterpret_cast<std::int32_t const*>(own) + x).v,
                       into = lanes_at<lanes>(reinterpret_cast<std::int32_t const*>(other) + x).v;
        integers const one = (from >> k) & 1, two = (into >> back) & 1;
        numbers const a = lanes_at<lanes>(za + x).v, b = lanes_at<lanes>(zb + x).v, s = a + b;
        // as a weight 0, 1 or 2: 1.0 where a bit is set
        numbers const times = (numbers)(-one & 0x3f800000) + (numbers)(-two & 0x3f800000);
        numbers e = s < zero ? s : -s;
        exponential<lanes>(e);
        numbers const of_sum = (s < zero ? e : zero + 1.f) / (e + 1.f);
        log_one_plus<lanes>(e);
        numbers const size_a = (numbers)((integers)a & 0x7fffffff), size_b = (numbers)((integers)b & 0x7fffffff);
        numbers const less = size_a < size_b ? size_a : size_b;
        numbers const apart = (numbers)((integers)less & (((integers)a ^ (integers)b) >> 31));
        sum += times * (apart + ((lanes_at<lanes>(la + x).v + lanes_at<lanes>(lb + x).v) - e));
        lanes_at<lanes>(ga + x).v += times * (lanes_at<lanes>(pa + x).v - of_sum);
        lanes_at<lanes>(gb + x).v += times * (lanes_at<lanes>(pb + x).v - of_sum);
      }
    }
    double all = 0;
    for (int i = 0; i < lanes; ++i) all += static_cast<double>(sum[i]);
    return all;
  }

  /// Write a row whose pairs have all been seen.
  template <int Bytes>
  [[gnu::always_inline]] void leave(index_t y) const
  {
    float const* const g = row(slope, y);
    float* const to = &gradient_(y, 0);
    index_t const W = logits_.extent[1];
    for (index_t x = 0; x < left_; ++x) to[x] = 0;
    for (index_t x = left_; x < right_; ++x) to[x] = g[x] * part_;
    for (index_t x = right_; x < W; ++x) to[x] = 0;
  }

  pixel_square square_;
  image_view<float const> logits_;
  image_view<std::uint32_t const> pairs_;
  box in_;
  float part_;
  image_view<float> gradient_;
  double* sum_;
  index_t rows_, stride_, top_, bottom_, left_, right_;
  float* ring_;
  std::uint32_t* bits_;
};

}  // namespace rule

}  // namespace cambium
