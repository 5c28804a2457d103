// Rank 0 keeps the list of what is left. Its threads take from it; a thread of its own answers the other ranks. Nobody
// waits inside MPI, which would take a core: all waits are naps between questions whether something has come.

#include "on_mpi.hpp"

#include "pace.hpp"
#include "settings.hpp"

#include <cambium/exec/parallel.hpp>

#define OMPI_SKIP_MPICXX
#define MPICH_SKIP_MPICXX
#include <mpi.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace labelling {

using namespace cambium;

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;

/// Waiting that takes no core: naps that grow.
class naps {
 public:
  explicit naps(microseconds longest) : longest_(longest) {}
  void take()
  {
    std::this_thread::sleep_for(next_);
    next_ = std::min(2 * next_, longest_);
  }
  void begin_again() { next_ = first; }

 private:
  static constexpr microseconds first{20};
  microseconds longest_, next_ = first;
};
constexpr microseconds for_an_answer{500}, for_a_question{1000}, for_all{5000};

void wait_for(MPI_Request request, microseconds longest = for_all)
{
  naps between(longest);
  for (int done = 0; MPI_Test(&request, &done, MPI_STATUS_IGNORE), done == 0;) between.take();
}

void set_unless_set(char const* name, char const* value) { ::setenv(name, value, 0); }

/// A job that is ended from outside says how to go on. Rank 0 says so; if it is gone, its deputy.
struct last_words {
  std::sig_atomic_t volatile speaks = 0;
  pid_t leader = 0;  ///< 0: this process leads, or the leader is on another host
};
last_words at_end;
constexpr char farewell[] =
    "label: ended before all images were labelled; if a rank died, mpirun names it and its host. The same command with "
    "--resume does only what is missing.\n";

extern "C" void on_sigterm(int)
{
  if (at_end.speaks != 0 && (at_end.leader == 0 || (::kill(at_end.leader, 0) != 0 && errno == ESRCH))) {
    static_cast<void>(::write(STDERR_FILENO, farewell, sizeof farewell - 1) != 0);
    timespec const until_read{0, 200'000'000};  // mpirun drops what it has not read when a process has ended
    ::nanosleep(&until_read, nullptr);
  }
  ::_exit(128 + SIGTERM);
}

/// An answer to "what is next?": items first..last-1; none if there are none left.
struct share_of_work {
  std::uint64_t first = 0, last = 0;
};

enum tag { ask = 1, answer_of_ask, told, finished };

class mpi_crew final : public crew {
 public:
  mpi_crew()
  {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    char name[MPI_MAX_PROCESSOR_NAME] = {};
    int length = 0;
    MPI_Get_processor_name(name, &length);
    host_ = name;
    choose_who_speaks();
  }

  ~mpi_crew() override
  {
    MPI_Request all = MPI_REQUEST_NULL;
    MPI_Ibarrier(MPI_COMM_WORLD, &all);
    labelling::wait_for(all);
    at_end.speaks = 0;  // ranks that end a little later than others are ended by mpirun where the status is not 0
    MPI_Finalize();
  }

  bool leads() const override { return rank_ == 0; }
  int processes() const override { return size_; }

  void share(std::string& text) override
  {
    std::uint64_t size = text.size();
    broadcast(&size, sizeof size);
    text.resize(size);
    constexpr std::size_t piece = std::size_t{1} << 26;  // MPI counts in int
    for (std::size_t at = 0; at < size; at += piece) broadcast(text.data() + at, std::min(piece, text.size() - at));
  }

  void expects_ready(std::string const& complaint) override
  {
    int const mine = complaint.empty() ? size_ : rank_;
    int first = 0;
    MPI_Request all = MPI_REQUEST_NULL;
    MPI_Iallreduce(&mine, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD, &all);
    labelling::wait_for(all);
    if (first == size_) return;
    std::string text =
        rank_ == 0 || first == 0 ? complaint : "rank " + std::to_string(rank_) + " on " + host_ + ": " + complaint;
    if (first != 0) {  // to rank 0, which has none of its own
      MPI_Request sent = MPI_REQUEST_NULL;
      if (rank_ == first) {
        MPI_Isend(text.data(), static_cast<int>(text.size()), MPI_CHAR, 0, told, MPI_COMM_WORLD, &sent);
        labelling::wait_for(sent);
      }
      if (rank_ == 0) text = receive_text(first, told);
    }
    throw usage_error(text);
  }

  void hand_out(cpu const& where, std::size_t count, work const& each, report const& done) override
  {
    count_ = count;
    next_ = 0;
    if (leads())
      lead(where, each, done);
    else
      follow(where, each);
  }

 private:
  // --- both ---------------------------------------------------------------------------------------------
  void broadcast(void* data, std::size_t bytes)
  {
    MPI_Request all = MPI_REQUEST_NULL;
    MPI_Ibcast(data, static_cast<int>(bytes), MPI_BYTE, 0, MPI_COMM_WORLD, &all);
    labelling::wait_for(all);
  }

  std::string receive_text(int from, int what)
  {
    naps between(for_all);
    MPI_Status status;
    for (int here = 0; MPI_Iprobe(from, what, MPI_COMM_WORLD, &here, &status), here == 0;) between.take();
    return received(status);
  }

  /// A message that has come.
  static std::string received(MPI_Status const& status)
  {
    int size = 0;
    MPI_Get_count(&status, MPI_BYTE, &size);
    std::string text(static_cast<std::size_t>(size), '\0');
    MPI_Recv(text.data(), size, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return text;
  }

  /// Rank 0 speaks; beside it the next rank on its host or, if it is alone there, rank 1.
  void choose_who_speaks()
  {
    struct person {
      std::int64_t process;
      char host[256];
    };
    person mine{::getpid(), {}};
    ::gethostname(mine.host, sizeof mine.host - 1);
    std::vector<person> all(static_cast<std::size_t>(size_));
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, MPI_COMM_WORLD);
    int deputy = 1;
    for (int r = size_ - 1; r >= 1; --r)
      if (std::strcmp(all[static_cast<std::size_t>(r)].host, all[0].host) == 0) deputy = r;
    bool const beside_leader = std::strcmp(mine.host, all[0].host) == 0;
    at_end.leader = rank_ != 0 && beside_leader ? static_cast<pid_t>(all[0].process) : 0;
    at_end.speaks = rank_ == 0 || rank_ == deputy;
    struct sigaction action = {};
    action.sa_handler = on_sigterm;
    ::sigaction(SIGTERM, &action, nullptr);
  }

  /// Each thread of this process takes items until there are none.
  template <class Next>
  void work_off(cpu const& where, work const& each, report const& tell, Next const& next)
  {
    int const threads = thread_count(where);
    bool const few = count_ < static_cast<std::size_t>(threads) * static_cast<std::size_t>(size_);
    for_each_item(where, few ? 1 : threads, [&](cpu const& here, index_t) {
      for (std::size_t item; next(item);) each(here, item, tell);
    });
  }

  // --- rank 0 -------------------------------------------------------------------------------------------
  void lead(cpu const& where, work const& each, report const& done)
  {
    report const tell = [&](outcome one) {
      std::lock_guard const lock(done_guard_);
      done(std::move(one));
    };
    std::thread server([&] { serve(tell); });
    work_off(where, each, tell, [&](std::size_t& item) {
      auto const got = take(1);
      item = got.first;
      return got.first < got.last;
    });
    server.join();
  }

  share_of_work take(std::uint64_t wanted)
  {
    std::lock_guard const lock(next_guard_);
    std::uint64_t const left = count_ - next_;
    std::uint64_t const fair = std::max<std::uint64_t>(1, left / (4 * static_cast<std::uint64_t>(size_)));
    share_of_work const out{next_, next_ + std::min({wanted, fair, left})};
    next_ = out.last;
    return out;
  }

  void serve(report const& tell)
  {
    naps between(for_a_question);
    for (int left = size_ - 1; left > 0;) {
      int here = 0;
      MPI_Status status;
      MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &here, &status);
      if (here == 0) {
        between.take();
        continue;
      }
      between.begin_again();
      auto const message = received(status);
      if (status.MPI_TAG == ask) {
        std::uint64_t wanted = 1;
        std::memcpy(&wanted, message.data(), sizeof wanted);
        auto const out = take(wanted);
        MPI_Send(&out, sizeof out, MPI_BYTE, status.MPI_SOURCE, answer_of_ask, MPI_COMM_WORLD);
      } else if (status.MPI_TAG == told) {
        tell(unpacked(message));
      } else {
        --left;
      }
    }
  }

  // --- the others ---------------------------------------------------------------------------------------
  void follow(cpu const& where, work const& each)
  {
    share_of_work mine;
    std::mutex guard;  // MPI is called by one thread at a time
    pace quick(clock::now());
    bool more = true;
    report const tell = [&](outcome const& one) {
      auto const message = packed(one);
      std::lock_guard const lock(guard);
      send(message.data(), message.size(), told);
    };
    work const each_in_time = [&](cpu const& here, std::size_t item, report const& to) {
      each(here, item, to);
      std::lock_guard const lock(guard);
      quick.one_done();
    };
    work_off(where, each_in_time, tell, [&](std::size_t& item) {
      std::lock_guard const lock(guard);
      if (mine.first == mine.last && more) {
        mine = ask_for(quick.done_in_a_tenth_of_a_second(clock::now()));
        more = mine.first < mine.last;
      }
      item = mine.first;
      if (!more) return false;
      ++mine.first;
      return true;
    });
    send(nullptr, 0, finished);
  }

  static void send(void const* data, std::size_t size, int what)
  {
    MPI_Request sent = MPI_REQUEST_NULL;
    MPI_Isend(data, static_cast<int>(size), MPI_BYTE, 0, what, MPI_COMM_WORLD, &sent);
    labelling::wait_for(sent, for_an_answer);
  }

  static share_of_work ask_for(std::uint64_t wanted)
  {
    share_of_work out;
    MPI_Request answered = MPI_REQUEST_NULL;
    MPI_Irecv(&out, sizeof out, MPI_BYTE, 0, answer_of_ask, MPI_COMM_WORLD, &answered);
    send(&wanted, sizeof wanted, ask);
    labelling::wait_for(answered, for_an_answer);
    return out;
  }

  // --- an outcome as a message --------------------------------------------------------------------------
  static std::string packed(outcome const& one)
  {
    std::uint64_t const head[2] = {static_cast<std::uint64_t>(one.what), one.place};
    std::string text(sizeof head, '\0');
    std::memcpy(text.data(), head, sizeof head);
    return text + one.reason;
  }
  static outcome unpacked(std::string const& text)
  {
    std::uint64_t head[2] = {};
    std::memcpy(head, text.data(), sizeof head);
    return {static_cast<outcome::kind>(head[0]), static_cast<std::size_t>(head[1]), text.substr(sizeof head)};
  }

  int rank_ = 0, size_ = 1;
  std::string host_;
  std::uint64_t count_ = 0, next_ = 0;
  std::mutex next_guard_, done_guard_;
};

}  // namespace

std::unique_ptr<crew> join_mpi()
{
  // Open MPI in a container may not read another process's memory, and complains; messages are small.
  set_unless_set("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
  set_unless_set("OMPI_MCA_btl_base_warn_component_unused", "0");
  int level = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
  auto out = std::make_unique<mpi_crew>();
  std::string complaint;
  if (level < MPI_THREAD_SERIALIZED) complaint = "--mpi: this MPI allows one thread only; use --shard";
  auto const job = processes_of_job();
  if (out->processes() == 1 && job.processes > 1)
    complaint = "--mpi: this is one of " + std::to_string(job.processes) + " processes, by " + job.variable +
                ", but MPI does not join them; use the mpirun of the MPI that label was built with, or srun --mpi=pmix "
                "where Slurm has it";
  out->expects_ready(complaint);
  return out;
}

}  // namespace labelling
