#pragma once
// The progress of a run. On a terminal: a bar with rate and time left. Otherwise: a plain line every ten seconds.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

#include <unistd.h>

namespace labelling {

class progress_bar {
 public:
  explicit progress_bar(std::size_t total, std::string unit = "images")
      : unit_(std::move(unit)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1)
  {
  }

  /// One more image is done. Safe from any thread.
  void step()
  {
    std::lock_guard const guard(mutex_);
    ++done_;
    show();
  }

  /// So many units are done, and so many images in them.
  void reach(std::size_t done, std::size_t images)
  {
    std::lock_guard const guard(mutex_);
    if (done_ == total_) return;
    done_ = done;
    images_ = images;
    show();
  }

  /// Print a message without damaging the bar.
  void say(std::string const& line)
  {
    std::lock_guard const guard(mutex_);
    std::fprintf(stderr, terminal_ ? "\r\033[K%s\n" : "%s\n", line.c_str());
  }

 private:
  void show()
  {
    double const now = seconds();
    bool const last = done_ == total_;
    if (!last && now - shown_ < (terminal_ ? 0.1 : 10)) return;
    shown_ = now;
    double const rate = static_cast<double>(done_) / std::max(now, 1e-9);
    auto const left = done_ == 0 ? 0 : static_cast<long long>(static_cast<double>(total_ - done_) / rate + 0.5);
    std::string const images = unit_ == "images"
                                   ? number(rate) + " images/s, "
                                   : std::to_string(images_) + " images, " +
                                         number(static_cast<double>(images_) / std::max(now, 1e-9)) + " images/s, ";
    std::string const text = std::to_string(done_) + "/" + std::to_string(total_) + " " + unit_ + ", " + images +
                             std::to_string(left / 3600) + ":" + two(static_cast<int>(left / 60 % 60)) + ":" +
                             two(static_cast<int>(left % 60)) + " left";
    if (!terminal_) {
      std::fprintf(stderr, "%s\n", text.c_str());
      return;
    }
    std::size_t const width = 30, filled = width * done_ / std::max<std::size_t>(1, total_);
    std::fprintf(stderr, "\r[%s%s] %s  %s", std::string(filled, '#').c_str(), std::string(width - filled, '.').c_str(),
                 text.c_str(), last ? "\n" : "");
    std::fflush(stderr);
  }

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  static std::string number(double v)
  {
    char text[32];
    std::snprintf(text, sizeof text, v < 10 ? "%.2f" : "%.0f", v);
    return text;
  }
  static std::string two(int v) { return (v < 10 ? "0" : "") + std::to_string(v); }

  std::mutex mutex_;
  std::string unit_;
  std::size_t total_, done_ = 0, images_ = 0;
  bool terminal_;
  double shown_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace labelling
