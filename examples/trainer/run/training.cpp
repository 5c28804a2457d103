#include "run/training.hpp"

#include "run/checkpoint.hpp"

#include <torch/nn/module.h>

#include <cambium/core/error.hpp>

#include <chrono>
#include <optional>

namespace trainer {

training_record record_in(std::filesystem::path const& folder, bool quiet)
{
  return {.log = folder, .checkpoint = folder / "checkpoint.pt", .quiet = quiet};
}

journal_entry run_training(torch::nn::Module& network, optimizer& rule, training_plan const& plan,
                           training_record const& record, std::function<step_result(std::int64_t)> const& learn)
{
  cambium::expects(record.checkpoint_every >= 0, "run_training: checkpoint_every is ", record.checkpoint_every);
  bool const kept = !record.checkpoint.empty();
  auto const every = record.checkpoint_every > 0 ? record.checkpoint_every : plan.checkpoint_every;
  if (kept && std::filesystem::exists(record.checkpoint))
    restore_checkpoint(record.checkpoint, network, rule, plan.recipe);
  std::optional<journal> log;
  if (!record.log.empty())
    log.emplace(record.log, rule.steps(), journal_options{.steps = plan.steps, .quiet = record.quiet});

  using clock = std::chrono::steady_clock;
  auto const seconds_since = [](auto t) { return std::chrono::duration<double>(clock::now() - t).count(); };
  auto const start = clock::now();
  auto saved = start;
  journal_entry last;
  last.step = rule.steps();
  while (rule.steps() < plan.steps) {
    rule.zero_grad();
    auto result = learn(rule.steps());
    double const rate = rule.step();
    last = {rule.steps(), result.epoch, rate, std::move(result.losses), seconds_since(start)};
    if (log) log->write(last);
    if (record.each) record.each(last);
    bool const due = every > 0 ? last.step % every == 0 : seconds_since(saved) > 60;
    if (kept && (due || last.step == plan.steps)) {
      save_checkpoint(record.checkpoint, network, rule, plan.recipe);
      saved = clock::now();
    }
  }
  if (log) log->draw();
  return last;
}

}  // namespace trainer
