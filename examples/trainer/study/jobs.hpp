#pragma once
// Commands in processes of their own, a few at a time, each after those that it waits for.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace trainer::study {

struct job {
  std::string name;
  std::vector<std::string> command;  ///< a program's path and its arguments
  std::filesystem::path log;         ///< gets what the command writes to its terminal; its folder is made
  std::vector<std::size_t> after{};  ///< jobs before it in the list
};

struct job_end {
  std::size_t job = 0;
  std::string failure;  ///< "ended with status 3"; empty: it did what it should
  double seconds = 0;
};

struct job_late {
  std::size_t job = 0;
  double seconds = 0;  ///< since it began
};

/// Runs all jobs, at most `at_once` at a time, in their order where that is possible. A job that fails takes with it
/// those that wait for it; the others go on. When this process is asked to end (SIGINT, SIGTERM, SIGHUP) the jobs are
/// asked to; after 5 s they are killed. If this process is killed, the system ends them (Linux).
/// @param ended  called once for each job, between 0 and at_once - 1 others being at work
/// @param late   asked about each job at work, about once a second, until it returns true
/// @return the signal that ended it all, after which `ended` is called for no further job; otherwise 0
/// @throws cambium::precondition_error: none at once, a job that waits for itself or a later one; what `ended` throws,
///         after the jobs at work were killed
int run_jobs(std::vector<job> const& jobs, std::size_t at_once, std::function<void(job_end const&)> const& ended,
             std::function<bool(job_late const&)> const& late = {});

}  // namespace trainer::study
