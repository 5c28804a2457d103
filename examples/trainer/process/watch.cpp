#include "process/watch.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace trainer::processes {

using cambium::io_error;
using std::chrono::milliseconds;
using ticks = std::chrono::steady_clock;

namespace {

constexpr char magic[8] = {'c', 'a', 'm', 'b', 'i', 'u', 'm', '1'};
constexpr int ports_behind = 8;  ///< that rank 0 tries where torchrun listens itself

/// The first words of both ends. Machines of a job have one order of bytes.
struct greeting {
  char name[8];
  std::uint64_t job;
  std::int32_t rank, size, process;
  char host[44];
};

/// Whether something happens within `most`, whatever signals come.
bool ready(pollfd& one, milliseconds most)
{
  auto const until = ticks::now() + most;
  for (;;) {
    auto const left = std::chrono::duration_cast<milliseconds>(until - ticks::now()).count();
    int const count = ::poll(&one, 1, static_cast<int>(std::max<long>(left, 0)));
    if (count >= 0 || errno != EINTR) return count > 0;
  }
}

class line {
 public:
  line() = default;
  explicit line(int handle) : handle_(handle)
  {
    int const yes = 1;
    ::setsockopt(handle_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  line(line&& from) noexcept : handle_(std::exchange(from.handle_, -1)) {}
  line& operator=(line&& from) noexcept
  {
    std::swap(handle_, from.handle_);
    return *this;
  }
  ~line()
  {
    if (handle_ >= 0) ::close(handle_);
  }
  [[nodiscard]] int handle() const { return handle_; }
  explicit operator bool() const { return handle_ >= 0; }

  bool send(void const* data, std::size_t n) const
  {
    auto const* at = static_cast<char const*>(data);
    while (n > 0) {
      auto const sent = ::send(handle_, at, n, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      at += sent, n -= static_cast<std::size_t>(sent);
    }
    return true;
  }
  bool receive(void* data, std::size_t n, milliseconds most) const
  {
    auto const until = ticks::now() + most;
    auto* at = static_cast<char*>(data);
    while (n > 0) {
      auto const left = std::chrono::duration_cast<milliseconds>(until - ticks::now()).count();
      pollfd one{handle_, POLLIN, 0};
      if (left <= 0 || !ready(one, milliseconds(left))) return false;
      auto const got = ::recv(handle_, at, n, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      at += got, n -= static_cast<std::size_t>(got);
    }
    return true;
  }
  /// Whether the other end closed it.
  [[nodiscard]] bool closed() const
  {
    char next = 0;
    return ::recv(handle_, &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  }
  /// The address of one of its ends.
  [[nodiscard]] std::string address(bool own) const
  {
    sockaddr_storage a{};
    socklen_t n = sizeof a;
    char text[NI_MAXHOST] = "";
    if ((own ? ::getsockname : ::getpeername)(handle_, reinterpret_cast<sockaddr*>(&a), &n) == 0)
      ::getnameinfo(reinterpret_cast<sockaddr*>(&a), n, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    std::string out = text;
    if (out.rfind("::ffff:", 0) == 0) out = out.substr(7);  // IPv4 through a listener of both
    return out;
  }

 private:
  int handle_ = -1;
};

line listener(std::uint16_t port)
{
  for (int const kind : {AF_INET6, AF_INET}) {
    line out(::socket(kind, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!out) continue;
    int const yes = 1, no = 0;
    ::setsockopt(out.handle(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_storage a{};
    socklen_t n = sizeof(sockaddr_in);
    if (kind == AF_INET6) {
      ::setsockopt(out.handle(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
      auto& six = reinterpret_cast<sockaddr_in6&>(a);
      six.sin6_family = AF_INET6, six.sin6_addr = in6addr_any, six.sin6_port = htons(port), n = sizeof six;
    } else {
      auto& four = reinterpret_cast<sockaddr_in&>(a);
      four.sin_family = AF_INET, four.sin_addr.s_addr = htonl(INADDR_ANY), four.sin_port = htons(port);
    }
    if (::bind(out.handle(), reinterpret_cast<sockaddr*>(&a), n) == 0 && ::listen(out.handle(), 1024) == 0) return out;
    if (errno == EADDRINUSE) return {};
  }
  return {};
}

/// A connection; none where nobody listens within `most`.
line connection(std::string const& host, std::uint16_t port, milliseconds most)
{
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return {};
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> const owner(list, ::freeaddrinfo);
  for (auto const* a = list; a != nullptr; a = a->ai_next) {
    line out(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (!out) continue;
    int const flags = ::fcntl(out.handle(), F_GETFL);
    ::fcntl(out.handle(), F_SETFL, flags | O_NONBLOCK);
    if (::connect(out.handle(), a->ai_addr, a->ai_addrlen) != 0) {
      pollfd one{out.handle(), POLLOUT, 0};
      int failure = 0;
      socklen_t n = sizeof failure;
      if (errno != EINPROGRESS || !ready(one, most) ||
          ::getsockopt(out.handle(), SOL_SOCKET, SO_ERROR, &failure, &n) != 0 || failure != 0)
        continue;
    }
    ::fcntl(out.handle(), F_SETFL, flags);
    return out;
  }
  return {};
}

greeting own_greeting(place const& where)
{
  greeting out{};
  std::memcpy(out.name, magic, sizeof magic);
  out.job = where.job, out.rank = where.rank, out.size = where.size, out.process = ::getpid();
  ::gethostname(out.host, sizeof out.host - 1);
  return out;
}

}  // namespace

struct watch::state {
  /// The other end of a line. A frame is a letter, two bytes of length, a text: b beat, n number, e end, f failed,
  /// d somebody died.
  struct peer {
    line to;
    int rank = -1;
    std::string name;  ///< "rank 1 of 4 (HOST, process 77)"
    std::string unread;
    ticks::time_point heard = ticks::now();
    bool left = false;
  };

  place where;
  watch_options options;
  std::string own, first;
  std::vector<peer> peers;
  std::thread thread;
  std::atomic<bool> ending{false};
  std::mutex sending, waiting;
  std::condition_variable told;
  int number = -1;
  /// mpirun's daemon ends with mpirun, and does not end what it started.
  pid_t const starter = std::getenv("OMPI_COMM_WORLD_RANK") != nullptr ? ::getppid() : -1;

  std::string name_of(greeting const& g) const
  {
    return "rank " + std::to_string(g.rank) + " of " + std::to_string(where.size) + " (" + g.host + ", process " +
           std::to_string(g.process) + ")";
  }

  void send(peer const& p, char kind, std::string text = {})
  {
    text.resize(std::min<std::size_t>(text.size(), 4000));
    std::string const frame =
        std::string{kind, static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)} + text;
    std::lock_guard const turn(sending);
    p.to.send(frame.data(), frame.size());
  }

  void meet_as_first()
  {
    line open;
    for (int k = where.port_is_taken ? 1 : 0; !open && k <= (where.port_is_taken ? ports_behind : 0); ++k)
      open = listener(static_cast<std::uint16_t>(where.port + k));
    if (!open)
      throw io_error("processes: rank 0 cannot listen at port " + std::to_string(where.port) + ": " +
                     std::strerror(errno) + "; does another job use it? MASTER_PORT names another");
    peers.resize(static_cast<std::size_t>(where.size) - 1);
    auto const until = ticks::now() + options.meet;
    auto impatient = ticks::now() + options.patience;
    bool another_job = false;
    auto const missing_ranks = [&] {
      std::string missing;
      for (std::size_t k = 0; k < peers.size(); ++k)
        if (!peers[k].to) missing += (missing.empty() ? "" : ", ") + std::to_string(k + 1);
      return missing;
    };
    for (int come = 1; come < where.size;) {
      pollfd one{open.handle(), POLLIN, 0};
      auto const left = std::chrono::duration_cast<milliseconds>(until - ticks::now()).count();
      if (left <= 0)
        throw io_error("processes: of " + std::to_string(where.size) + " processes these ranks did not come within " +
                       std::to_string(options.meet.count() / 1000) + " s: " + missing_ranks());
      if (ticks::now() > impatient) {
        std::fprintf(stderr, "trainer: rank 0 of %d waits at port %d for ranks %s\n", where.size,
                     static_cast<int>(where.port), missing_ranks().c_str());
        impatient = until;
      }
      if (::poll(&one, 1, static_cast<int>(std::min<long>(left, 1000))) <= 0) continue;
      line to(::accept4(open.handle(), nullptr, nullptr, SOCK_CLOEXEC));
      greeting hello{};
      if (!to || !to.receive(&hello, sizeof hello, milliseconds(5000)) ||
          std::memcmp(hello.name, magic, sizeof magic) != 0)
        continue;  // somebody else's
      hello.host[sizeof hello.host - 1] = '\0';
      auto const answer = own_greeting(where);
      to.send(&answer, sizeof answer);
      if (hello.job != where.job) {
        if (!another_job)
          std::fprintf(stderr, "trainer: rank %d of another job (%s, process %d) called rank 0 of this one\n",
                       hello.rank, hello.host, hello.process);
        another_job = true;
        continue;
      }
      if (hello.size != where.size)
        throw io_error("processes: rank " + std::to_string(hello.rank) + " says that there are " +
                       std::to_string(hello.size) + " processes, rank 0 that there are " + std::to_string(where.size));
      std::string const name = name_of(hello);
      bool const is_place = hello.rank >= 1 && hello.rank < where.size;
      peer& p = peers[is_place ? static_cast<std::size_t>(hello.rank) - 1 : 0];
      // one that got no answer in time calls again
      if (!is_place || (p.to && p.name != name && !p.to.closed()))
        throw io_error("processes: two processes say that they are rank " + std::to_string(hello.rank));
      if (!p.to) ++come;
      p.to = std::move(to), p.rank = hello.rank, p.name = name;
    }
    own = peers.front().to.address(true);
    first = own;
    for (peer& p : peers) p.heard = ticks::now();
  }

  void meet_first()
  {
    auto const until = ticks::now() + options.meet;
    auto impatient = ticks::now() + options.patience;
    auto const hello = own_greeting(where);
    int const from = where.port_is_taken ? 1 : 0, to = where.port_is_taken ? ports_behind : 0;
    for (int k = from;; k = k == to ? from : k + 1) {
      auto const port = static_cast<std::uint16_t>(where.port + k);
      if (ticks::now() > until)
        throw io_error("processes: rank " + std::to_string(where.rank) + " did not reach rank 0 at " + where.host +
                       ", port " + std::to_string(port) + " within " + std::to_string(options.meet.count() / 1000) +
                       " s");
      if (ticks::now() > impatient) {
        std::fprintf(stderr, "trainer: rank %d of %d waits for rank 0 at %s, port %d\n", where.rank, where.size,
                     where.host.c_str(), static_cast<int>(where.port));
        impatient = until;
      }
      line out = connection(where.host, port, milliseconds(2000));
      greeting answer{};
      if (!out || !out.send(&hello, sizeof hello) || !out.receive(&answer, sizeof answer, milliseconds(5000)) ||
          std::memcmp(answer.name, magic, sizeof magic) != 0 || answer.job != where.job) {
        std::this_thread::sleep_for(milliseconds(50));
        continue;
      }
      if (answer.size != where.size)
        throw io_error("processes: rank 0 says that there are " + std::to_string(answer.size) + " processes, rank " +
                       std::to_string(where.rank) + " that there are " + std::to_string(where.size));
      own = out.address(true), first = out.address(false);
      peers.resize(1);
      peers[0].to = std::move(out), peers[0].rank = 0, peers[0].name = name_of(answer);
      peers[0].heard = ticks::now() + options.meet;  // it says nothing before all have come
      return;
    }
  }

  /// Ends this process; the kernel delivers what was sent, if nothing is left unread for a moment.
  [[noreturn]] void end(std::string const& sentence)
  {
    std::fflush(stdout);
    std::fprintf(stderr, "%s\n", sentence.c_str());
    std::fflush(stderr);
    for (peer const& p : peers) ::shutdown(p.to.handle(), SHUT_WR);
    std::this_thread::sleep_for(milliseconds(100));
    ::_exit(1);
  }

  [[noreturn]] void ended(std::string const& what)
  {
    if (where.rank == 0)
      for (peer const& p : peers) send(p, 'd', what);
    end("trainer: " + what + "; rank " + std::to_string(where.rank) + " ends, too");
  }

  void gone(peer& p)
  {
    std::lock_guard const turn(waiting);
    p.left = true;
    told.notify_all();
  }

  /// Takes the whole frames out of what was read.
  void take(peer& p)
  {
    while (p.unread.size() >= 3) {
      std::size_t const n = static_cast<unsigned char>(p.unread[1]) + 256u * static_cast<unsigned char>(p.unread[2]);
      if (p.unread.size() < 3 + n) return;
      char const kind = p.unread[0];
      std::string const text = p.unread.substr(3, n);
      p.unread.erase(0, 3 + n);
      if (ending) continue;
      if (kind == 'e') gone(p);
      if (kind == 'f') ended(p.name + " failed: " + text);
      if (kind == 'd') ended(text);
      if (kind == 'n') {
        std::lock_guard const turn(waiting);
        number = std::stoi(text);
        told.notify_all();
      }
    }
  }

  void look()
  {
    auto beat = ticks::now() - milliseconds(2000), before = ticks::now();
    std::vector<pollfd> all(peers.size());
    std::vector<char> room(8192);
    for (;;) {
      for (std::size_t k = 0; k < peers.size(); ++k) all[k] = {peers[k].left ? -1 : peers[k].to.handle(), POLLIN, 0};
      ::poll(all.data(), all.size(), 200);
      if (starter != -1 && ::getppid() != starter && !ending)
        ended("mpirun, which started the processes, ended unexpectedly");
      auto const now = ticks::now();
      bool const slept = now - before > milliseconds(3000);  // this process was stopped, not the others
      before = now;
      for (std::size_t k = 0; k < peers.size(); ++k) {
        peer& p = peers[k];
        if (slept) p.heard = std::max(p.heard, now);
        if (p.left) continue;
        if (all[k].revents != 0) {
          auto const got = ::recv(p.to.handle(), room.data(), room.size(), MSG_DONTWAIT);
          if (got > 0) {
            p.heard = now;
            p.unread.append(room.data(), static_cast<std::size_t>(got));
            take(p);
          } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            gone(p);
            if (!ending) ended(p.name + " ended unexpectedly");
          }
        }
        if (!ending && !p.left && now - p.heard > options.silence)
          ended(p.name + " has been silent for " + std::to_string(options.silence.count() / 1000) + " s");
      }
      if (now - beat >= milliseconds(1000)) {
        beat = now;
        for (peer const& p : peers)
          if (!p.left) send(p, 'b');
      }
    }
  }
};

watch::watch(place const& where, watch_options options) : state_(std::make_unique<state>())
{
  state_->where = where;
  state_->options = options;
  where.rank == 0 ? state_->meet_as_first() : state_->meet_first();
  state_->thread = std::thread([s = state_.get()] { s->look(); });
  state_->thread.detach();
}
watch::~watch() { static_cast<void>(state_.release()); }  // its thread looks on until the process ends

std::string const& watch::own_address() const { return state_->own; }
std::string const& watch::first_address() const { return state_->first; }

std::uint16_t watch::told_by_first(std::uint16_t number_of_first)
{
  if (state_->where.rank == 0) {
    for (auto const& p : state_->peers) state_->send(p, 'n', std::to_string(number_of_first));
    return number_of_first;
  }
  std::unique_lock turn(state_->waiting);
  state_->told.wait(turn, [&] { return state_->number >= 0; });
  return static_cast<std::uint16_t>(state_->number);
}

void watch::wait_for_the_reason(std::string const& what)
{
  std::this_thread::sleep_for(state_->options.silence + milliseconds(1000));
  fail("the exchange with the other processes failed: " + what);
}

void watch::fail(std::string const& why)
{
  state& s = *state_;
  s.ending = true;
  auto const me = s.name_of(own_greeting(s.where));
  for (auto const& p : s.peers)
    s.send(p, s.where.rank == 0 ? 'd' : 'f', s.where.rank == 0 ? me + " failed: " + why : why);
  s.end("trainer: rank " + std::to_string(s.where.rank) + ": " + why);
}

void watch::leave()
{
  state& s = *state_;
  bool const first = s.where.rank == 0;
  auto const say_it = [&] {
    for (auto const& p : s.peers) s.send(p, 'e');
  };
  if (!first) say_it();
  {
    // rank 0 answers when all have said it: then nobody needs what another one still sends
    std::unique_lock turn(s.waiting);
    s.told.wait_for(turn, milliseconds(10000),
                    [&] { return std::all_of(s.peers.begin(), s.peers.end(), [](auto const& p) { return p.left; }); });
  }
  s.ending = true;
  if (first) say_it();
}

}  // namespace trainer::processes
