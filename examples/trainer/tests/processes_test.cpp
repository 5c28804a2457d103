// Several processes train as one: who they are, what they exchange, that they compute what one computes, and that none
// outlives another. The processes are processes_child.

#include "process/processes.hpp"
#include "process/environment.hpp"
#include "process/watch.hpp"

#include "network/safetensors.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>

#include "support/temporary.hpp"

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace trainer;
using cambium::precondition_error;
namespace fs = std::filesystem;

namespace {

/// The place that variables give, or the message.
using setting = std::map<std::string, std::string>;
processes::place place_of(setting const& set)
{
  return processes::place_from([&](char const* name) -> std::optional<std::string> {
    auto const found = set.find(name);
    return found == set.end() ? std::nullopt : std::optional(found->second);
  });
}
std::string refused(setting const& set)
{
  return support::refusal<precondition_error>([&] { (void)place_of(set); });
}

int free_port()
{
  int const handle = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t n = sizeof a;
  REQUIRE(::bind(handle, reinterpret_cast<sockaddr*>(&a), n) == 0);
  REQUIRE(::getsockname(handle, reinterpret_cast<sockaddr*>(&a), &n) == 0);
  ::close(handle);
  return ntohs(a.sin_port);
}

struct ending {
  std::vector<int> status;   ///< of each rank; 128 + the signal
  std::vector<double> when;  ///< [s] after the first one ended
  std::string said;          ///< by all, on stderr
};

/// Runs the child as `size` ranks.
ending run(std::vector<std::string> const& arguments, int size, setting more = {})
{
  std::string const port = std::to_string(free_port()), log = arguments.at(1) + ".stderr";
  std::vector<pid_t> children;
  for (int rank = 0; rank < size; ++rank) {
    pid_t const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      setting all{{"RANK", std::to_string(rank)},
                  {"WORLD_SIZE", std::to_string(size)},
                  {"MASTER_ADDR", "127.0.0.1"},
                  {"MASTER_PORT", port},
                  {"OMP_NUM_THREADS", "1"}};
      for (auto const& [name, value] : more) all[name] = value;
      for (auto const& [name, value] : all) ::setenv(name.c_str(), value.c_str(), 1);
      int const to = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      ::dup2(to, 2);
      std::vector<char*> words{const_cast<char*>(PROCESSES_CHILD)};
      for (auto const& a : arguments) words.push_back(const_cast<char*>(a.c_str()));
      words.push_back(nullptr);
      ::execv(PROCESSES_CHILD, words.data());
      ::_exit(127);
    }
    children.push_back(child);
  }
  ending out;
  out.status.resize(children.size(), -1), out.when.resize(children.size());
  using clock = std::chrono::steady_clock;
  auto const begin = clock::now();
  clock::time_point first{};
  auto const seconds = [](auto since) { return std::chrono::duration<double>(clock::now() - since).count(); };
  for (std::size_t left = children.size(); left > 0;) {
    bool const late = first != clock::time_point{} ? seconds(first) > 40 : seconds(begin) > 300;
    for (std::size_t k = 0; k < children.size(); ++k) {
      if (out.status[k] >= 0) continue;
      if (late) ::kill(children[k], SIGKILL);
      int status = 0;
      if (::waitpid(children[k], &status, WNOHANG | WUNTRACED) != children[k]) continue;
      if (WIFSTOPPED(status)) {  // it is as good as dead; it is ended when the others are
        if (first == clock::time_point{}) first = clock::now();
        if (left > 1) --left, out.status[k] = 128 + SIGSTOP;
        continue;
      }
      if (first == clock::time_point{}) first = clock::now();
      out.status[k] = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      out.when[k] = seconds(first);
      --left;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (std::size_t k = 0; k < children.size(); ++k)
    if (out.status[k] == 128 + SIGSTOP) {
      ::kill(children[k], SIGKILL);
      ::waitpid(children[k], nullptr, 0);
    }
  std::ifstream file(log);
  std::ostringstream text;
  text << file.rdbuf();
  out.said = text.str();
  return out;
}

bool all_well(ending const& e)
{
  for (int const s : e.status)
    if (s != 0) return false;
  return true;
}

struct step_line {
  long long step;
  std::vector<std::pair<std::string, double>> losses;
  friend bool operator==(step_line const&, step_line const&) = default;
};

std::vector<step_line> losses_in(std::string const& file)
{
  std::vector<step_line> out;
  std::ifstream in(file);
  for (std::string text; std::getline(in, text);) {
    std::istringstream words(text);
    step_line line{};
    words >> line.step;
    std::string name, value;
    while (words >> name >> value) line.losses.emplace_back(name, std::stod(value));
    out.push_back(line);
  }
  return out;
}

bool skipped()
{
  if (processes::can_join()) return false;
  std::puts("built without Gloo (libgloo-dev): training on several processes is not tested");
  return true;
}

named_tensors tensors(std::string const& file) { return read_safetensors(file).tensors; }

}  // namespace

TEST_CASE("the place of a process is what torchrun, mpirun or srun say", "[picture]")
{
  CHECK(place_of({}).size == 1);
  auto place = place_of({{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "n1"}, {"MASTER_PORT", "1234"}});
  CHECK((place.rank == 3 && place.size == 4 && place.host == "n1" && place.port == 1234 && !place.port_is_taken));
  place = place_of({{"RANK", "0"}, {"WORLD_SIZE", "1"}});
  CHECK((place.rank == 0 && place.size == 1));
  place = place_of({{"OMPI_COMM_WORLD_RANK", "1"},
                    {"OMPI_COMM_WORLD_SIZE", "2"},
                    {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                    {"SLURM_PROCID", "0"},
                    {"SLURM_NTASKS", "7"},
                    {"SLURM_STEP_ID", "0"}});  // mpirun within Slurm
  CHECK((place.rank == 1 && place.size == 2 && place.host == "127.0.0.1" && place.port >= 20000));
  setting const slurm{{"SLURM_PROCID", "5"},
                      {"SLURM_STEP_NUM_TASKS", "8"},
                      {"SLURM_STEP_ID", "1"},
                      {"SLURM_JOB_ID", "77"},
                      {"SLURM_STEP_NODELIST", "gpu[07-09,12],login1"}};
  place = place_of(slurm);
  CHECK((place.rank == 5 && place.size == 8 && place.host == "gpu07"));
  auto other = slurm;
  other["SLURM_JOB_ID"] = "78";
  CHECK(place_of(other).job != place.job);
  CHECK(place_of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}).size == 1);  // a batch script without srun
  auto exported = slurm;  // a script that exports the size and the address
  exported["WORLD_SIZE"] = "8", exported["MASTER_ADDR"] = "10.0.0.1", exported["MASTER_PORT"] = "99";
  place = place_of(exported);
  CHECK((place.rank == 5 && place.host == "10.0.0.1" && place.port == 99));
  // torchrun, started by srun on each node, counts itself
  auto nested = slurm;
  nested.merge(setting{{"RANK", "11"},
                       {"WORLD_SIZE", "16"},
                       {"MASTER_ADDR", "a"},
                       {"MASTER_PORT", "9"},
                       {"TORCHELASTIC_RUN_ID", "x"},
                       {"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  place = place_of(nested);
  CHECK((place.rank == 11 && place.size == 16 && place.port_is_taken));

  CHECK(processes::first_host("node1") == "node1");
  CHECK(processes::first_host("node1,node2") == "node1");
  CHECK(processes::first_host("a[3,5-9].cluster,b") == "a3.cluster");
  CHECK(processes::first_host("a[003-104]") == "a003");
}

TEST_CASE("variables that lack or contradict are named", "[errors]")
{
  CHECK_THAT(refused({{"RANK", "1"}}), says("RANK=1 but WORLD_SIZE is not set"));
  CHECK_THAT(refused({{"WORLD_SIZE", "2"}}), says("WORLD_SIZE=2 but RANK is not set"));
  CHECK_THAT(refused({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), says("RANK=2, WORLD_SIZE=2: a rank is below"));
  CHECK_THAT(refused({{"RANK", "-1"}, {"WORLD_SIZE", "2"}}), says("RANK is '-1'; expected a whole number"));
  CHECK_THAT(refused({{"RANK", "0"}, {"WORLD_SIZE", "two"}}), says("WORLD_SIZE is 'two'"));
  CHECK_THAT(refused({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), says("MASTER_ADDR is not set"));
  CHECK_THAT(refused({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), says("MASTER_PORT is not set"));
  CHECK_THAT(refused({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
             says("MASTER_PORT is '70000'"));
  CHECK_THAT(refused({{"OMPI_COMM_WORLD_RANK", "0"}}), says("OMPI_COMM_WORLD_RANK is set but OMPI_COMM_WORLD_SIZE"));
  CHECK_THAT(
      refused({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}}),
      says("several machines and MASTER_ADDR does not say"));
  CHECK_THAT(
      refused({{"RANK", "0"}, {"WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "4"}}),
      says("RANK=0, WORLD_SIZE=4 but OMPI_COMM_WORLD_RANK=1"));
  CHECK_THAT(refused({{"WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}),
             says("WORLD_SIZE=4 but OMPI_COMM_WORLD_RANK=1"));
  CHECK_THAT(refused({{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}}), says("SLURM_PROCID is set"));
  CHECK_THAT(refused({{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}}),
             says("neither MASTER_ADDR nor SLURM_STEP_NODELIST"));
}

TEST_CASE("the number of a job is that of the family that counts", "[picture]")
{
  // one torchrun on each machine, each in a step of its own
  auto const torchrun = [](char const* rank, char const* step, char const* tasks) {
    return place_of({{"RANK", rank},
                     {"WORLD_SIZE", "2"},
                     {"MASTER_ADDR", "a"},
                     {"MASTER_PORT", "9"},
                     {"TORCHELASTIC_RUN_ID", "x"},
                     {"SLURM_JOB_ID", "77"},
                     {"SLURM_STEP_ID", step},
                     {"SLURM_PROCID", "0"},
                     {"SLURM_STEP_NUM_TASKS", tasks}});
  };
  CHECK(torchrun("0", "0", "1").job == torchrun("1", "1", "1").job);
  CHECK(torchrun("0", "0", "2").job == torchrun("1", "1", "2").job);
  // mpirun in a batch script: its own machine is in no step, the daemon of the other one is
  setting mpi{{"OMPI_COMM_WORLD_RANK", "0"},
              {"OMPI_COMM_WORLD_SIZE", "2"},
              {"PMIX_NAMESPACE", "1234"},
              {"MASTER_ADDR", "a"},
              {"SLURM_JOB_ID", "77"}};
  auto other = mpi;
  other["OMPI_COMM_WORLD_RANK"] = "1";
  other.merge(setting{{"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  CHECK(place_of(mpi).job == place_of(other).job);
  CHECK(place_of(mpi).port == place_of(other).port);
  other["PMIX_NAMESPACE"] = "1235";
  CHECK(place_of(mpi).job != place_of(other).job);
  // two steps of one job of Slurm
  setting step{{"SLURM_PROCID", "0"},
               {"SLURM_STEP_NUM_TASKS", "2"},
               {"SLURM_STEP_NODELIST", "a"},
               {"SLURM_JOB_ID", "77"},
               {"SLURM_STEP_ID", "1"}};
  auto const first = place_of(step).job;
  step["SLURM_STEP_ID"] = "2";
  CHECK(place_of(step).job != first);
}

TEST_CASE("processes that were started in srun or mpirun of one task are those of RANK", "[picture]")
{
  setting const children{{"RANK", "1"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "9"}};
  auto in_srun = children, in_mpirun = children;
  in_srun.merge(setting{{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_STEP_ID", "0"}});
  in_mpirun.merge(setting{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}, {"PMIX_NAMESPACE", "5"}});
  for (auto const& one : {in_srun, in_mpirun}) {
    auto const place = place_of(one);
    CHECK((place.rank == 1 && place.size == 4 && place.host == "127.0.0.1" && place.port == 9));
    CHECK(place.job == place_of(children).job);
  }
  auto of_two = in_srun;
  of_two["SLURM_STEP_NUM_TASKS"] = "2";
  CHECK_THAT(refused(of_two), says("but SLURM_PROCID=0, SLURM_STEP_NUM_TASKS=2"));
}

TEST_CASE("several processes of MPICH are no training of one", "[errors]")
{
  CHECK_THAT(refused({{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}}), says("PMI_SIZE=4 speaks of several processes"));
  setting in_srun{{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_STEP_ID", "0"}, {"PMI_SIZE", "4"}};
  CHECK_THAT(refused(in_srun), says("PMI_SIZE=4"));
  CHECK(place_of({{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}).size == 1);
  CHECK(place_of({{"PMI_SIZE", "4"}, {"RANK", "0"}, {"WORLD_SIZE", "1"}}).size == 1);  // somebody says so
  in_srun["SLURM_STEP_NUM_TASKS"] = "4", in_srun["SLURM_STEP_NODELIST"] = "a";         // srun speaks PMI, too
  CHECK(place_of(in_srun).size == 4);
}

namespace {

constexpr std::uint64_t job = 42;

/// Runs something in a process of its own, which ends with the status of `work`, its words in `log`.
pid_t apart(std::string const& log, std::function<void()> const& work)
{
  pid_t const child = ::fork();
  if (child != 0) return child;
  ::dup2(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644), 2);
  try {
    work();
    ::_exit(0);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    ::_exit(3);
  }
}
int status_of(pid_t child)
{
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
std::string text_of(std::string const& file)
{
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Meets the others, hears a number of rank 0, leaves.
void meets(int rank, int size, int port, std::chrono::milliseconds silence)
{
  processes::place where;
  where.rank = rank, where.size = size, where.host = "127.0.0.1", where.port = static_cast<std::uint16_t>(port);
  where.job = job;
  processes::watch lines(where, {std::chrono::milliseconds(20000), silence});
  if (lines.told_by_first(rank == 0 ? 77 : 0) != 77) throw std::runtime_error("another number");
  lines.leave();
}

/// A line to rank 0, and the greeting of a process: 8 letters, job, rank, size, process, 44 letters of the host.
int connected(int port)
{
  sockaddr_in a{};
  a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK), a.sin_port = htons(static_cast<uint16_t>(port));
  for (int i = 0; i < 400; ++i) {
    int const handle = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(handle, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0) return handle;
    ::close(handle);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return -1;
}
std::string greeting(std::uint64_t of_job, std::int32_t rank, std::int32_t size, std::int32_t process)
{
  std::string out = "cambium1";
  out.append(reinterpret_cast<char const*>(&of_job), 8);
  for (std::int32_t const* n : {&rank, &size, &process}) out.append(reinterpret_cast<char const*>(n), 4);
  out.resize(72);
  return out;
}
/// Sends a greeting; whether rank 0 answers with its own.
bool answered(int handle, std::string const& words, std::chrono::milliseconds pause = {})
{
  ::send(handle, words.data(), 20, MSG_NOSIGNAL);
  std::this_thread::sleep_for(pause);
  ::send(handle, words.data() + 20, words.size() - 20, MSG_NOSIGNAL);
  char got[72] = "";
  return ::recv(handle, got, sizeof got, MSG_WAITALL) == 72 && std::string(got, 8) == "cambium1";
}

}  // namespace

TEST_CASE("processes may come longer apart than one may be silent", "[property]")
{
  support::temporary_folder const folder;
  std::string const log = folder / "said";
  int const port = free_port();
  std::chrono::milliseconds const silence(1000);
  std::vector<pid_t> children;
  for (int rank : {0, 1, 2})
    children.push_back(apart(log, [=] {
      if (rank == 2) std::this_thread::sleep_for(2 * silence);
      meets(rank, 3, port, silence);
    }));
  for (pid_t const child : children) CHECK(status_of(child) == 0);
  CHECK(text_of(log) == "");
}

TEST_CASE("a process that calls twice is one, two processes of a rank are refused, another job is named", "[errors]")
{
  support::temporary_folder const folder;
  std::chrono::milliseconds const silence(8000);
  for (std::string const second : {"the same", "another", "another, the first has gone"}) {
    INFO(second);
    std::string const log = folder / second;
    int const port = free_port();
    pid_t const child = apart(log, [=] {
      // a profiler interrupts what waits
      struct sigaction act{};
      act.sa_handler = [](int) {};
      ::sigaction(SIGALRM, &act, nullptr);
      itimerval const often{{0, 10000}, {0, 10000}};
      ::setitimer(ITIMER_REAL, &often, nullptr);
      meets(0, 3, port, silence);
    });
    for (int i = 0; i < 2; ++i) {
      int const stranger = connected(port);
      CHECK(answered(stranger, greeting(job + 1, 1, 3, 5)));
      ::close(stranger);
    }
    int const once = connected(port);
    REQUIRE(answered(once, greeting(job, 1, 3, 1000), std::chrono::milliseconds(100)));
    if (second == "another, the first has gone") ::close(once);
    int const twice = connected(port);
    REQUIRE(answered(twice, greeting(job, 1, 3, second == "the same" ? 1000 : 1001)));
    if (second == "another") {
      CHECK(status_of(child) == 3);
      CHECK_THAT(text_of(log), says("two processes say that they are rank 1"));
    } else {
      int const last = connected(port);
      REQUIRE(answered(last, greeting(job, 2, 3, 1002)));
      for (int const handle : {twice, last}) ::send(handle, "e\0\0", 3, MSG_NOSIGNAL);  // they leave as they should
      CHECK(status_of(child) == 0);
      ::close(last);
    }
    ::close(twice);
    auto const said = text_of(log);
    std::string const stranger = "trainer: rank 1 of another job (, process 5) called rank 0 of this one\n";
    CHECK(said.find(stranger) == 0);
    CHECK(said.find(stranger, 1) == std::string::npos);
  }
}

TEST_CASE("shares are all of a batch, once, in order", "[property]")
{
  for (int size = 1; size <= 7; ++size)
    for (std::int64_t n = 0; n <= 40; ++n) {
      std::int64_t at = 0;
      for (int rank = 0; rank < size; ++rank) {
        auto const mine = processes::share_of(n, rank, size);
        REQUIRE(mine.begin == at);
        REQUIRE((mine.size() == n / size || mine.size() == (n + size - 1) / size));
        at = mine.end;
      }
      REQUIRE(at == n);
    }
}

TEST_CASE("exchanges give what the whole batch has, and gradients their part", "[reference]")
{
  if (skipped()) return;
  for (int const size : {1, 2, 3}) {
    support::temporary_folder const folder;
    auto const end = run({"exchange", folder / "x"}, size);
    INFO(end.said);
    REQUIRE(all_well(end));
    double counts = 0, squares = 0;
    for (int r = 1; r <= size; ++r) counts += r, squares += r * r;
    for (int r = 0; r < size; ++r) {
      auto const got = tensors(folder / ("x." + std::to_string(r)));
      for (std::int64_t i = 0; i < 10; ++i)
        REQUIRE(got.at("joined").view({-1})[i].item<float>() == static_cast<float>(i));
      for (std::int64_t i = 0; i < 5; ++i) REQUIRE(got.at("labels")[i].item<std::int64_t>() == i);
      // d sum x^2 = 2 x, of the rank's own rows
      auto const& gradient = got.at("gradient");
      for (std::int64_t i = 0; i < gradient.numel(); ++i)
        REQUIRE(gradient.view({-1})[i].item<float>() == 2.f * static_cast<float>(2 * (5 * r / size) + i));
      CHECK(got.at("mean").item<double>() == Approx(squares / counts));
      CHECK(got.at("part").item<double>() == Approx(size == 1 ? 1 : (r + 1) / counts));
      CHECK(got.at("nothing").item<double>() == (size == 1 ? 1 : 0));
      for (int i = 0; i < 5; ++i)
        for (int k : {0, 1}) {
          double const expected = i * size + size * (size - 1) / 2;
          REQUIRE(got.at("sum" + std::to_string(i))[k].item<double>() == expected);
        }
      CHECK(got.at("words").item<int>() == 1);
      CHECK(got.at("alone").item<int>() == (r == 0 ? 1 : 0));
    }
  }
}

TEST_CASE("batch normalisation of shares is torch's of the whole batch", "[reference]")
{
  if (skipped()) return;
  torch::manual_seed(3);
  auto const x = (torch::randn({7, 5, 3, 4}) * torch::arange(1, 6).view({1, 5, 1, 1}) + 40).requires_grad_();
  auto const slope = torch::randn({7, 5, 3, 4});
  auto weight = torch::randn({5}).requires_grad_(), bias = torch::randn({5}).requires_grad_();
  auto mean = torch::zeros({5}), var = torch::ones({5});
  torch::Tensor y;
  for (int i = 0; i < 2; ++i) {
    for (auto& t : {x, weight, bias})
      if (t.grad().defined()) t.grad().zero_();
    y = torch::batch_norm(x, weight, bias, mean, var, true, 0.3, 1e-5, false);
    (y * slope).sum().backward();
  }
  for (int const size : {1, 2, 4}) {
    support::temporary_folder const folder;
    auto const end = run({"norm", folder / "n"}, size);
    INFO(end.said);
    REQUIRE(all_well(end));
    for (int r = 0; r < size; ++r) {
      auto const got = tensors(folder / ("n." + std::to_string(r)));
      auto const mine = processes::share_of(7, r, size);
      for (std::string const name : {"first.", "last."}) {
        CHECK(torch::allclose(got.at(name + "y"), y.slice(0, mine.begin, mine.end), 1e-5, 2e-5));
        CHECK(torch::allclose(got.at(name + "x"), x.grad().slice(0, mine.begin, mine.end), 1e-4, 2e-6));
        CHECK(torch::allclose(got.at(name + "p0"), weight.grad(), 1e-4, 1e-4));
        CHECK(torch::allclose(got.at(name + "p1"), bias.grad(), 1e-5, 1e-5));
      }
      CHECK(torch::allclose(got.at("running_mean"), mean, 1e-6, 1e-6));
      CHECK(torch::allclose(got.at("running_var"), var, 1e-5, 1e-6));
      CHECK(got.at("num_batches_tracked").item<int>() == 2);
    }
  }
}

TEST_CASE("a sample's dropout is the one that it has in one process", "[reference]")
{
  if (skipped()) return;
  torch::manual_seed(11);
  auto const rows = torch::dropout(torch::ones({5, 3, 4, 4}), 0.5, true);
  auto const last =
      torch::dropout(torch::ones({5, 3, 4, 4}).contiguous(torch::MemoryFormat::ChannelsLast), 0.5, true).contiguous();
  REQUIRE(!torch::equal(rows, last));
  for (int const size : {1, 2, 4}) {
    support::temporary_folder const folder;
    auto const end = run({"dropout", folder / "d"}, size);
    INFO(end.said);
    REQUIRE(all_well(end));
    for (int r = 0; r < size; ++r) {
      auto const got = tensors(folder / ("d." + std::to_string(r)));
      auto const mine = processes::share_of(5, r, size);
      CHECK(torch::equal(got.at("rows"), rows.slice(0, mine.begin, mine.end)));
      CHECK(torch::equal(got.at("last"), last.slice(0, mine.begin, mine.end)));
    }
  }
}

TEST_CASE("two and four processes have the losses of one over 50 steps, for every method", "[reference]")
{
  if (skipped()) return;
  // a run of four where a method is not run by four elsewhere; `peaks` has a last batch of one image
  std::vector<std::pair<std::string, std::vector<int>>> const runs{
      {"cam", {2}},           {"field", {2, 4}},    {"peaks", {4}},   {"bestie", {2, 4}},
      {"bestie_points", {2}}, {"uncertainty", {4}}, {"boxinst", {2}}, {"instances", {2, 4}}};
  for (auto const& [task, sizes] : runs) {
    support::temporary_folder const folder;
    auto const one = run({task, folder / "1"}, 1);
    INFO(task << ": " << one.said);
    REQUIRE(all_well(one));
    auto const expected = losses_in(folder / "1.0");
    REQUIRE(expected.size() >= 50);
    for (int const size : sizes) {
      std::string const name = std::to_string(size);
      auto const end = run({task, folder / name}, size);
      INFO(size << " processes: " << end.said);
      REQUIRE(all_well(end));
      auto const got = losses_in(folder / (name + ".0"));
      REQUIRE(got.size() == expected.size());
      for (int r = 1; r < size; ++r) {
        bool const same_bits = losses_in(folder / (name + "." + std::to_string(r))) == got;
        REQUIRE(same_bits);
      }
      double worst = 0;
      for (std::size_t i = 0; i < got.size(); ++i) {
        REQUIRE(got[i].step == expected[i].step);
        REQUIRE(got[i].losses.size() == expected[i].losses.size());
        for (std::size_t k = 0; k < got[i].losses.size(); ++k) {
          auto const& [what, value] = got[i].losses[k];
          double const wanted = expected[i].losses[k].second;
          INFO(task << ", step " << got[i].step << ": " << what << " is " << value << ", of one process " << wanted);
          if (what == "replaced") {  // a share of some hundred pixels, no loss: one may lie at its threshold
            CHECK(std::abs(value - wanted) <= 0.01);
            continue;
          }
          double const apart = std::abs(value - wanted) / std::max(std::abs(wanted), 1e-6);
          worst = std::max(worst, apart);
          CHECK(apart <= 1e-4);
        }
      }
      std::printf("%s, %d processes: losses at most %.1e apart\n", task.c_str(), size, worst);
    }
  }
}

TEST_CASE("a process that dies ends all others within 10 s, and is named", "[property]")
{
  if (skipped()) return;
  struct way {
    char const* task;
    int dead;
    char const* words;
  };
  for (auto const& [task, dead, words] : {way{"instances", 1, "rank 1 of 3"},
                                          {"instances", 0, "rank 0 of 3"},
                                          {"loads", 2, "rank 2 of 3"},
                                          {"loads", 0, "rank 0 of 3"},
                                          {"stops", 1, "rank 1 of 3"}}) {
    support::temporary_folder const folder;
    auto const end = run({task, folder / "x", std::to_string(dead), "7"}, 3);
    INFO(task << ", rank " << dead << ": " << end.said);
    CHECK_THAT(end.said, says(words));
    CHECK_THAT(end.said, says(task == std::string("stops") ? "has been silent for" : "ended unexpectedly"));
    for (int r = 0; r < 3; ++r) {
      if (r == dead) continue;
      CHECK(end.status[static_cast<std::size_t>(r)] == 1);
      CHECK(end.when[static_cast<std::size_t>(r)] < 10);
    }
  }
}

TEST_CASE("a process that fails tells the others why", "[errors]")
{
  if (skipped()) return;
  for (int const dead : {0, 1}) {
    support::temporary_folder const folder;
    auto const end = run({"fails", folder / "x", std::to_string(dead), "0"}, 3);
    INFO(end.said);
    CHECK(end.status == std::vector<int>{1, 1, 1});
    CHECK_THAT(end.said, says(") failed: photograph.jpg: cut off; rank 2 ends, too"));
  }
  support::temporary_folder const folder;
  auto end = run({"differs", folder / "x"}, 2);
  CHECK(end.status == std::vector<int>{1, 1});
  CHECK_THAT(end.said, says("training: rank 1 has '16 images' but rank 0 '17 images'"));
  end = run({"boxes_differ", folder / "boxes"}, 2);
  INFO(end.said);
  CHECK(end.status == std::vector<int>{1, 1});
  CHECK_THAT(end.said, says("run_training: rank 1 has '...steps 50 4 0.0001...' but rank 0 '...steps 50 8 "));
}

TEST_CASE("a training that was killed goes on with the bits it would have had", "[property]")
{
  if (skipped()) return;
  support::temporary_folder const folder;
  REQUIRE(all_well(run({"resumes", folder / "whole"}, 2)));
  for (int const dead : {0, 1}) {
    std::string const name = "killed" + std::to_string(dead);
    auto const end = run({"resumes", folder / name, std::to_string(dead), "27"}, 2);
    INFO(end.said);
    REQUIRE(!all_well(end));
    REQUIRE(!fs::exists(folder / (name + ".weights.0")));
    auto const again = run({"resumes", folder / name}, 2);
    INFO(again.said);
    REQUIRE(all_well(again));
    auto const expected = tensors(folder / "whole.weights.0");
    for (int r : {0, 1})
      for (auto const& [what, t] : tensors(folder / (name + ".weights." + std::to_string(r)))) {
        INFO(what);
        REQUIRE(torch::equal(t, expected.at(what)));
      }
    // rank 0 alone wrote
    CHECK(losses_in(folder / (name + ".1")).size() >= 50 + 7);  // of both runs: 20 to 27 twice
    std::size_t files = 0;
    for (auto const& f : fs::directory_iterator(folder / (name + "_log"))) files += f.is_regular_file();
    CHECK(files == 3);  // checkpoint, log, curves
  }
  // another number of processes goes on, too, up to the order of sums
  auto const end = run({"resumes", folder / "fewer", "1", "27"}, 2);
  REQUIRE(!all_well(end));
  REQUIRE(all_well(run({"resumes", folder / "fewer"}, 1)));
  auto const last = losses_in(folder / "fewer.0").back(), expected = losses_in(folder / "whole.0").back();
  REQUIRE(last.step == 50);
  for (std::size_t k = 0; k < last.losses.size(); ++k)
    CHECK(last.losses[k].second == Approx(expected.losses[k].second).epsilon(1e-4));
}
