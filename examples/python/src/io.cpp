// Files of COCO, VOC, label maps and photographs. io_none.cpp stands for this file where cambium::io is not found.

#include "arguments.hpp"
#include "bindings.hpp"
#include "files.hpp"
#include "masks.hpp"
#include "results.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/coco_write.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/voc.hpp>

#include <nanobind/stl/string.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

namespace {

/// Parse a file without the GIL: parse(content, name).
template <class Parse>
auto parsed(nb::handle path, Parse const& parse)
{
  auto const file = path_of(path);
  auto const content = content_of(file);
  return without_gil([&] { return parse(content, file.string()); });
}

/// Format and write a file without the GIL.
template <class Format>
void written(nb::handle path, Format const& format)
{
  auto const file = path_of(path);
  without_gil([&] { return replace_file(file, format()), 0; });
}

/// Cells of int32, int64 or uint8 as int32.
grid<std::int32_t, 2> labels_of(nb::handle given, char const* what, bool copy)
{
  array_argument argument(given, what, copy);
  return with_label_type(argument, [&]<class I>() {
    auto const cells = argument.cells<I, 2>();
    auto out = make_grid<std::int32_t>(cells.extent);
    for (index_t i = 0; i < cells.size(); ++i) {
      out.data()[i] = static_cast<std::int32_t>(cells.data[i]);
      expects(out.data()[i] == cells.data[i], what, " holds ", static_cast<index_t>(cells.data[i]));
    }
    return out;
  });
}

// --- COCO ----------------------------------------------------------------------------------------------------

void bind_coco_files(nb::module_& m)
{
  m.def(
      "read_coco",
      [](nb::handle path) {
        auto const where = policy(0, "read_coco");
        return dict_of(parsed(path, [&](auto const& file, auto const& name) { return parse_coco(where, file, name); }));
      },
      nb::arg("path"), nb::sig("def read_coco(path: StrPath) -> dict[str, Any]"),
      "Read a COCO data set, and check it.\n\n"
      "path  the JSON file\n\n"
      "Returns images, categories and annotations as json.load() would, with segmentation as polygons or compressed "
      "run "
      "lengths, and with area and bbox also where the file has none; notes are sentences on ignored parts. An "
      "annotation "
      "with an invalid box has box_error. Fields of other tools are left out. Raises OSError with the file's name and "
      "the entry: 'set.json: annotations[12].segmentation: reason (id 17)'.");
  m.def(
      "write_coco",
      [](nb::handle path, nb::handle dataset) {
        auto const set = dataset_of(dataset, "write_coco: dataset");
        written(path, [&] { return format_coco(set); });
      },
      nb::arg("path"), nb::arg("dataset"), nb::sig("def write_coco(path: StrPath, dataset: CocoDataset) -> None"),
      "Write a COCO data set, one entry a line.\n\n"
      "path     the file; it is written completely or not at all\n"
      "dataset  images, categories and annotations, as read_coco() gives them. id, area, bbox and iscrowd of an "
      "annotation may be missing. Only COCO's fields of instances are written.");
  m.def(
      "read_coco_results",
      [](nb::handle path) {
        auto const where = policy(0, "read_coco_results");
        return list_of(
            parsed(path, [&](auto const& file, auto const& name) { return parse_coco_results(where, file, name); }));
      },
      nb::arg("path"), nb::sig("def read_coco_results(path: StrPath) -> list[dict[str, Any]]"),
      "Read a list of COCO results: image_id, category_id, segmentation as run lengths, score.\n\n"
      "path  the JSON file\n\n"
      "Raises OSError with the file's name and the entry.");
  m.def(
      "write_coco_results",
      [](nb::handle path, nb::handle results) {
        auto const all = results_of(results, "write_coco_results: results");
        written(path, [&] { return format_coco_results(all); });
      },
      nb::arg("path"), nb::arg("results"),
      nb::sig("def write_coco_results(path: StrPath, results: Sequence[CocoResult]) -> None"),
      "Write a list of COCO results, one a line.\n\n"
      "path     the file; it is written completely or not at all\n"
      "results  dicts of image_id, category_id, segmentation as run lengths, score");
}

// --- label maps and photographs --------------------------------------------------------------------------------

void bind_images(nb::module_& m)
{
  m.def(
      "read_label_map",
      [](nb::handle path) {
        return into_array(parsed(path, [](auto const& file, auto const& name) { return parse_label_map(file, name); }));
      },
      nb::arg("path"), nb::sig("def read_label_map(path: StrPath) -> NDArray[np.int32]"),
      "Read a map of classes from a PNG: palette indices, 8-bit or 16-bit grey, unchanged.\n\n"
      "path  the PNG file\n\n"
      "Returns [H,W]: 0 background, classes, 255 void. Raises OSError for colour images, palettes in another order "
      "than "
      "VOC's, JPEGs; the message says what the file is.");
  m.def(
      "read_instance_map",
      [](nb::handle path) {
        return into_array(
            parsed(path, [](auto const& file, auto const& name) { return parse_instance_map(file, name); }));
      },
      nb::arg("path"), nb::sig("def read_instance_map(path: StrPath) -> NDArray[np.int32]"),
      "Read a map of instances from a PNG.\n\n"
      "path  the PNG file\n\n"
      "Returns [H,W]: 0 background, 1..N, -1 void. In 8 bits 255 is void; in 16 bits every number is an instance.");
  m.def(
      "write_label_map",
      [](nb::handle path, nb::handle labels, bool copy) {
        auto const cells = labels_of(labels, "write_label_map: labels", copy);
        written(path, [&] { return format_labels(cells, voc_palette()); });
      },
      nb::arg("path"), array("labels"), nb::kw_only(), nb::arg("copy") = false,
      nb::sig("def write_label_map(path: StrPath, labels: Array, *, copy: bool = False) -> None"),
      "Write a label map as an indexed PNG with VOC's palette. The bytes are the labels; the palette only colours them."
      "\n\n"
      "path    the file; it is written completely or not at all\n"
      "labels  [H,W] int32, int64 or uint8 in 0..255");
  m.def(
      "write_instance_map",
      [](nb::handle path, nb::handle ids, bool copy) {
        auto const cells = labels_of(ids, "write_instance_map: ids", copy);
        written(path, [&] { return format_ids(cells); });
      },
      nb::arg("path"), array("ids"), nb::kw_only(), nb::arg("copy") = false,
      nb::sig("def write_instance_map(path: StrPath, ids: Array, *, copy: bool = False) -> None"),
      "Write instance numbers as a 16-bit grey PNG.\n\n"
      "path  the file; it is written completely or not at all\n"
      "ids   [H,W] int32, int64 or uint8 in 0..65535");
  m.def(
      "voc_palette",
      [] {
        grid<std::uint8_t, 2> out(256, 3);
        auto const palette = voc_palette();
        for (std::size_t i = 0; i < palette.size(); ++i)
          out(i, 0) = palette[i].red, out(i, 1) = palette[i].green, out(i, 2) = palette[i].blue;
        return into_array(std::move(out));
      },
      nb::sig("def voc_palette() -> NDArray[np.uint8]"), "VOC's colours of label maps.\n\nReturns [256,3] RGB.");
  m.def(
      "read_photograph",
      [](nb::handle path) {
        return into_array(
            parsed(path, [](auto const& file, auto const& name) { return parse_photograph(file, name); }));
      },
      nb::arg("path"), nb::sig("def read_photograph(path: StrPath) -> NDArray[np.uint8]"),
      "Read a JPEG or a PNG. The content decides the format, not the name.\n\n"
      "path  the JPEG or PNG file\n\n"
      "Returns [H,W,3] RGB; alpha is dropped, 16 bits are rounded down to 8.");
  m.def(
      "write_photograph",
      [](nb::handle path, nb::handle image, bool copy) {
        array_argument given(image, "write_photograph: image", copy);
        auto const cells = given.cells<std::uint8_t, 3>();
        expects(cells.extent[2] == 3, "write_photograph: image is ", given.described(), "; expected [H,W,3]");
        written(path, [&] { return format_photograph_png(cells); });
      },
      nb::arg("path"), array("image"), nb::kw_only(), nb::arg("copy") = false,
      nb::sig("def write_photograph(path: StrPath, image: Array, *, copy: bool = False) -> None"),
      "Write an RGB image as a PNG.\n\n"
      "path   the file; it is written completely or not at all\n"
      "image  [H,W,3] uint8");
}

// --- VOC -------------------------------------------------------------------------------------------------------

struct py_voc_segmentation {
  nb::object objects, ignored;
};

nb::dict dict_of_annotation(voc_annotation const& a)
{
  nb::list objects, notes;
  for (voc_object const& o : a.objects) {
    nb::dict e;
    e["name"] = o.name;
    e["box"] = nb::make_tuple(o.bounds.top, o.bounds.left, o.bounds.bottom, o.bounds.right);
    e["difficult"] = o.difficult, e["truncated"] = o.truncated;
    objects.append(e);
  }
  for (auto const& n : a.notes) notes.append(n);
  nb::dict out;
  out["filename"] = a.filename, out["height"] = a.height, out["width"] = a.width;
  out["objects"] = objects, out["notes"] = notes;
  return out;
}

void write_voc(nb::handle class_png, nb::handle object_png, nb::handle label, nb::handle category, nb::handle ignored,
               bool copy)
{
  instances<> objects;
  objects.label = labels_of(label, "write_voc_segmentation: label", copy);
  for (auto const c : numbers_of<std::int32_t>(category, "write_voc_segmentation: category"))
    objects.found.push_back({.category = c, .score = 1, .area = 0, .bounds = {}});
  grid<std::uint8_t, 2> voids;
  if (!ignored.is_none()) {
    array_argument given(ignored, "write_voc_segmentation: ignored", copy);
    auto const cells = given.mask<2>();
    voids = make_grid<std::uint8_t>(cells.extent);
    std::copy_n(cells.data, cells.size(), voids.data());
  }
  auto const classes = path_of(class_png), numbers = path_of(object_png);
  without_gil([&] { return write_voc_segmentation(classes, numbers, objects, voids), 0; });
}

void bind_voc(nb::module_& m)
{
  m.def(
      "voc_class", [](std::string const& name) { return voc_class(name); }, nb::arg("name"),
      nb::sig("def voc_class(name: str) -> int"),
      "The class 1..20 of a name of VOC.\n\n"
      "name  'background' (class 0), 'aeroplane', ... 'tvmonitor'\n\n"
      "Raises ValueError for another name.");
  m.def(
      "voc_name", [](std::int32_t category) { return std::string(voc_name(category)); }, nb::arg("category"),
      nb::sig("def voc_name(category: int) -> str"), "VOC's name of a class 0..20.");
  m.def(
      "read_voc_list",
      [](nb::handle path) {
        nb::list out;
        for (voc_list_entry const &each :
             parsed(path, [](auto const& file, auto const& name) { return parse_voc_list(file, name); })) {
          nb::dict e;
          nb::list tags;
          for (auto const tag : each.tags) tags.append(tag);
          e["id"] = each.id, e["image"] = each.image, e["labels"] = each.labels, e["tags"] = tags;
          out.append(e);
        }
        return out;
      },
      nb::arg("path"), nb::sig("def read_voc_list(path: StrPath) -> list[dict[str, Any]]"),
      "Read a list of images: an id a line, ids with classes, or paths of image and labels.\n\n"
      "path  the text file\n\n"
      "Returns dicts of id, image and labels (paths, '' where the list has ids), tags (the numbers after the id). "
      "Raises "
      "OSError with the file's name and the line.");
  m.def(
      "read_voc_annotation",
      [](nb::handle path, bool zero_based, nb::handle size) {
        voc_annotation_options options{zero_based, {0, 0}};
        if (!size.is_none()) options.image = size_of(size, "read_voc_annotation: size");
        return dict_of_annotation(parsed(
            path, [&](auto const& file, auto const& name) { return parse_voc_annotation(file, name, options); }));
      },
      nb::arg("path"), nb::kw_only(), nb::arg("zero_based") = false, nb::arg("size") = nb::none(),
      nb::sig(
          "def read_voc_annotation(path: StrPath, *, zero_based: bool = False, size: Sequence[int] | None = None) -> "
          "dict[str, Any]"),
      "Read the boxes of an image from VOC's XML.\n\n"
      "path        the XML file\n"
      "zero_based  whether the file counts pixels from 0, as VoTT does, not from 1\n"
      "size        [height, width] of the photograph, for files that have none\n\n"
      "Returns filename, height, width, objects (dicts of name, box, difficult, truncated) and notes on deviations. A "
      "box "
      "is (top, left, bottom, right) [cells] from 0, ends one past the last.");
  nb::class_<py_voc_segmentation>(m, "VocSegmentation", "Objects of an image, and its void pixels.")
      .def_ro("objects", &py_voc_segmentation::objects, nb::sig("def objects(self, /) -> Instances"),
              "The objects, with classes from 1 and score 1.")
      .def_ro("ignored", &py_voc_segmentation::ignored, nb::sig("def ignored(self, /) -> NDArray[np.uint8]"),
              "[H,W] 1 where either map is void.")
      .def("__repr__",
           [](py_voc_segmentation const& s) { return "VocSegmentation(ignored=" + text_of(s.ignored) + ")"; });
  m.def(
      "read_voc_segmentation",
      [](nb::handle class_png, nb::handle object_png) {
        auto const classes = path_of(class_png), numbers = path_of(object_png);
        auto const class_file = content_of(classes), number_file = content_of(numbers);
        auto got = without_gil([&] {
          return voc_objects(parse_label_map(class_file, classes.string()),
                             parse_instance_map(number_file, numbers.string()), numbers.string(), -1);
        });
        auto voids = into_array(std::move(got.ignored));
        return py_voc_segmentation{to_python(std::move(got.objects)), std::move(voids)};
      },
      nb::arg("class_png"), nb::arg("object_png"),
      nb::sig("def read_voc_segmentation(class_png: StrPath, object_png: StrPath) -> VocSegmentation"),
      "Read the objects of an image from VOC's pair of PNGs.\n\n"
      "class_png   SegmentationClass/ID.png: 0 background, classes, 255 void\n"
      "object_png  SegmentationObject/ID.png: 0 background, 1.. objects, 255 void in 8 bits\n\n"
      "Raises OSError: maps of different sizes; an object with pixels of two classes or of background.");
  m.def(
      "write_voc_segmentation", write_voc, nb::arg("class_png"), nb::arg("object_png"), array("label"),
      array("category"), nb::kw_only(), nb::arg("ignored") = nb::none(), nb::arg("copy") = false,
      nb::sig(
          "def write_voc_segmentation(class_png: StrPath, object_png: StrPath, label: Array, category: NDArray[Any] | "
          "Sequence[int], *, ignored: Array | None = None, copy: bool = False) -> None"),
      "Write the objects of an image as VOC's pair of PNGs.\n\n"
      "class_png, object_png  the files\n"
      "label                  [H,W] int32, int64 or uint8: 0 background, i + 1 on the cells of object i\n"
      "category               [N] classes 1..254 of at most 254 objects\n"
      "ignored                [H,W] uint8 or bool: 255 is written at its nonzero cells");
}

}  // namespace

void bind_io(nb::module_& m)
{
  bind_coco_files(m);
  bind_images(m);
  bind_voc(m);
}

}  // namespace bindings
