#pragma once
// A training's steps into its log, which begins where the training does: at 0, or behind a checkpoint.

#include "run/journal.hpp"

#include <filesystem>
#include <optional>
#include <utility>

namespace trainer {

class logged {
 public:
  logged(std::filesystem::path folder, journal_options options) : folder_(std::move(folder)), options_(options) {}

  void operator()(journal_entry const& e)
  {
    if (!log_) log_.emplace(folder_, e.step - 1, options_);
    log_->write(e);
  }
  /// Draws the curves, if there was a step.
  void draw() const
  {
    if (log_) log_->draw();
  }

 private:
  std::filesystem::path folder_;
  journal_options options_;
  std::optional<journal> log_;
};

}  // namespace trainer
