#pragma once
// Which images a step of a box training sees.

#include "data/random.hpp"
#include "method/boxes.hpp"
#include "run/seed.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace trainer {

/// Does a step take so many exact images and so many others?
[[nodiscard]] inline bool paired(boxes_options const& o) { return o.exact_batch + o.box_batch > 0; }

/// Indices in random order, again and again, each pass in an order of its own.
class endless_order {
 public:
  endless_order(std::vector<std::size_t> list, std::uint64_t seed) : list_(std::move(list)), seed_(seed) {}

  [[nodiscard]] std::size_t size() const { return list_.size(); }
  std::size_t next()
  {
    if (at_ == 0) dice(item_seed(seed_, chance::order, pass_++, 0)).shuffle(list_);
    std::size_t const i = list_[at_];
    at_ = (at_ + 1) % list_.size();
    return i;
  }

 private:
  std::vector<std::size_t> list_;
  std::uint64_t seed_, pass_ = 0;
  std::size_t at_ = 0;
};

/// The images of steps. Mixed: exact ones and others in turn; of the first n there are round(share * n) exact ones,
/// whatever n. Paired: exact_batch exact ones, then box_batch others, or none where there are no others.
class box_batches {
 public:
  box_batches(std::vector<std::size_t> exact, std::vector<std::size_t> others, boxes_options const& o)
      : exact_(std::move(exact), o.seed), others_(std::move(others), o.seed)
  {
    double const all = static_cast<double>(exact_.size() + others_.size());
    share_ = others_.size() == 0 || exact_.size() == 0 || o.exact_seen == 0 ? static_cast<double>(exact_.size()) / all
                                                                            : o.exact_seen;
    paired_ = paired(o);
    exact_batch_ = paired_ ? o.exact_batch : 0;
    batch_ = !paired_ ? o.batch : exact_batch_ + (others_.size() > 0 ? o.box_batch : 0);
  }

  /// Images of every step.
  [[nodiscard]] std::int64_t size() const { return batch_; }

  /// The images of a step. A training that resumes begins with a later one. @pre steps rise
  std::vector<std::size_t> const& operator()(std::int64_t step)
  {
    auto const by_now = [this](std::uint64_t n) { return std::llround(share_ * static_cast<double>(n)); };
    for (; made_ <= step; ++made_) {
      images_.clear();
      for (std::int64_t b = 0; b < batch_; ++b) {
        ++taken_;
        bool const exact = paired_ ? b < exact_batch_ : by_now(taken_) > by_now(taken_ - 1);
        images_.push_back(exact ? exact_.next() : others_.next());
      }
    }
    return images_;
  }

 private:
  endless_order exact_, others_;
  double share_;
  bool paired_;
  std::int64_t exact_batch_, batch_, made_ = 0;
  std::uint64_t taken_ = 0;
  std::vector<std::size_t> images_;
};

}  // namespace trainer
