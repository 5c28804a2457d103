// irnet on a device against irnet on cores: every option, with and without a displacement field.
#include <cambium/pipeline/irnet_tiled.hpp>

#include "support/backends.hpp"
#include "support/irnet_scene.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// label(P, maps) on P, and back.
template <class P, class Label>
irnet_labels<> labelled(irnet_input<double> const& in, Label const& label)
{
  P const where{};
  if constexpr (std::same_as<typename P::memory, host>) {
    return to_host(where, label(where, in));
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
    return to_host(where, label(where, there));
  }
}
template <class P>
irnet_labels<> labelled(irnet_input<double> const& in, irnet_options const& options)
{
  return labelled<P>(in, [&](auto const& where, auto const& there) { return irnet(where, there, options); });
}

void same(irnet_labels<> const& have, irnet_labels<> const& want)
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

TEMPLATE_LIST_TEST_CASE("irnet is the cpu's, whatever the options", "[pipeline][same]", support::rule_backends)
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

TEMPLATE_LIST_TEST_CASE("an image of several windows is the same as one of a single window", "[pipeline][same]",
                        support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  support::irnet_scene const s(2, 1231, 1003, 4);
  REQUIRE(s.image.height * s.image.width > pixels_of_window);  // of the cpu; other policies have one window
  irnet_options o;
  o.exp_times = 1, o.max_fragment_size = 1e-4;
  for (double const background : {0.25, 0.6}) {
    o.sem_seg_bg_thres = background;
    auto const want = irnet(cpu{}, s.without_displacement(), o);
    CHECK(want.objects.found.size() > 3);
    same(labelled<TestType>(s.without_displacement(), o), want);
    CHECK(*std::max_element(want.semantic.cells().begin(), want.semantic.cells().end()) > 0);
  }
}

TEMPLATE_LIST_TEST_CASE("tiles are walked and joined as on the cpu", "[pipeline][same]", support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {57, 43}, {30, 90}}));
  auto const empty = GENERATE(no_score::background, no_score::first_channel);
  CAPTURE(H, W);
  support::irnet_scene const s(2, H, W, 7);
  irnet_options o;
  o.exp_times = 3, o.empty = empty;
  irnet_tiling const tiling{.tile = 24, .overlap = 8};
  for (auto const& in : {s.with_displacement(), s.without_displacement()})
    same(labelled<TestType>(in,
                            [&](auto const& where, auto const& maps) { return irnet_tiled(where, maps, o, tiling); }),
         irnet_tiled(cpu{}, in, o, tiling));
}

TEST_CASE("irnet on a device refuses before it begins", "[pipeline][errors]")
{
  support::irnet_scene const s(2, 20, 20, 1);
  auto in = s.with_displacement();
  in.image = {21, 20};
  CHECK_THROWS_AS(labelled<support::by_rules>(in, irnet_options{}), precondition_error);
  irnet_options o;
  o.ins_seg_bg_thres = std::nan("");
  CHECK_THROWS_AS(labelled<support::by_rules>(s.with_displacement(), o), precondition_error);
}
