#pragma once
// Which of several processes this one is, from what the programs that start processes leave in the environment.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace trainer::processes {

/// The place of a process among those that train together.
struct place {
  int rank = 0;                ///< from 0; rank 0 writes
  int size = 1;                ///< processes
  std::string host;            ///< where rank 0 runs
  std::uint16_t port = 0;      ///< where rank 0 listens
  bool port_is_taken = false;  ///< torchrun itself listens at `port`: rank 0 takes one of those behind it
  std::uint64_t job = 0;       ///< the same in all processes of a job; tells two jobs at one port apart
  std::string from;            ///< the names of the variables that say so
};

/// The value of a variable of the environment; none where it is not set.
using variables = std::function<std::optional<std::string>(char const* name)>;

/// Reads the process's place. One process where no variable speaks of several.
///
///   RANK WORLD_SIZE MASTER_ADDR MASTER_PORT      torchrun --no-python, or a person
///   OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE    mpirun; MASTER_ADDR where there are several machines
///   SLURM_PROCID SLURM_STEP_NUM_TASKS            srun; the first machine of SLURM_STEP_NODELIST, or MASTER_ADDR
///
/// The first of these families that is whole is taken; srun or mpirun of one task beside RANK counts nothing. A batch script of Slurm without srun is one process. Without
/// MASTER_PORT the port is made of the job's number.
///
/// @throws cambium::precondition_error naming the variables: one of a pair is missing, no number, a rank that is not
///         below the size, two families that disagree (but torchrun's beside those of what started torchrun), no
///         address of rank 0, several processes of MPICH (PMI_SIZE) and none of these families
[[nodiscard]] place place_from(variables const& value);

/// As place_from, of the environment of this process.
[[nodiscard]] place place_of_this_process();

/// The first machine of Slurm's list: "node[07-09,12],login1" begins with "node07".
[[nodiscard]] std::string first_host(std::string const& list);

}  // namespace trainer::processes
