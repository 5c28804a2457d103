#include "study/jobs.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace trainer::study {

namespace fs = std::filesystem;
using clock = std::chrono::steady_clock;

namespace {

std::sig_atomic_t volatile asked_to_end = 0;

/// Notes the signals that ask this process to end, as long as it lives.
class ending_signals {
 public:
  ending_signals()
  {
    asked_to_end = 0;
    struct sigaction note{};
    note.sa_handler = [](int signal) { asked_to_end = signal; };
    for (std::size_t i = 0; i < 3; ++i) ::sigaction(which[i], &note, &before_[i]);
  }
  ~ending_signals()
  {
    for (std::size_t i = 0; i < 3; ++i) ::sigaction(which[i], &before_[i], nullptr);
  }
  ending_signals(ending_signals const&) = delete;
  ending_signals& operator=(ending_signals const&) = delete;

 private:
  static constexpr int which[3] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[3];
};

struct child {
  std::size_t job;
  pid_t id;
  clock::time_point began;
  bool told = false;  ///< that it is late
};

/// The processes at work; killed where it ends before them.
struct children {
  std::vector<child> list;
  children() = default;
  children(children const&) = delete;
  children& operator=(children const&) = delete;
  ~children()
  {
    for (auto const& c : list) ::kill(c.id, SIGKILL);
    for (auto const& c : list) ::waitpid(c.id, nullptr, 0);
  }
};

/// @return the child's id, or -1 with errno
pid_t started(job const& what)
{
  std::vector<char*> words;
  for (auto const& word : what.command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  int const log = ::open(what.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (log < 0) return -1;
  int const nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  pid_t const parent = ::getpid(), id = ::fork();
  if (id == 0) {
#ifdef __linux__
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    if (::getppid() != parent) ::_exit(1);
    ::dup2(nothing, 0), ::dup2(log, 1), ::dup2(log, 2);
    ::execv(words[0], words.data());
    ::dprintf(2, "%s: %s\n", words[0], std::strerror(errno));
    ::_exit(127);
  }
  int const why = errno;
  ::close(log);
  if (nothing >= 0) ::close(nothing);
  errno = why;
  return id;
}

/// "" of status 0.
std::string failure_of(int status)
{
  if (WIFSIGNALED(status))
    return "was ended by signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
  return WEXITSTATUS(status) == 0 ? "" : "ended with status " + std::to_string(WEXITSTATUS(status));
}

/// Asks all to end, and kills those that do not.
void end(std::vector<child>& running)
{
  for (auto const& c : running) ::kill(c.id, SIGTERM);
  for (auto const limit = clock::now() + std::chrono::seconds(5); !running.empty() && clock::now() < limit;) {
    std::erase_if(running, [](child const& c) { return ::waitpid(c.id, nullptr, WNOHANG) != 0; });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

int run_jobs(std::vector<job> const& jobs, std::size_t at_once, std::function<void(job_end const&)> const& ended,
             std::function<bool(job_late const&)> const& late)
{
  cambium::expects(at_once >= 1, "study: no job at once");
  for (std::size_t i = 0; i < jobs.size(); ++i)
    for (std::size_t const before : jobs[i].after)
      cambium::expects(before < i, "study: job ", jobs[i].name, " waits for a later one");
  enum class state { waits, runs, done, failed };
  std::vector<state> states(jobs.size(), state::waits);
  ending_signals const signals;
  children running;
  auto asked = clock::now();
  auto const ends = [&](std::size_t i, std::string const& failure, double seconds) {
    states[i] = failure.empty() ? state::done : state::failed;
    ended({i, failure, seconds});
  };

  for (std::size_t first = 0;;) {
    while (first < jobs.size() && states[first] != state::waits) ++first;
    for (std::size_t i = first; i < jobs.size() && running.list.size() < at_once && asked_to_end == 0; ++i) {
      if (states[i] != state::waits) continue;
      auto const& after = jobs[i].after;
      auto const failed = std::find_if(after.begin(), after.end(), [&](auto b) { return states[b] == state::failed; });
      if (failed != after.end()) {
        ends(i, "needs " + jobs[*failed].name + ", which failed", 0);
      } else if (std::all_of(after.begin(), after.end(), [&](auto b) { return states[b] == state::done; })) {
        std::error_code ignored;
        if (jobs[i].log.has_parent_path()) fs::create_directories(jobs[i].log.parent_path(), ignored);
        auto const now = clock::now();
        pid_t const id = started(jobs[i]);
        if (id < 0) {
          ends(i, std::string("could not be started: ") + std::strerror(errno), 0);
          continue;
        }
        states[i] = state::runs;
        running.list.push_back({i, id, now, false});
      }
    }
    if (running.list.empty() && asked_to_end == 0) break;
    if (asked_to_end != 0) {
      int const signal = asked_to_end;
      end(running.list);
      return signal;
    }
    if (auto const now = clock::now(); late && now - asked > std::chrono::seconds(1)) {
      asked = now;
      for (auto& c : running.list)
        if (!c.told) c.told = late({c.job, std::chrono::duration<double>(now - c.began).count()});
    }
    bool any = false;
    for (std::size_t k = 0; k < running.list.size(); ++k) {
      int status = 0;
      child const c = running.list[k];
      if (::waitpid(c.id, &status, WNOHANG) != c.id) continue;
      running.list.erase(running.list.begin() + static_cast<std::ptrdiff_t>(k));
      ends(c.job, failure_of(status), std::chrono::duration<double>(clock::now() - c.began).count());
      any = true;
      break;
    }
    if (!any) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return 0;
}

}  // namespace trainer::study
