#include "on_mpi.hpp"

#include "settings.hpp"

namespace labelling {

std::unique_ptr<crew> join_mpi()
{
  throw usage_error(
      "--mpi: this program was built without MPI; install Open MPI (on Debian libopenmpi-dev and openmpi-bin) and "
      "build it again, or use --shard");
}

}  // namespace labelling
