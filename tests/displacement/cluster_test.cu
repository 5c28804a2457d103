// The same tests, compiled by nvcc: cluster.cuh adds the device's rules and gpu to the backends under test.
#include <cambium/displacement/cluster.cuh>

#include "cluster_test.cpp"

TEMPLATE_LIST_TEST_CASE("what lies nowhere counts as no region", "[displacement][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto regions = picture({"12", "34"});
  grid<std::int32_t, 3> ends(2, 2, 2);
  for (index_t i = 0; i < 4; ++i)
    ends(0, i / 2, i % 2) = static_cast<std::int32_t>(i / 2), ends(1, i / 2, i % 2) = static_cast<std::int32_t>(i % 2);
  CHECK(drawn(cluster_on<TestType>(regions, ends).id) == rows{".1", "23"});
  regions(0, 0) = -7, regions(0, 1) = 5;
  ends(0, 1, 0) = -1, ends(1, 1, 1) = 2'000'000'000;
  auto const none = cluster_on<TestType>(regions, ends);
  CHECK(drawn(none.id) == rows{"..", ".."});
  CHECK(none.count == 1);
  grid<float, 3> positions(2, 1, 2);
  positions(0, 0, 0) = std::nanf(""), positions(0, 0, 1) = -3, positions(1, 0, 0) = HUGE_VALF;
  auto const cells = to::back(nearest_cells(TestType{}, to::there(positions)));
  CHECK((cells(0, 0, 0) == 0 && cells(0, 0, 1) == 0 && cells(1, 0, 0) == 1 << 24));
  positions(1, 0, 1) = -HUGE_VALF;
  CHECK(drawn(weak_on<TestType>(positions)) == rows{".."});
}

TEMPLATE_LIST_TEST_CASE("clusters of a large map, in scratch that is used again", "[displacement][reference]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  cluster_scratch<TestType> scratch;
  for (int const side : {301, 40, 77}) {
    auto const regions = support::uniform<std::int32_t, 2>({side, side}, 0, side, 3);
    auto const ends = support::uniform<std::int32_t, 3>({2, side, side}, 0, side / 2, 5);
    auto const want = cluster(cpu{}, regions, ends);
    auto id = support::copied<TestType>(regions);
    auto count = make_grid<std::int32_t>(TestType{}, {1});
    auto const region = support::copied<TestType>(regions);
    auto const end = support::copied<TestType>(ends);
    cluster_into(TestType{}, region, end, id, count, scratch);
    CHECK(to::back(id) == want.id);
    CHECK(to::back(count)(0) == want.count);
  }
}
