// The same tests, compiled by nvcc: separate.cuh adds the device's rule and gpu to the backends under test.
#include <cambium/instance/separate.cuh>

#include "separate_test.cpp"

TEMPLATE_LIST_TEST_CASE("an id out of range is in no channel", "[instance][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> scores(1, 1, 4);
  for (auto& v : scores.cells()) v = 5;
  grid<std::int32_t, 2> ids(1, 4);
  ids(0, 0) = -1, ids(0, 1) = 1, ids(0, 2) = 2, ids(0, 3) = 1'000'000;
  auto const split = to::back(separate(TestType{}, to::there(scores), to::there(ids), 2));
  CHECK(drawn(split.view()[0]) == rows{"...."});
  CHECK(drawn(split.view()[1]) == rows{".5.."});
}
