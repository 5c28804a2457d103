#pragma once
// Loops of several threads. Only this room knows threads: exec/helpers.hpp has those that wait for work.

#include <cambium/core/index.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/helpers.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>
#include <utility>

namespace cambium {

/// The number of threads of a policy that leaves it open: OMP_NUM_THREADS, as job systems set it, or a thread a core.
/// @param variable  its text, or null
inline int usual_threads(char const* variable)
{
  long const wanted = variable == nullptr ? 0 : std::strtol(variable, nullptr, 10);
  return wanted > 0 ? static_cast<int>(std::min<long>(wanted, most_helpers + 1)) : cores_of_process();
}

/// The largest number of threads of a call with this policy, at least 1.
inline int thread_count(cpu const& where)
{
  static int const usual = usual_threads(std::getenv("OMP_NUM_THREADS"));
  return where.threads > 0 ? where.threads : usual;
}

/// A request to stop for a team whose items must not throw. The thread that called the team asks, all see the answer,
/// and that thread throws after the team has ended.
class stop_of_team {
 public:
  explicit stop_of_team(cpu const& where) : where_(where) {}

  bool seen()
  {
    if (std::this_thread::get_id() == caller_ && wants_to_stop(where_)) wanted_ = true;
    return wanted_;
  }
  void throw_if_seen() const { expects_no_stop(wanted_); }

 private:
  cpu const& where_;
  std::thread::id caller_ = std::this_thread::get_id();
  std::atomic<bool> wanted_{false};
};

/// The number of threads for `count` items, if each gets at least `grain` of them; at least 1, and 1 inside a team.
inline int team_size(cpu const& where, index_t count, index_t grain)
{
  if (in_team) return 1;
  index_t const useful = (count + grain - 1) / grain;
  return static_cast<int>(std::max<index_t>(1, std::min<index_t>(thread_count(where), useful)));
}

/// Pieces of a thread's share, which others may claim, and of one thread's whole, if the call may be asked to stop.
inline constexpr index_t pieces_of_share = 8, pieces_before_stop = 16;

/// Call body(first, last) on contiguous pieces of 0..count-1. `grain` is the smallest share that pays for a thread.
/// Threads begin in shares of their own, piece by piece. `where.stop` is asked first, and then before each piece.
template <class Body>
void for_each_share(cpu const& where, index_t count, index_t grain, Body const& body)
{
  if (count <= 0) return;
  ask_to_stop(where);
  index_t const size = team_size(where, count, grain);
  index_t pieces = where.stop ? std::clamp<index_t>(count / size / grain, 1, pieces_before_stop) : 1;
  if (size > 1) pieces = std::max(pieces, std::clamp<index_t>(count / size / (1 + grain / 4), 1, pieces_of_share));
  pieces *= size;
  as_team(static_cast<int>(size), pieces, claims::near, [&](index_t piece) {
    if (piece > 0) ask_to_stop(where);
    index_t const begin = count * piece / pieces, end = count * (piece + 1) / pieces;
    if (begin < end) body(begin, end);
  });
}

/// Call body(share, i) for items 0..count-1, for example the images of a batch. `share` is the body's policy. If there
/// are at least as many items as threads, each item gets one core, and a free thread takes the next item, in order.
/// Fewer items run one after the other, each with all threads, because teams do not nest.
///
/// After an exception no further item begins. The first one, by time, is rethrown when those that had begun have ended. A
/// body that must continue after an invalid item catches the exception itself.
template <class Body>
void for_each_item(cpu const& where, index_t count, Body const& body)
{
  int const threads = thread_count(where);
  if (count < threads) {
    for (index_t i = 0; i < count; ++i) body(where, i);
    return;
  }
  cpu one = where;
  one.threads = 1;
  as_team(threads, count, claims::in_order, [&](index_t i) { body(std::as_const(one), i); });
}

}  // namespace cambium
