// Points as text files.

#include "bindings.hpp"
#include "files.hpp"
#include "results.hpp"

#include <cambium/io/points.hpp>

#include <limits>

namespace bindings {

using namespace cambium;

void bind_point_files(nb::module_& m)
{
  m.def(
      "read_points",
      [](nb::handle path, double threshold) {
        auto const file = path_of(path);
        auto const content = content_of(file);
        return to_python(without_gil([&] { return parse_points(content, file.string(), {threshold}); }));
      },
      nb::arg("path"), nb::kw_only(), nb::arg("threshold") = -std::numeric_limits<double>::infinity(),
      nb::sig("def read_points(path: StrPath, *, threshold: float = ...) -> Points"),
      "Read points: lines `x y class confidence`.\n\n"
      "path       the text file\n"
      "threshold  only points of strictly greater confidence are kept\n\n"
      "Returns the points; a point without a confidence has score 1. Raises OSError with the file's name and the "
      "line.");
  m.def(
      "write_points",
      [](nb::handle path, nb::handle given) {
        auto const file = path_of(path);
        auto const all = points_argument(given, "write_points: points");
        without_gil([&] { return write_points(file, all), 0; });
      },
      nb::arg("path"), array("points"),
      nb::sig("def write_points(path: StrPath, points: Points | NDArray[Any]) -> None"),
      "Write points: lines `x y class confidence`.\n\n"
      "path    the file; it is written completely or not at all\n"
      "points  Points, or [N,2] (y,x) of class 0; whole numbers [pixels]");
}

}  // namespace bindings
