#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/kernels.hpp>
#include <cambium/crf/mean_field.hpp>
#include <cambium/exec/cpu.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// Lattices of positions alone, kept between images of one size: they depend on that size and on standard deviations,
/// not on colours. Several threads may use one object; none waits for another: while one looks, others build anew. A
/// lattice takes about 20 bytes a pixel.
///
/// @invariant a CRF has the same bits with kept lattices as without
template <execution_policy P = cpu>
class kept_lattices {
  static_assert(std::is_same_v<P, cpu>,
                "kept_lattices: lattices are kept on the cpu only; a stream owns those of a gpu");

 public:
  using sums_t = std::shared_ptr<crf_sums<P> const>;
  /// What a lattice of positions and its factors depend on.
  struct key {
    extent2 size;
    float sx, sy;
    kernel_norm by;
    bool pad, exact;

    friend bool operator==(key const& a, key const& b)
    {
      return a.size.height == b.size.height && a.size.width == b.size.width && a.sx == b.sx && a.sy == b.sy &&
             a.by == b.by && a.pad == b.pad && a.exact == b.exact;
    }
  };

  /// Keep up to `most` lattices: those that were used last.
  explicit kept_lattices(index_t most = 4) : most_(most) { expects(most >= 0, "kept_lattices: most is ", most); }

  /// The lattice of a key, from make() if it is not kept.
  template <class Make>
  sums_t get(key const& of, Make const& make)
  {
    if (std::unique_lock const mine(guard_, std::try_to_lock); mine.owns_lock()) {
      auto const at = std::find_if(kept_.begin(), kept_.end(), [&](auto const& one) { return one.first == of; });
      if (at != kept_.end()) {
        std::rotate(kept_.begin(), at, at + 1);
        return kept_.front().second;
      }
    }
    sums_t made = make();
    if (std::unique_lock const mine(guard_, std::try_to_lock); mine.owns_lock()) {
      kept_.insert(kept_.begin(), {of, made});
      if (kept_.size() > static_cast<std::size_t>(most_)) kept_.pop_back();
    }
    return made;
  }

  /// How many are kept.
  index_t size() const
  {
    std::scoped_lock const mine(guard_);
    return static_cast<index_t>(kept_.size());
  }

 private:
  index_t most_;
  mutable std::mutex guard_;
  std::vector<std::pair<key, sums_t>> kept_;  // the latest first
};

}  // namespace cambium
