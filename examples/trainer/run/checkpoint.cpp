#include "run/checkpoint.hpp"

#include "process/difference.hpp"
#include "run/optimizer.hpp"

#include <torch/nn/module.h>
#include <torch/optim.h>
#include <torch/serialize.h>

#include <ATen/CPUGeneratorImpl.h>

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace trainer {

using cambium::io_error;
using torch::Tensor;

namespace {

char const* const format_name = "cambium trainer checkpoint 1";

/// What a file holds.
struct contents {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> texts;
  std::int64_t step = 0;
};

std::string shape_of(Tensor const& t)
{
  std::ostringstream out;
  out << t.sizes() << " of " << t.dtype().name();
  return out.str();
}

/// FNV-1a of names, types, shapes, bytes. The archive's own checksums are not looked at when torch reads it.
std::int64_t checksum(contents const& c)
{
  std::uint64_t h = 0xcbf29ce484222325u;
  auto const add = [&](void const* data, std::size_t n) {
    auto const* const p = static_cast<unsigned char const*>(data);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {  // eight bytes a turn: weights are large
      std::uint64_t eight;
      std::memcpy(&eight, p + i, 8);
      h = (h ^ eight) * 0x100000001b3u;
      h ^= h >> 29;
    }
    for (; i < n; ++i) h = (h ^ p[i]) * 0x100000001b3u;
  };
  auto const add_text = [&](std::string const& s) { add(s.data(), s.size()), add("", 1); };
  for (auto const& [name, text] : c.texts) add_text(name), add_text(text);
  for (auto const& [name, t] : c.tensors) {
    add_text(name), add_text(shape_of(t));
    add(t.data_ptr(), t.nbytes());
  }
  add(&c.step, sizeof c.step);
  return static_cast<std::int64_t>(h);
}

/// The moments of a parameter, by name. `set` is called with each, so that it can be read or written.
template <class Set>
void each_moment(std::string const& kind, torch::optim::OptimizerParamState& state, Set const& set)
{
  if (kind == "sgd") {
    auto& s = static_cast<torch::optim::SGDParamState&>(state);
    set("momentum_buffer", s.momentum_buffer());
  } else {
    auto& s = static_cast<torch::optim::AdamParamState&>(state);
    Tensor step = torch::tensor(s.step(), torch::kInt64);
    set("step", step);
    s.step(step.item<std::int64_t>());
    set("exp_avg", s.exp_avg());
    set("exp_avg_sq", s.exp_avg_sq());
  }
}

using state_by_parameter = std::remove_cvref_t<decltype(std::declval<torch::optim::Optimizer&>().state())>;

/// LibTorch keeps the state of a parameter under its address: a pointer since 2.1, its digits before.
template <class Key = state_by_parameter::key_type>
Key key_of(Tensor const& p)
{
  void* const address = p.unsafeGetTensorImpl();
  if constexpr (std::is_same_v<Key, std::string>) {
    std::ostringstream digits;
    digits << address;
    return digits.str();
  } else {
    return address;
  }
}

std::vector<Tensor> parameters_of(torch::optim::Optimizer const& o)
{
  std::vector<Tensor> out;
  for (auto const& group : o.param_groups()) out.insert(out.end(), group.params().begin(), group.params().end());
  return out;
}

Tensor kept(Tensor const& t) { return t.detach().to(torch::kCPU).contiguous(); }

std::map<std::string, Tensor> tensors_of(torch::nn::Module const& model)
{
  std::map<std::string, Tensor> out;
  for (auto const& p : model.named_parameters()) out.emplace("model/" + p.key(), p.value());
  for (auto const& b : model.named_buffers()) out.emplace("model/" + b.key(), b.value());
  return out;
}

/// @param name  of the file, for messages
contents read_contents(std::string_view file, std::string const& name)
{
  contents out;
  try {
    auto const dictionary = torch::pickle_load({file.begin(), file.end()}).toGenericDict();
    auto const format = dictionary.find("format");
    if (format == dictionary.end() || !format->value().isString() || format->value().toStringRef() != format_name)
      throw io_error(name + ": is not a checkpoint of this program");
    std::int64_t sum = 0;
    for (auto const& entry : dictionary) {
      std::string const& key = entry.key().toStringRef();
      if (entry.value().isTensor())
        out.tensors.emplace(key, kept(entry.value().toTensor()));
      else if (entry.value().isString())
        out.texts.emplace(key, entry.value().toStringRef());
      else if (key == "step")
        out.step = entry.value().toInt();
      else if (key == "checksum")
        sum = entry.value().toInt();
    }
    if (sum != checksum(out)) throw io_error(name + ": is damaged: its checksum does not fit its content");
  } catch (c10::Error const& e) {
    throw io_error(name + ": is not a checkpoint, or is damaged: " + e.what_without_backtrace());
  } catch (io_error const&) {
    throw;
  } catch (std::exception const& e) {
    throw io_error(name + ": is not a checkpoint, or is damaged: " + e.what());
  }
  return out;
}

/// Throws unless the file has the model's tensors and no others.
void expects_model(std::string const& name, contents const& file, std::map<std::string, Tensor> const& model)
{
  std::size_t const prefix = std::strlen("model/");
  for (auto const& [key, t] : model) {
    auto const found = file.tensors.find(key);
    if (found == file.tensors.end()) throw io_error(name + ": has no " + key.substr(prefix) + ", which the model has");
    if (found->second.sizes() != t.sizes() || found->second.scalar_type() != t.scalar_type())
      throw io_error(name + ": " + key.substr(prefix) + " is " + shape_of(found->second) + ", in the model " +
                     shape_of(t));
  }
  for (auto const& [key, t] : file.tensors)
    if (key.compare(0, prefix, "model/") == 0 && model.count(key) == 0)
      throw io_error(name + ": has " + key.substr(prefix) + ", which the model does not have");
}

void copy_model(contents const& file, std::map<std::string, Tensor> const& model)
{
  torch::NoGradGuard const no_gradients;
  for (auto const& [key, t] : model) Tensor(t).copy_(file.tensors.at(key));
}

std::string text_of(contents const& file, std::string const& key)
{
  auto const found = file.texts.find(key);
  return found == file.texts.end() ? "" : found->second;
}

}  // namespace

void save_checkpoint(std::filesystem::path const& path, torch::nn::Module const& model, optimizer const& optimiser,
                     std::string const& recipe)
{
  contents c;
  for (auto const& [key, t] : tensors_of(model)) c.tensors.emplace(key, kept(t));
  auto const& inner = optimiser.inner();
  auto const parameters = parameters_of(inner);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto const found = inner.state().find(key_of(parameters[i]));
    if (found == inner.state().end()) continue;  // the loss has not reached it yet
    each_moment(optimiser.kind(), *found->second, [&](char const* what, Tensor const& t) {
      if (t.defined()) c.tensors.emplace("optimizer/" + std::to_string(i) + "/" + what, kept(t));
    });
  }
  c.tensors.emplace("random", at::globalContext().defaultGenerator(at::kCPU).get_state());
  c.texts = {{"format", format_name}, {"recipe", recipe}, {"optimizer", optimiser.kind()}};
  c.texts.emplace("parameters", std::to_string(parameters.size()));
  c.step = optimiser.steps();

  c10::impl::GenericDict dictionary(c10::StringType::get(), c10::AnyType::get());
  for (auto const& [key, text] : c.texts) dictionary.insert(key, text);
  for (auto const& [key, t] : c.tensors) dictionary.insert(key, t);
  dictionary.insert("step", c.step);
  dictionary.insert("checksum", checksum(c));
  std::vector<char> const file = torch::pickle_save(dictionary);
  cambium::replace_file(path, file.data(), file.size());
}

std::string read_checkpoint(std::filesystem::path const& path)
{
  cambium::bytes const file = cambium::read_file(path);
  return {file.begin(), file.end()};
}

std::int64_t restore_checkpoint(std::filesystem::path const& path, torch::nn::Module& model, optimizer& optimiser,
                                std::string const& recipe)
{
  return restore_checkpoint(read_checkpoint(path), path.string(), model, optimiser, recipe);
}

std::int64_t restore_checkpoint(std::string const& bytes, std::string const& name, torch::nn::Module& model,
                                optimizer& optimiser, std::string const& recipe)
{
  contents const file = read_contents(bytes, name);
  auto const tensors = tensors_of(model);
  std::string const was_recipe = text_of(file, "recipe");
  auto const compare = compared(was_recipe, recipe);
  if (compare == recipes::others || compare == recipes::of_other_contents)
    throw io_error(name + ": is of another training: " + reason_of(was_recipe, recipe));
  if (compare == recipes::same_but_unrecorded)
    std::fprintf(stderr,
                 "note: %s does not say which photographs and labels it learned from; they are taken for these\n",
                 name.c_str());
  expects_model(name, file, tensors);
  auto& inner = optimiser.inner();
  auto const parameters = parameters_of(inner);
  if (std::string const was = text_of(file, "optimizer"); was != optimiser.kind())
    throw io_error(name + ": its optimizer is " + was + ", not " + optimiser.kind());
  if (std::string const was = text_of(file, "parameters"); was != std::to_string(parameters.size()))
    throw io_error(name + ": its optimizer has " + was + " parameters, not " + std::to_string(parameters.size()));

  state_by_parameter state;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::string const prefix = "optimizer/" + std::to_string(i) + "/";
    auto const first = file.tensors.lower_bound(prefix);
    if (first == file.tensors.end() || first->first.compare(0, prefix.size(), prefix) != 0) continue;
    std::unique_ptr<torch::optim::OptimizerParamState> moments;
    if (optimiser.kind() == "sgd")
      moments = std::make_unique<torch::optim::SGDParamState>();
    else
      moments = std::make_unique<torch::optim::AdamParamState>();
    each_moment(optimiser.kind(), *moments, [&](char const* what, Tensor& t) {
      auto const found = file.tensors.find(prefix + what);
      if (found == file.tensors.end()) throw io_error(name + ": has no " + prefix + what);
      bool const counter = std::strcmp(what, "step") == 0;
      if (!counter && found->second.sizes() != parameters[i].sizes())
        throw io_error(name + ": " + prefix + what + " is " + shape_of(found->second) + ", the parameter " +
                       shape_of(parameters[i]));
      t = counter ? found->second : found->second.to(parameters[i].device());
    });
    state[key_of(parameters[i])] = std::move(moments);
  }
  auto const random = file.tensors.find("random");
  auto generator = at::globalContext().defaultGenerator(at::kCPU);
  if (random == file.tensors.end() || random->second.numel() != generator.get_state().numel())
    throw io_error(name + ": has no state of random numbers that this torch knows");

  copy_model(file, tensors);
  inner.state() = std::move(state);
  generator.set_state(random->second);
  optimiser.continue_at(file.step);
  return file.step;
}

void restore_model(std::filesystem::path const& path, torch::nn::Module& model)
{
  contents const file = read_contents(read_checkpoint(path), path.string());
  auto const tensors = tensors_of(model);
  expects_model(path.string(), file, tensors);
  copy_model(file, tensors);
}

}  // namespace trainer
