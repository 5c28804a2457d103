#include "shard.hpp"

#include "settings.hpp"

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string_view>

namespace labelling {

namespace {

constexpr std::int64_t most = std::numeric_limits<int>::max();

/// Digits and nothing else, 0..most.
bool parse_count(std::string_view text, std::int64_t& out)
{
  auto const [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failure == std::errc{} && stop == text.data() + text.size() && text.front() != '-' && out <= most;
}

/// A variable of the environment; empty is as good as none.
char const* variable(char const* name)
{
  char const* const text = std::getenv(name);
  return text == nullptr || *text == 0 ? nullptr : text;
}

/// @throws usage_error: there is none, or it is no number from `least` on
std::int64_t count_in(char const* name, std::int64_t least)
{
  char const* const text = variable(name);
  if (text == nullptr)
    throw usage_error(std::string("--shard auto: ") + name + " is not set, though others beside it are");
  std::int64_t out = 0;
  if (!parse_count(text, out) || out < least)
    throw usage_error(std::string("--shard auto: ") + name + " is '" + text + "'; expected a number from " +
                      std::to_string(least) + " on");
  return out;
}

shard part(std::int64_t rank, std::int64_t size, std::string const& rank_name, std::string const& size_name)
{
  if (rank >= size)
    throw usage_error("--shard auto: " + rank_name + " is " + std::to_string(rank) + " of " + size_name + " " +
                      std::to_string(size));
  return {static_cast<int>(rank + 1), static_cast<int>(size), rank_name + " and " + size_name};
}

shard array_task()
{
  std::int64_t const id = count_in("SLURM_ARRAY_TASK_ID", 0), count = count_in("SLURM_ARRAY_TASK_COUNT", 1);
  std::int64_t const low = count_in("SLURM_ARRAY_TASK_MIN", 0), high = count_in("SLURM_ARRAY_TASK_MAX", 0);
  std::int64_t const step = variable("SLURM_ARRAY_TASK_STEP") ? count_in("SLURM_ARRAY_TASK_STEP", 1) : 1;
  if (high < low || (high - low) / step + 1 != count || id < low || id > high || (id - low) % step != 0)
    throw usage_error("--shard auto: the " + std::to_string(count) + " tasks of the array are not " +
                      std::to_string(low) + "-" + std::to_string(high) + ":" + std::to_string(step) + ", or " +
                      std::to_string(id) + " is not among them; lists such as --array=1,5,7 need --shard I/N");
  return part((id - low) / step, count, "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT");
}

/// Of the processes that mpirun or srun started together. mpirun is the inner one: it uses srun to reach its hosts.
std::optional<shard> process_of_several()
{
  if (variable("OMPI_COMM_WORLD_RANK"))
    return part(count_in("OMPI_COMM_WORLD_RANK", 0), count_in("OMPI_COMM_WORLD_SIZE", 1), "OMPI_COMM_WORLD_RANK",
                "OMPI_COMM_WORLD_SIZE");
  if (variable("SLURM_STEP_NUM_TASKS"))
    return part(count_in("SLURM_PROCID", 0), count_in("SLURM_STEP_NUM_TASKS", 1), "SLURM_PROCID",
                "SLURM_STEP_NUM_TASKS");
  return std::nullopt;
}

shard from_environment()
{
  auto const inner = process_of_several();
  if (variable("SLURM_ARRAY_TASK_ID")) {
    auto const outer = array_task();
    if (!inner || inner->of == 1) return outer;
    if (outer.of > most / inner->of) throw usage_error("--shard auto: too many tasks");
    return {(outer.number - 1) * inner->of + inner->number, outer.of * inner->of, outer.source + ", " + inner->source};
  }
  if (inner) return *inner;
  if (variable("SLURM_PROCID")) {
    auto const out = part(count_in("SLURM_PROCID", 0), count_in("SLURM_NTASKS", 1), "SLURM_PROCID", "SLURM_NTASKS");
    if (out.number == 1 && out.of > 1)  // the script of a job: its SLURM_PROCID is 0 whatever SLURM_NTASKS is
      throw usage_error("--shard auto: the job has " + std::to_string(out.of) +
                        " tasks, but its script starts label itself; write srun before it");
    return out;
  }
  throw usage_error(
      "--shard auto: neither Slurm (SLURM_ARRAY_TASK_ID, SLURM_PROCID) nor Open MPI (OMPI_COMM_WORLD_RANK) has started "
      "this process; give I/N");
}

}  // namespace

shard shard_of(std::string const& word)
{
  if (word == "auto") return from_environment();
  auto const slash = word.find('/');
  std::int64_t number = 0, of = 0;
  if (slash == std::string::npos || !parse_count(std::string_view(word).substr(0, slash), number) ||
      !parse_count(std::string_view(word).substr(slash + 1), of) || number < 1 || number > of)
    throw usage_error("--shard " + word + ": expected I/N with 1 <= I <= N, or auto");
  return {static_cast<int>(number), static_cast<int>(of), ""};
}

}  // namespace labelling
