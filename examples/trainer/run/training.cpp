#include "run/training.hpp"

#include "run/checkpoint.hpp"

#include <torch/nn/module.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim.h>

#include <cambium/core/error.hpp>

#include <chrono>
#include <optional>

namespace trainer {

training_record record_in(std::filesystem::path const& folder, bool quiet)
{
  return {.log = folder, .checkpoint = folder / "checkpoint.pt", .quiet = quiet};
}

processes::share share_of_batch(std::string const& name, std::int64_t batch)
{
  cambium::expects(batch >= processes::size(), name, ": a batch of ", batch, " images for ", processes::size(),
                   " processes; each needs one at least");
  return processes::share_of(batch);
}

namespace {

/// Weights, moments and step of the checkpoint, or rank 0's weights, in every process.
void begin(torch::nn::Module& network, optimizer& rule, training_plan const& plan,
           std::filesystem::path const& checkpoint)
{
  if (processes::from_first(!checkpoint.empty() && std::filesystem::exists(checkpoint))) {
    auto const file = processes::from_first(processes::first() ? read_checkpoint(checkpoint) : std::string());
    restore_checkpoint(file, checkpoint.string(), network, rule, plan.recipe);
    return;
  }
  processes::from_first(network.parameters());
  processes::from_first(network.buffers());
}

std::vector<at::Tensor> parameters_of(optimizer const& rule)
{
  std::vector<at::Tensor> out;
  for (auto const& group : rule.inner().param_groups())
    for (auto const& p : group.params()) out.push_back(p);
  return out;
}

/// A parameter that the loss does not reach has no gradient, in any process.
std::vector<at::Tensor> gradients_of(std::vector<at::Tensor> const& parameters)
{
  std::vector<at::Tensor> out;
  for (auto const& p : parameters)
    if (p.grad().defined()) out.push_back(p.grad());
  return out;
}

}  // namespace

journal_entry run_training(torch::nn::Module& network, optimizer& rule, training_plan const& plan,
                           training_record const& record, std::function<step_result(std::int64_t)> const& learn)
{
  cambium::expects(record.checkpoint_every >= 0, "run_training: checkpoint_every is ", record.checkpoint_every);
  bool const kept = !record.checkpoint.empty();
  auto const every = record.checkpoint_every > 0 ? record.checkpoint_every : plan.checkpoint_every;
  cambium::expects(plan.shares_batches || processes::size() == 1,
                   "run_training: this method trains as one process only; there are ", processes::size());
  processes::expects_same(plan.recipe + " steps " + std::to_string(plan.steps), "run_training");
  begin(network, rule, plan, record.checkpoint);
  auto const learned = parameters_of(rule);
  bool const writes = processes::first();
  std::optional<journal> log;
  if (!record.log.empty() && writes)
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
    processes::sum(gradients_of(learned));
    if (plan.most_gradient > 0) torch::nn::utils::clip_grad_norm_(learned, plan.most_gradient);
    double const rate = rule.step();
    last = {rule.steps(), result.epoch, rate, std::move(result.losses), seconds_since(start)};
    if (log) log->write(last);
    if (record.each) record.each(last);
    bool const due = every > 0 ? last.step % every == 0 : seconds_since(saved) > 60;
    if (kept && writes && (due || last.step == plan.steps)) {
      save_checkpoint(record.checkpoint, network, rule, plan.recipe);
      saved = clock::now();
    }
  }
  if (log) log->draw();
  return last;
}

}  // namespace trainer
