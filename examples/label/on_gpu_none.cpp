#include "on_gpu.hpp"

#include <cambium/core/error.hpp>

namespace labelling {

std::string why_no_gpu() { return "this program was built without CUDA"; }

cambium::irnet_labels<> irnet_on_gpu(cambium::irnet_input<float> const&, cambium::irnet_options const&)
{
  throw cambium::gpu_error(why_no_gpu());
}

cambium::grid<std::int32_t, 2> refine_on_gpu(cambium::grid<std::uint8_t, 3> const&,
                                             std::vector<cambium::pairwise> const&,
                                             cambium::grid<std::int32_t, 2> const&, cambium::index_t)
{
  throw cambium::gpu_error(why_no_gpu());
}

cambium::grid<std::int32_t, 2> adapt_on_gpu(cambium::grid<std::uint8_t, 3> const&,
                                            cambium::colour_affinity_options const&,
                                            cambium::grid<std::int32_t, 2> const&, cambium::index_t)
{
  throw cambium::gpu_error(why_no_gpu());
}

}  // namespace labelling
