#include <cambium/core/error.hpp>

#include <cambium/grid/view.hpp>

#include "support/catch.hpp"

#include <string>
#include <type_traits>

using namespace cambium;

namespace elsewhere {

/// A piece of a message whose making is counted.
struct counted {
  int* made;
};
std::string message_part(counted const& c)
{
  ++*c.made;
  return "counted";
}

}  // namespace elsewhere

// A caller may sort failures by whose fault they are, with the standard's types or with ours.
static_assert(std::is_base_of_v<std::invalid_argument, precondition_error>);
static_assert(std::is_base_of_v<std::logic_error, precondition_error>);
static_assert(std::is_base_of_v<std::runtime_error, io_error> && std::is_base_of_v<std::runtime_error, gpu_error>);
static_assert(!std::is_base_of_v<std::logic_error, io_error> && !std::is_base_of_v<std::logic_error, gpu_error>);

TEST_CASE("expects joins texts, numbers and shapes", "[core][reference]")
{
  index_t const extents[3] = {4, 94, 125};
  view<float const, 3> const shape(nullptr, extents);
  CAMBIUM_THROWS_SAYING(expects(false, "door: ", 7, " of ", index_t{-8}, std::string(" in "), shape),
                        precondition_error, "door: 7 of -8 in [4,94,125]");
  CHECK_NOTHROW(expects(true, "door: ", 7));
  CHECK_THROWS_AS(expects(false), precondition_error);
}

TEST_CASE("a message that is not needed is not made", "[core][property]")
{
  int made = 0;
  expects(true, elsewhere::counted{&made});
  CHECK(made == 0);
  CAMBIUM_THROWS_SAYING(expects(false, "so: ", elsewhere::counted{&made}), precondition_error, "so: counted");
  CHECK(made == 1);
}

TEST_CASE("a number in a message is the number", "[core][property]")
{
  // Six digits after the point would print the first as 0.000000 and the last with 301 digits.
  double const value = GENERATE(1e-9, -2.5e-7, 1.0000000001, 0.1, -3.0, 1e300);
  std::string const text = message_part(value);
  CAPTURE(text);
  CHECK(std::stod(text) == Approx(value).epsilon(1e-12).margin(0));
  CHECK(text.size() < 32);
}
