#pragma once
// The loop of every training: a step, a line in the log, a checkpoint now and then.

#include "data/loader.hpp"
#include "process/processes.hpp"
#include "run/journal.hpp"
#include "run/optimizer.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace torch::nn {
class Module;
}

namespace trainer {

/// Called after each step; may be empty.
using step_listener = std::function<void(journal_entry const&)>;

/// Where a training writes its log and its checkpoint; without paths it writes nothing.
struct training_record {
  std::filesystem::path log{};         ///< folder of log.jsonl and curves.png
  std::filesystem::path checkpoint{};  ///< file; if it exists, the training resumes from it
  std::int64_t checkpoint_every = 0;   ///< [steps]; 0: the method's own interval
  bool quiet = false;                  ///< the log writes nothing on the terminal
  step_listener each{};                ///< called before the step's checkpoint is saved
};

/// log.jsonl, curves.png and checkpoint.pt in one folder.
[[nodiscard]] training_record record_in(std::filesystem::path const& folder, bool quiet);

struct training_plan {
  std::string recipe{};               ///< a checkpoint with another recipe is refused
  std::int64_t steps = 0;             ///< of the whole training
  std::int64_t checkpoint_every = 0;  ///< [steps] unless the record says otherwise; 0: once a minute
  double most_gradient = 0;           ///< the norm of all gradients is cut to it before each step; 0: it is not
  /// `learn` computes this process's share of each batch, and losses of the whole batch. Several processes refuse a
  /// training that does not.
  bool shares_batches = false;
};

/// The result of one step.
struct step_result {
  double epoch = 0;                                    ///< epochs trained so far; 1.5 is the middle of the second
  std::vector<std::pair<std::string, double>> losses;  ///< by name
};

/// Trains until the optimiser has taken the plan's steps.
///
/// Where several processes train, they begin with rank 0's weights, the gradients of all are summed after `learn`, and
/// rank 0 alone writes. The listener is called in each.
///
/// The last step is always saved. A training that was killed resumes from its checkpoint; its weights are then the same
/// bits as without the interruption.
///
/// @param learn  takes the number of steps so far; computes the losses, calls backward() on their sum and returns them
/// @return the last step; if the checkpoint has all steps: their number, without losses
/// @throws what `learn` and the listener throw; cambium::io_error: log or checkpoint cannot be read or written;
///         cambium::precondition_error: several processes with different plans, or a plan that does not share batches
journal_entry run_training(torch::nn::Module& network, optimizer& rule, training_plan const& plan,
                           training_record const& record, std::function<step_result(std::int64_t)> const& learn);

/// Which samples of a batch are this process's. @throws cambium::precondition_error: fewer samples than processes
[[nodiscard]] processes::share share_of_batch(std::string const& name, std::int64_t batch);

/// The batches of a loader as a function of the step: epoch after epoch, without the rest that does not fill a batch.
/// Where several processes train, each makes its own share of them.
template <class Item, class Collate>
class epoch_batches {
 public:
  /// @param name  of the training, for the message
  /// @throws cambium::precondition_error: the set does not fill a batch
  epoch_batches(std::string const& name, loader<Item>& items, std::int64_t batch, Collate collate)
      : items_(items),
        batch_(static_cast<std::size_t>(batch)),
        per_epoch_(static_cast<std::int64_t>(items.batches(batch_, last_batch::drop))),
        collate_(std::move(collate))
  {
    cambium::expects(per_epoch_ > 0, name, ": ", items.size(), " images do not fill a batch of ", batch);
    auto const mine = share_of_batch(name, batch);
    own_ = static_cast<std::size_t>(mine.size());
    items_.take_only({batch_, static_cast<std::size_t>(mine.begin), static_cast<std::size_t>(mine.end)});
  }

  [[nodiscard]] std::int64_t per_epoch() const { return per_epoch_; }
  /// Epochs in so many steps.
  [[nodiscard]] double epochs(std::int64_t steps) const
  {
    return static_cast<double>(steps) / static_cast<double>(per_epoch_);
  }
  /// The batch of a step. The first step is any; the others follow one by one. @throws what the loader's items throw
  [[nodiscard]] auto operator()(std::int64_t step)
  {
    auto const place = step % per_epoch_;
    if (place == 0 || !started_)
      items_.start(static_cast<std::uint64_t>(step / per_epoch_), static_cast<std::size_t>(place) * batch_);
    started_ = true;
    return *items_.next_batch(own_, last_batch::drop, collate_);
  }

 private:
  loader<Item>& items_;
  std::size_t batch_, own_ = 0;
  std::int64_t per_epoch_;
  Collate collate_;
  bool started_ = false;
};

}  // namespace trainer
