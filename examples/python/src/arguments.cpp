#include "arguments.hpp"

#include <limits>

namespace bindings {

using namespace cambium;

std::vector<std::int32_t> integers(nb::handle given, char const* what)
{
  auto const wrong = [&](std::string const& named, nb::handle seen) {
    PyErr_Clear();
    return nb::type_error((named + " is " + name_of_type(seen) + "; expected a list of integers").c_str());
  };
  auto const iterator = nb::steal(given.is_none() ? nullptr : PyObject_GetIter(given.ptr()));
  if (!iterator.is_valid()) throw wrong(what, given);
  std::vector<std::int32_t> out;
  while (auto const item = nb::steal(PyIter_Next(iterator.ptr()))) {
    if (std::string const type = name_of_type(item); type == "numpy.bool" || type == "numpy.bool_") {  // no index
      out.push_back(PyObject_IsTrue(item.ptr()) == 1 ? 1 : 0);
      continue;
    }
    auto const number = nb::steal(PyNumber_Index(item.ptr()));
    if (!number.is_valid()) throw wrong(std::string(what) + ": entry " + std::to_string(out.size()), item);
    int overflow = 0;
    long long const value = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    expects(overflow == 0 && std::numeric_limits<std::int32_t>::min() <= value &&
                value <= std::numeric_limits<std::int32_t>::max(),
            what, ": entry ", static_cast<index_t>(out.size()), " does not fit 32 bits");
    out.push_back(static_cast<std::int32_t>(value));
  }
  if (PyErr_Occurred()) throw nb::python_error();
  return out;
}

extent2 size_argument(nb::handle given, char const* what)
{
  auto const sides = integers(given, what);
  expects(sides.size() == 2, what, " has ", static_cast<index_t>(sides.size()), " entries; expected (height, width)");
  expects(sides[0] >= 0 && sides[1] >= 0, what, " is ", sides[0], " x ", sides[1], "; expected sizes >= 0");
  return {sides[0], sides[1]};
}

void expects_count(index_t count, char const* what)
{
  expects(0 <= count && count <= index_t{1} << 24, what, " is ", count, "; expected 0 to 16777216");
}

}  // namespace bindings
