#include "process/processes.hpp"

#include "process/difference.hpp"
#include "process/watch.hpp"

#include <cambium/core/error.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#ifdef TRAINER_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include <unistd.h>

namespace trainer::processes {

using at::Tensor;
using cambium::expects;

namespace {

/// What c10d does, as far as it is used here. Every call waits for all processes.
class exchange {
 public:
#ifdef TRAINER_GLOO
  explicit exchange(place const& where) : where_(where), lines_(where)
  {
    // Death is the lines' to tell. An exchange may wait as long as rank 0 works alone.
    std::chrono::milliseconds const forever = std::chrono::hours(24 * 365);
    c10d::TCPStoreOptions store;
    store.isServer = where.rank == 0;
    store.port = 0;
    store.waitWorkers = false;
    try {
      c10::intrusive_ptr<c10d::TCPStore> meeting;
      if (where.rank == 0) meeting = c10::make_intrusive<c10d::TCPStore>("localhost", store);
      store.port = lines_.told_by_first(meeting ? static_cast<std::uint16_t>(meeting->getPort()) : 0);
      if (where.rank != 0) meeting = c10::make_intrusive<c10d::TCPStore>(lines_.first_address(), store);
      auto const options = c10d::ProcessGroupGloo::Options::create(forever);
      char const* const interface = std::getenv("GLOO_SOCKET_IFNAME");
      options->devices.push_back(interface != nullptr
                                     ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                     : c10d::ProcessGroupGloo::createDeviceForHostname(lines_.own_address()));
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(meeting, where.rank, where.size, options);
    } catch (std::exception const& e) {
      lines_.wait_for_the_reason(e.what());
    }
  }

  void sum(Tensor& t)
  {
    std::vector<Tensor> list{t};
    wait([&] { return group_->allreduce(list); });
  }
  /// @param all  [size * n] of own's type @param own [n]
  void gather(Tensor& all, Tensor& own)
  {
    std::vector<std::vector<Tensor>> lists{all.chunk(where_.size)};
    std::vector<Tensor> list{own};
    wait([&] { return group_->allgather(lists, list); });
  }
  void from_first(Tensor& t)
  {
    std::vector<Tensor> list{t};
    wait([&] { return group_->broadcast(list); });
  }
#else
  explicit exchange(place const& where) : where_(where), lines_(where) {}
  void sum(Tensor&) {}
  void gather(Tensor&, Tensor&) {}
  void from_first(Tensor&) {}
#endif

  place const& where() const { return where_; }
  watch& lines() { return lines_; }

 private:
#ifdef TRAINER_GLOO
  template <class Start>
  void wait(Start const& start)
  {
    try {
      start()->wait();
    } catch (std::exception const& e) {
      std::string what = e.what();
      lines_.wait_for_the_reason(what.substr(0, what.find('\n')));
    }
  }
#endif

  place where_;
  watch lines_;
#ifdef TRAINER_GLOO
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
#endif
};

/// Of the process, which it leaves by _exit: never destroyed.
exchange* group = nullptr;

/// Tensors without strides and gradients of their own, as the exchange takes them.
Tensor plain(Tensor const& t) { return t.detach().contiguous(); }

Tensor gathered_values(Tensor const& own, std::int64_t n)
{
  auto const mine = share_of(n);
  expects(own.dim() >= 1 && own.size(0) == mine.size(), "processes: a share of ", own.dim() == 0 ? 0 : own.size(0),
          " samples; expected ", mine.size(), " of ", n);
  std::int64_t const most = (n + size() - 1) / size();
  auto shape = own.sizes().vec();
  shape[0] = most;
  Tensor part = plain(own);
  if (mine.size() < most) {
    part = at::zeros(shape, own.options());
    part.slice(0, 0, mine.size()).copy_(own.detach());
  }
  shape.insert(shape.begin(), size());
  Tensor all = at::empty(shape, own.options());
  Tensor flat = all.view({-1}), flat_part = part.view({-1});
  group->gather(flat, flat_part);
  if (n == most * size()) return all.flatten(0, 1);
  std::vector<Tensor> parts;
  for (int r = 0; r < size(); ++r) parts.push_back(all[r].slice(0, 0, share_of(n, r).size()));
  return at::cat(parts);
}

struct gather_node : public torch::autograd::Function<gather_node> {
  static Tensor forward(torch::autograd::AutogradContext* context, Tensor const& own, std::int64_t n)
  {
    context->saved_data["n"] = n;
    return gathered_values(own, n);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients)
  {
    auto const mine = share_of(context->saved_data["n"].toInt());
    return {gradients[0].slice(0, mine.begin, mine.end), Tensor()};
  }
};

/// The value of all, and this process's part of the gradient.
struct mean_node : public torch::autograd::Function<mean_node> {
  static Tensor forward(torch::autograd::AutogradContext* context, Tensor const& own, double value, double part)
  {
    context->saved_data["part"] = part;
    return at::full_like(own, value);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients)
  {
    return {gradients[0] * context->saved_data["part"].toDouble(), Tensor(), Tensor()};
  }
};

}  // namespace

bool can_join() noexcept
{
#ifdef TRAINER_GLOO
  return true;
#else
  return false;
#endif
}

void join(place const& where)
{
  if (where.size == 1) return;
  expects(can_join(), "processes: ", where.from,
          ": this build trains as one process; install libgloo-dev (Debian, Ubuntu) and build it anew");
  expects(group == nullptr, "processes: they have met already");
  group = std::make_unique<exchange>(where).release();
}

void leave(int status)
{
  if (group == nullptr) return;
  std::int64_t const all = std::stoll(from_first(std::to_string(status)));
  group->lines().leave();
  std::fflush(nullptr);
  ::_exit(static_cast<int>(all));
}

void fail(std::string const& why)
{
  if (group != nullptr) group->lines().fail(why);
}

int rank() noexcept { return group == nullptr ? 0 : group->where().rank; }
int size() noexcept { return group == nullptr ? 1 : group->where().size; }
bool first() noexcept { return rank() == 0; }

share share_of(std::int64_t n, int rank, int size) noexcept { return {n * rank / size, n * (rank + 1) / size}; }

Tensor gathered(Tensor const& own, std::int64_t n)
{
  if (group == nullptr || !own.defined()) return own;
  return own.requires_grad() && at::GradMode::is_enabled() ? gather_node::apply(own, n) : gathered_values(own, n);
}

Tensor mean(Tensor const& own, double count)
{
  if (group == nullptr) return own;
  double const value = own.item<double>();
  Tensor sums = at::tensor({value * count, count}, at::kDouble);
  group->sum(sums);
  double const counts = sums[1].item<double>();
  if (counts == 0) return mean_node::apply(own, 0.0, 0.0);
  return mean_node::apply(own, sums[0].item<double>() / counts, count / counts);
}
double mean(double own, double count)
{
  if (group == nullptr) return own;
  return mean(at::scalar_tensor(own, at::kDouble), count).item<double>();
}

void sum(std::vector<Tensor> const& tensors)
{
  if (group == nullptr) return;
  std::int64_t constexpr most = 32 << 20;  // [bytes]
  at::NoGradGuard const still;
  for (std::size_t i = 0; i < tensors.size();) {
    std::vector<Tensor> parts;
    std::int64_t bytes = 0;
    std::size_t end = i;
    for (; end < tensors.size() && (end == i || bytes + static_cast<std::int64_t>(tensors[end].nbytes()) <= most) &&
           tensors[end].scalar_type() == tensors[i].scalar_type();
         ++end) {
      parts.push_back(plain(tensors[end]).view({-1}));
      bytes += static_cast<std::int64_t>(tensors[end].nbytes());
    }
    Tensor flat = at::cat(parts);
    group->sum(flat);
    for (std::int64_t at = 0; i < end; ++i) {
      Tensor to = tensors[i];
      to.detach().copy_(flat.slice(0, at, at + to.numel()).view(to.sizes()));
      at += to.numel();
    }
  }
}

void from_first(std::vector<Tensor> const& tensors)
{
  if (group == nullptr) return;
  at::NoGradGuard const still;
  for (Tensor const& t : tensors) {
    Tensor copy = plain(t);
    if (copy.numel() == 0) continue;
    group->from_first(copy);
    t.detach().copy_(copy);
  }
}

std::string from_first(std::string const& bytes)
{
  if (group == nullptr) return bytes;
  Tensor length = at::tensor({static_cast<std::int64_t>(bytes.size())}, at::kLong);
  group->from_first(length);
  Tensor all = at::empty({length.item<std::int64_t>()}, at::kByte);
  if (all.numel() == 0) return {};
  if (first()) std::memcpy(all.data_ptr(), bytes.data(), bytes.size());
  group->from_first(all);
  return {static_cast<char const*>(all.data_ptr()), static_cast<std::size_t>(all.numel())};
}

bool from_first(bool value) { return from_first(std::string(value ? "1" : "0")) == "1"; }

void first_alone(std::function<void()> const& work)
{
  if (first()) work();
  if (group != nullptr) static_cast<void>(from_first(true));
}

void expects_same(std::string const& words, std::string_view what)
{
  if (group == nullptr) return;
  std::string const firsts = from_first(words);
  if (firsts == words) return;
  expects(without_contents(firsts) != without_contents(words), what, ": rank ", rank(),
          " sees other photographs, labels or first weights than rank 0");
  auto const [own, other] = difference(without_contents(words), without_contents(firsts));
  expects(false, what, ": rank ", rank(), " has '", own, "' but rank 0 '", other, "'");
}

}  // namespace trainer::processes
