#pragma once
// A launch played on cores: every thread of every block runs a programme, one at a time, in an order drawn anew
// wherever one waits. A programme that reads before a barrier what another thread writes there gives other results for
// other seeds.

#include <cambium/exec/launch.hpp>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

namespace support {

class played_launch {
 public:
  explicit played_launch(unsigned seed) : draw_(seed) {}

  /// What a programme waits with.
  class waits {
   public:
    /// Until every thread of the block has come here.
    void block() const { launch_->wait(me_, false); }
    /// Until every thread of the launch has.
    void all() const { launch_->wait(me_, true); }

   private:
    friend played_launch;
    waits(played_launch* launch, std::size_t me) : launch_(launch), me_(me) {}
    played_launch* launch_;
    std::size_t me_;
  };

  /// Call programme(place, waits) for every thread of the launch, and return when all have ended.
  /// @throws std::logic_error: threads wait at different barriers, so that a card would hang
  void play(cambium::launch_shape const& shape,
            std::function<void(cambium::launch_place const&, waits const&)> const& programme)
  {
    players_.clear();
    each(shape.blocks, [&](cambium::launch_size const& block, std::size_t block_number) {
      each(shape.threads, [&](cambium::launch_size const& thread, std::size_t) {
        auto& own = *players_.emplace_back(std::make_unique<player>());
        own.block = block_number;
        own.place = {shape.blocks, block, shape.threads, thread};
      });
    });
    for (std::size_t i = 0; i < players_.size(); ++i)
      players_[i]->body = std::thread([this, i, &programme] {
        player& own = *players_[i];
        own.turn.acquire();
        programme(own.place, waits(this, i));
        own.now = state::ended;
        over_.release();
      });
    while (true) {
      std::vector<std::size_t> ready;
      for (std::size_t i = 0; i < players_.size(); ++i)
        if (players_[i]->now == state::ready) ready.push_back(i);
      if (ready.empty()) {
        if (!open_barriers()) break;
        continue;
      }
      player& next = *players_[ready[draw_() % ready.size()]];
      next.turn.release();
      over_.acquire();
    }
    bool stuck = false;
    for (auto& p : players_) stuck = stuck || p->now != state::ended;
    if (stuck) {  // let the threads end: barriers no longer hold anybody
      stuck_ = true;
      for (auto& p : players_)
        if (p->now != state::ended) p->turn.release(), p->body.join();
    }
    for (auto& p : players_)
      if (p->body.joinable()) p->body.join();
    if (stuck) throw std::logic_error("a launch would hang: some threads wait at a barrier that others do not reach");
  }

 private:
  /// One release lets one acquire pass. A std::binary_semaphore of libstdc++ 12 was seen to lose a release among a thousand
  /// threads.
  class signal {
   public:
    void release()
    {
      {
        std::lock_guard const hold(guard_);
        given_ = true;
      }
      changed_.notify_one();
    }
    void acquire()
    {
      std::unique_lock hold(guard_);
      changed_.wait(hold, [&] { return given_; });
      given_ = false;
    }

   private:
    std::mutex guard_;
    std::condition_variable changed_;
    bool given_ = false;
  };

  enum class state { ready, at_block, at_all, ended };
  struct player {
    std::size_t block = 0;
    cambium::launch_place place{};
    state now = state::ready;
    signal turn;
    std::thread body;
  };

  template <class Body>
  static void each(cambium::launch_size const& n, Body const& body)
  {
    std::size_t number = 0;
    for (unsigned z = 0; z < n.z; ++z)
      for (unsigned y = 0; y < n.y; ++y)
        for (unsigned x = 0; x < n.x; ++x) body(cambium::launch_size{x, y, z}, number++);
  }

  void wait(std::size_t me, bool all)
  {
    if (stuck_) return;
    player& own = *players_[me];
    own.now = all ? state::at_all : state::at_block;
    over_.release();
    own.turn.acquire();
  }

  /// Nobody runs: lets those go on whose barrier everybody has reached. False: there is none.
  bool open_barriers()
  {
    bool opened = false, everybody = true;
    for (std::size_t begin = 0; begin < players_.size();) {
      std::size_t end = begin;
      bool whole = true, any = false;
      for (; end < players_.size() && players_[end]->block == players_[begin]->block; ++end) {
        whole = whole && players_[end]->now == state::at_block;
        any = any || players_[end]->now != state::at_all;
      }
      everybody = everybody && !any;
      if (whole) {
        for (std::size_t i = begin; i < end; ++i) players_[i]->now = state::ready;
        opened = true;
      }
      begin = end;
    }
    if (everybody && !players_.empty()) {
      for (auto& p : players_) p->now = state::ready;
      opened = true;
    }
    return opened;
  }

  std::mt19937 draw_;
  std::vector<std::unique_ptr<player>> players_;
  signal over_;
  bool stuck_ = false;
};

}  // namespace support
