#include "arguments.hpp"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>

namespace bindings {

using namespace cambium;

namespace {

std::vector<std::int32_t> numbers_in(nb::handle given, char const* what, bool bools)
{
  auto const wrong = [&](std::string const& named, nb::handle seen) {
    PyErr_Clear();
    return nb::type_error(
        (named + " is " + name_of_type(seen) + "; expected " + (bools ? "a list of flags" : "a list of integers"))
            .c_str());
  };
  auto const iterator = nb::steal(given.is_none() ? nullptr : PyObject_GetIter(given.ptr()));
  if (!iterator.is_valid()) throw wrong(what, given);
  std::vector<std::int32_t> out;
  while (auto const item = nb::steal(PyIter_Next(iterator.ptr()))) {
    if (std::string const type = name_of_type(item);
        PyBool_Check(item.ptr()) || type == "numpy.bool" || type == "numpy.bool_") {
      if (!bools) throw wrong(std::string(what) + ": entry " + std::to_string(out.size()), item);
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

}  // namespace

std::vector<std::int32_t> integers(nb::handle given, char const* what) { return numbers_in(given, what, false); }

std::vector<std::int32_t> flags(nb::handle given, char const* what)
{
  auto out = numbers_in(given, what, true);
  for (auto& each : out) each = each != 0 ? 1 : 0;
  return out;
}

std::vector<std::int32_t> distinct_integers(nb::handle given, char const* what)
{
  auto out = integers(given, what);
  auto sorted = out;
  std::sort(sorted.begin(), sorted.end());
  auto const twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) expects(false, what, " names ", *twice, " twice");
  return out;
}

template <class T>
std::vector<T> numbers_of(nanobind::handle given, char const* what)
{
  expects_plain(given, what);
  auto const numpy = nb::module_::import_("numpy");
  auto array = numpy.attr("asarray")(given);  // raises for what is no array, as a list of lists of different lengths
  std::string const kind = text_of_attribute(array.attr("dtype"), "kind");
  bool const whole = std::is_integral_v<T>, empty = nb::cast<std::size_t>(array.attr("size")) == 0;
  bool const fits = kind == "b" || kind == "i" || kind == "u" || (!whole && kind == "f");
  if (!fits && !empty)
    throw nb::type_error(
        (std::string(what) + " is " + text_of(array) + "; expected " + (whole ? "integers" : "numbers")).c_str());
  if (nb::cast<int>(array.attr("ndim")) != 1) expects(false, what, " is ", text_of(array), "; expected one axis");
  auto const info = [&](char const* end) -> nb::object {
    return numpy.attr("iinfo")(nb::cast(dtype_name(nb::dtype<T>()))).attr(end);
  };
  if (whole && !empty && kind != "b")
    expects(info("min") <= array.attr("min")() && array.attr("max")() <= info("max"), what, " has numbers that ",
            dtype_name(nb::dtype<T>()), " cannot hold");
  if (kind == "f") expects_no_overflow(array, what, nb::dtype<T>());
  array = numpy.attr("ascontiguousarray")(array, nb::cast(dtype_name(nb::dtype<T>())));
  auto const cells = nb::cast<nb::ndarray<T const, nb::ndim<1>>>(array);
  return {cells.data(), cells.data() + cells.size()};
}
template std::vector<std::int32_t> numbers_of(nanobind::handle, char const*);
template std::vector<std::int64_t> numbers_of(nanobind::handle, char const*);
template std::vector<std::uint8_t> numbers_of(nanobind::handle, char const*);
template std::vector<float> numbers_of(nanobind::handle, char const*);
template std::vector<double> numbers_of(nanobind::handle, char const*);

std::string utf8_of(nb::handle given, std::string const& what)
{
  Py_ssize_t size = 0;
  char const* const text = PyUnicode_AsUTF8AndSize(given.ptr(), &size);
  if (text == nullptr) {
    bool const no_memory = PyErr_ExceptionMatches(PyExc_MemoryError) != 0;
    if (no_memory) throw nb::python_error();
    PyErr_Clear();
  }
  expects(text != nullptr, what, " is a text with a lone surrogate, which has no UTF-8");
  return {text, static_cast<std::size_t>(size)};
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
