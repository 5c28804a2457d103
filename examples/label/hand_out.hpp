#pragma once
// Who gets the next item of work: the threads of one process.

#include <cambium/exec/cpu.hpp>

#include <cstddef>
#include <functional>
#include <string>

namespace labelling {

/// What became of an image.
struct outcome {
  enum class kind { labelled, kept, failed };
  kind what = kind::labelled;
  std::size_t place = 0;  ///< of the image in the set
  std::string reason{};   ///< why it failed: "file: reason"
};

using report = std::function<void(outcome)>;

/// The workers of a run.
class crew {
 public:
  /// What is done with an item. Several items are worked on at once. Each of an item's images is reported.
  using work = std::function<void(cambium::cpu const& where, std::size_t item, report const& tell)>;

  crew() = default;
  virtual ~crew() = default;
  crew(crew const&) = delete;
  crew& operator=(crew const&) = delete;

  /// Hand out items 0..count-1, in this order, to whoever is free. With at least as many items as threads an item gets
  /// one thread, else all of them.
  /// @param each  must not throw
  /// @param done  gets what the workers report, one outcome at a time
  virtual void hand_out(cambium::cpu const& where, std::size_t count, work const& each, report const& done) = 0;
};

/// The threads of this process.
class lone_process final : public crew {
 public:
  void hand_out(cambium::cpu const& where, std::size_t count, work const& each, report const& done) override;
};

}  // namespace labelling
