#include <cambium/exec/gpu.cuh>
#include <cambium/exec/team.cuh>

#include "support/backends.hpp"

using namespace cambium;

namespace {

struct add_one {
  view<std::int32_t, 2, device> cells;
  index_t row;
  CAMBIUM_HD void operator()(index_t i) const { ++cells(row, i); }
};

/// A resource that counts what is taken and given back.
class counted final : public device_resource {
 public:
  void* allocate(std::size_t bytes, cudaStream_t stream) override
  {
    ++taken;
    return default_resource().allocate(bytes, stream);
  }
  void release(void* memory, std::size_t bytes, cudaStream_t stream) noexcept override
  {
    ++returned;
    default_resource().release(memory, bytes, stream);
  }
  int taken = 0, returned = 0;
};

}  // namespace

TEST_CASE("a batch runs between what comes before it and what comes after", "[exec][gpu]")
{
  if (!support::carry<gpu>::usable()) return;
  gpu const where;
  gpu_team team(3);
  index_t const count = GENERATE(0, 1, 3, 10);
  auto cells = to_device(where, grid<std::int32_t, 2>(10, 100000));
  for (int round = 0; round < 3; ++round)
    for_each_item(where, team, count,
                  [&](gpu const& share, index_t i) { for_each_index(share, 100000, add_one{cells.view(), i}); });
  auto const have = to_host(where, cells);
  for (index_t y = 0; y < 10; ++y)
    for (index_t x = 0; x < 100000; ++x) REQUIRE(have(y, x) == (y < count ? 3 : 0));
}

TEST_CASE("a user's resource is used, and gets back what it gave", "[exec][gpu]")
{
  if (!support::carry<gpu>::usable()) return;
  counted own;
  {
    gpu const where{nullptr, &own};
    auto a = make_grid<float>(where, {100, 10});
    auto b = std::move(a);
    a = make_grid<float>(where, {3, 3});
    auto const empty = make_grid<float>(where, {0, 3});
    CHECK(own.taken == 2);
  }
  CHECK(own.returned == 2);
}

TEST_CASE("without a device every call says so", "[exec][errors]")
{
  if (device_count() > 0) return;
  CHECK_THROWS_AS(make_grid<float>(gpu{}, {3, 3}), gpu_error);
  CHECK_THROWS_AS(gpu_team(2), gpu_error);
  CHECK_THROWS_AS(gpu_team(0), precondition_error);
  CHECK_THROWS_AS(for_each_index(gpu{}, 3, add_one{}), gpu_error);
  CHECK_NOTHROW(make_grid<float>(gpu{}, {0, 3}));
}
