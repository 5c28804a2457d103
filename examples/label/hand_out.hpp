#pragma once
// Who gets the next item of work: the threads of one process, or of several that MPI started together (on_mpi.hpp).

#include <cambium/exec/cpu.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <string>

namespace labelling {

/// What became of an image.
struct outcome {
  enum class kind { labelled, kept, failed };
  kind what = kind::labelled;
  std::size_t place = 0;  ///< of the image in the set
  std::string reason{};   ///< why it failed: "file: reason"
};

using report = std::function<void(outcome)>;

/// The workers of a run: one process or several. One process leads: messages, the summary and the status are its own. All
/// processes call the same functions in the same order.
class crew {
 public:
  /// What is done with an item. Several items are worked on at once. Each of an item's images is reported.
  using work = std::function<void(cambium::cpu const& where, std::size_t item, report const& tell)>;

  crew() = default;
  virtual ~crew() = default;
  crew(crew const&) = delete;
  crew& operator=(crew const&) = delete;

  virtual bool leads() const = 0;
  virtual int processes() const = 0;

  /// A vote: all processes go on, or none does.
  /// @param complaint  why this process cannot go on; empty if it can
  /// @throws usage_error in every process if one has a complaint: the first one's, with the name of its rank and host
  virtual void expects_ready(std::string const& complaint) = 0;

  /// Give the leader's text to all.
  virtual void share(std::string& text) = 0;

  /// Hand out items 0..count-1, in this order, to whoever is free. With at least as many items as threads an item gets
  /// one thread, else all of its process's.
  /// @param each  must not throw
  /// @param done  gets what the workers report, one outcome at a time, in the process that leads
  virtual void hand_out(cambium::cpu const& where, std::size_t count, work const& each, report const& done) = 0;
};

/// Of how many processes a job system started this one, and the variable that says so.
struct started_together {
  int processes = 1;
  std::string variable{};
};
/// By the environment of Open MPI, Slurm and MPICH.
started_together processes_of_job();

/// What `attempt` throws, in words; empty if it does not.
template <class Attempt>
std::string complaint_of(Attempt const& attempt)
{
  try {
    attempt();
    return "";
  } catch (std::exception const& e) {
    return e.what();
  }
}

/// The threads of this process.
class lone_process final : public crew {
 public:
  bool leads() const override { return true; }
  int processes() const override { return 1; }
  void expects_ready(std::string const& complaint) override;
  void share(std::string&) override {}
  void hand_out(cambium::cpu const& where, std::size_t count, work const& each, report const& done) override;
};

}  // namespace labelling
