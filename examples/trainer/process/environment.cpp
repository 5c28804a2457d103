#include "process/environment.hpp"

#include <cambium/core/error.hpp>

#include <charconv>
#include <cstdlib>
#include <utility>
#include <vector>

namespace trainer::processes {

using cambium::expects;

namespace {

struct family {
  char const* rank;
  char const* size;
};
family constexpr torch_names{"RANK", "WORLD_SIZE"}, open_mpi{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"};

struct number {
  int value;
  std::string said;  ///< "RANK=3"
};

std::optional<number> number_of(variables const& value, char const* name, int least, int most)
{
  auto const text = value(name);
  if (!text) return std::nullopt;
  int n = 0;
  auto const [end, failure] = std::from_chars(text->data(), text->data() + text->size(), n);
  expects(failure == std::errc{} && end == text->data() + text->size() && n >= least && n <= most, "processes: ", name,
          " is '", *text, "'; expected a whole number in ", least, "..", most);
  return number{n, std::string(name) + "=" + *text};
}

/// Rank and size as one family of variables says them.
struct said {
  int rank, size;
  std::string words;
};

std::optional<said> said_by(variables const& value, family const& names)
{
  auto const rank = number_of(value, names.rank, 0, 1 << 20), size = number_of(value, names.size, 1, 1 << 20);
  if (!rank || !size) return std::nullopt;
  std::string const words = rank->said + ", " + size->said;
  expects(rank->value < size->value, "processes: ", words, ": a rank is below the number of processes");
  return said{rank->value, size->value, words};
}

std::uint64_t mixed_in(std::uint64_t h, std::string const& text)
{
  for (char const c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return (h ^ 0xff) * 0x100000001b3u;
}

}  // namespace

std::string first_host(std::string const& list)
{
  auto const bracket = list.find_first_of("[,");
  if (bracket == std::string::npos || list[bracket] == ',') return list.substr(0, bracket);
  auto const end = list.find_first_of("-,]", bracket + 1);
  auto const close = list.find(']', bracket);
  if (end == std::string::npos || close == std::string::npos) return {};
  auto const next = list.find(',', close);
  std::string const behind = list.substr(close + 1, next == std::string::npos ? std::string::npos : next - close - 1);
  return list.substr(0, bracket) + list.substr(bracket + 1, end - bracket - 1) + behind;
}

place place_from(variables const& value)
{
  auto torch = said_by(value, torch_names);
  auto const mpi = said_by(value, open_mpi);
  std::optional<said> slurm;
  if (value("SLURM_STEP_ID"))  // a batch script alone has SLURM_PROCID, too
    slurm = said_by(value, {"SLURM_PROCID", value("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS"});
  auto starter = mpi ? mpi : slurm;  // mpirun within Slurm starts its daemons by srun
  // a shell of srun or mpirun, in which processes were started otherwise
  if (torch && starter && starter->size == 1) starter.reset();

  if (!torch) {
    for (auto const& [there, missing] : {std::pair{"RANK", "WORLD_SIZE"}, {"WORLD_SIZE", "RANK"}}) {
      auto const one = number_of(value, there, 0, 1 << 20);
      if (!one) continue;
      // a script that exports WORLD_SIZE and leaves the rank to srun or mpirun
      expects(starter.has_value(), "processes: ", one->said, " but ", missing, " is not set; set both or neither");
      bool const rank = std::string(there) == "RANK";
      expects(one->value == (rank ? starter->rank : starter->size), "processes: ", one->said, " but ", starter->words);
    }
  } else if (starter && !value("TORCHELASTIC_RUN_ID")) {  // torchrun counts its own processes
    expects(torch->rank == starter->rank && torch->size == starter->size, "processes: ", torch->words, " but ",
            starter->words, "; set RANK and WORLD_SIZE to the same, or not at all");
  }
  for (family const& names : {open_mpi, family{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}}) {
    if (torch || starter) break;
    bool const of_slurm = names.rank == std::string("SLURM_PROCID");
    if (of_slurm && !value("SLURM_STEP_ID")) continue;
    expects(!value(names.rank) && !value(names.size), "processes: ", value(names.rank) ? names.rank : names.size,
            " is set but ", value(names.rank) ? names.size : names.rank, " is not");
  }

  place out;
  auto const by = torch ? torch : starter;
  if (!torch && (!by || by->size == 1)) {
    auto const others = number_of(value, "PMI_SIZE", 0, 1 << 20);  // of MPICH and its kin
    expects(!others || others->value <= 1, "processes: ", others ? others->said : std::string(),
            " speaks of several processes, in a way that is not read here; set RANK, WORLD_SIZE, MASTER_ADDR and "
            "MASTER_PORT in each, or start them by torchrun, Open MPI's mpirun or srun");
  }
  if (!by) return out;
  out.rank = by->rank, out.size = by->size, out.from = by->words;
  if (out.size == 1) return out;

  // Only what the family that counts gives to all processes: each torchrun can have a step of Slurm of its own, and
  // those that mpirun starts on its own machine are in no step.
  std::vector<char const*> names{"SLURM_JOB_ID", "SLURM_STEP_ID"};
  if (torch && (!starter || value("TORCHELASTIC_RUN_ID")))
    names = {"TORCHELASTIC_RUN_ID"};
  else if (mpi)
    names = {value("PMIX_NAMESPACE") ? "PMIX_NAMESPACE" : "SLURM_JOB_ID"};
  std::uint64_t job = 0xcbf29ce484222325u;
  for (char const* const name : names) job = mixed_in(job, value(name).value_or(""));
  out.job = job;

  if (auto const address = value("MASTER_ADDR"); address && !address->empty()) {
    out.host = *address;
  } else if (torch && !starter) {
    expects(false, "processes: ", by->words, " but MASTER_ADDR is not set: it says where rank 0 runs");
  } else if (mpi) {
    auto const here = number_of(value, "OMPI_COMM_WORLD_LOCAL_SIZE", 1, 1 << 20);
    expects(here && here->value == out.size, "processes: ", by->words, here ? ", " + here->said : std::string(),
            ": there are several machines and MASTER_ADDR does not say where rank 0 runs; mpirun -x MASTER_ADDR=HOST");
    out.host = "127.0.0.1";
  } else {
    auto list = value("SLURM_STEP_NODELIST");
    if (!list) list = value("SLURM_NODELIST");
    out.host = list ? first_host(*list) : "";
    expects(!out.host.empty(), "processes: ", by->words, " but neither MASTER_ADDR nor SLURM_STEP_NODELIST",
            list ? "='" + *list + "'" : std::string(), " says where rank 0 runs");
  }
  if (auto const port = number_of(value, "MASTER_PORT", 1, 65535)) {
    out.port = static_cast<std::uint16_t>(port->value);
    auto const agent = value("TORCHELASTIC_USE_AGENT_STORE");
    out.port_is_taken = agent && (*agent == "True" || *agent == "1" || *agent == "true");
  } else {
    expects(!torch || starter, "processes: ", by->words, " but MASTER_PORT is not set: rank 0 listens there");
    out.port = static_cast<std::uint16_t>(20000 + job % 12000);  // below those that systems hand out
  }
  return out;
}

place place_of_this_process()
{
  return place_from([](char const* name) -> std::optional<std::string> {
    char const* const text = std::getenv(name);
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
  });
}

}  // namespace trainer::processes
