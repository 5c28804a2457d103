// What pycambium.compat.cc3d calls: labels in the type and the numbering of connected-components-3d.

#include "bindings.hpp"

#include <cambium/component/connected.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/component/statistics.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace bindings {

using namespace cambium;

namespace {

/// Runs of equal floating-point cells that are not 0. NaN equals nothing.
template <class T>
struct float_runs {
  image_view<T const> values;

  template <class Band>
  void operator()(index_t y, Band& band) const
  {
    index_t const W = values.extent[1];
    T const* const row = &values(y, 0);
    for (index_t x = 0, end; x < W; x = end) {
      end = run_end(row, x, W);
      if (row[x] == T(0)) continue;
      band.ends.push_back(static_cast<std::int32_t>(x)), band.ends.push_back(static_cast<std::int32_t>(end));
    }
  }
  bool joins(index_t y, index_t above, index_t here) const { return values(y - 1, above) == values(y, here); }
};

/// Do two values differ by at most delta?
template <class T, class Delta>
struct near_values {
  image_view<T const> values;
  Delta delta;

  bool operator()(index_t y, index_t x, index_t ny, index_t nx) const
  {
    T const a = values(y, x), b = values(ny, nx);
    if constexpr (std::is_integral_v<T>) {
      using number = std::make_unsigned_t<T>;
      auto const low = static_cast<number>(std::min(a, b)), high = static_cast<number>(std::max(a, b));
      return static_cast<number>(high - low) <= delta;
    } else {
      return std::abs(a - b) <= static_cast<T>(delta);
    }
  }
};

struct labelled {
  nb::object labels;
  index_t count;
};

/// Call write(Label{}) with cc3d's type for so many labels, or the given one of 16, 32 or 64 bits.
template <class Write>
labelled in_type_of(int bits, index_t room, Write const& write)
{
  auto const most = [](int b) { return b == 64 ? std::uint64_t(-1) : (std::uint64_t{1} << b) - 1; };
  auto const needed = static_cast<std::uint64_t>(room);
  if (bits == 0) bits = needed < most(16) ? 16 : needed < most(32) ? 32 : 64;
  expects(needed <= most(bits), "connected_components: out_dtype is uint", bits, ", too small for an estimate of ",
          room, " labels");
  return bits == 16 ? write(std::uint16_t{}) : bits == 32 ? write(std::uint32_t{}) : write(std::uint64_t{});
}

template <class Find>
labelled label_runs_of(cpu const& where, neighbourhood const& near, Find const& find, extent2 size, index_t room,
                       label_order order, int bits)
{
  std::vector<run_band<std::int32_t>> bands;
  expects(numbers_cells<std::int32_t>(1, size.height, size.width), "connected_components: data of ", size.height, " x ",
          size.width, " cells is too large");
  auto const linked = without_gil([&] { return link_runs(where, near, find, size, bands, order); });
  return in_type_of(bits, room < 0 ? linked.runs : room, [&]<class Label>(Label) -> labelled {
    auto out = make_grid<Label>({size.height, size.width});
    without_gil([&] { write_runs(where, linked, bands, out.view()); });
    return {into_array(std::move(out)), linked.count};
  });
}

/// @param delta  0: runs of equal values
template <class T, class Delta>
labelled label_values(cpu const& where, image_view<T const> values, neighbourhood const& near, Delta delta, int bits)
{
  extent2 const size{values.extent[0], values.extent[1]};
  if (!(delta > 0)) {
    auto const equal = [&](auto const& runs) {
      return label_runs_of(where, near, runs, size, -1, label_order::raster, bits);
    };
    if constexpr (std::is_integral_v<T>)
      return equal(label_runs<T const>{values, T(0)});
    else
      return equal(float_runs<T>{values});
  }
  index_t room = 0;
  without_gil([&] { for_each_run(values, [&](index_t, index_t, index_t, T value) { room += value != T(0); }); });
  return in_type_of(bits, room, [&]<class Label>(Label) -> labelled {
    auto const inside = [&](index_t y, index_t x) { return values(y, x) != T(0); };
    auto found = without_gil(
        [&] { return connected_if<Label>(where, size, near, inside, near_values<T, Delta>{values, delta}); });
    return {into_array(std::move(found.label)), found.count};
  });
}

template <class T>
labelled label_mask(cpu const& where, image_view<T const> mask, neighbourhood const& near, index_t room, bool blocks,
                    int bits)
{
  auto const order = blocks && near == c8 ? label_order::blocks : label_order::raster;
  return label_runs_of(where, near, mask_runs<T const>{mask}, {mask.extent[0], mask.extent[1]}, room, order, bits);
}

/// @param room    of a binary image the number of labels that cc3d makes room for, which decides its type; else -1
/// @param blocks  whether a binary image's labels are numbered by blocks
/// @param whole   delta of integers; `real` that of floating-point numbers
nb::tuple cc3d_label(nb::handle data, int near, index_t room, bool blocks, std::uint64_t whole, double real, int bits,
                     int threads)
{
  array_argument given(data, "connected_components: data", false);
  auto const where = policy(threads, "connected_components");
  neighbourhood const& around = near == 4 ? c4 : c8;
  auto const as = [&]<class T>() -> labelled {
    auto const cells = given.cells<T, 2>();
    if (room >= 0) return label_mask(where, cells, around, room, blocks, bits);
    if constexpr (std::is_integral_v<T>)
      return label_values(where, cells, around, whole, bits);
    else
      return label_values(where, cells, around, real, bits);
  };
  auto const found = given.holds<bool>()            ? as.template operator()<std::uint8_t>()
                     : given.holds<std::int8_t>()   ? as.template operator()<std::int8_t>()
                     : given.holds<std::int16_t>()  ? as.template operator()<std::int16_t>()
                     : given.holds<std::int32_t>()  ? as.template operator()<std::int32_t>()
                     : given.holds<std::int64_t>()  ? as.template operator()<std::int64_t>()
                     : given.holds<std::uint16_t>() ? as.template operator()<std::uint16_t>()
                     : given.holds<std::uint32_t>() ? as.template operator()<std::uint32_t>()
                     : given.holds<std::uint64_t>() ? as.template operator()<std::uint64_t>()
                     : given.holds<float>()         ? as.template operator()<float>()
                     : given.holds<double>()        ? as.template operator()<double>()
                                                    : as.template operator()<std::uint8_t>();
  return nb::make_tuple(found.labels, found.count);
}

/// Call body<T>() with the integer type of labels.
template <class Body>
auto with_integer_type(array_argument const& given, Body const& body)
{
  return given.holds<std::uint16_t>()                         ? body.template operator()<std::uint16_t>()
         : given.holds<std::uint32_t>()                       ? body.template operator()<std::uint32_t>()
         : given.holds<std::uint64_t>()                       ? body.template operator()<std::uint64_t>()
         : given.holds<std::uint8_t>() || given.holds<bool>() ? body.template operator()<std::uint8_t>()
         : given.holds<std::int8_t>()                         ? body.template operator()<std::int8_t>()
         : given.holds<std::int16_t>()                        ? body.template operator()<std::int16_t>()
         : given.holds<std::int32_t>()                        ? body.template operator()<std::int32_t>()
                                                              : body.template operator()<std::int64_t>();
}

/// Areas, boxes (first and last row, first and last column) and means of labels.
nb::tuple cc3d_statistics(nb::handle labels, int threads)
{
  array_argument given(labels, "statistics: labels", false);
  auto const where = policy(threads, "statistics");
  return with_integer_type(given, [&]<class T>() {
    auto const label = given.cells<T, 2>();
    grid<component_statistics, 1> const all = without_gil([&] {
      T most = 0, least = 0;
      for_each_run(label, [&](index_t, index_t, index_t, T value) {
        most = std::max(most, value), least = std::min(least, value);
      });
      expects(least >= 0, "statistics: labels hold ", least, "; expected 0 or more");
      expects(std::cmp_less_equal(most, label.size()), "statistics: labels hold ", most, ", more than the ",
              label.size(), " cells");
      return statistics(where, label, static_cast<index_t>(most));
    });
    index_t const N = all.size();
    auto area = make_grid<std::uint32_t>({N});
    auto bounds = make_grid<std::int64_t>({N, 4});
    auto centroid = make_grid<double>({N, 2});
    for (index_t i = 0; i < N; ++i) {
      auto const& s = all(i);
      area(i) = static_cast<std::uint32_t>(s.area);
      bounds(i, 0) = s.bounds.top, bounds(i, 1) = s.bounds.bottom;
      bounds(i, 2) = s.bounds.left, bounds(i, 3) = s.bounds.right;
      centroid(i, 0) = s.area > 0 ? s.centroid_y : std::nan(""),
                  centroid(i, 1) = s.area > 0 ? s.centroid_x : std::nan("");
    }
    return nb::make_tuple(into_array(std::move(area)), into_array(std::move(bounds)), into_array(std::move(centroid)));
  });
}

/// Cells of labels that are not kept become 0, in place.
///
/// @param cells  [H,W] of unsigned integers of the size of the image's type
/// @param kept   [N+1] one for each label
void cc3d_keep(nb::handle cells, nb::handle labels, nb::handle kept, int threads)
{
  auto const where = policy(threads, "dust");
  array_argument given(labels, "dust: labels", false), table(kept, "dust: kept", false),
      image(cells, "dust: img", false);
  auto const keep = table.cells<std::uint8_t, 1>();
  with_integer_type(given, [&]<class L>() {
    auto const label = given.cells<L, 2>();
    auto const clear = [&]<class T>() {
      nb::ndarray<> hold;
      auto const out = cells_to_write<T, 2>(cells, "dust: img", label.extent, hold);
      without_gil([&] {
        expects_labels(label, keep.extent[0] - 1, "dust: label");
        for_each_share(where, label.extent[0], std::max<index_t>(1, 65536 / std::max<index_t>(1, label.extent[1])),
                       [&](index_t first, index_t last) {
                         for (index_t y = first; y < last; ++y)
                           for (index_t x = 0, end; x < label.extent[1]; x = end) {
                             end = run_end(&label(y, 0), x, label.extent[1]);
                             if (keep(static_cast<index_t>(label(y, x))) == 0)
                               std::fill(&out(y, 0) + x, &out(y, 0) + end, T(0));
                           }
                       });
      });
    };
    image.holds<std::uint16_t>()   ? clear.template operator()<std::uint16_t>()
    : image.holds<std::uint32_t>() ? clear.template operator()<std::uint32_t>()
    : image.holds<std::uint64_t>() ? clear.template operator()<std::uint64_t>()
                                   : clear.template operator()<std::uint8_t>();
  });
}

/// Labels by a table of their own type.
nb::object cc3d_look_up(nb::handle labels, nb::handle table, int threads)
{
  auto const where = policy(threads, "largest_k");
  array_argument given(labels, "largest_k: labels", false), entries(table, "largest_k: table", false);
  return with_integer_type(given, [&]<class T>() {
    auto const label = given.cells<T, 2>();
    auto const to = entries.cells<T, 1>();
    return into_array(without_gil([&] { return relabel(where, label, to); }));
  });
}

}  // namespace

void bind_cc3d(nb::module_& m)
{
  m.def("_cc3d_label", cc3d_label, array("data"), nb::arg("near"), nb::arg("room"), nb::arg("blocks"), nb::arg("whole"),
        nb::arg("real"), nb::arg("bits"), nb::arg("threads"),
        nb::sig("def _cc3d_label(data: Array, near: int, room: int, blocks: bool, whole: int, real: float, bits: int, "
                "threads: int) -> tuple[NDArray[Any], int]"),
        "Labels for pycambium.compat.cc3d, and their number.");
  m.def("_cc3d_statistics", cc3d_statistics, array("labels"), nb::arg("threads"),
        nb::sig("def _cc3d_statistics(labels: Array, threads: int) -> tuple[NDArray[np.uint32], NDArray[np.int64], "
                "NDArray[np.float64]]"),
        "Areas, boxes and means for pycambium.compat.cc3d.");
  m.def("_cc3d_keep", cc3d_keep, array("cells"), array("labels"), array("kept"), nb::arg("threads"),
        nb::sig("def _cc3d_keep(cells: Array, labels: Array, kept: Array, threads: int) -> None"),
        "Cells of labels that are not kept become 0, for pycambium.compat.cc3d.");
  m.def("_cc3d_look_up", cc3d_look_up, array("labels"), array("table"), nb::arg("threads"),
        nb::sig("def _cc3d_look_up(labels: Array, table: Array, threads: int) -> NDArray[Any]"),
        "Labels by a table, for pycambium.compat.cc3d.");
}

}  // namespace bindings
