#pragma once
// Items of a batch side by side on a device. The host's sibling is for_each_item of parallel.hpp.

#include <cambium/core/index.hpp>
#include <cambium/exec/gpu.hpp>

#include <cstddef>
#include <vector>

namespace cambium {

/// Streams of one device on which items of a batch run side by side. Keep it: making streams takes longer than small
/// items do. One batch at a time.
class gpu_team {
 public:
  /// @param members  streams, at least 1
  /// @throws precondition_error, gpu_error
  explicit gpu_team(int members) : members_(checked(members)), begin_(1)
  {
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
};

/// Call body(share, i) for items 0..count-1, for example the images of a batch. `share` is the policy the body enqueues
/// with; items take the team's streams in turn. They begin after what is enqueued on where.stream, and what is enqueued
/// on it later waits for them all.
///
/// An exception ends the batch: items before it are enqueued, later ones are not, where.stream waits for the former.
///
/// @asynchrony  enqueues and returns; what the body waits for it waits for
template <class Body>
void for_each_item(gpu const& where, gpu_team& team, index_t count, Body const& body)
{
  if (count <= 0) return;
  auto const used = static_cast<std::size_t>(count < team.size() ? count : team.size());
  throw_if_failed(cudaEventRecord(team.begin_[0].event, where.stream), "for_each_item: begin");
  for (std::size_t m = 0; m < used; ++m)
    throw_if_failed(cudaStreamWaitEvent(team.members_[m].stream, team.begin_[0].event, 0), "for_each_item: begin");
  auto const join = [&] {
    cudaError_t worst = cudaSuccess;
    for (std::size_t m = 0; m < used; ++m) {
      auto const recorded = cudaEventRecord(team.members_[m].event, team.members_[m].stream);
      auto const waits = cudaStreamWaitEvent(where.stream, team.members_[m].event, 0);
      if (recorded != cudaSuccess) worst = recorded;
      if (waits != cudaSuccess) worst = waits;
    }
    return worst;
  };
  try {
    for (index_t i = 0; i < count; ++i)
      body(gpu{team.members_[static_cast<std::size_t>(i) % used].stream, where.resource}, i);
  } catch (...) {
    join();
    throw;
  }
  throw_if_failed(join(), "for_each_item: end");
}

}  // namespace cambium
