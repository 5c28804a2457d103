#pragma once
// The part of the program that talks MPI. on_mpi.cpp is built where MPI is found, on_mpi_none.cpp elsewhere.

#include "hand_out.hpp"

#include <memory>

namespace labelling {

/// Join the processes that mpirun or srun started together. Rank 0 leads. It is destroyed when all have come to that, so
/// that no rank leaves before the summary is written.
/// @throws usage_error: the program was built without MPI; srun started several processes that do not know of each other
std::unique_ptr<crew> join_mpi();

}  // namespace labelling
