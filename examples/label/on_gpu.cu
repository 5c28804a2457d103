#include <cambium/exec/gpu.cuh>
#include "on_gpu.hpp"

#include <cambium/crf/dense_crf.hpp>
#include <cambium/pipeline/adaptive_labels.hpp>
#include <cambium/pipeline/irnet.hpp>
#include <cambium/walk/random_walk.cuh>

namespace labelling {

using namespace cambium;

namespace {

/// A stream for as long as its thread lives.
class own_stream {
 public:
  own_stream()
  {
    throw_if_failed(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream for this thread");
  }
  own_stream(own_stream const&) = delete;
  own_stream& operator=(own_stream const&) = delete;
  ~own_stream() { cudaStreamDestroy(stream_); }
  [[nodiscard]] gpu policy() const { return gpu{stream_}; }

 private:
  cudaStream_t stream_ = nullptr;
};

gpu this_thread()
{
  thread_local own_stream const stream;
  return stream.policy();
}

}  // namespace

std::string why_no_gpu() { return device_count() > 0 ? "" : "there is no CUDA device, or no driver for it"; }

irnet_labels<> irnet_on_gpu(irnet_input<float> const& maps, irnet_options const& options)
{
  expects_irnet_input(maps);
  expects_irnet_options(options);
  gpu const where = this_thread();
  auto const cams = to_device(where, maps.cams);
  auto const boundary = to_device(where, maps.boundary);
  irnet_input<float, device> in{cams.view(), maps.keys, boundary.view(), {}, maps.image};
  grid<float, 3, device> displacement;
  if (maps.displacement.data != nullptr) {
    displacement = to_device(where, maps.displacement);
    in.displacement = displacement.view();
  }
  return to_host(where, irnet(where, in, options));
}

grid<std::int32_t, 2> refine_on_gpu(grid<std::uint8_t, 3> const& photograph, std::vector<pairwise> const& kernels,
                                    grid<std::int32_t, 2> const& labels, index_t L)
{
  gpu const where = this_thread();
  auto const image = to_device(where, photograph);
  auto const given = to_device(where, labels);
  return to_host(where, refine_labels(where, dense_crf(where, image, kernels), given, L));
}

grid<std::int32_t, 2> adapt_on_gpu(grid<std::uint8_t, 3> const& photograph, colour_affinity_options const& colours,
                                   grid<std::int32_t, 2> const& labels, index_t L)
{
  gpu const where = this_thread();
  auto const image = to_device(where, photograph);
  auto const given = to_device(where, labels);
  return to_host(where, adapt_labels(where, image, given, L, colours));
}

}  // namespace labelling
