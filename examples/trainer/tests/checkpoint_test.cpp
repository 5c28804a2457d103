#include "run/checkpoint.hpp"
#include "run/optimizer.hpp"
#include "run/seed.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::io_error;
using support::refusal;
using torch::Tensor;

namespace {

/// A small network with all that can be forgotten: weights, running means, dropout, a layer that nothing uses.
struct small_net : torch::nn::Module {
  explicit small_net(int width = 6, bool extra = false)
  {
    first = register_module("first", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, width, 3).padding(1)));
    norm = register_module("norm", torch::nn::BatchNorm2d(width));
    drop = register_module("drop", torch::nn::Dropout(0.3));
    last = register_module("last", torch::nn::Linear(width, 4));
    unused = register_module("unused", torch::nn::Linear(2, 2));
    if (extra) register_module("extra", torch::nn::Linear(2, 2));
  }
  Tensor forward(Tensor const& x)
  {
    return last->forward(drop->forward(torch::relu(norm->forward(first->forward(x))).mean({2, 3})));
  }
  torch::nn::Conv2d first{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Dropout drop{nullptr};
  torch::nn::Linear last{nullptr}, unused{nullptr};
};

/// A training of it, made from nothing as a new process would.
struct training {
  explicit training(bool adam) : optimiser(rule_of(net, adam)) { net.train(); }
  static optimizer rule_of(small_net const& net, bool adam)
  {
    if (adam) return optimizer::adam({{net.parameters()}}, rates_of(poly_schedule{0.01, 10, 0.9, 3}));
    return optimizer::sgd({{net.parameters(), 1}}, rates_of(poly_schedule{0.1, 10}), {1e-4, 0.9});
  }
  void run(int steps)
  {
    for (int i = 0; i < steps; ++i) {
      optimiser.zero_grad();
      Tensor const x = torch::randn({4, 3, 8, 8});  // from torch's own generator: its state must come back too
      (net.forward(x) - 1).pow(2).mean().backward();
      optimiser.step();
    }
  }
  small_net net;
  optimizer optimiser;
};

bool same_bits(torch::nn::Module const& a, torch::nn::Module const& b)
{
  auto const pa = a.named_parameters(), pb = b.named_parameters();
  auto const ba = a.named_buffers(), bb = b.named_buffers();
  bool same = pa.size() == pb.size() && ba.size() == bb.size();
  for (auto const& p : pa) same = same && torch::equal(p.value(), pb[p.key()]);
  for (auto const& p : ba) same = same && torch::equal(p.value(), bb[p.key()]);
  return same;
}

/// Layers of one shape, so that only their order tells them apart; the n-th parameter always has the gradient n.
struct exact_training {
  explicit exact_training(bool adam) : optimiser(rule_of(net, adam))
  {
    torch::NoGradGuard const still;
    float value = 0;
    for (Tensor& p : net->parameters())
      p.copy_(torch::arange(p.numel(), torch::kFloat32).view(p.sizes()) / 8 + ++value);
    net->named_buffers()["seen"].fill_(5);
  }
  struct three : torch::nn::Module {
    three()
    {
      for (char const* name : {"a", "b", "c"}) register_module(name, torch::nn::Linear(2, 2));
      register_buffer("seen", torch::zeros({1}, torch::kInt64));
    }
  };
  /// Rates and settings are powers of two: SGD rounds nothing. Adam, which takes roots, stands still.
  static optimizer rule_of(std::shared_ptr<three> const& net, bool adam)
  {
    if (adam) return optimizer::adam({{net->parameters()}}, [](std::int64_t) { return 0.; }, {0.5, 0.75});
    return optimizer::sgd({{net->parameters()}}, [](std::int64_t) { return 0.25; }, {0, 0.5});
  }
  void step()
  {
    float by = 0;
    for (Tensor& p : net->parameters())
      if (++by != 6) p.mutable_grad() = torch::full_like(p, by);  // the loss never reaches the last one
    optimiser.step();
  }
  std::shared_ptr<three> net = std::make_shared<three>();
  optimizer optimiser;
};

c10::Dict<c10::IValue, c10::IValue> read_again(std::filesystem::path const& file)
{
  cambium::bytes const all = cambium::read_file(file);
  return torch::pickle_load({all.begin(), all.end()}).toGenericDict();
}

}  // namespace

TEST_CASE("checkpoint: five steps, a new process, five steps are ten steps", "[property]")
{
  support::temporary_folder const folder;
  auto const file = folder / "run/state.ckpt";
  for (bool const adam : {false, true}) {
    seed_everything(7);
    training whole(adam);
    whole.run(10);

    seed_everything(7);
    training first(adam);
    first.run(5);
    save_checkpoint(file, first.net, first.optimiser, "recipe");
    REQUIRE_FALSE(same_bits(first.net, whole.net));

    seed_everything(123);  // all that the new process does before it resumes must not matter
    training second(adam);
    second.run(2);
    CHECK(restore_checkpoint(file, second.net, second.optimiser, "recipe") == 5);
    CHECK(second.optimiser.steps() == 5);
    CHECK(same_bits(second.net, first.net));
    second.run(5);
    CHECK(same_bits(second.net, whole.net));

    training forgetful(adam);  // the moments count
    restore_model(file, forgetful.net);
    CHECK(same_bits(forgetful.net, first.net));
    forgetful.run(5);
    CHECK_FALSE(same_bits(forgetful.net, whole.net));
  }
}

TEST_CASE("checkpoint: of a training that has not begun", "[property]")
{
  support::temporary_folder const folder;
  auto const file = folder / "state.ckpt";
  seed_everything(7);
  training a(true);
  save_checkpoint(file, a.net, a.optimiser, "");
  a.run(3);
  training b(true);
  b.run(4);  // its moments must be forgotten
  CHECK(restore_checkpoint(file, b.net, b.optimiser, "") == 0);
  b.run(3);
  CHECK(same_bits(a.net, b.net));
}

TEST_CASE("checkpoint: what does not fit is named, and nothing is changed", "[errors]")
{
  support::temporary_folder const folder;
  auto const file = folder / "state.ckpt";
  seed_everything(7);
  training t(false);
  t.run(2);
  save_checkpoint(file, t.net, t.optimiser, "{\"crop\":512}");
  auto const into = [&](auto& net, optimizer& o, std::string const& recipe) {
    auto const before = net.parameters()[0].clone();
    std::string const words = refusal([&] { restore_checkpoint(file, net, o, recipe); });
    CHECK(torch::equal(before, net.parameters()[0]));
    CHECK(words.find(file.string()) == 0);
    return words;
  };
  auto const contains = [](std::string const& words, char const* part) {
    INFO(words);
    CHECK(words.find(part) != std::string::npos);
  };
  std::string const recipe = "{\"crop\":512}";
  auto const rates = rates_of(poly_schedule{0.1, 10});

  contains(into(t.net, t.optimiser, "{\"crop\":416}"), "512");
  small_net wide(7);
  auto o = optimizer::sgd({{wide.parameters()}}, rates);
  contains(into(wide, o, recipe), "first.bias is [6]");
  small_net more(6, true);
  auto p = optimizer::sgd({{more.parameters()}}, rates);
  contains(into(more, p, recipe), "has no extra.bias");
  training other(true);
  contains(into(other.net, other.optimiser, recipe), "optimizer is sgd, not adam");
  small_net fewer;
  auto q = optimizer::sgd({{fewer.last->parameters()}}, rates);
  contains(into(fewer, q, recipe), "8 parameters, not 2");
  small_net turned;
  auto order = turned.parameters();
  std::swap(order[0], order[1]);
  auto r = optimizer::sgd({{order}}, rates);
  contains(into(turned, r, recipe), "optimizer/0/momentum_buffer is [6, 3, 3, 3]");
  torch::nn::Linear none(1, 1);
  contains(refusal([&] { restore_model(file, *none); }), "has no bias, which the model has");
  small_net larger(6, true);
  auto s = optimizer::sgd({{larger.parameters()}}, rates);
  save_checkpoint(file, larger, s, recipe);
  contains(into(t.net, t.optimiser, recipe), "has extra.bias, which the model does not have");
}

TEST_CASE("checkpoint: no damage goes unseen", "[errors]")
{
  support::temporary_folder const folder;
  auto const file = folder / "state.ckpt", hurt = folder / "hurt.ckpt";
  seed_everything(7);
  training t(true);
  t.run(1);
  save_checkpoint(file, t.net, t.optimiser, "r");
  cambium::bytes const good = cambium::read_file(file);
  auto const words = [&](cambium::bytes const& content) {
    cambium::replace_file(hurt, content);
    return refusal([&] { restore_checkpoint(hurt, t.net, t.optimiser, "r"); });
  };
  CHECK(words(good).empty());
  CHECK(refusal([&] {
          restore_checkpoint(folder / "none.ckpt", t.net, t.optimiser, "r");
        }).find("none.ckpt: No such") != std::string::npos);
  CHECK(words({}).find("hurt.ckpt: is not a checkpoint") != std::string::npos);
  CHECK(words({'n', 'o'}).find("hurt.ckpt: is not a checkpoint") != std::string::npos);
  torch::save(torch::ones(3), hurt.string());
  CHECK(refusal([&] { restore_model(hurt, t.net); }).find("hurt.ckpt: is not a checkpoint") != std::string::npos);
  for (std::size_t length = 1; length < good.size(); length += 997)
    CHECK_FALSE(words({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)}).empty());
  // A turned bit is told, or it lies where nothing is read: then what is restored is what was saved.
  auto const saved = t.net.parameters();
  std::vector<Tensor> want;
  for (Tensor const& p : saved) want.push_back(p.detach().clone());
  int told = 0, tried = 0;
  for (std::size_t at = 5; at < good.size(); at += 211, ++tried) {
    cambium::bytes bad = good;
    bad[at] ^= 4;
    if (!words(bad).empty())
      ++told;
    else
      for (std::size_t i = 0; i < saved.size(); ++i) CHECK(torch::equal(saved[i], want[i]));
  }
  INFO(told << " of " << tried);
  CHECK(told * 4 > tried);
}

TEST_CASE("checkpoint: a file that cannot be written leaves the old one", "[errors]")
{
  support::temporary_folder const folder;
  std::filesystem::create_directory(folder / "taken");
  training t(false);
  CHECK(refusal([&] { save_checkpoint(folder / "taken", t.net, t.optimiser, ""); }).find("taken") != std::string::npos);
  CHECK(std::filesystem::is_directory(folder / "taken"));
}

TEST_CASE("checkpoint: moments come back to the parameters they are of", "[property]")
{
  support::temporary_folder const folder;
  exact_training first(false);
  first.step();
  save_checkpoint(folder / "state.ckpt", *first.net, first.optimiser, "");
  exact_training second(false);
  restore_checkpoint(folder / "state.ckpt", *second.net, second.optimiser, "");
  auto const before = first.net->parameters();
  for (Tensor& p : second.net->parameters()) p.mutable_grad() = torch::zeros_like(p);
  second.optimiser.step();  // only what is remembered moves a parameter: rate 0.25 * momentum 0.5 * its first gradient
  auto const after = second.net->parameters();
  for (std::size_t i = 0; i < before.size(); ++i) {
    INFO("parameter " << i);
    CHECK(torch::equal(before[i] - after[i],
                       torch::full_like(before[i], i == 5 ? 0. : 0.125 * (static_cast<double>(i) + 1))));
  }
}

TEST_CASE("checkpoint: LibTorch's version changes neither names nor content", "[reference]")
{
  support::temporary_folder const folder;
  auto const file = folder / "state.ckpt";
  std::vector<std::string> const parameters{"a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias"};
  for (bool const adam : {false, true}) {
    seed_everything(7);
    exact_training t(adam);
    t.step(), t.step();
    save_checkpoint(file, *t.net, t.optimiser, "recipe");
    auto const dictionary = read_again(file);
    std::map<std::string, std::string> kinds, expected;
    for (auto const& entry : dictionary) {
      c10::IValue const& v = entry.value();
      kinds[entry.key().toStringRef()] = v.isTensor() ? c10::toString(v.toTensor().scalar_type()) : v.tagKind();
    }
    for (auto const& name : parameters) expected["model/" + name] = "Float";
    expected["model/seen"] = "Long";
    for (int i = 0; i < 5; ++i) {
      std::string const at = "optimizer/" + std::to_string(i) + "/";
      if (adam)
        expected[at + "step"] = "Long", expected[at + "exp_avg"] = expected[at + "exp_avg_sq"] = "Float";
      else
        expected[at + "momentum_buffer"] = "Float";
    }
    expected["random"] = "Byte";
    for (char const* text : {"format", "recipe", "optimizer", "parameters"}) expected[text] = "String";
    expected["step"] = expected["checksum"] = "Int";
    CHECK(kinds == expected);
    // As LibTorch 1.13, 2.1, 2.6, 2.14 and 2.15 wrote it.
    CHECK(dictionary.at("checksum").toInt() == (adam ? 0x69a9a8a72636a6b1 : 0xf63c1dd159501ef));
    CHECK(torch::equal(dictionary.at("model/b.bias").toTensor(),
                       4 + torch::arange(2, torch::kFloat32) / 8 - (adam ? 0 : 0.25 * (4 + 6))));
  }
}

TEST_CASE("checkpoint: files of other LibTorch versions go on", "[.versions]")
{
  // CAMBIUM_CHECKPOINTS is a folder where builds with several LibTorch leave their files for each other.
  char const* const place = std::getenv("CAMBIUM_CHECKPOINTS");
  if (place == nullptr) return;
  std::filesystem::path const folder = place;
  for (bool const adam : {false, true}) {
    seed_everything(7);
    exact_training whole(adam);
    whole.step(), whole.step();
    std::string const kind = adam ? ".adam" : ".sgd";
    save_checkpoint(folder / (TORCH_VERSION + kind), *whole.net, whole.optimiser, "recipe");
    Tensor const dice = torch::randn({100});
    whole.step();
    support::temporary_folder const here;
    save_checkpoint(here / "whole", *whole.net, whole.optimiser, "recipe");
    for (auto const& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != kind) continue;
      WARN(TORCH_VERSION << " reads " << entry.path().filename().string());
      seed_everything(1);
      exact_training again(adam);
      CHECK(restore_checkpoint(entry.path(), *again.net, again.optimiser, "recipe") == 2);
      CHECK(torch::equal(torch::randn({100}), dice));
      again.step();
      save_checkpoint(here / "again", *again.net, again.optimiser, "recipe");
      CHECK(read_again(here / "again").at("checksum").toInt() == read_again(here / "whole").at("checksum").toInt());
    }
  }
}
