#pragma once
// Python's DenseCRF and MeanField, and their arguments.

#include "arguments.hpp"
#include "bindings.hpp"

#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/filter.hpp>
#include <cambium/crf/kept_lattices.hpp>
#include <cambium/crf/own_shares.hpp>
#include <cambium/crf/unary.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

/// A number, or numbers of a list or an array, in row-major order.
struct numbers {
  int rank = 0;
  std::size_t rows = 1;
  std::vector<double> values;

  numbers(nb::handle given, std::string const& what)
  {
    expects_plain(given, what);
    nb::object array;
    try {
      array = nb::module_::import_("numpy").attr("asarray")(given, "float64", "C");
    } catch (nb::python_error& e) {
      if (!e.matches(PyExc_TypeError) && !e.matches(PyExc_ValueError)) throw;
      throw nb::type_error(
          (what + " is " + name_of_type(given) + "; expected a number or an array of numbers").c_str());
    }
    rank = nb::cast<int>(array.attr("ndim"));
    if (rank > 0) rows = nb::cast<std::size_t>(array.attr("shape")[0]);
    array_argument flat(array.attr("ravel")(), what, false, false);
    auto const cells = flat.cells<double, 1>();
    values.assign(cells.data, cells.data + cells.size());
  }
};

inline compatibility compatibility_of(nb::handle given, std::string const& what)
{
  numbers from(given, what);
  expects(from.rank <= 2, what, " has ", from.rank, " axes; expected a number, one for each label, or a table");
  if (from.rank == 0) return from.values[0];
  if (from.rank == 1) return compatibility::per_class(std::move(from.values));
  expects(from.rows * from.rows == from.values.size(), what, " is a table of ", static_cast<index_t>(from.rows),
          " rows and ", static_cast<index_t>(from.values.size()), " weights; expected as many columns as rows");
  return compatibility::table(std::move(from.values));
}

inline kernel_norm norm_of(std::string const& name, char const* what)
{
  return choice<kernel_norm>(name, what,
                             {{"none", kernel_norm::none},
                              {"before", kernel_norm::before},
                              {"after", kernel_norm::after},
                              {"symmetric", kernel_norm::symmetric}});
}
inline char const* name_of(kernel_norm by)
{
  switch (by) {
    case kernel_norm::none:
      return "none";
    case kernel_norm::before:
      return "before";
    case kernel_norm::after:
      return "after";
    default:
      return "symmetric";
  }
}

/// The labels that take part; all if None.
inline std::vector<index_t> present_of(nb::handle given, char const* what)
{
  if (given.is_none()) return {};
  auto const labels = integers(given, what);
  expects(!labels.empty(), what, " is empty; expected labels, or None for all");
  return {labels.begin(), labels.end()};
}

/// The kernels of a call; IRNet's if none are given.
inline std::vector<pairwise> kernels_of(std::optional<std::vector<pairwise>> given)
{
  return given ? std::move(*given) : crf_preset::irn();
}

/// Call body(view [H,W,B]) on the colours of an image.
template <class Body>
auto with_image(array_argument& image, Body const& body)
{
  auto const with = [&]<class T>() {
    auto const cells = image.cells<T, 3>();
    expects(cells.extent[0] > 0 && cells.extent[1] > 0, image.what(), " is ", image.described(), ": it has no pixels");
    return body(cells);
  };
  if (image.holds<float>()) return with.template operator()<float>();
  if (image.holds<double>()) return with.template operator()<double>();
  if (image.holds<std::uint16_t>()) return with.template operator()<std::uint16_t>();
  return with.template operator()<std::uint8_t>();
}

/// Call body(view [H,W]) on a label map.
template <class Body>
auto with_labels(array_argument& labels, Body const& body)
{
  if (labels.holds<std::uint8_t>()) return body(labels.cells<std::uint8_t, 2>());
  if (labels.holds<std::int64_t>()) return body(labels.cells<std::int64_t, 2>());
  return body(labels.cells<std::int32_t, 2>());
}

/// A CRF that its inferences keep alive. Inferences may run side by side, but not while a kernel is added.
struct shared_crf {
  dense_crf<> crf;
  std::shared_mutex guard;
  explicit shared_crf(dense_crf<>&& made) : crf(std::move(made)) {}
};

/// The lattices of positions alone that calls on images of one size share; none for large images, whose memory a caller
/// would miss.
inline kept_lattices<>* kept_for(extent2 size)
{
  static kept_lattices<> kept(2);
  return size.height <= (1 << 20) / std::max<index_t>(1, size.width) ? &kept : nullptr;
}

/// Features of pixels whose axes and bands each have a deviation: x/sx, y/sy, colours.
template <class V>
struct scaled_features {
  view<V const, 3> image;
  std::vector<float> const& deviation;
  float* out;

  void operator()(index_t d, index_t y, index_t x) const
  {
    float const v = d == 0   ? static_cast<float>(x)
                    : d == 1 ? static_cast<float>(y)
                             : static_cast<float>(image(y, x, d - 2));
    out[(d * image.extent[0] + y) * image.extent[1] + x] = v / deviation[static_cast<std::size_t>(d)];
  }
};

/// `count` deviations of one number or as many; none may be 0.
inline void append_deviations(std::vector<float>& to, nb::handle given, index_t count, char const* what)
{
  numbers const from(given, what);
  auto const found = static_cast<index_t>(from.values.size());
  expects(from.rank == 0 || (from.rank == 1 && found == count), what, " has ", found, " numbers; expected 1 or ",
          count);
  for (index_t i = 0; i < count; ++i) {
    double const v = from.values[from.rank == 0 ? 0 : static_cast<std::size_t>(i)];
    auto const rounded = static_cast<float>(v);
    expects(rounded != 0 && std::isfinite(rounded), what, " is ", v, "; it must be finite and not 0, as a float");
    to.push_back(rounded);
  }
}

/// Python's DenseCRF.
class crf_object {
 public:
  explicit crf_object(std::shared_ptr<shared_crf> of) : of_(std::move(of)) {}

  static crf_object of_image(nb::handle image, std::optional<std::vector<pairwise>> kernels, double most_bytes,
                             bool pad, bool exact, int threads, bool copy)
  {
    array_argument given(image, "DenseCRF: image", copy);
    return crf_object(
        made(given, kernels_of(std::move(kernels)), {most_bytes, pad, exact}, policy(threads, "DenseCRF")));
  }
  static crf_object of_size(index_t height, index_t width, double most_bytes, bool pad, bool exact)
  {
    constexpr index_t most = index_t{1} << 31;
    expects(0 < height && height < most && 0 < width && width < most && height * width < most,
            "DenseCRF.of_size: the size is ", height, " x ", width, "; expected 1 to 2^31 - 1 pixels");
    crf_build const build{most_bytes, pad, exact};
    return crf_object(std::make_shared<shared_crf>(dense_crf<>(cpu{}, extent2{height, width}, build)));
  }
  static std::shared_ptr<shared_crf> made(array_argument& image, std::vector<pairwise> const& kernels, crf_build build,
                                          cpu const& where)
  {
    return with_image(image, [&](auto const& cells) {
      return without_gil([&] {
        auto* const kept = kept_for({cells.extent[0], cells.extent[1]});
        return std::make_shared<shared_crf>(dense_crf<>(where, cells, kernels, build, kept));
      });
    });
  }

  void add(nb::handle features, nb::handle compat, std::string const& by, int threads, bool copy)
  {
    array_argument given(features, "DenseCRF.add: features", copy);
    auto const cells = given.cells<float, 2>();
    add(policy(threads, "DenseCRF.add"), cells, compatibility_of(compat, "DenseCRF.add: compat"),
        norm_of(by, "DenseCRF.add: by"));
  }

  void add_image(nb::handle image, nb::handle sxy, nb::handle srgb, nb::handle compat, std::string const& by,
                 int threads, bool copy)
  {
    auto const where = policy(threads, "DenseCRF.add_image");
    auto weights = compatibility_of(compat, "DenseCRF.add_image: compat");
    auto const norm = norm_of(by, "DenseCRF.add_image: by");
    extent2 const size = of_->crf.size();
    std::vector<float> deviation;
    append_deviations(deviation, sxy, 2, "DenseCRF.add_image: sxy");
    auto const with = [&](auto const& cells) {
      auto const features = without_gil([&] {
        auto out = make_grid<float>({static_cast<index_t>(deviation.size()), size.height * size.width});
        for_each_cell(
            where, {out.shape()[0], size.height, size.width},
            scaled_features<typename std::remove_cvref_t<decltype(cells)>::value_type>{cells, deviation, out.data()});
        return out;
      });
      add(where, features.view(), std::move(weights), norm);
    };
    if (image.is_none()) {
      without_gil([&] {
        std::unique_lock const held(of_->guard);
        of_->crf.add_positions(where, deviation[0], deviation[1], std::move(weights), norm, kept_for(size));
      });
      return;
    }
    array_argument given(image, "DenseCRF.add_image: image", copy);
    with_image(given, [&](auto const& cells) {
      expects(cells.extent[0] == size.height && cells.extent[1] == size.width, given.what(), " is ", given.described(),
              "; expected ", size.height, " x ", size.width, " pixels");
      append_deviations(deviation, srgb, cells.extent[2], "DenseCRF.add_image: srgb");
      with(cells);
    });
  }

  nb::object refine_labels(nb::handle labels, index_t n_labels, double gt_prob, int iterations, int threads,
                           bool copy) const
  {
    array_argument given(labels, "DenseCRF.refine_labels: labels", copy);
    auto const where = policy(threads, "DenseCRF.refine_labels");
    return with_labels(given, [&](auto const& cells) {
      return into_array(without_gil([&] {
        std::shared_lock const held(of_->guard);
        return cambium::refine_labels(where, of_->crf, cells, n_labels, {gt_prob, iterations});
      }));
    });
  }

  std::pair<index_t, index_t> size() const { return {of_->crf.size().height, of_->crf.size().width}; }
  std::size_t kernels() const
  {
    return without_gil([&] {
      std::shared_lock const held(of_->guard);
      return of_->crf.kernels();
    });
  }
  std::shared_ptr<shared_crf> const& shared() const { return of_; }

 private:
  void add(cpu const& where, view<float const, 2> features, compatibility weights, kernel_norm by)
  {
    without_gil([&] {
      std::unique_lock const held(of_->guard);
      of_->crf.add(where, features, std::move(weights), by);
    });
  }

  std::shared_ptr<shared_crf> of_;
};

/// Python's MeanField.
class mean_field_object {
  /// Call body(crf) without the GIL, while no other thread uses this inference or adds a kernel.
  template <class Body>
  auto alone(Body const& body)
  {
    return without_gil([&] {
      std::scoped_lock const mine(guard_);
      std::shared_lock const held(of_->guard);
      return body(std::as_const(of_->crf));
    });
  }
  void expects_marginals() const
  {
    expects(field_.q.size() == field_.gain.size(), "MeanField: the inference has not begun; restart() begins it");
  }

 public:
  mean_field_object(std::shared_ptr<shared_crf> of, mean_field<>&& field) : of_(std::move(of)), field_(std::move(field))
  {
  }

  /// @param begin  whether marginals are made
  static

      std::unique_ptr<mean_field_object>
      started(std::shared_ptr<shared_crf> of, array_argument& unary, std::vector<index_t> present, int iterations,
              bool begin, cpu const& where)
  {
    expects(iterations >= 0, "infer: iterations is ", iterations, "; expected 0 or more");
    return with_float_type(unary, [&]<class T>() {
      auto const cells = unary.cells<T, 3>();
      return without_gil([&] {
        std::shared_lock const held(of->guard);
        auto field = of->crf.prepare(where, cells, std::move(present));
        if (begin) {
          of->crf.restart(where, field);
          of->crf.step(where, field, iterations);
        }
        return std::make_unique<mean_field_object>(of, std::move(field));
      });
    });
  }

  void step(int count, int threads)
  {
    expects(count >= 0, "MeanField.step: count is ", count, "; expected 0 or more");
    alone([&](dense_crf<> const& crf) { crf.step(policy(threads, "MeanField.step"), field_, count); });
  }
  void restart(int threads)
  {
    alone([&](dense_crf<> const& crf) { crf.restart(policy(threads, "MeanField.restart"), field_); });
  }
  double divergence(bool package, int threads)
  {
    return alone([&](dense_crf<> const& crf) {
      return crf.divergence(policy(threads, "MeanField.divergence"), field_, {package});
    });
  }
  nb::object marginals(int threads)
  {
    return into_array(alone([&](dense_crf<> const&) {
      expects_marginals();
      return cambium::marginals(policy(threads, "MeanField.marginals"), field_);
    }));
  }
  nb::object argmax_labels(int threads)
  {
    return into_array(alone([&](dense_crf<> const&) {
      expects_marginals();
      return cambium::argmax_labels(policy(threads, "MeanField.argmax_labels"), field_);
    }));
  }

  /// Begin, step, and hand the marginals over: [L,N], the cells of a pixel together.
  nb::object run(int count, int threads)
  {
    index_t const L = field_.labels, N = field_.pixels();
    auto* const kept = new grid<float, 1>(alone([&](dense_crf<> const& crf) {
      auto const where = policy(threads, "MeanField.run");
      crf.restart(where, field_);
      crf.step(where, field_, count);
      auto rows = make_grid<float>({N * L});
      float const* const ours = field_.q.data();
      cambium::for_each_pixel(where, {field_.size}, 1, [&](index_t, index_t y, index_t x, index_t at) {
        std::copy_n(ours + at * L, L, rows.data() + (y * field_.size.width + x) * L);
      });
      field_.q = {};
      return rows;
    }));
    nb::capsule const owner(kept, [](void* p) noexcept { delete static_cast<grid<float, 1>*>(p); });
    std::size_t const shape[2] = {static_cast<std::size_t>(L), static_cast<std::size_t>(N)};
    std::int64_t const strides[2] = {1, L};
    return nb::cast(nb::ndarray<nb::numpy, float>(kept->data(), 2, shape, owner, strides));
  }

  /// Step from marginals of the caller, which are replaced.
  void step_at(nb::handle given, int count, int threads)
  {
    using cells = nb::ndarray<float, nb::ndim<2>, nb::device::cpu>;
    auto const q = cells_of_pixels<cells>(given, "MeanField.step_at: q", "a writable array");
    expects(count >= 0, "MeanField.step_at: count is ", count, "; expected 0 or more");
    alone([&](dense_crf<> const& crf) {
      auto const where = policy(threads, "MeanField.step_at");
      read(where, crf, q);
      crf.step(where, field_, count);
      for_each_pixel(where, q, [](float& theirs, float ours) { theirs = ours; });
    });
  }
  /// klDivergence of pydensecrf at marginals of the caller.
  double divergence_at(nb::handle given, int threads)
  {
    using cells = nb::ndarray<float const, nb::ndim<2>, nb::device::cpu>;
    auto const q = cells_of_pixels<cells>(given, "MeanField.divergence_at: q", "an array");
    return alone([&](dense_crf<> const& crf) {
      auto const where = policy(threads, "MeanField.divergence_at");
      read(where, crf, q);
      return crf.divergence(where, field_, {.package = true});
    });
  }

  index_t steps()
  {
    return alone([&](dense_crf<> const&) { return field_.steps; });
  }
  index_t labels() const { return field_.all; }
  extent2 size() const { return field_.size; }
  std::vector<std::int32_t> present() const { return {field_.id.cells().begin(), field_.id.cells().end()}; }

 private:
  /// The caller's marginals [L,N], of any strides.
  template <class Cells>
  Cells cells_of_pixels(nb::handle given, std::string const& what, char const* kind) const
  {
    Cells q;
    if (!nb::try_cast(given, q, false))
      throw nb::type_error(
          (what + " is " + name_of_type(given) + "; expected " + kind + " of float32 with 2 axes").c_str());
    expects(static_cast<index_t>(q.shape(0)) == field_.labels && static_cast<index_t>(q.shape(1)) == field_.pixels(),
            what, " is (", static_cast<index_t>(q.shape(0)), ",", static_cast<index_t>(q.shape(1)), "); expected (",
            field_.labels, ",", field_.pixels(), ")");
    expects(reinterpret_cast<std::uintptr_t>(q.data()) % alignof(float) == 0, what, " has cells between the bytes");
    return q;
  }
  /// Call body(cell of the caller's, cell of ours) for all labels and pixels.
  template <class Cells, class Body>
  void for_each_pixel(cpu const& where, Cells const& q, Body const& body)
  {
    auto* const theirs = q.data();
    float* const ours = field_.q.data();
    std::int64_t const to_label = q.stride(0), to_pixel = q.stride(1);
    index_t const L = field_.labels;
    cambium::for_each_pixel(where, {field_.size}, 1, [&](index_t, index_t y, index_t x, index_t at) {
      index_t const i = y * field_.size.width + x;
      for (index_t l = 0; l < L; ++l) body(theirs[l * to_label + i * to_pixel], ours[at * L + l]);
    });
  }
  template <class Cells>
  void read(cpu const& where, dense_crf<> const& crf, Cells const& q)
  {
    crf.restart_at(where, field_,
                   [&](view<float, 1> ours) { for_each_pixel(where, q, [](float from, float& to) { to = from; }); });
  }

  std::shared_ptr<shared_crf> of_;
  mean_field<> field_;
  std::mutex guard_;
};

}  // namespace bindings
