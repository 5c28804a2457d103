#pragma once
// Training on several processes: each computes its share of every batch, and together they take the steps of one.
//
//   processes::join(processes::place_of_this_process());      // alone where no variable speaks of others
//   auto const mine = processes::share_of(batch);             // samples mine.begin .. mine.end-1 of each batch
//   auto const out  = network.forward(those);
//   auto const loss = hardest(processes::gathered(out, batch), processes::gathered(labels, batch));   // of the whole batch
//   loss.backward();                                          // this share's part of the gradient
//   processes::sum(gradients);                                // the whole gradient, the same bits in every process
//
// Everything here is a collective operation: every process calls it, in one order. In one process it does nothing: what
// is given is returned. A process that dies or fails ends all others within seconds, see watch.hpp.

#include "process/environment.hpp"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace trainer::processes {

/// Meets the other processes; from now on this is one of them. Does nothing for one process.
/// @throws cambium::precondition_error: a build without Gloo, and what to install; that processes have met already;
///         cambium::io_error: as watch
void join(place const& where);
/// Whether this build can train on several processes.
[[nodiscard]] bool can_join() noexcept;
/// Waits for the others and ends the process with the status of rank 0, without destructors: those of the exchange can
/// hang. In one process: returns.
void leave(int status);
/// Tells the others that this process fails, and why; all end with the status 1. In one process: returns.
void fail(std::string const& why);

[[nodiscard]] int rank() noexcept;
[[nodiscard]] int size() noexcept;
/// Rank 0: the one that writes and speaks.
[[nodiscard]] bool first() noexcept;

/// Which of n samples are this process's.
struct share {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
};
/// Shares in the order of ranks; their sizes differ by one at most.
[[nodiscard]] share share_of(std::int64_t n, int rank = processes::rank(), int size = processes::size()) noexcept;

/// The samples of all shares, in the order of one process. Backward gives this share its part of the gradient, so the
/// loss must be the same function in every process.
/// @param own  [b,...] b = share_of(n).size(); undefined: returned as it is, in every process
/// @return     [n,...], row-major
[[nodiscard]] at::Tensor gathered(at::Tensor const& own, std::int64_t n);

/// The mean of all processes' means, weighted by what each is a mean of: sum(own * count) / sum(count); 0 where all
/// counts are 0. Backward gives this process its part.
/// @param own  without axes
[[nodiscard]] at::Tensor mean(at::Tensor const& own, double count);
[[nodiscard]] double mean(double own, double count);

/// Replaces each tensor by its sum over all processes, in messages of at most 32 MiB. The same bits in every process,
/// and for every run of as many processes.
void sum(std::vector<at::Tensor> const& tensors);

/// Rank 0's value, in every process.
void from_first(std::vector<at::Tensor> const& tensors);
[[nodiscard]] std::string from_first(std::string const& bytes);
[[nodiscard]] bool from_first(bool value);

/// Does something in rank 0 alone. The others wait.
void first_alone(std::function<void()> const& work);

/// @throws cambium::precondition_error in rank 0 and in those whose words are others: "what: rank 2 has '...'"
void expects_same(std::string const& words, std::string_view what);

}  // namespace trainer::processes
