#pragma once
// What a way from weak labels to masks provides. Everything else is common: see one_image.hpp and run.hpp.

#include "options.hpp"
#include "settings.hpp"

#include <cambium/exec/cpu.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/io/file.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace labelling {

class image_files;

/// A file that is read for each image.
struct input_file {
  std::string name;           ///< in records
  std::string path_template;  ///< with {id}; empty: not asked for
  bool optional = false;      ///< images may lack it
};

/// The entry of a record whose image has points, but none of a class that its tags name. A note counts these images.
inline constexpr char points_without_tag[] = "points_without_tag";

/// What a method says of one image.
struct answer {
  cambium::grid<std::int32_t, 2> semantic;  ///< [H,W] 0, 1..C, 255 undecided
  cambium::instances<> objects;             ///< categories are 0-based classes
  std::vector<int> classes;                 ///< that were looked for, 1..C
  cambium::grid<std::int32_t, 2> baseline;  ///< [H,W] what it started from, to be compared with the truth; or empty
  std::vector<std::pair<std::string, cambium::bytes>> files;  ///< further ones: names below --out
  json about = json::object();                                ///< further entries of the record
};

/// What a COCO file calls a class.
struct named_category {
  std::int64_t id = 0;
  std::string name;
};

class method {
 public:
  virtual ~method() = default;
  method(method const&) = delete;
  method& operator=(method const&) = delete;

  /// Its options, beside the common ones.
  option_table const& table() const { return table_; }

  /// The mode that the command line asks for: one of the bits that the table names.
  virtual unsigned mode() const { return ~0u; }

  /// What decides results, by its names on the command line, the common parameters included.
  json parameters() const { return recorded(table_, mode()); }

  /// Whether there are no labels without photographs.
  virtual bool needs_photographs() const { return false; }

  /// Whether objects have the classes of the truth; else every object, and every true one, is of class 1.
  virtual bool knows_classes() const { return true; }

  /// Complain of flags that make no sense together, and read what all images share.
  /// @param given  flags that the command line has
  /// @throws usage_error, io_error
  virtual void get_ready(std::set<std::string> const& given) = 0;

  /// The files of an image, beside the photograph and the truth; the first tells how large an image is.
  virtual std::vector<input_file> inputs() const = 0;

  /// @throws io_error "file: reason", precondition_error
  virtual answer label(cambium::cpu const& where, image_files& files) const = 0;

  /// The categories of the COCO file behind it, for classes 1, 2, ... in detections.json; none: a class is its
  /// category.
  virtual std::vector<named_category> categories() const { return {}; }

  /// The numbers of images in the COCO file behind it; nothing where there is none.
  /// @throws io_error: two ids of one image
  virtual std::optional<std::vector<std::int64_t>> image_numbers(std::vector<std::string> const&) const
  {
    return std::nullopt;
  }

  /// [bytes] that one image takes while it is labelled.
  virtual double memory(image_files& files) const = 0;

  /// Complain of a set of images before anything is written, and say what is odd.
  /// @throws usage_error, io_error
  virtual void look_at(std::vector<std::string> const&) const {}

 protected:
  method() = default;
  option_table table_;  ///< points to members
};

/// The words after --method.
inline std::vector<std::string> const method_names{"irnet", "bestie", "boxes", "proposals", "scribbles", "cut"};

/// @param s  the common settings, for as long as the method lives
std::shared_ptr<method> make_method(std::string const& name, settings& s);
std::shared_ptr<method> make_bestie(settings& s);
std::shared_ptr<method> make_boxes(settings& s);
std::shared_ptr<method> make_proposals(settings& s);
std::shared_ptr<method> make_scribbles(settings& s);
std::shared_ptr<method> make_cut(settings& s);

}  // namespace labelling
