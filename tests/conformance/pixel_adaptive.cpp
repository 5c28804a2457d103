// Pixel-adaptive refinement.

#include "golden_case.hpp"

#include <cambium/pipeline/pixel_adaptive.hpp>

#include <vector>

using namespace cambium;

namespace conformance {
namespace {

/// [B,…] of a file of rank 4, whatever its extents: golden_case::input drops axes of extent 1.
grid<float, 4> batch_of(golden_case const& c, std::string const& array)
{
  return to_grid<float, 4>(read_npy(c.folder / (array + ".npy")), array);
}

pixel_adaptive_options options_of(golden_case const& c)
{
  pixel_adaptive_options o;
  o.dilations = dilated_neighbours(std::span<int const>(c.param<std::vector<int>>("dilations")));
  o.steps = c.param<index_t>("num_iter");
  return o;
}

void adaptive(golden_case& c)
{
  c.result("refined", par_batch(cpu{}, batch_of(c, "image"), batch_of(c, "masks"), options_of(c)));
}

void adaptive_to_masks(golden_case& c)
{
  auto o = options_of(c);
  o.size = adaptive_size::masks;
  c.result("refined", par_batch(cpu{}, batch_of(c, "image"), batch_of(c, "masks"), o));
}

void adaptive_absolute(golden_case& c)
{
  c.result("refined", pamr_batch(cpu{}, batch_of(c, "image"), batch_of(c, "masks"), options_of(c)));
}

}  // namespace

stage_table const& pixel_adaptive_stages()
{
  static stage_table const table{
      {"par", adaptive}, {"par.image_to_mask", adaptive_to_masks}, {"pamr", adaptive_absolute}};
  return table;
}

}  // namespace conformance
