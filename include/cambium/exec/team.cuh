#pragma once
// The items of a batch in parallel on a device. exec/parallel.hpp has for_each_item of cores.

#include <cambium/core/index.hpp>
#include <cambium/exec/gpu.hpp>

#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace cambium {

/// Streams of one device, each with a thread of the host. Items of a batch run on them in parallel. Keep the team:
/// making streams takes longer than small items, and grids free their memory on the stream that made them. Only one
/// batch may run at a time.
class gpu_team {
 public:
  /// @param members  streams, at least 1
  /// @throws precondition_error, gpu_error
  explicit gpu_team(int members) : members_(checked(members)), begin_(1)
  {
    throw_if_failed(cudaGetDevice(&device_), "gpu_team: device");
    for (auto& m : members_)
      throw_if_failed(cudaStreamCreateWithFlags(&m.stream, cudaStreamNonBlocking), "gpu_team: stream");
    for (auto* const list : {&members_, &begin_})
      for (auto& m : *list)
        throw_if_failed(cudaEventCreateWithFlags(&m.event, cudaEventDisableTiming), "gpu_team: event");
  }

  [[nodiscard]] int size() const { return static_cast<int>(members_.size()); }

 private:
  template <class Body>
  friend void for_each_item(gpu const& where, gpu_team& team, index_t count, Body const& body);

  struct member {
    cudaStream_t stream = nullptr;
    cudaEvent_t event = nullptr;

    member() = default;
    member(member const&) = delete;
    member& operator=(member const&) = delete;
    ~member()
    {
      if (stream != nullptr) cudaStreamDestroy(stream);
      if (event != nullptr) cudaEventDestroy(event);
    }
  };

  static std::size_t checked(int members)
  {
    expects(members >= 1, "gpu_team: ", members, " members");
    return static_cast<std::size_t>(members);
  }

  std::vector<member> members_, begin_;
  int device_ = 0;
};

/// Call body(share, i) for items 0..count-1, for example the images of a batch. `share` is the body's policy, with one
/// of the team's streams. Each stream has its own thread of the host, so a body that waits for its stream delays no
/// other. A free thread takes the next item, in order. Items start after all work enqueued on where.stream. Work
/// enqueued there later waits for all items.
///
/// An exception ends only its own thread's work. The first one, by member, is rethrown after all threads have returned.
/// A body that must continue after an invalid item catches the exception itself.
///
/// @asynchrony  returns after every item is enqueued. where.resource must allow calls from several threads, as the
///              default does
template <class Body>
void for_each_item(gpu const& where, gpu_team& team, index_t count, Body const& body)
{
  if (count <= 0) return;
  auto const used = static_cast<std::size_t>(count < team.size() ? count : team.size());
  throw_if_failed(cudaEventRecord(team.begin_[0].event, where.stream), "for_each_item: begin");
  std::vector<std::exception_ptr> failure(used);
  std::atomic<index_t> next{0};
  auto const work = [&](std::size_t m) {
    try {
      auto const& own = team.members_[m];
      throw_if_failed(cudaSetDevice(team.device_), "for_each_item: device");
      throw_if_failed(cudaStreamWaitEvent(own.stream, team.begin_[0].event, 0), "for_each_item: begin");
      try {
        for (index_t i; (i = next++) < count;) body(gpu{own.stream, where.resource, used == 1 && where.alone}, i);
      } catch (...) {
        failure[m] = std::current_exception();
      }
      throw_if_failed(cudaEventRecord(own.event, own.stream), "for_each_item: end");
    } catch (...) {
      if (!failure[m]) failure[m] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    try {
      for (std::size_t m = 1; m < used; ++m) threads.emplace_back(work, m);
    } catch (...) {  // this thread does not start; those that run take its items
      failure[threads.size() + 1] = std::current_exception();
    }
    work(0);
  }
  for (std::size_t m = 0; m < used; ++m)
    if (cudaStreamWaitEvent(where.stream, team.members_[m].event, 0) != cudaSuccess && !failure[m])
      failure[m] = std::make_exception_ptr(gpu_error("for_each_item: a stream cannot be waited for"));
  for (auto const& f : failure)
    if (f) std::rethrow_exception(f);
}

}  // namespace cambium
