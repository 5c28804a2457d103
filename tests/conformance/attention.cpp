// Attention affinity of CLIP-ES and WeCLIP.

#include "golden_case.hpp"

#include <cambium/pipeline/attention.hpp>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

void clip_es(golden_case& c)
{
  auto const attention = c.input<float, 3>("attention");
  auto const cam = c.input<float, 2>("cam");
  auto const cams = as_batch(cam.view());
  attention_refine_options const options{
      .layers = {.layers = c.param<int>("layers_used")},
      .affinity = {.rounds = c.param<int>("sinkhorn_rounds"), .squarings = c.param<int>("squarings")},
      .box_threshold = c.param<double>("box_threshold")};
  c.result("box_mask", box_mask(where, cams, options.box_threshold).view()[0]);
  c.result("trans", attention_affinity(where, mean_attention(where, attention, options.layers), options.affinity));
  c.result("cam_refined", attention_refine(where, attention, cams, options).view()[0]);
}

void weclip(golden_case& c)
{
  auto const attention = c.input<float, 3>("attention");
  auto const learned = c.input<float, 2>("seg_attention");
  auto const chosen = attention_like(where, attention, learned);
  c.result("layer_used", chosen.used);
  c.result("weight", chosen.weight);
  c.result("trans", attention_affinity(where, chosen.weight));
}

}  // namespace

stage_table const& attention_stages()
{
  static stage_table const table = {{"attention_affinity", clip_es}, {"attention_affinity.weclip", weclip}};
  return table;
}

}  // namespace conformance
