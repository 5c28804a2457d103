// Archetypes: the least an array must offer to be one, and what misses it by a hair.
#include <cambium/grid/grid.hpp>

#include "support/catch.hpp"
#include "support/xtensor.hpp"

#include <boost/multi_array.hpp>

#include <array>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// As little of a range as a shape may be.
struct least_shape {
  int operator[](std::size_t i) const { return i == 0 ? 2 : 3; }
  unsigned char size() const { return 2; }
};
struct least_array {
  float* data() { return cells; }
  float const* data() const { return cells; }
  least_shape shape() const { return {}; }
  float cells[6] = {};
};
struct least_by_dimensions {
  float* data() { return cells; }
  int const* shape() { return extents; }
  short num_dimensions() { return 2; }
  float cells[6] = {};
  int extents[2] = {2, 3};
};
struct with_strides : least_array {
  std::array<int, 2> strides() const { return steps; }
  std::array<int, 2> steps{3, 1};
};
struct of_static_rank : least_array {
  std::array<unsigned, 2> shape() const { return {2, 3}; }
};

struct without_data {
  least_shape shape() const;
};
struct without_shape {
  float* data();
};
struct data_to_nowhere {
  void* data();
  least_shape shape() const;
};
struct shape_of_unknown_length {
  float* data();
  int const* shape() const;
};
struct extents_by_call {
  float* data();
  struct extents {
    int operator()(int) const;
    int size() const;
  };
  extents shape() const;
};
struct scattered {
  std::deque<float>::iterator data();
  least_shape shape() const;
};
struct shared {
  std::shared_ptr<float> data();
  least_shape shape() const;
};

}  // namespace

static_assert(array_container<least_array> && array_container<least_array const>);
static_assert(array_container<least_by_dimensions> && !array_container<least_by_dimensions const>);
static_assert(array_container<with_strides> && array_container<of_static_rank>);
static_assert(image_like<least_array> && image_like<least_array const> && image_like<of_static_rank>);
static_assert(image_like<least_by_dimensions> && stack_like<least_by_dimensions>);  // its rank is known at run time

static_assert(!array_container<without_data> && !array_container<without_shape>);
static_assert(!array_container<shape_of_unknown_length> && !array_container<extents_by_call>);
static_assert(!array_container<int> && !array_container<float*> && !array_container<float[6]>);
static_assert(!array_container<std::vector<float>> && !array_container<std::array<float, 6>>);
static_assert(!array_container<std::string> && !array_container<std::vector<std::vector<float>>>);
static_assert(!image_like<std::vector<float>> && !stack_like<std::list<float>> && !image_like<float*>);

// Views and grids are what they are, in whatever memory.
static_assert(image_like<view<float, 2>> && image_like<view<float const, 2> const> && image_like<view<int, 2, device>>);
static_assert(!image_like<view<float, 3>> && !stack_like<view<float, 2>> && !stack_like<view<float, 4>>);
static_assert(image_like<grid<float, 2>> && image_like<grid<float, 2> const> && stack_like<grid<int, 3>&>);

// Other people's arrays.
static_assert(image_like<xt::xtensor<float, 2>> && image_like<xt::xtensor<float, 2> const>);
static_assert(image_like<xt::xarray<int>> && stack_like<xt::xarray<int>> && stack_like<xt::xarray<bool> const>);
static_assert(image_like<xt::xtensor_fixed<float, xt::xshape<2, 3>>>);
static_assert(stack_like<boost::multi_array<double, 3>> && stack_like<boost::multi_array<double, 3> const>);
static_assert(stack_like<boost::multi_array_ref<double, 3>> && stack_like<boost::const_multi_array_ref<double, 3>>);
static_assert(!image_like<decltype(xt::xtensor<float, 2>() + 1)>);  // a recipe, not an array

// What a door learns of them.
static_assert(std::is_same_v<value_of<xt::xtensor<float, 3> const, 3>, float>);
static_assert(std::is_same_v<view_of<xt::xtensor<float, 3> const, 3>, view<float const, 3>>);
static_assert(std::is_same_v<view_of<xt::xtensor<float, 3>, 3>, view<float, 3>>);
static_assert(std::is_same_v<view_of<boost::multi_array<double, 2> const, 2>, view<double const, 2>>);
static_assert(std::is_same_v<view_of<grid<int, 2> const, 2>, view<int const, 2>>);
static_assert(std::is_same_v<space_of<view<int, 2, device>, 2>, device>);
static_assert(std::is_same_v<space_of<xt::xarray<int>, 2>, host>);

TEST_CASE("an array whose cells are not behind a pointer is none", "[grid][property]")
{
  CHECK_FALSE(array_container<data_to_nowhere>);  // clang++ lets a pointer to void be read in a concept
  CHECK_FALSE(array_container<scattered>);
  CHECK_FALSE(array_container<shared>);
}

TEST_CASE("archetypes become views on their own cells", "[grid][reference]")
{
  least_array a;
  auto const v = as_view<2>(a);
  CHECK(v.data == a.cells);
  CHECK(message_part(v) == "[2,3]");
  CHECK(v.contiguous());
  least_by_dimensions b;
  CHECK(as_view<2>(b).data == b.cells);
  CHECK(message_part(as_view<2>(b)) == "[2,3]");
  with_strides c;
  CHECK(as_view<2>(c).data == c.cells);
  of_static_rank d;
  CHECK(message_part(as_view<2>(d)) == "[2,3]");
}

TEST_CASE("containers become views on their own cells", "[grid][reference]")
{
  xt::xtensor<float, 3> t({2, 3, 4});
  xt::xarray<double> const a = xt::xarray<double>::from_shape({5, 6});
  xt::xtensor_fixed<int, xt::xshape<2, 3>> f;
  boost::multi_array<float, 2> m(boost::extents[4][5]);
  m.reindex(1);  // indices from 1 do not move the cells
  auto const vt = as_view<3>(t);
  CHECK(&vt(1, 2, 3) == &t(1, 2, 3));
  CHECK(message_part(vt) == "[2,3,4]");
  CHECK(&as_view<2>(a)(4, 5) == &a(4, 5));
  CHECK(&as_view<2>(f)(1, 2) == &f(1, 2));
  CHECK(&as_view<2>(m)(3, 4) == &m[4][5]);
  CHECK(message_part(as_view<2>(m)) == "[4,5]");

  std::vector<float> cells(12);
  auto const adapted = xt::adapt(cells, std::vector<std::size_t>{3, 4});
  CHECK(as_view<2>(adapted).data == cells.data());
  boost::const_multi_array_ref<float, 2> const ref(cells.data(), boost::extents[3][4]);
  CHECK(as_view<2>(ref).data == cells.data());

  grid<float, 2> g(3, 4);
  CHECK(as_view<2>(g).data == g.data());
  auto const v = g.view();
  CHECK(as_view<2>(v).data == g.data());
}

TEST_CASE("empty containers are empty views", "[grid][reference]")
{
  auto const s = xt::xtensor<float, 3>::from_shape({0, 4, 5}), t = xt::xtensor<float, 3>::from_shape({2, 0, 5});
  CHECK(as_view<3>(s).size() == 0);
  CHECK(message_part(as_view<3>(t)) == "[2,0,5]");
  boost::multi_array<float, 2> const m(boost::extents[0][5]);
  CHECK(message_part(as_view<2>(m)) == "[0,5]");
}

TEST_CASE("a window of a container is itself, one with gaps is refused", "[grid][property]")
{
  xt::xtensor<float, 3> stack({3, 4, 5});
  for (std::size_t i = 0; i < stack.size(); ++i) stack.data()[i] = static_cast<float>(i);
  auto const channel = xt::view(stack, 1, xt::all(), xt::all());
  auto const rows = xt::view(stack, 2, xt::range(1, 3), xt::all());
  CHECK(as_view<2>(channel)(0, 0) == stack(1, 0, 0));
  CHECK(as_view<2>(channel)(3, 4) == stack(1, 3, 4));
  CHECK(as_view<2>(rows)(1, 4) == stack(2, 2, 4));
  auto const gaps = xt::view(stack, xt::all(), xt::all(), xt::range(1, 4));
  CAMBIUM_THROWS_SAYING(as_view<3>(gaps, "cams"), precondition_error, "cams is not row-major without gaps");
}

TEST_CASE("as_view rejects what it documents", "[grid][errors]")
{
  xt::xarray<float> const flat = xt::xarray<float>::from_shape({2, 3});
  CAMBIUM_THROWS_SAYING(as_view<3>(flat, "cams"), precondition_error, "cams has 2 axes instead of 3");
  boost::multi_array<float, 3> const deep(boost::extents[2][2][2]);
  CAMBIUM_THROWS_SAYING(as_view<2>(deep, "boundary"), precondition_error, "boundary has 3 axes instead of 2");

  xt::xtensor<float, 2, xt::layout_type::column_major> columns({2, 3});
  CAMBIUM_THROWS_SAYING(as_view<2>(columns, "boundary"), precondition_error,
                        "boundary is not row-major without gaps; copy it into a row-major array first");
  xt::xarray<float, xt::layout_type::column_major> const many = xt::ones<float>({2, 3, 4});
  CAMBIUM_THROWS_SAYING(as_view<3>(many, "cams"), precondition_error, "row-major");
  xt::xarray<float, xt::layout_type::dynamic> dynamic({2, 3}, xt::layout_type::column_major);
  CAMBIUM_THROWS_SAYING(as_view<2>(dynamic, "boundary"), precondition_error, "row-major");
  boost::multi_array<float, 2> const fortran(boost::extents[2][3], boost::fortran_storage_order());
  CAMBIUM_THROWS_SAYING(as_view<2>(fortran, "boundary"), precondition_error, "row-major");
  with_strides padded;
  padded.steps = {4, 1};
  CAMBIUM_THROWS_SAYING(as_view<2>(padded, "boundary"), precondition_error, "without gaps");
}

TEST_CASE("where both orders are the same bytes, both are taken", "[grid][property]")
{
  xt::xtensor<float, 2, xt::layout_type::column_major> row({1, 5}), column({5, 1}), none({0, 5});
  CHECK(as_view<2>(row).data == row.data());
  CHECK(as_view<2>(column).data == column.data());
  CHECK(as_view<2>(none).size() == 0);
}
