#pragma once
// How quick a process is at present.

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace labelling {

/// How many items a process does in a tenth of a second: so many it asks for at once, so that asking costs little where
/// items are quick, and slow ones stay for others. What counts are the items done since a second or two.
class pace {
 public:
  using moment = std::chrono::steady_clock::time_point;

  explicit pace(moment now) : start_(now) {}

  void one_done() { ++done_; }

  /// One at least, as long as none is done.
  std::uint64_t done_in_a_tenth_of_a_second(moment now)
  {
    double const seconds = std::chrono::duration<double>(now - start_).count();
    if (seconds >= 1) {
      rate_ = done_ / seconds;
      start_ = now;
      done_ = 0;
      measured_ = true;
    }
    double const rate = measured_ || done_ == 0 ? rate_ : done_ / std::max(seconds, 1e-6);
    return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(0.1 * rate));
  }

 private:
  moment start_;     ///< of the second that is counted
  double done_ = 0;  ///< in it
  double rate_ = 0;  ///< of the one before, items a second
  bool measured_ = false;
};

}  // namespace labelling
