// irnet on a device against irnet on cores: every option, with and without a displacement field.
#include <cambium/pipeline/irnet.hpp>

#include "support/backends.hpp"
#include "support/irnet_scene.hpp"

#include <cmath>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// On P, and back.
template <class P>
irnet_labels labelled(irnet_input<double> const& in, irnet_options const& options)
{
  P const where{};
  if constexpr (std::same_as<typename P::memory, host>) {
    return to_host(where, irnet(where, in, options));
  } else {
    auto const sent_to = [&]<int R>(view<double const, R> const& v) {
      auto out = make_grid<double>(where, v.extent);
      if (v.size() > 0) copy(where, v, out.view());
      return out;
    };
    auto const cams = sent_to(in.cams), displacement = sent_to(in.displacement);
    auto const boundary = sent_to(in.boundary);
    irnet_input<double, device> there{cams.view(), in.keys, boundary.view(), {}, in.image};
    if (in.displacement.data != nullptr) there.displacement = displacement.view();
    return to_host(where, irnet(where, there, options));
  }
}

void same(irnet_labels const& have, irnet_labels const& want)
{
  REQUIRE(have.semantic == want.semantic);
  REQUIRE(have.objects.label == want.objects.label);
  REQUIRE(have.objects.found.size() == want.objects.found.size());
  for (std::size_t i = 0; i < want.objects.found.size(); ++i) {
    auto const &p = have.objects.found[i], &q = want.objects.found[i];
    CHECK((p.category == q.category && p.area == q.area && p.bounds == q.bounds));
    CHECK(p.score == Approx(q.score).margin(1e-12));
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("irnet is the cpu's, whatever the options", "[pipeline][reference]", support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [C, H, W] =
      GENERATE(table<int, int, int>({{0, 9, 9}, {1, 1, 1}, {1, 4, 4}, {2, 33, 5}, {3, 41, 62}, {2, 64, 100}}));
  auto const seed = GENERATE(1u, 2u);
  CAPTURE(C, H, W, seed);
  support::irnet_scene const s(C, H, W, seed);
  irnet_options o;
  o.exp_times = 3;
  std::vector<irnet_options> ways(7, o);
  ways[1].parts = pieces::merged;
  ways[2].small = fragments::drop, ways[2].max_fragment_size = 0.05;
  ways[3].scale = score_scale::channel, ways[3].small = fragments::keep;
  ways[4].empty = no_score::first_channel, ways[4].ins_seg_bg_thres = 0.6, ways[4].sem_seg_bg_thres = 0.4;
  ways[5].component_thres = 2, ways[5].scale = score_scale::group;
  ways[6].component_thres = 0.3, ways[6].max_fragment_size = 0.002;
  for (auto const& way : ways) {
    CAPTURE(&way - ways.data());
    // Where every instance reaches 1, small clusters tie, and rounding says who wins.
    if (way.scale != score_scale::channel)
      same(labelled<TestType>(s.with_displacement(), way), irnet(cpu{}, s.with_displacement(), way));
    same(labelled<TestType>(s.without_displacement(), way), irnet(cpu{}, s.without_displacement(), way));
  }
}

TEST_CASE("irnet on a device refuses before it begins", "[pipeline][errors]")
{
  support::irnet_scene const s(2, 20, 20, 1);
  auto in = s.with_displacement();
  in.image = {21, 20};
  CHECK_THROWS_AS(labelled<support::by_rules>(in, {}), precondition_error);
  irnet_options o;
  o.ins_seg_bg_thres = std::nan("");
  CHECK_THROWS_AS(labelled<support::by_rules>(s.with_displacement(), o), precondition_error);
}
