// The loop that all trainings share: how many steps, which batches, when a checkpoint is saved, what is logged.

#include "run/training.hpp"

#include "run/sample_order.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::precondition_error;

namespace {

/// A line that learns from numbers; `seen` gets the step numbers that it was asked for.
struct trial {
  torch::nn::Linear line{1, 1};
  optimizer rule;
  std::vector<std::int64_t> seen;

  trial() : rule((torch::manual_seed(1), optimizer::adam({{line->parameters()}}, [](auto) { return 0.1; }))) {}

  journal_entry run(training_plan const& plan, training_record const& record = {})
  {
    return run_training(*line, rule, plan, record, [&](std::int64_t step) -> step_result {
      seen.push_back(step);
      auto const loss = (line->forward(torch::full({1, 1}, static_cast<double>(step))) - 1).square().sum();
      loss.backward();
      return {static_cast<double>(step + 1) / 4, {{"square", loss.item<double>()}}};
    });
  }
};

using steps = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("run_training: steps, listener, log and the last entry say the same", "[property]")
{
  support::temporary_folder const folder;
  trial one;
  std::vector<journal_entry> told;
  auto record = record_in(folder / "a", true);
  record.each = [&](journal_entry const& e) { told.push_back(e); };
  auto const last = one.run({"words", 5, 2}, record);
  CHECK(one.seen == steps{0, 1, 2, 3, 4});
  auto const log = read_journal(folder / "a/log.jsonl");
  REQUIRE((log.size() == 5 && told.size() == 5));
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK((log[i].step == told[i].step && log[i].epoch == told[i].epoch && log[i].losses == told[i].losses));
    CHECK((told[i].epoch == static_cast<double>(i + 1) / 4 && told[i].rate == 0.1));
  }
  CHECK((last.step == 5 && last.losses == told[4].losses));
  CHECK(std::filesystem::exists(folder / "a/curves.png"));

  // A training that is over takes no step and keeps its log.
  trial again;
  auto const over = again.run({"words", 5, 2}, record);
  CHECK((again.seen.empty() && over.step == 5 && over.losses.empty()));
  CHECK(torch::equal(again.line->weight, one.line->weight));
  CHECK((read_journal(folder / "a/log.jsonl") == log));
}

TEST_CASE("run_training: checkpoints are saved at the plan's or the record's interval, and at the end", "[property]")
{
  support::temporary_folder const folder;
  struct kill {};
  // The step from which a training resumes that was killed after `die`, before that step's checkpoint.
  auto const resumes_at = [&](std::int64_t of_plan, std::int64_t of_record, std::int64_t die) {
    training_record record{.checkpoint = folder / "c.pt", .checkpoint_every = of_record};
    record.each = [&](journal_entry const& e) {
      if (e.step == die) throw kill{};
    };
    std::filesystem::remove(record.checkpoint);
    trial killed, resumed, whole;
    CHECK_THROWS_AS(killed.run({"words", 9, of_plan}, record), kill);
    record.each = {};
    resumed.run({"words", 9, of_plan}, record);
    whole.run({"words", 9, of_plan});
    CHECK(torch::equal(resumed.line->weight, whole.line->weight));
    trial over;
    CHECK(over.run({"words", 9, of_plan}, record).step == 9);
    CHECK(over.seen.empty());
    return resumed.seen.at(0);
  };
  CHECK(resumes_at(4, 0, 7) == 4);
  CHECK(resumes_at(4, 0, 8) == 4);
  CHECK(resumes_at(4, 3, 8) == 6);
  CHECK(resumes_at(0, 0, 8) == 0);  // a minute is not over
  CHECK(resumes_at(0, 1, 8) == 7);
}

TEST_CASE("run_training: what is wrong is named", "[errors]")
{
  support::temporary_folder const folder;
  trial one, other;
  CAMBIUM_THROWS_SAYING(one.run({"words", 2, 0}, {.checkpoint_every = -1}), precondition_error,
                        "run_training: checkpoint_every is -1");
  one.run({"words", 2, 0}, {.checkpoint = folder / "c.pt"});
  CHECK_THROWS_WITH(other.run({"others", 2, 0}, {.checkpoint = folder / "c.pt"}), says("is of another training"));
  loader<std::size_t> items(3, 1, 0, [](std::size_t i, std::uint64_t) { return i; });
  auto const as_they_are = [](std::vector<std::size_t>&& all) { return std::move(all); };
  CAMBIUM_THROWS_SAYING(epoch_batches("cam", items, 4, as_they_are), precondition_error,
                        "cam: 3 images do not fill a batch of 4");
}

TEST_CASE("epoch_batches: the batches from any step on are those of a training from the start", "[property]")
{
  auto const from = [](std::int64_t first, int workers) {
    loader<std::size_t> items(7, 5, workers, [](std::size_t i, std::uint64_t) { return i; });
    epoch_batches batches("a", items, 2, [](std::vector<std::size_t>&& all) { return std::move(all); });
    CHECK((batches.per_epoch() == 3 && batches.epochs(4) == 4.0 / 3));
    std::vector<std::vector<std::size_t>> out;
    for (auto step = first; step < 8; ++step) out.push_back(batches(step));
    return out;
  };
  auto const whole = from(0, 2);
  for (std::int64_t first = 0; first < 8; ++first)
    CHECK(from(first, static_cast<int>(first % 3)) == std::vector(whole.begin() + first, whole.end()));
  for (std::size_t epoch = 0; epoch < 2; ++epoch) {  // each image once an epoch at most
    std::set<std::size_t> seen;
    for (std::size_t i = 0; i < 3; ++i) seen.insert(whole[3 * epoch + i].begin(), whole[3 * epoch + i].end());
    CHECK(seen.size() == 6);
  }
}

TEST_CASE("sample_order: an epoch has each image once, and any sample can be the first", "[property]")
{
  sample_order whole(5, 3);
  std::vector<sample_order::sample> all;
  for (std::int64_t n = 0; n < 15; ++n) all.push_back(whole(n));
  std::set<std::vector<std::size_t>> orders;
  std::set<std::uint64_t> seeds;
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::size_t> order;
    for (std::size_t k = 0; k < 5; ++k) order.push_back(all[5 * epoch + k].item), seeds.insert(all[5 * epoch + k].seed);
    orders.insert(order);
    CHECK(std::set(order.begin(), order.end()).size() == 5);
  }
  CHECK((orders.size() == 3 && seeds.size() == 15));
  for (std::int64_t n = 0; n < 15; ++n) {
    auto const alone = sample_order(5, 3)(n);
    CHECK((alone.item == all[static_cast<std::size_t>(n)].item && alone.seed == all[static_cast<std::size_t>(n)].seed));
  }
}
