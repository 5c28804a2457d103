#include "program/boundary_map.hpp"

#include "program/class_activation.hpp"

#include <cambium/core/error.hpp>

#include <torch/types.h>

#include <algorithm>

namespace trainer {

cambium::grid<float, 2> boundary_map(pidinet& network, cambium::grid<std::uint8_t, 3> const& photograph,
                                     std::int64_t stride, pooling how)
{
  cambium::expects(stride >= 1, "boundary_map: a stride of ", stride);
  at::NoGradGuard const guard;
  auto const map = network.forward(to_tensor(photograph).contiguous(at::MemoryFormat::ChannelsLast));
  auto const cells = (how == pooling::mean ? torch::avg_pool2d(map, stride, stride, 0, true, false)
                                           : torch::max_pool2d(map, stride, stride, 0, 1, true))[0][0]
                         .clamp(0, 1)
                         .contiguous();
  auto out = cambium::make_grid<float>({cells.size(0), cells.size(1)});
  std::copy_n(cells.data_ptr<float>(), cells.numel(), out.data());
  return out;
}

double boundary_memory(cambium::extent2 image, std::int64_t channels)
{
  auto const pixels = static_cast<double>(image.height) * static_cast<double>(image.width);
  return 1e9 + pixels * (100 + 20 * static_cast<double>(channels));
}

}  // namespace trainer
