#pragma once
// The loop of trainings that count in epochs: batches in, one step each, lines in a log, a checkpoint now and then.

#include "data/loader.hpp"
#include "run/checkpoint.hpp"
#include "run/journal.hpp"
#include "run/optimizer.hpp"

#include <torch/nn/module.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace trainer {

/// Where a training leaves its log and its checkpoint, and from where it goes on.
struct training_record {
  std::filesystem::path folder;  ///< "" keeps nothing
  std::string name;              ///< of the training, for the terminal
  bool quiet = false;            ///< nothing on the terminal
  double checkpoint_seconds = 60;
};

/// Trains for some epochs.
///
/// With a folder: log.jsonl, curves.png, checkpoint.pt; a training that was killed goes on from its checkpoint with the
/// bits it would have had.
///
/// @param recipe   what the training is; another recipe's checkpoint is refused
/// @param learn    of a batch: compute losses, call backward() on their sum, and return their values by name
/// @return the last step's losses
/// @throws what the loader's items throw; cambium::io_error: the record
template <class Item, class Collate, class Learn>
std::vector<std::pair<std::string, double>> run_training(torch::nn::Module& network, optimizer& rule,
                                                         loader<Item>& items, std::size_t batch, int epochs,
                                                         std::string const& recipe, training_record const& record,
                                                         Collate const& collate, Learn const& learn)
{
  auto const per_epoch = static_cast<std::int64_t>(items.batches(batch, last_batch::drop));
  cambium::expects(per_epoch > 0, record.name, ": ", items.size(), " images do not fill a batch of ", batch);
  std::int64_t const total = per_epoch * epochs;
  auto const checkpoint = record.folder / "checkpoint.pt";
  bool const kept = !record.folder.empty();
  if (kept && std::filesystem::exists(checkpoint)) restore_checkpoint(checkpoint, network, rule, recipe);
  std::optional<journal> log;
  if (kept) log.emplace(record.folder, rule.steps(), journal_options{.steps = total, .quiet = record.quiet});

  using clock = std::chrono::steady_clock;
  auto saved = clock::now();
  std::vector<std::pair<std::string, double>> losses;
  while (rule.steps() < total) {
    auto const epoch = rule.steps() / per_epoch;
    items.start(static_cast<std::uint64_t>(epoch), static_cast<std::size_t>(rule.steps() % per_epoch) * batch);
    while (auto const taken = items.next_batch(batch, last_batch::drop, collate)) {
      rule.zero_grad();
      losses = learn(*taken);
      double const rate = rule.step();
      if (log)
        log->write({.step = rule.steps(),
                    .epoch = static_cast<double>(rule.steps()) / static_cast<double>(per_epoch),
                    .rate = rate,
                    .losses = losses});
      if (kept && (rule.steps() == total ||
                   std::chrono::duration<double>(clock::now() - saved).count() > record.checkpoint_seconds)) {
        save_checkpoint(checkpoint, network, rule, recipe);
        saved = clock::now();
      }
    }
  }
  if (log) log->draw();
  return losses;
}

}  // namespace trainer
