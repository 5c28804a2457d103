#pragma once
// A line from rank 0 to every other process: they meet there, and each learns within seconds that another one ended.
//
// A collective operation notices a dead process only while it runs, and not always. These lines are looked at by a
// thread of their own, whatever the others do: a process that is killed closes its line at once; one whose machine
// vanished is silent.

#include "process/environment.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace trainer::processes {

struct watch_options {
  std::chrono::milliseconds meet{300000};  ///< so long processes may take to come
  std::chrono::milliseconds silence{
      8000};  ///< a process that sends nothing for so long is dead; a beat a second is sent
  std::chrono::milliseconds patience{10000};  ///< after so long a process that still waits for others says so
};

/// The lines of one process. The thread that looks at them ends the process, with a sentence on stderr that names the
/// one that died, and the status 1.
class watch {
 public:
  /// Meets the others: returns when all have come.
  /// @throws cambium::io_error: rank 0 cannot listen; some did not come, named; another size there; no rank 0
  explicit watch(place const& where, watch_options options = {});
  ~watch();
  watch(watch const&) = delete;
  watch& operator=(watch const&) = delete;

  /// The number that rank 0 gives to all. Every process calls it once.
  std::uint16_t told_by_first(std::uint16_t number_of_first);
  /// The address of this machine on the way to the others.
  [[nodiscard]] std::string const& own_address() const;
  /// The address at which this process reached rank 0.
  [[nodiscard]] std::string const& first_address() const;

  /// After an exchange that failed: waits until the thread has named the dead process and ended this one. Says `what`
  /// and ends this process where it knows of none.
  [[noreturn]] void wait_for_the_reason(std::string const& what);
  /// Tells all that this process fails, and why, and ends it with the status 1. They end, too.
  [[noreturn]] void fail(std::string const& why);
  /// Says that this process ends as it should; returns when all have said so.
  void leave();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace trainer::processes
