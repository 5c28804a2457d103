#pragma once
// The progress of a run. On a terminal: a bar with rate and time left. Otherwise: a plain line every ten seconds.

#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>

#include <unistd.h>

namespace labelling {

class progress_bar {
 public:
  explicit progress_bar(std::size_t total) : total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}

  /// One more image is done. Safe from any thread.
  void step()
  {
    std::lock_guard const guard(mutex_);
    ++done_;
    double const now = seconds();
    bool const last = done_ == total_;
    if (!last && now - shown_ < (terminal_ ? 0.1 : 10)) return;
    shown_ = now;
    double const rate = static_cast<double>(done_) / std::max(now, 1e-9);
    auto const left = static_cast<long long>(static_cast<double>(total_ - done_) / rate + 0.5);
    std::string const text = std::to_string(done_) + "/" + std::to_string(total_) + " images, " + number(rate) +
                             " images/s, " + std::to_string(left / 3600) + ":" + two(static_cast<int>(left / 60 % 60)) +
                             ":" + two(static_cast<int>(left % 60)) + " left";
    if (!terminal_) {
      std::fprintf(stderr, "%s\n", text.c_str());
      return;
    }
    std::size_t const width = 30, filled = width * done_ / std::max<std::size_t>(1, total_);
    std::fprintf(stderr, "\r[%s%s] %s  %s", std::string(filled, '#').c_str(), std::string(width - filled, '.').c_str(),
                 text.c_str(), last ? "\n" : "");
    std::fflush(stderr);
  }

  /// Print a message without damaging the bar.
  void say(std::string const& line)
  {
    std::lock_guard const guard(mutex_);
    std::fprintf(stderr, terminal_ ? "\r\033[K%s\n" : "%s\n", line.c_str());
  }

 private:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  static std::string number(double v)
  {
    char text[32];
    std::snprintf(text, sizeof text, v < 10 ? "%.2f" : "%.0f", v);
    return text;
  }
  static std::string two(int v) { return (v < 10 ? "0" : "") + std::to_string(v); }

  std::mutex mutex_;
  std::size_t total_, done_ = 0;
  bool terminal_;
  double shown_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace labelling
