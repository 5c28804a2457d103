// Scribbles and points: every pixel takes the label of the mark with the cheapest path over the photograph and, if there
// is one, a boundary map.

#include "axes.hpp"
#include "image_files.hpp"
#include "options.hpp"
#include "weak_maps.hpp"

#include <cambium/activation/fuse.hpp>
#include <cambium/core/label.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/points.hpp>
#include <cambium/pipeline/scribbles.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace labelling {

using namespace cambium;

namespace {

class scribbles_method : public method {
 public:
  explicit scribbles_method(settings& s) : s_(s)
  {
    table_ = {{"",
               {{"method", [] { return "scribbles"; }},
                {"--scribbles", &scribbles_, has_id(), "drawings, PNG: 255 unmarked, 0 background, 1..C"},
                {"--points", &points_, has_id(), "clicks, text: lines 'x y class', classes from 0"},
                {"--boundaries", &boundaries_, has_id(), "boundary maps, npy float [h,w] in [0,1]"}}},
              {"Labels",
               {{"--step-cost", &o_.cost.step, within(0, 1e9), "what a path pays for a pixel's length"},
                {"--image-cost", &o_.cost.image, within(0, 1e9), "for a grey level of change in the photograph"},
                {"--boundary-cost", &o_.cost.boundary, within(0, 1e9), "for a pixel's length on a boundary of 1"},
                {"--limit", &limit_, within(0, 1e30), "paths that cost more reach nothing; 0: no limit"},
                {"--unreached",
                 choice(o_.unreached, {"undecided", "background"}),
                 {},
                 "what a pixel is that no mark reaches: 255 ('undecided'), or 0 ('background')"},
                {"--frame", &o_.frame, {}, "unmarked pixels of the outermost rows and columns are marked background"},
                {"--confidence", &o_.confidence, within(0, 1), "pixels of less are 255"},
                {"--objects",
                 choice(o_.objects, {"strokes", "classes"}),
                 {},
                 "an object is a stroke or point ('strokes'), or all marks of a class ('classes')"},
                {"void_counts", [&s] { return s.void_counts; }},
                {"overlay", [&s] { return s.overlay; }},
                {"scored", [&s] { return s.scored(); }}}}};
  }

  void get_ready(std::set<std::string> const& given) override
  {
    if (scribbles_.empty() && points_.empty()) throw usage_error("--scribbles or --points is needed");
    if (s_.images.empty() && boundaries_.empty())
      throw usage_error("--images or --boundaries is needed: paths follow one of them");
    if (s_.images.empty() && scribbles_.empty())
      throw usage_error("--images is needed: without --scribbles nothing else tells how large an image is");
    if (boundaries_.empty() && given.contains("--boundary-cost"))
      throw usage_error("--boundary-cost needs --boundaries");
    if (s_.images.empty() && given.contains("--image-cost")) throw usage_error("--image-cost needs --images");
    if (limit_ == 0 && given.contains("--unreached")) throw usage_error("--unreached needs --limit");
    if (limit_ > 0) o_.limit = limit_;
  }

  void look_at(std::vector<std::string> const& ids) const override
  {
    if (points_.empty())
      expects_classes(
          ids, scribbles_, is_inverse_drawing,
          "marks most pixels as background and none as a class; a drawing is 255 where nothing was drawn, and "
          "the class where something was");
  }

  std::vector<input_file> inputs() const override
  {
    return {{"scribbles", scribbles_, !points_.empty()},
            {"points", points_, !scribbles_.empty()},
            {"boundary", boundaries_}};
  }

  answer label(cpu const& where, image_files& files) const override
  {
    bool const drawn = files.has("scribbles"), clicked = files.has("points");
    demand(drawn || clicked, files.id(), "has neither " + files.path("scribbles") + " nor " + files.path("points"));
    scribble_input<float> in;
    grid<std::int32_t, 2> drawing;
    if (drawn) drawing = read_drawing(files);
    auto const image = files.image_size(drawn ? extent2{drawing.shape()[0], drawing.shape()[1]} : extent2{});
    if (drawn) {
      demand(drawing.shape()[0] == image.height && drawing.shape()[1] == image.width, files.path("scribbles"),
             "is " + std::to_string(drawing.shape()[0]) + " x " + std::to_string(drawing.shape()[1]) +
                 ", but the image is " + std::to_string(image.height) + " x " + std::to_string(image.width) +
                 turned_hint({drawing.shape()[0], drawing.shape()[1]}, image));
      in.scribbles = drawing.view();
    }
    if (files.has("image")) in.image = files.photograph().view();
    grid<float, 3> boundary;
    if (files.has("boundary")) {
      boundary = read_boundary(where, files, image);
      in.boundary = boundary.view()[0];
    }
    points clicks;
    if (clicked) {
      clicks = read_clicks(files, image);
      in.clicks = &clicks;
    }
    demand(drawn || !clicks.empty() || o_.frame, files.path("points"), "has no point");
    scribble_labels_of<float> made;
    try {
      made = scribble_labels(where, in, o_);
    } catch (precondition_error const& e) {  // what is wrong with both together
      throw io_error(files.path(clicked ? "points" : "scribbles") + ": " + e.what());
    }
    answer out{std::move(made.semantic), std::move(made.objects), {}, {}, {}, json::object()};
    if (drawn && marks_mostly_background(drawing))
      out.about["notes"] = {
          {"drawings that mark more than half of their image as background (a drawing is 255, not 0, "
           "where nothing was drawn)",
           1}};
    std::set<int> classes;
    for (auto const& o : out.objects.found) classes.insert(o.category + 1);
    out.classes.assign(classes.begin(), classes.end());
    return out;
  }

  double memory(image_files& files) const override
  {
    extent2 otherwise{};
    if (!files.has("image")) {
      auto const drawing = files.labels("scribbles");
      otherwise = {drawing.shape()[0], drawing.shape()[1]};
    }
    auto const image = files.image_size(otherwise);
    return static_cast<double>(image.height) * static_cast<double>(image.width) * (3 + 16 + 16 + 2 * 8 + 9 * 4);
  }

 private:
  /// @throws io_error: values that are no marks, no mark, nothing but marks
  static grid<std::int32_t, 2> read_drawing(image_files& files)
  {
    auto const path = files.path("scribbles");
    auto drawing = files.labels("scribbles");
    index_t marked = 0;
    for (std::size_t i = 0; i < drawing.cells().size(); ++i) {
      auto const v = drawing.cells()[i];
      auto const at = static_cast<index_t>(i);
      demand(v <= label::ignore, path,
             "value(" + std::to_string(at / drawing.shape()[1]) + "," + std::to_string(at % drawing.shape()[1]) +
                 ") is " + std::to_string(v) + ", outside 0..255");
      marked += v != label::ignore;
    }
    demand(marked > 0, path, "marks no pixel: all are 255");
    demand(marked < drawing.size() || drawing.size() == 1, path,
           "marks every pixel; a drawing is 255 where nothing was drawn");
    return drawing;
  }

  static bool marks_mostly_background(grid<std::int32_t, 2> const& drawing)
  {
    return 2 * std::count(drawing.cells().begin(), drawing.cells().end(), label::background) > drawing.size();
  }

  /// [1,H,W], enlarged to the image.
  grid<float, 3> read_boundary(cpu const& where, image_files& files, extent2 image) const
  {
    auto const map = files.maps<2>("boundary", -unit_slack<float>, 1 + unit_slack<float>, "a boundary in [0,1]");
    extent2 const size{map.shape()[0], map.shape()[1]};
    auto const is_map = [&](extent2 e) { return e.height <= image.height && e.width <= image.width && fits(e, image); };
    demand(size.height > 0 && size.width > 0 && is_map(size), files.path("boundary"),
           "holds " + shape_text(map.shape()) + ", no map of an image of " + std::to_string(image.height) + " x " +
               std::to_string(image.width) + axes_hint({size.height, size.width}, is_map));
    grid<float, 3> out = size == image ? grid<float, 3>(1, size.height, size.width)
                                       : fuse<float>(where, {{as_batch(map.view())}}, image);
    if (size == image) std::copy(map.cells().begin(), map.cells().end(), out.cells().begin());
    for (float& v : out.cells()) v = std::clamp(v, 0.f, 1.f);
    return out;
  }

  /// Points on the image, of a class that a label map can hold.
  static points read_clicks(image_files& files, extent2 image)
  {
    auto const path = files.path("points");
    auto const found = parse_points(files.file("points"), path);
    for (point const& p : found) {
      auto const at = "a point at x " + message_part(p.x) + ", y " + message_part(p.y);
      demand(p.category < 254, path, at + " is of class " + std::to_string(p.category) + ", outside 0..253");
      demand(p.y >= -0.5 && p.y + 0.5 < static_cast<double>(image.height) && p.x >= -0.5 &&
                 p.x + 0.5 < static_cast<double>(image.width),
             path, at + " is off the image of " + std::to_string(image.height) + " x " + std::to_string(image.width));
    }
    return found;
  }

  settings const& s_;
  std::string scribbles_, points_, boundaries_;
  scribble_options o_;
  double limit_ = 0;
};

}  // namespace

std::shared_ptr<method> make_scribbles(settings& s) { return std::make_shared<scribbles_method>(s); }

}  // namespace labelling
