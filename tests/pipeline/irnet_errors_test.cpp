#include <cambium/pipeline/irnet.hpp>

#include "support/catch.hpp"
#include "support/irnet_scene.hpp"

#include <cmath>
#include <limits>

using namespace cambium;
using support::irnet_scene;

TEST_CASE("irnet rejects maps that do not fit together", "[pipeline][errors]")
{
  irnet_scene const s(2, 13, 18, 3), other(2, 13, 22, 3), three(3, 13, 18, 3);
  auto const in = s.with_displacement();
  auto const refused = [&](irnet_input<double> const& bad, char const* words) {
    CAMBIUM_THROWS_SAYING(irnet(cpu{}, bad), precondition_error, words);
  };
  auto bad = in;
  bad.image = {13, 21};
  refused(bad, "irnet: an image of 13 x 21 needs CAMs of [C,4,6]; they are [2,4,5]");
  bad.image = {0, 18};
  refused(bad, "irnet: an image of 0 x 18");
  bad.image = {-3, 18};
  refused(bad, "irnet: an image of -3 x 18");
  bad = in;
  bad.cams = other.cams;
  refused(bad, "they are [2,4,6]");
  bad = in;
  bad.cams = three.cams;
  refused(bad, "CAMs are [3,4,5] but there are 2 keys");
  bad = in;
  bad.keys.pop_back();
  refused(bad, "but there are 1 keys");
  bad = in;
  bad.keys[1] = -1;
  refused(bad, "key -1 is outside 0..253");
  bad = in;
  bad.boundary = other.boundary;
  refused(bad, "the boundary is [4,6]");
  bad = in;
  bad.boundary = {};
  refused(bad, "the boundary is [0,0]");
  bad = in;
  bad.displacement = other.displacement;
  refused(bad, "the displacement is [2,4,6]");
  bad = in;
  bad.displacement = three.cams;
  refused(bad, "the displacement is [3,4,5]");
}

TEST_CASE("irnet rejects NaN, and says where it is", "[pipeline][errors]")
{
  irnet_scene s(3, 13, 18, 3);
  double const bad = GENERATE(std::nan(""), HUGE_VAL);
  std::string const words = std::isnan(bad) ? " is nan" : " is inf";
  auto const refused = [&](std::string const& place) {
    CAMBIUM_THROWS_SAYING(irnet(cpu{}, s.with_displacement()), precondition_error, place + words);
  };
  SECTION("in the CAMs")
  {
    s.cams(2, 1, 3) = bad;
    refused("(2,1,3)");
    for (index_t i = 0; i < 20; ++i) s.cams.cells()[static_cast<std::size_t>(i)] = 0;
    refused("(2,1,3)");  // the number of the channel does not depend on which others are walked
  }
  SECTION("in the boundary")
  {
    s.boundary(3, 4) = bad;
    refused("boundary(3,4)");
  }
  SECTION("in the displacement")
  {
    s.displacement(1, 0, 2) = bad;
    refused("displacement(1,0,2)");
    CHECK_NOTHROW(irnet(cpu{}, s.without_displacement()));
  }
}

TEST_CASE("irnet rejects options outside their range", "[pipeline][errors]")
{
  irnet_scene const s(2, 13, 18, 3);
  auto const refused = [&](irnet_options const& options, char const* words) {
    CAMBIUM_THROWS_SAYING(irnet(cpu{}, s.with_displacement(), options), precondition_error, words);
  };
  // The argmax_labels mistake: steps instead of their logarithm.
  refused({.exp_times = 256}, "exp_times is 256; the walk takes 2^exp_times steps, and 8 gives the 256 of the paper");
  refused({.exp_times = -1}, "exp_times is -1");
  refused({.radius = 0}, "radius 0 is not in 1..17");
  refused({.radius = 18}, "radius 18 is not in 1..17");
  refused({.beta = 0}, "beta is 0");
  refused({.tolerance = 1}, "tolerance is 1");
  refused({.sem_seg_bg_thres = std::nan("")}, "sem_seg_bg_thres is nan");
  refused({.ins_seg_bg_thres = HUGE_VAL}, "ins_seg_bg_thres is inf");
  refused({.iterations = -1}, "iterations is -1");
  refused({.thres = 0}, "threshold is 0");
  refused({.max_fragment_size = -0.5}, "max_fragment_size is -0.5, outside [0,1]");
  refused({.max_fragment_size = 1e30}, "max_fragment_size is 1e+30");
  refused({.component_thres = std::nan("")}, "component_thres is nan");
  irnet_scene far(2, 13, 18, 3);
  far.keys[1] = 254;  // its label would be 255
  CAMBIUM_THROWS_SAYING(irnet(cpu{}, far.without_displacement()), precondition_error, "key 254 is outside 0..253");
  far.keys[1] = std::numeric_limits<std::int32_t>::max();
  CAMBIUM_THROWS_SAYING(irnet(cpu{}, far.without_displacement()), precondition_error, "is outside 0..253");
}

TEST_CASE("irnet rejects a boundary outside [0,1]", "[pipeline][errors]")
{
  irnet_scene s(1, 13, 18, 3);
  s.boundary(1, 1) = -0.25;
  CAMBIUM_THROWS_SAYING(irnet(cpu{}, s.without_displacement()), precondition_error, "boundary(1,1) is -0.25");
}

TEST_CASE("the steps of the pipeline check what they are given", "[pipeline][errors]")
{
  irnet_scene const s(2, 13, 18, 3), larger(2, 17, 22, 3);
  irnet_options const options{.exp_times = 1};
  auto const step = irnet_transition(cpu{}, s.boundary, options);
  CAMBIUM_THROWS_SAYING(propagate_to_edge(cpu{}, step, s.cams, larger.boundary, options), precondition_error,
                        "boundary");
  CAMBIUM_THROWS_SAYING(propagate_to_edge(cpu{}, step, larger.cams, larger.boundary, options), precondition_error,
                        "[2,5,6]");
  auto const chosen = irnet_assign(cpu{}, s.cams.view(), s.keys, s.image, 0.25, options);
  CAMBIUM_THROWS_SAYING(irnet_semantic_labels(cpu{}, chosen, {4}), precondition_error, "label");
  CAMBIUM_THROWS_SAYING(irnet_detect(cpu{}, chosen, {4}, options), precondition_error, "irnet_detect: channel(");
}
