#pragma once
// Which part of the images a process labels, if several processes divide them without knowing of each other.

#include <string>

namespace labelling {

struct shard {
  int number = 1, of = 1;   ///< 1..of
  std::string source = "";  ///< the variables that say so
};

/// The shard that --shard names: I/N, or "auto" for what the job system's environment says:
///
/// - Open MPI: OMPI_COMM_WORLD_RANK of OMPI_COMM_WORLD_SIZE;
/// - else a step of Slurm: SLURM_PROCID of SLURM_STEP_NUM_TASKS, which is SLURM_NTASKS without one;
/// - an array of Slurm: SLURM_ARRAY_TASK_ID among SLURM_ARRAY_TASK_MIN, MIN + STEP, ..., MAX. Where a task of an array starts
///   several processes, each has a part of the task's part.
///
/// @throws usage_error
shard shard_of(std::string const& word);

}  // namespace labelling
