#include "method/scores.hpp"

#include <cmath>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::grid;
using cambium::index_t;
using cambium::precondition_error;

namespace {

/// One row: a number an object, classes in order.
cambium::instances<> row(std::vector<std::int32_t> const& labels, std::vector<std::int32_t> const& classes)
{
  cambium::instances<> out{grid<std::int32_t, 2>(1, labels.size()), {}};
  std::copy(labels.begin(), labels.end(), out.label.data());
  for (auto const c : classes) out.found.push_back({c, 1 - static_cast<double>(out.found.size()) / 8, 0, {}});
  return out;
}

grid<std::uint8_t, 2> marks(std::vector<std::uint8_t> const& of)
{
  grid<std::uint8_t, 2> out(1, of.size());
  std::copy(of.begin(), of.end(), out.data());
  return out;
}

}  // namespace

TEST_CASE("scores: crowds are neither objects nor background", "[picture]")
{
  auto const truth = row({1, 1, 0, 0, 0, 0, 0, 0}, {0});
  auto const found = row({1, 1, 0, 2, 2, 2, 0, 0}, {0, 0});
  scoring without(1), with(1);
  without.add_instances(found, truth), without.add_semantic(semantic_of(found), truth);
  auto const crowd = marks({0, 0, 0, 0, 1, 1, 1, 0});
  with.add_instances(found, truth, crowd), with.add_semantic(semantic_of(found), truth, crowd);
  CHECK(without.result().miou == Approx((2. / 5 + 3. / 6) / 2));
  CHECK(with.result().miou == Approx((2. / 3 + 2. / 3) / 2));  // of the five pixels that are known
  // What lies on the crowd by half or more is no false alarm, whatever its score.
  auto const first = row({2, 2, 0, 1, 1, 1, 0, 0}, {0, 0});
  scoring alarm(1), none(1), mostly_outside(1);
  alarm.add_instances(first, truth), none.add_instances(first, truth, crowd);
  mostly_outside.add_instances(first, truth, marks({0, 0, 0, 0, 0, 1, 1, 1}));
  CHECK(alarm.result().ap50 == Approx(0.5));
  CHECK(none.result().ap50 == Approx(1));
  CHECK(mostly_outside.result().ap50 == Approx(0.5));
}

TEST_CASE("scores: an object stands above what is ignored, and what fits it is not left out", "[picture]")
{
  auto const truth = row({1, 1, 1, 0, 0, 0}, {0});
  auto const found = row({1, 1, 1, 1, 1, 1}, {0});
  scoring s(1);
  s.add_instances(found, truth, marks({1, 1, 1, 1, 1, 1})),
      s.add_semantic(semantic_of(found), truth, marks({1, 1, 1, 1, 1, 1}));
  CHECK(s.result().ap75 == Approx(1));
  CHECK(s.result().miou == Approx(1));
  CAMBIUM_THROWS_SAYING(s.add_instances(found, truth, marks({1})), precondition_error,
                        "scoring: labels are [1,6] but what is ignored is [1,1]");
}
