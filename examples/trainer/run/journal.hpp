#pragma once
// What a training did, step by step: lines on the terminal, JSON lines in a file, curves in a picture.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trainer {

/// One line of the log.
struct journal_entry {
  std::int64_t step = 0;                               ///< of the steps taken so far: 1 after the first
  double epoch = 0;                                    ///< fractions count: 1.5 is the middle of the second
  double rate = 0;                                     ///< the learning rate of the step
  std::vector<std::pair<std::string, double>> losses;  ///< by name; not a number is written as null
  double seconds = 0;                                  ///< since the training began, over all its runs

  friend bool operator==(journal_entry const&, journal_entry const&) = default;
};

/// Reads a log.
///
/// A last line that was torn by a kill is passed over.
/// @throws cambium::io_error "path: line 12: reason" for any other line that is no entry, or whose step does not rise
[[nodiscard]] std::vector<journal_entry> read_journal(std::filesystem::path const& log);

/// One line of progress: "1200/50000 steps, loss 0.4213, 3.1 steps/s, 4:22:08 left".
/// @param now   steps taken in all @param total of so many @param done of them in this run @param seconds of this run
[[nodiscard]] std::string progress_line(std::int64_t now, std::int64_t total, std::int64_t done, double seconds,
                                        std::vector<std::pair<std::string, double>> const& losses);

struct journal_options {
  std::int64_t steps = 0;       ///< of the whole training; 0 where nobody knows
  bool quiet = false;           ///< nothing on the terminal
  double every_seconds = 10;    ///< between lines where there is no terminal
  std::FILE* screen = nullptr;  ///< stderr
};

/// The log of one training, in a folder: `log.jsonl`, and `curves.png` when asked for.
///
/// A line is written whole and at once, so that a kill leaves at most a torn last line.
class journal {
 public:
  /// Begins the log, or goes on with it.
  ///
  /// Lines of steps after `first_step` are dropped: the run that wrote them was killed after its checkpoint and they
  /// are about to be written again. 0 begins a new log.
  ///
  /// @param first_step  steps taken so far, as restore_checkpoint says
  /// @throws            cambium::io_error: the folder cannot be written, the log there is no log
  explicit journal(std::filesystem::path folder, std::int64_t first_step = 0, journal_options options = {});
  ~journal();
  journal(journal&&) noexcept;
  journal& operator=(journal&&) noexcept;

  /// Writes an entry; its seconds are filled in.
  /// @throws cambium::precondition_error: a step that is not after the last one; cambium::io_error: a full disk
  void write(journal_entry entry);

  /// A message that must not be lost between two states of the bar.
  void say(std::string const& line);

  /// Draws the curves of all entries to `curves.png`.
  /// @throws cambium::io_error
  void draw() const;

  [[nodiscard]] std::vector<journal_entry> const& entries() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace trainer
