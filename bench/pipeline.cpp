// Whole labels of one image, without files.

#include "measure.hpp"

#include <cambium/pipeline/irnet.hpp>

#include <cstdio>

#include <sys/resource.h>

namespace bench {

using namespace cambium;

namespace {

double resident_megabytes()
{
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void label(benchmark::State& state, index_t C, extent2 image, bool with_field, double tolerance)
{
  index_t const h = (image.height - 1) / 4 + 1, w = (image.width - 1) / 4 + 1;
  auto const cams = blobs(C, h, w);
  auto const boundary = boundary_map(h, w);
  auto const field = centre_field(h, w, 1);  // one object and the rest: two instance channels a class
  irnet_input<float> in{cams.view(), {}, boundary.view(), {}, image};
  for (index_t c = 0; c < C; ++c) in.keys.push_back(static_cast<std::int32_t>(c));
  if (with_field) in.displacement = field.view();
  irnet_options options;
  options.tolerance = tolerance;
  std::size_t found = 0;
  measure(state, {}, [&] {
    if (!with_field) {
      found = irnet(all_cores, in, options).objects.found.size();
      return;
    }
    auto const step = irnet_transition(all_cores, in.boundary, options);
    auto const clusters = irnet_clusters(all_cores, in.displacement, options);
    auto const split = separate(all_cores, in.cams, clusters.id, clusters.count);
    state.counters["walked_channels"] = static_cast<double>(split.shape()[0]);
    auto const scores = propagate_to_edge(all_cores, step, split.view(), in.boundary, options);
    found = irnet_label_instances(all_cores, scores.view(), in, options).found.size();
  });
  state.counters["instances"] = static_cast<double>(found);
  state.counters["max_resident_MB"] = resident_megabytes();
}

}  // namespace

void add_pipeline()
{
  auto const add = [](char const* name, auto... arguments) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& s) {
      label(s, arguments...);
    })->Unit(benchmark::kMillisecond);
  };
  add("pipeline/irnet_instances/375x500/4", index_t{2}, extent2{375, 500}, true, 0.0);
  add("pipeline/irnet_instances_accelerated/375x500/4", index_t{2}, extent2{375, 500}, true, 2e-5);
  add("pipeline/irnet_components/375x500/4", index_t{4}, extent2{375, 500}, false, 0.0);
  add("pipeline/irnet_instances/1024x1024/4", index_t{2}, extent2{1024, 1024}, true, 0.0);
}

}  // namespace bench
