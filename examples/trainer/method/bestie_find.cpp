// The instances that BESTIE's network finds in photographs.

#include "method/bestie.hpp"

#include "data/batch.hpp"
#include "network/at_size.hpp"
#include "network/evaluation.hpp"

#include <cambium/interop/torch.hpp>

#include <numeric>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;
using cambium::tensor_view;

bestie_inference_options small_bestie_inference()
{
  bestie_inference_options out;
  out.instances.smallest = 20;
  out.instances.groups.kernel = 15;
  out.instances.groups.apart = 24;
  return out;
}

cambium::bestie_labels<> bestie_find(grid<std::uint8_t, 3> const& photograph, bestie_network& network,
                                     bestie_inference_options const& options,
                                     std::optional<std::vector<std::int32_t>> const& tags)
{
  expects(options.multiple >= 1, "bestie_find: multiple is ", options.multiple);
  evaluation const now(network);
  auto const m = std::lcm(options.multiple, network.multiple());
  auto const H = photograph.shape()[0], W = photograph.shape()[1];
  auto const up = [&](index_t side) { return (side + m - 1) / m * m; };
  auto seen = to_tensor(normalised(photograph)).unsqueeze(0);
  seen = at_size(seen, up(H), up(W));
  auto const said = network.forward(options.flip ? torch::cat({seen, seen.flip(3)}) : seen);
  auto const seg = at_size(said.seg, H, W).contiguous(), centre = at_size(said.centre, H, W).contiguous(),
             offset = at_size(said.offset, H, W).contiguous();
  auto const part = [&](std::int64_t b) {
    return cambium::bestie_output<float>{tensor_view<float const, 3>(seg[b], "logits"),
                                         tensor_view<float const, 3>(centre[b], "centres"),
                                         tensor_view<float const, 3>(offset[b], "offsets")};
  };
  auto how = options.instances;
  how.seen = {up(H), up(W)};  // whose pixels the offsets count
  return cambium::bestie_instances<float>(cambium::cpu{.threads = options.threads}, part(0), tags, how,
                                          options.flip ? part(1) : cambium::bestie_output<float>{});
}

scores evaluate_bestie(dataset const& held_out, bestie_network& network, bestie_inference_options const& options)
{
  scoring all(static_cast<std::int32_t>(held_out.class_names().size()));
  for (std::size_t i = 0; i < held_out.size(); ++i) {
    auto const truth = held_out.truth(i);
    auto const ignored = held_out.ignored(i);
    auto const image = held_out.load(i);
    auto const found =
        bestie_find(image.photograph, network, options, options.tags_known ? std::optional(image.tags) : std::nullopt)
            .objects;
    all.add_instances(found, truth, ignored);
    all.add_semantic(semantic_of(found), truth, ignored);
  }
  return all.result();
}

}  // namespace trainer
