#pragma once
// Several processes on this machine, for those who have no torchrun, srun or mpirun at hand.

namespace trainer::processes {

/// Forks this process into ranks 0 .. count-1 and waits for them. Call it before anything has threads. When one ends
/// with another status than 0, the others have 15 s to end by themselves; then they are killed.
/// @return in the starting process: 0, or the first other status. In a started one: -1, so that it goes on
/// @throws cambium::precondition_error: a count outside 1..1024, a process that is one of several already;
///         cambium::io_error: the system gives no process or port
int launched(int count);

}  // namespace trainer::processes
