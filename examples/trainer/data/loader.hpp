#pragma once
// Items of a training set, made by many threads and handed out in order.

#include "data/random.hpp"

#include <cambium/core/error.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace trainer {

struct loader_options {
  bool shuffle = true;         ///< or every epoch in the order of the set: for inference
  std::size_t look_ahead = 0;  ///< items that may wait to be asked for; 0 is four a worker
};

/// What becomes of the items at the end of an epoch that fill no batch.
enum class last_batch {
  drop,  ///< they are not handed out, as in the originals' trainings
  keep   ///< they are a smaller batch
};

/// Makes items in worker threads and hands them out in order.
///
/// An epoch is a permutation of 0..size-1, given by the seed and the epoch's number. An item is made by
/// make(index, item_seed), where item_seed is given by seed, epoch and index. So what comes out does not depend on the
/// number of workers, nor on which of them was faster.
///
/// One thread asks for items. `make` is called from several at once, or, with 0 workers, from the one that asks.
///
/// @invariant the same items in the same order for every number of workers
template <class Item>
class loader {
 public:
  using make_function = std::function<Item(std::size_t index, std::uint64_t item_seed)>;

  /// @param size     of the set
  /// @param seed     of everything that is drawn by chance here
  /// @param workers  threads; 0 makes items when they are asked for
  /// @throws precondition_error: workers outside 0..1024, no function
  loader(std::size_t size, std::uint64_t seed, int workers, make_function make, loader_options options = {})
      : size_(size), seed_(seed), make_(std::move(make)), options_(options), order_(size)
  {
    cambium::expects(workers >= 0 && workers <= 1024, "loader: ", workers, " workers; expected 0 to 1024");
    cambium::expects(static_cast<bool>(make_), "loader: no function that makes items");
    cambium::expects(size <= 0x7fffffff, "loader: ", size, " items are too many");
    if (options_.look_ahead == 0) options_.look_ahead = 4 * static_cast<std::size_t>(workers);
    try {
      for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {  // the system has no more threads: those that run must end before we do
      stop();
      throw;
    }
  }
  ~loader() { stop(); }
  loader(loader const&) = delete;
  loader& operator=(loader const&) = delete;

  [[nodiscard]] std::size_t size() const { return size_; }

  /// The items `begin` to `end - 1` of each batch.
  struct part {
    std::size_t batch, begin, end;
  };
  /// From the next epoch on make only a part of each batch, and of whole batches alone: another process makes the rest.
  /// The items that are made are those that they would be otherwise. The part of whole batches is all of them.
  /// @throws precondition_error: an empty part, or one outside the batch
  void take_only(part of_batch)
  {
    cambium::expects(of_batch.begin < of_batch.end && of_batch.end <= of_batch.batch, "loader: items ", of_batch.begin,
                     "..", of_batch.end, " of a batch of ", of_batch.batch);
    part_ = of_batch.end - of_batch.begin == of_batch.batch ? std::optional<part>() : of_batch;
  }

  /// Begin an epoch, at its item number `first`: a resumed training passes over what it has seen, and nothing is made
  /// for nothing. What an earlier epoch had ready is thrown away.
  /// @throws precondition_error: first > size
  void start(std::uint64_t epoch, std::size_t first = 0)
  {
    cambium::expects(first <= size_, "loader: an epoch of ", size_, " items cannot begin at item ", first);
    std::vector<std::size_t> order(size_);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (options_.shuffle) dice(seed_of(seed_, 0, epoch)).shuffle(order);
    if (part_) {
      cambium::expects(first % part_->batch == 0, "loader: a part of each batch of ", part_->batch,
                       " cannot begin at item ", first);
      std::vector<std::size_t> own;
      for (std::size_t from = 0; from + part_->batch <= size_; from += part_->batch)
        for (std::size_t i = part_->begin; i < part_->end; ++i) own.push_back(order[from + i]);
      order = std::move(own);
      first = first / part_->batch * (part_->end - part_->begin);
    }
    {
      std::lock_guard const guard(mutex_);
      order_ = std::move(order);
      count_ = order_.size();
      epoch_ = epoch;
      ++generation_;  // what is still being made belongs to nobody
      taken_ = delivered_ = first;
      ready_.clear();
      started_ = true;
    }
    room_.notify_all();
  }

  /// The places in the set of this epoch's items, in the order in which they come.
  [[nodiscard]] std::vector<std::size_t> const& order() const { return order_; }

  /// The next item; none at the end of the epoch.
  ///
  /// @throws precondition_error: no epoch was begun; and what `make` threw, when it is that item's turn, with
  ///         "item 17: " before the words: io_error, precondition_error, or std::runtime_error for everything else. The
  ///         item after it is next
  [[nodiscard]] std::optional<Item> next()
  {
    cambium::expects(started_, "loader: start an epoch first");
    if (delivered_ == count_) return std::nullopt;
    outcome done;
    if (workers_.empty()) {
      done = made(order_[delivered_], epoch_);
      ++delivered_;
    } else {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [&] { return !ready_.empty() && ready_.front().has_value(); });
      done = std::move(*ready_.front());
      ready_.pop_front();
      ++delivered_;
      lock.unlock();
      room_.notify_all();
    }
    if (done.failure) tell(done.index, done.failure);
    return std::move(done.item);
  }

  /// The next `count` items as collate(std::vector<Item>&&) puts them together; none at the end of the epoch.
  ///
  /// @throws as next; the items of the batch before the one that failed are lost
  template <class Collate>
  [[nodiscard]] auto next_batch(std::size_t count, last_batch last, Collate const& collate)
      -> std::optional<decltype(collate(std::declval<std::vector<Item>&&>()))>
  {
    cambium::expects(count >= 1, "loader: a batch of 0 items");
    std::vector<Item> items;
    while (items.size() < count) {
      if (items.empty() && last == last_batch::drop && count_ - delivered_ < count) {
        pass_over();
        return std::nullopt;
      }
      auto item = next();
      if (!item) break;
      items.push_back(std::move(*item));
    }
    if (items.empty() || (last == last_batch::drop && items.size() < count)) return std::nullopt;
    return collate(std::move(items));
  }

  /// The batches of an epoch that begins at item 0.
  [[nodiscard]] std::size_t batches(std::size_t count, last_batch last) const
  {
    cambium::expects(count >= 1, "loader: a batch of 0 items");
    return last == last_batch::drop ? size_ / count : (size_ + count - 1) / count;
  }

 private:
  struct outcome {
    std::size_t index = 0;
    std::optional<Item> item;
    std::exception_ptr failure;
  };

  outcome made(std::size_t index, std::uint64_t epoch)
  {
    outcome out{index, std::nullopt, nullptr};
    try {
      out.item.emplace(make_(index, seed_of(seed_, 1, epoch, index)));
    } catch (...) {
      out.failure = std::current_exception();
    }
    return out;
  }

  [[noreturn]] static void tell(std::size_t index, std::exception_ptr const& failure)
  {
    std::string const item = "item " + std::to_string(index) + ": ";
    try {
      std::rethrow_exception(failure);
    } catch (cambium::io_error const& e) {
      throw cambium::io_error(item + e.what());
    } catch (cambium::precondition_error const& e) {
      throw cambium::precondition_error(item + e.what());
    } catch (std::exception const& e) {
      throw std::runtime_error(item + e.what());
    } catch (...) {
      throw std::runtime_error(item + "something that is no exception was thrown");
    }
  }

  /// Ends the epoch without its rest.
  void pass_over()
  {
    std::lock_guard const guard(mutex_);
    ++generation_;
    taken_ = delivered_ = count_;
    ready_.clear();
  }

  void work()
  {
    std::unique_lock lock(mutex_);
    for (;;) {
      room_.wait(lock, [&] {
        return stopping_ || (started_ && taken_ < count_ && taken_ - delivered_ < options_.look_ahead);
      });
      if (stopping_) return;
      std::size_t const place = taken_++, index = order_[place];
      std::uint64_t const epoch = epoch_, generation = generation_;
      ready_.emplace_back();
      lock.unlock();
      outcome done = made(index, epoch);
      lock.lock();
      if (generation != generation_) continue;  // another epoch has begun
      ready_[place - delivered_] = std::move(done);
      if (place == delivered_) arrived_.notify_one();
    }
  }

  void stop()
  {
    {
      std::lock_guard const guard(mutex_);
      stopping_ = true;
    }
    room_.notify_all();
    for (std::thread& w : workers_) w.join();
    workers_.clear();
  }

  std::size_t const size_;
  std::optional<part> part_;
  std::uint64_t const seed_;
  make_function const make_;
  loader_options options_;

  std::mutex mutex_;
  std::condition_variable room_, arrived_;
  std::vector<std::size_t> order_;
  std::deque<std::optional<outcome>> ready_;  ///< of places delivered_, delivered_ + 1, ..., taken_ - 1
  std::size_t count_ = 0;                     ///< items of this epoch
  std::size_t taken_ = 0, delivered_ = 0;
  std::uint64_t epoch_ = 0, generation_ = 0;
  bool started_ = false, stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace trainer
