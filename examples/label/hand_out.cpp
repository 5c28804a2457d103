#include "hand_out.hpp"

#include "settings.hpp"

#include <cambium/exec/parallel.hpp>

#include <cstdlib>
#include <mutex>
#include <utility>

namespace labelling {

using namespace cambium;

started_together processes_of_job()
{
  for (char const* const name : {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"}) {
    char const* const text = std::getenv(name);
    if (int const processes = text == nullptr ? 1 : std::atoi(text); processes > 1) return {processes, name};
  }
  return {};
}

void lone_process::expects_ready(std::string const& complaint)
{
  if (!complaint.empty()) throw usage_error(complaint);
}

void lone_process::hand_out(cpu const& where, std::size_t count, work const& each, report const& done)
{
  std::mutex guard;
  report const tell = [&](outcome o) {
    std::lock_guard const lock(guard);
    done(std::move(o));
  };
  for_each_item(where, static_cast<index_t>(count),
                [&](cpu const& here, index_t i) { each(here, static_cast<std::size_t>(i), tell); });
}

}  // namespace labelling
