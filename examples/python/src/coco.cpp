// COCO's data: dicts of Python as the library's types and back, and who is compared with whom.

#include "arguments.hpp"
#include "bindings.hpp"
#include "masks.hpp"

#include <cambium/io/coco_data.hpp>
#include <cambium/io/coco_pairs.hpp>
#include <cambium/metric/coco_ap.hpp>

#include <nanobind/stl/string.h>

#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace bindings {

using namespace cambium;

namespace {

/// One dict of a list, for messages: "write_coco: annotations[3].id is str; expected an integer".
struct entry {
  nb::dict fields;
  std::string what;

  entry(nb::handle given, std::string name) : what(std::move(name))
  {
    if (!nb::isinstance<nb::dict>(given))
      throw nb::type_error((what + " is " + name_of_type(given) + "; expected a dict").c_str());
    fields = nb::borrow<nb::dict>(given);
  }

  /// The value of a key; None counts as missing.
  nb::object find(char const* key) const
  {
    nb::object const value = fields.contains(key) ? nb::object(fields[key]) : nb::object(nb::none());
    return value;
  }
  nb::object at(char const* key) const
  {
    auto const value = find(key);
    expects(!value.is_none(), what, ".", key, " is missing");
    return value;
  }
  std::int64_t integer(char const* key) const
  {
    auto const value = at(key);
    if (!PyIndex_Check(value.ptr())) wrong(key, value, "an integer");
    int overflow = 0;
    auto const number = nb::steal(PyNumber_Index(value.ptr()));
    if (!number.is_valid()) throw nb::python_error();
    long long const v = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    expects(overflow == 0, what, ".", key, " is beyond 64 bits");
    return v;
  }
  double number(char const* key) const { return number_of(at(key), key); }
  double number_of(nb::handle value, char const* key) const
  {
    double const v = nb::isinstance<nb::str>(value) ? -1 : PyFloat_AsDouble(value.ptr());
    if (PyErr_Occurred() || nb::isinstance<nb::str>(value)) PyErr_Clear(), wrong(key, value, "a number");
    return v;
  }
  std::string text(char const* key) const
  {
    auto const value = find(key);
    if (value.is_none()) return "";
    if (!nb::isinstance<nb::str>(value)) wrong(key, value, "a text");
    return utf8_of(value, what + "." + key);
  }
  [[noreturn]] void wrong(char const* key, nb::handle value, char const* expected) const
  {
    throw nb::type_error((what + "." + key + " is " + name_of_type(value) + "; expected " + expected).c_str());
  }
};

coco_polygons polygons_of(nb::handle given, std::string const& what)
{
  coco_polygons out;
  for_each_item_of(given, what, "a list of polygons, or run lengths", [&](nb::handle each, std::string const& at) {
    out.push_back(numbers_of<double>(each, at.c_str()));
    expects(out.back().size() >= 6 && out.back().size() % 2 == 0, at, " has ", static_cast<index_t>(out.back().size()),
            " numbers; three corners or more have an x and a y each");
    for (double const v : out.back()) expects(std::abs(v) <= 4e8, at, " holds ", v);
  });
  return out;
}

}  // namespace

coco_dataset dataset_of(nb::handle given, std::string const& what)
{
  entry const root(given, what);
  coco_dataset out;
  std::unordered_map<std::int64_t, extent2> sizes;
  for_each_item_of(root.at("images"), what + ".images", "a list", [&](nb::handle each, std::string const& at) {
    entry const e(each, at);
    coco_image image{e.integer("id"), e.integer("height"), e.integer("width"), e.text("file_name")};
    for (auto const side : {image.height, image.width})
      expects(1 <= side && side <= longest_side, at, " is ", image.height, " x ", image.width,
              " pixels; expected sides of 1 to 2^20");
    sizes[image.id] = {image.height, image.width};
    out.images.push_back(std::move(image));
  });
  for_each_item_of(root.at("categories"), what + ".categories", "a list", [&](nb::handle each, std::string const& at) {
    entry const e(each, at);
    out.categories.push_back({e.integer("id"), e.text("name"), e.text("supercategory")});
  });
  for_each_item_of(
      root.at("annotations"), what + ".annotations", "a list", [&](nb::handle each, std::string const& at) {
        entry const e(each, at);
        coco_annotation a{.id = e.find("id").is_none() ? 0 : e.integer("id"),
                          .image_id = e.integer("image_id"),
                          .category_id = e.integer("category_id")};
        auto const size = sizes.find(a.image_id);
        expects(size != sizes.end(), at, ".image_id: there is no image ", a.image_id);
        if (auto const v = e.find("iscrowd"); !v.is_none()) {
          auto const flag = e.integer("iscrowd");
          expects(flag == 0 || flag == 1, at, ".iscrowd is ", flag, "; expected 0 or 1");
          a.iscrowd = flag == 1;
        }
        if (auto const v = e.find("segmentation"); !v.is_none()) {
          if (nb::isinstance<nb::dict>(v)) {
            rle mask = rle_of(v, at + ".segmentation");
            expects(size->second == extent2{mask.height, mask.width}, at, ".segmentation is ", mask.height, " x ",
                    mask.width, " but image ", a.image_id, " is ", size->second.height, " x ", size->second.width);
            a.segmentation = std::move(mask);
          } else if (auto polygons = polygons_of(v, at + ".segmentation"); !polygons.empty()) {
            a.segmentation = std::move(polygons);
          }
        }
        auto const area = e.find("area"), box = e.find("bbox");
        coco_annotation of_mask;
        if ((area.is_none() || box.is_none()) && a.has_mask()) of_mask = annotate(0, 0, mask_of(a, size->second));
        expects(!box.is_none() || a.has_mask(), at, " has neither a bbox nor a segmentation");
        a.bbox = of_mask.bbox;
        if (!box.is_none()) {
          auto const numbers = numbers_of<double>(box, (at + ".bbox").c_str());
          expects(numbers.size() == 4, at, ".bbox has ", static_cast<index_t>(numbers.size()),
                  " numbers; expected left, top, width, height");
          for (std::size_t i = 0; i < 4; ++i) a.bbox[i] = numbers[i];
        }
        a.area = !area.is_none() ? e.number_of(area, "area") : a.has_mask() ? of_mask.area : a.bbox[2] * a.bbox[3];
        out.annotations.push_back(std::move(a));
      });
  return out;
}

nb::dict dict_of(coco_dataset const& set)
{
  nb::list images, categories, annotations, notes;
  for (auto const& i : set.images) {
    nb::dict e;
    e["id"] = i.id, e["height"] = i.height, e["width"] = i.width, e["file_name"] = i.file_name;
    images.append(e);
  }
  for (auto const& c : set.categories) {
    nb::dict e;
    e["id"] = c.id, e["name"] = c.name, e["supercategory"] = c.supercategory;
    categories.append(e);
  }
  for (auto const& a : set.annotations) {
    nb::dict e;
    e["id"] = a.id, e["image_id"] = a.image_id, e["category_id"] = a.category_id, e["iscrowd"] = a.iscrowd ? 1 : 0;
    e["area"] = a.area;
    nb::list box;
    for (double const v : a.bbox) box.append(v);
    e["bbox"] = box;
    if (auto const* const runs = std::get_if<rle>(&a.segmentation)) {
      e["segmentation"] = dict_of(*runs);
    } else if (auto const* const polygons = std::get_if<coco_polygons>(&a.segmentation)) {
      nb::list parts;
      for (auto const& xy : *polygons) {
        nb::list part;
        for (double const v : xy) part.append(v);
        parts.append(part);
      }
      e["segmentation"] = parts;
    }
    if (!a.box_error.empty()) e["box_error"] = a.box_error;
    annotations.append(e);
  }
  for (auto const& n : set.notes) notes.append(n);
  nb::dict out;
  out["images"] = images, out["categories"] = categories, out["annotations"] = annotations, out["notes"] = notes;
  return out;
}

std::vector<coco_result> results_of(nb::handle given, std::string const& what)
{
  std::vector<coco_result> out;
  for_each_item_of(given, what, "a list of results", [&](nb::handle each, std::string const& at) {
    entry const e(each, at);
    coco_result r{e.integer("image_id"), e.integer("category_id"), {}, e.number("score")};
    r.segmentation = rle_of(e.at("segmentation"), at + ".segmentation");
    out.push_back(std::move(r));
  });
  return out;
}

nb::list list_of(std::vector<coco_result> const& results)
{
  nb::list out;
  for (auto const& r : results) {
    nb::dict e;
    e["image_id"] = r.image_id, e["category_id"] = r.category_id, e["segmentation"] = dict_of(r.segmentation);
    e["score"] = r.score;
    out.append(e);
  }
  return out;
}

void bind_coco(nb::module_& m)
{
  m.def(
      "coco_pairs",
      [](nb::handle dataset, nb::handle results) {
        auto const set = dataset_of(dataset, "coco_pairs: dataset");
        auto const found = results_of(results, "coco_pairs: results");
        auto const where = policy(0, "coco_pairs");
        auto all = without_gil([&] { return coco_pairs(where, set, found); });
        nb::list out;
        for (auto& each : all) out.append(nb::cast(std::move(each)));
        return out;
      },
      nb::arg("dataset"), nb::arg("results"),
      nb::sig("def coco_pairs(dataset: CocoDataset, results: Sequence[CocoResult]) -> list[CocoPair]"),
      "What coco_ap() compares, of a data set and results.\n\n"
      "dataset  as read_coco() or json.load() gives it: images, categories, annotations with masks\n"
      "results  as read_coco_results() or json.load() gives them\n\n"
      "Returns a CocoPair for each image and category with annotations or results, in the order that coco_ap() needs; "
      "categories are numbered by ascending id.");
  m.def("sparse_category", sparse_category, nb::arg("contiguous"),
        nb::sig("def sparse_category(contiguous: int) -> int"), "COCO's id, 1 to 90, of a class 1..80; 0 stays 0.");
  m.def("contiguous_category", contiguous_category, nb::arg("sparse"),
        nb::sig("def contiguous_category(sparse: int) -> int"),
        "The class 1..80 of COCO's id, 1 to 90; 0 stays 0. Raises ValueError for an id that is not in use.");
}

}  // namespace bindings
