#pragma once
// Python through nanobind: arrays of any framework that speaks DLPack or the buffer protocol as views, and grids as
// NumPy arrays, without a copy. It needs nanobind, so no other header and no test of the library includes it.

#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/view.hpp>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// The name of a cell type, as NumPy spells it: "float32".
inline std::string dtype_name(nanobind::dlpack::dtype type)
{
  using code = nanobind::dlpack::dtype_code;
  std::string const bits = std::to_string(type.bits);
  if (type.lanes != 1) return "a vector type";
  switch (static_cast<code>(type.code)) {
    case code::Int:
      return "int" + bits;
    case code::UInt:
      return "uint" + bits;
    case code::Float:
      return "float" + bits;
    case code::Bfloat:
      return "bfloat" + bits;
    case code::Complex:
      return "complex" + bits;
    case code::Bool:
      return "bool";
    default:
      return "an unknown type";
  }
}

/// Text of an object's attribute, or "".
inline std::string text_of_attribute(nanobind::handle object, char const* name)
{
  if (!nanobind::hasattr(object, name)) return {};
  auto const value = nanobind::getattr(object, name);
  auto const text = nanobind::steal<nanobind::str>(PyObject_Str(value.ptr()));
  return text.is_valid() ? text.c_str() : "";
}

/// "numpy.ndarray", "list".
inline std::string name_of_type(nanobind::handle object)
{
  std::string const module = text_of_attribute(object.type(), "__module__");
  return (module.empty() || module == "builtins" ? "" : module + ".") +
         text_of_attribute(object.type(), "__qualname__");
}

/// Whether NumPy has cells of this type.
inline bool numpy_has(nanobind::dlpack::dtype type)
{
  using code = nanobind::dlpack::dtype_code;
  if (type.lanes != 1) return false;
  switch (static_cast<code>(type.code)) {
    case code::Int:
    case code::UInt:
      return type.bits == 8 || type.bits == 16 || type.bits == 32 || type.bits == 64;
    case code::Float:
      return type.bits == 16 || type.bits == 32 || type.bits == 64;
    case code::Complex:
      return type.bits == 64 || type.bits == 128;
    default:
      return static_cast<code>(type.code) == code::Bool && type.bits == 8;
  }
}

/// Throws unless the cells in memory are what the object says they are. A masked array has cells that do not count. The
/// memory of a tensor with torch's negative bit has the other sign.
///
/// @throws nanobind::type_error
inline void expects_plain(nanobind::handle given, std::string const& what)
{
  if (given.is_none() || name_of_type(given) == "numpy.ndarray") return;
  if (nanobind::hasattr(given, "mask") && nanobind::hasattr(given, "filled")) {
    auto const ma = nanobind::module_::import_("numpy").attr("ma");
    if (nanobind::isinstance(given, ma.attr("MaskedArray")) && nanobind::cast<bool>(ma.attr("is_masked")(given)))
      throw nanobind::type_error((what + " is a masked array with masked cells: say .filled(value)").c_str());
  }
  if (nanobind::hasattr(given, "is_neg") && nanobind::hasattr(given, "resolve_neg")) {
    auto const method = nanobind::getattr(given, "is_neg");
    auto const negative = nanobind::steal(PyObject_CallNoArgs(method.ptr()));
    if (!negative.is_valid()) PyErr_Clear();
    if (negative.is_valid() && negative.ptr() == Py_True)
      throw nanobind::type_error(
          (what + " is a tensor with the negative bit, whose memory has the other sign: say .resolve_neg()").c_str());
  }
}

/// "(0,1)": where a NumPy array has its first cell that is true ("argmax"), its least or its largest one.
inline std::string place_in(nanobind::handle array, char const* which)
{
  std::string text;
  auto const unravel = nanobind::module_::import_("numpy").attr("unravel_index");
  nanobind::object const at = unravel(array.attr(which)(), array.attr("shape"));
  for (nanobind::handle const i : nanobind::borrow<nanobind::tuple>(at))
    text += (text.empty() ? "(" : ",") + std::string(nanobind::str(i).c_str());
  return text + ")";
}

/// Throws unless the finite numbers of a NumPy array of floating-point numbers are finite in another such type.
///
/// @throws precondition_error
inline void expects_no_overflow(nanobind::handle array, std::string const& what, nanobind::dlpack::dtype to)
{
  bool const narrower = nanobind::cast<std::size_t>(array.attr("itemsize")) * 8 > to.bits;
  if (!narrower || nanobind::cast<std::size_t>(array.attr("size")) == 0) return;
  auto const numpy = nanobind::module_::import_("numpy");
  // half a step behind the largest float: what is less is rounded to a float
  nanobind::object const large = numpy.attr("greater_equal")(numpy.attr("abs")(array), 0x1.ffffffp127),
                         lost = numpy.attr("logical_and")(numpy.attr("isfinite")(array), large);
  if (!nanobind::cast<bool>(lost.attr("any")().attr("item")())) return;
  nanobind::object const value = array.attr("flat")[lost.attr("argmax")()];
  expects(false, what, place_in(lost, "argmax"), " is ", std::string(nanobind::str(value).c_str()), ", more than ",
          dtype_name(to), " holds");
}

/// An array argument from Python: the cells, and the hold that keeps them alive.
///
///   array_argument seeds(given, "random_walk: seeds", copy);
///   random_walk(where, seeds.cells<float, 3>(), ...);      // a view of the caller's memory
///
/// NumPy arrays, CPU tensors of PyTorch and JAX, and every other object with `__dlpack__` or a buffer are accepted. The
/// GIL must be held while it is made and destroyed, not while its cells are read.
///
/// A copy has the values of what was given; only fractions are rounded to a narrower floating-point type. Integers are
/// not made of floating-point numbers, numbers are not made of complex ones, and nothing overflows.
class array_argument {
 public:
  /// @param given  the object
  /// @param what   names it in messages: "random_walk: seeds"
  /// @param copy   whether cells() may convert the type and the order of the cells into a new array
  /// @param offer  whether messages say that copy=True would do it
  ///
  /// @throws nanobind::type_error: no array, or an array that cannot be read (another byte order, a tensor that
  ///         requires gradients or has the negative bit, a masked array, a capsule that was used already)
  /// @throws precondition_error: an array on another device than the CPU
  array_argument(nanobind::handle given, std::string what, bool copy, bool offer = true)
      : what_(std::move(what)), copy_(copy), offer_(offer && !copy), given_(nanobind::borrow(given))
  {
    import();
  }

  nanobind::dlpack::dtype dtype() const { return array_.dtype(); }
  int rank() const { return static_cast<int>(array_.ndim()); }
  index_t extent(int axis) const { return static_cast<index_t>(array_.shape(static_cast<std::size_t>(axis))); }
  std::string const& what() const { return what_; }

  /// Whether the cells are of type T.
  template <class T>
  bool holds() const
  {
    return array_.dtype() == nanobind::dtype<T>();
  }

  /// "float64 (3,4)".
  std::string described() const
  {
    std::string text = dtype_name(array_.dtype()) + " (";
    for (int r = 0; r < rank(); ++r) text += (r ? "," : "") + std::to_string(extent(r));
    return text + ")";
  }

  /// View the cells: row-major without gaps, of type T (const), with Rank axes. With `copy` they are converted first if
  /// they are of another type or order. An array of bool is viewed as uint8.
  ///
  /// @throws nanobind::type_error: another dtype, without `copy`; one whose numbers T has not
  /// @throws precondition_error: another number of axes; gaps or permuted axes, without `copy`; with it a number that T
  ///         cannot hold
  template <class T, int Rank>
  view<T const, Rank> cells()
  {
    return cells_as<T, Rank>(false);
  }

  /// View a mask, whose cells are inside where they are not 0. With `copy` integers of any type become 0 and 1.
  template <int Rank>
  view<std::uint8_t const, Rank> mask()
  {
    return cells_as<std::uint8_t, Rank>(true);
  }

 private:
  template <class T, int Rank>
  view<T const, Rank> cells_as(bool inside)
  {
    expects(rank() == Rank, what_, " is ", described(), " with ", rank(), " axes; expected ", Rank);
    if (array_.size() == 0) {  // stages loop over its other axes
      double rows = 1;
      for (int r = 0; r < Rank; ++r) rows *= extent(r) == 0 ? 1 : static_cast<double>(extent(r));
      expects(rows <= 1 << 20, what_, " is ", described(), ", without cells but with more than 2^20 rows");
    }
    constexpr auto type = nanobind::dtype<T>();
    bool const masks = std::is_same_v<T, std::uint8_t> && array_.dtype() == nanobind::dtype<bool>();
    bool const right_type = masks || array_.dtype() == type;
    if (!right_type) {
      std::string const hindrance = hindrance_to(type);
      if (!copy_ || !hindrance.empty())
        throw nanobind::type_error((what_ + " is " + described() + "; expected dtype " + dtype_name(type) +
                                    (!hindrance.empty() ? "; " + hindrance
                                     : offer_           ? " (copy=True converts it)"
                                                        : ""))
                                       .c_str());
    }
    if (!right_type || !packed(alignof(T))) {
      expects(copy_, what_, " is ", described(), " with ", gaps(alignof(T)), "; expected C order without gaps",
              offer_ ? " (copy=True copies it)" : "");
      convert(masks ? nanobind::dtype<std::uint8_t>() : type, !right_type, inside);
    }
    return here<T const, Rank>(array_.data());
  }

  using type_code = nanobind::dlpack::dtype_code;

  type_code code() const { return static_cast<type_code>(array_.dtype().code); }
  bool bfloat16() const
  {
    return code() == type_code::Bfloat && array_.dtype().bits == 16 && array_.dtype().lanes == 1;
  }

  /// Why no copy may have cells of a type, or "".
  std::string hindrance_to(nanobind::dlpack::dtype to) const
  {
    if (!numpy_has(array_.dtype()) && !bfloat16()) return "NumPy has no such type: convert it first";
    if (code() == type_code::Complex) return "complex numbers are not converted";
    bool const whole = static_cast<type_code>(to.code) != type_code::Float;
    bool const real = code() == type_code::Float || code() == type_code::Bfloat;
    return whole && real && array_.size() > 0 ? "floating-point numbers are not converted to integers" : "";
  }

  /// Take a new array of a type, in C order, in place of what was given: NumPy would keep unaligned cells where type and
  /// order are right.
  ///
  /// @param other   whether the type is another one, so that values may not fit
  /// @param inside  whether only "not 0" counts
  void convert(nanobind::dlpack::dtype to, bool other, bool inside)
  {
    auto const numpy = nanobind::module_::import_("numpy");
    nanobind::object from = bfloat16() ? widened(numpy) : as_numpy(array_.dtype());
    if (other && array_.size() > 0) {
      if (inside)
        from = numpy.attr("not_equal")(from, 0);
      else if (code() == type_code::Float)
        expects_no_overflow(from, what_, to);
      else if (static_cast<type_code>(to.code) != type_code::Float && code() != type_code::Bool)
        expects_range(numpy, from, to);
    }
    given_ = numpy.attr("array")(from, nanobind::arg("dtype") = dtype_name(to), nanobind::arg("order") = "C");
    import();
  }

  /// The cells as a NumPy array of a type of the same size. Nothing is copied.
  nanobind::object as_numpy(nanobind::dlpack::dtype type) const
  {
    std::vector<std::size_t> shape;
    std::vector<std::int64_t> strides;
    for (std::size_t r = 0; r < array_.ndim(); ++r)
      shape.push_back(array_.shape(r)), strides.push_back(array_.stride(r));
    return nanobind::ndarray<nanobind::numpy, nanobind::ro>(array_.data(), array_.ndim(), shape.data(), given_,
                                                            strides.data(), type)
        .cast(nanobind::rv_policy::reference);
  }

  /// bfloat16 as float32: the upper half of its bits.
  nanobind::object widened(nanobind::handle numpy) const
  {
    return numpy.attr("left_shift")(as_numpy(nanobind::dtype<std::uint16_t>()), 16, nanobind::arg("dtype") = "uint32")
        .attr("view")("float32");
  }

  /// @throws precondition_error: an integer that a type cannot hold
  void expects_range(nanobind::handle numpy, nanobind::handle from, nanobind::dlpack::dtype to) const
  {
    auto const range = numpy.attr("iinfo")(dtype_name(to));
    nanobind::object const first = range.attr("min"), last = range.attr("max");
    for (bool const low : {true, false}) {
      nanobind::object const most = from.attr(low ? "min" : "max")().attr("item")();
      if (low ? first <= most : most <= last) continue;
      expects(false, what_, place_in(from, low ? "argmin" : "argmax"), " is ", std::string(nanobind::str(most).c_str()),
              "; ", dtype_name(to), " holds ", std::string(nanobind::str(first).c_str()), " to ",
              std::string(nanobind::str(last).c_str()));
    }
  }

  void import()
  {
    expects_plain(given_, what_);
    if (!seen()) {
      PyErr_Clear();
      std::string text = what_ + " is " + name_of_type(given_);
      if (auto const type = text_of_attribute(given_, "dtype"); !type.empty()) text += " of dtype " + type;
      if (text_of_attribute(given_, "requires_grad") == "True")
        text += " and requires gradients: say .detach()";
      else
        text +=
            "; expected an array of native numbers on the CPU (NumPy, a tensor, anything with __dlpack__ or a buffer)";
      throw nanobind::type_error(text.c_str());
    }
    expects(array_.device_type() == nanobind::device::cpu::value, what_, " is ", described(), " on ",
            array_.device_type() == nanobind::device::cuda::value ? "a CUDA device" : "another device",
            "; this package computes on the CPU: say .cpu()");
    constexpr std::size_t most = std::size_t{1} << 48;  // a lying object could make products of extents overflow
    std::size_t cells = 1;
    for (std::size_t r = 0; r < array_.ndim(); ++r) {
      std::size_t const extent = array_.shape(r) > 1 ? array_.shape(r) : 1;
      expects(extent <= most / cells, what_, " is ", described(), ", which is more cells than a memory has");
      cells *= extent;
    }
  }

  /// nanobind marks a capsule as used if it receives the capsule, and not if it asks an object for one. So only NumPy's
  /// own arrays go to nanobind as they are: an object that gives one capsule twice is refused. A memory map, or another
  /// array of a class of its own, goes as the array that it is.
  bool seen()
  {
    if (given_.is_none()) return false;
    bool numpy = name_of_type(given_) == "numpy.ndarray";
    if (!numpy) {
      auto const module = nanobind::module_::import_("numpy");
      numpy = nanobind::isinstance(given_, module.attr("ndarray"));
      if (numpy) given_ = module.attr("asarray")(given_);
    }
    if (numpy || !nanobind::hasattr(given_, "__dlpack__")) return nanobind::try_cast(given_, array_, false);
    auto const method = nanobind::getattr(given_, "__dlpack__");
    auto const capsule = nanobind::steal(PyObject_CallNoArgs(method.ptr()));
    return capsule.is_valid() && nanobind::try_cast(capsule, array_, false);
  }

  /// Whether the cells are in C order without gaps, each at a multiple of `alignment` bytes.
  bool packed(std::size_t alignment) const
  {
    if (array_.size() == 0) return true;
    if (reinterpret_cast<std::uintptr_t>(array_.data()) % alignment != 0) return false;
    std::int64_t step = 1;
    for (std::size_t r = array_.ndim(); r-- > 0;) {
      if (array_.shape(r) != 1 && array_.stride(r) != step) return false;
      step *= static_cast<std::int64_t>(array_.shape(r));
    }
    return true;
  }

  /// Why it is not packed.
  char const* gaps(std::size_t alignment) const
  {
    for (std::size_t r = 0; r < array_.ndim(); ++r)
      if (array_.shape(r) > 1 && array_.stride(r) < 0) return "negative strides";
    bool const aligned = reinterpret_cast<std::uintptr_t>(array_.data()) % alignment == 0;
    return aligned ? "gaps or permuted axes" : "cells between the bytes that its type may start at";
  }

  template <class T, int Rank>
  view<T, Rank> here(void const* data) const
  {
    index_t extents[std::size_t{Rank}];
    for (int r = 0; r < Rank; ++r) extents[r] = extent(r);
    return {static_cast<T*>(data), extents};
  }

  std::string what_;
  bool copy_, offer_;
  nanobind::object given_;
  nanobind::ndarray<nanobind::ro> array_;
};

/// View an array to write: C order without gaps, writable, exactly this type and shape. `hold` keeps it alive.
///
/// @throws nanobind::type_error: no array, or another dtype
/// @throws precondition_error: read-only, another shape, gaps, another device
template <class T, int Rank>
view<T, Rank> cells_to_write(nanobind::handle given, std::string const& what, index_t const (&shape)[std::size_t{Rank}],
                             nanobind::ndarray<>& hold)
{
  array_argument read(given, what, false, false);
  auto const seen = read.cells<T, Rank>();
  for (int r = 0; r < Rank; ++r)
    expects(seen.extent[r] == shape[r], what, " is ", read.described(), "; expected ", view<T, Rank>(nullptr, shape));
  expects(nanobind::try_cast(given, hold, false), what, " is read-only; expected a writable array");
  return {static_cast<T*>(hold.data()), shape};
}

/// Move the cells of a grid into a NumPy array of the same shape. Nothing is copied. The array owns the cells.
///
///   return into_array(random_walk(where, seeds, transition));   // [C,H,W]
template <class T, int Rank>
[[nodiscard]] nanobind::object into_array(grid<T, Rank>&& from)
{
  auto* const kept = new grid<T, Rank>(std::move(from));
  nanobind::capsule const owner(kept, [](void* p) noexcept { delete static_cast<grid<T, Rank>*>(p); });
  std::size_t shape[std::size_t{Rank}];
  for (std::size_t r = 0; r < std::size_t{Rank}; ++r) shape[r] = static_cast<std::size_t>(kept->shape()[r]);
  return nanobind::cast(nanobind::ndarray<nanobind::numpy, T>(kept->data(), std::size_t{Rank}, shape, owner));
}

/// A read-only NumPy array over cells, row-major without gaps, that `owner` keeps alive. Nothing is copied.
template <class T, int Rank>
[[nodiscard]] nanobind::object as_array(view<T const, Rank> cells, nanobind::handle owner)
{
  std::size_t shape[std::size_t{Rank}];
  for (std::size_t r = 0; r < std::size_t{Rank}; ++r) shape[r] = static_cast<std::size_t>(cells.extent[r]);
  return nanobind::cast(nanobind::ndarray<nanobind::numpy, T const>(cells.data, std::size_t{Rank}, shape, owner));
}

/// Whether Python wants the running call to end, for cpu::stop: a signal arrived, Control-C for example. It asks Python
/// at most twenty times a second. Only Python's main thread receives signals; on others the answer is no.
inline bool python_interrupts()
{
  using clock = std::chrono::steady_clock;
  thread_local clock::time_point next = clock::now() + std::chrono::milliseconds(50);
  auto const now = clock::now();
  if (now < next) return false;
  next = now + std::chrono::milliseconds(50);
  if (!PyGILState_GetThisThreadState()) return false;  // a worker's thread: taking the GIL would wait for the caller
  nanobind::gil_scoped_acquire const held;
  return PyErr_Occurred() || PyErr_CheckSignals() != 0;  // the exception stays set: `stopped` is translated to it
}

/// Translate the library's exceptions: precondition_error to ValueError (nanobind's own rule for std::invalid_argument),
/// io_error to OSError, `stopped` to the exception that the signal's handler raised (KeyboardInterrupt).
inline void translate_errors()
{
  nanobind::register_exception_translator([](std::exception_ptr const& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (io_error const& e) {
      nanobind::object const text = nanobind::steal(PyUnicode_DecodeFSDefault(e.what()));  // it holds a file's name
      PyErr_SetObject(PyExc_OSError, text.ptr());
    } catch (stopped const&) {
      if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
  });
}

}  // namespace cambium
