#include "process/launch.hpp"

#include "process/environment.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace trainer::processes {

namespace {

/// A port that nobody has at the moment.
int free_port()
{
  int const handle = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t n = sizeof a;
  bool const got = handle >= 0 && ::bind(handle, reinterpret_cast<sockaddr*>(&a), n) == 0 &&
                   ::getsockname(handle, reinterpret_cast<sockaddr*>(&a), &n) == 0;
  if (handle >= 0) ::close(handle);
  if (!got) throw cambium::io_error(std::string("processes: no free port: ") + std::strerror(errno));
  return ntohs(a.sin_port);
}

}  // namespace

int launched(int count)
{
  cambium::expects(count >= 1 && count <= 1024, "--processes is ", count, "; expected 1..1024");
  place const here = place_of_this_process();
  cambium::expects(here.size == 1, "--processes ", count, ": this process is one of several already: ", here.from);
  if (count == 1) return -1;
  std::string const port = std::to_string(free_port()), size = std::to_string(count);
  std::fflush(nullptr);
  std::vector<pid_t> running;
  pid_t const parent = ::getpid();
  for (int rank = 0; rank < count; ++rank) {
    pid_t const child = ::fork();
    if (child < 0) {
      for (pid_t const p : running) ::kill(p, SIGKILL);
      throw cambium::io_error(std::string("processes: ") + std::strerror(errno));
    }
    if (child == 0) {
#ifdef __linux__
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // who ends the starting process ends all
#endif
      if (::getppid() != parent) ::_exit(1);
      for (char const* const of_torchrun : {"TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"})
        ::unsetenv(of_torchrun);  // that started this one process
      ::setenv("RANK", std::to_string(rank).c_str(), 1);
      ::setenv("LOCAL_RANK", std::to_string(rank).c_str(), 1);
      ::setenv("WORLD_SIZE", size.c_str(), 1);
      ::setenv("MASTER_ADDR", "127.0.0.1", 1);
      ::setenv("MASTER_PORT", port.c_str(), 1);
      return -1;
    }
    running.push_back(child);
  }
  int first_failure = 0;
  std::chrono::steady_clock::time_point failed_at{};
  while (!running.empty()) {
    int status = 0;
    pid_t const ended = ::waitpid(-1, &status, WNOHANG);
    if (ended > 0) {
      running.erase(std::remove(running.begin(), running.end(), ended), running.end());
      int const code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      if (code != 0 && first_failure == 0) first_failure = code, failed_at = std::chrono::steady_clock::now();
    } else {
      if (ended < 0 && errno == ECHILD) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (first_failure != 0 && std::chrono::steady_clock::now() - failed_at > std::chrono::seconds(15))
      for (pid_t const p : running) ::kill(p, SIGKILL);
  }
  return first_failure;
}

}  // namespace trainer::processes
