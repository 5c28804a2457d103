#pragma once
// One case of the golden format "cambium-golden/1": inputs, and what the original made of them.

#include <cambium/io/npy.hpp>

#include <nlohmann/json.hpp>

#include <compare>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace conformance {

using cambium::index_t;
using nlohmann::json;

/// An array without its type: everything is compared as double, which holds every dtype of the format but the
/// largest 64-bit integers.
struct numbers {
  std::vector<index_t> shape;
  std::vector<double> value;
};

class golden_case {
 public:
  explicit golden_case(std::filesystem::path folder);

  std::string name() const { return system + "/" + stage + "/" + label; }
  bool has(std::string const& array) const { return files_.count(array) != 0; }

  /// An input as a grid. Leading axes of extent 1 are dropped or added to reach the rank.
  template <class T, int Rank>
  cambium::grid<T, Rank> input(std::string const& array) const
  {
    auto a = cambium::read_npy(path(array));
    while (a.shape.size() > Rank && a.shape[0] == 1) a.shape.erase(a.shape.begin());
    for (std::size_t r = 1; a.shape.size() > Rank && r < a.shape.size();)  // (C,1,h,w) -> (C,h,w)
      if (a.shape[r] == 1)
        a.shape.erase(a.shape.begin() + static_cast<std::ptrdiff_t>(r));
      else
        ++r;
    return cambium::to_grid<T, Rank>(a, path(array).string());
  }
  numbers read(std::string const& array) const;

  template <class T>
  T param(std::string const& key) const
  {
    return params.at(key).get<T>();
  }

  /// Hand in a result. Compared with the expected array of that name and, if there is one, of name + "_f64".
  template <class T, int Rank>
  void result(std::string const& array, cambium::view<T, Rank> const& v)
  {
    numbers n;
    for (index_t e : v.extent) n.shape.push_back(e);
    append(v, n.value);
    compare(array, n);
    compare(array + "_f64", n);
  }
  template <class T, int Rank>
  void result(std::string const& array, cambium::grid<T, Rank> const& g)
  {
    result(array, g.view());
  }
  template <class T>
  void result(std::string const& array, std::vector<T> const& list)
  {
    compare(array, {{static_cast<index_t>(list.size())}, {list.begin(), list.end()}});
  }

  /// The same for values of any shape.
  void result(std::string const& array, std::vector<index_t> const& shape, std::vector<double> const& values)
  {
    compare(array, {shape, values});
    compare(array + "_f64", {shape, values});
  }

  /// A place with a score in one channel of a list of maxima.
  struct ranked {
    index_t channel;
    double score;
    index_t y;
    index_t x;
    auto operator<=>(ranked const&) const = default;
  };

  /// Hand in a list of maxima, of each channel by falling score, that stands for all these arrays (mode topk_ties):
  /// scores agree; the places of equal scores agree as sets; where a list of `most` ends among equal scores, any of
  /// `maxima` with that score will do. Scores of 0 are filling and may stand anywhere.
  void result_tied(std::vector<std::string> const& arrays, std::vector<ranked> const& got,
                   std::vector<ranked> const& want, index_t most, std::vector<ranked> const& maxima);

  /// Hand in a text: equal to the expected file, but for the order of lines of one class with one score under
  /// lines_tied.
  void result_text(std::string const& file, std::string const& text);

  /// An expected array that another one stands in for; `why` is shown when asked for.
  void excuse(std::string const& array) { seen_.insert(array); }

  /// A fault the stage found by itself.
  void fail(std::string const& what) { faults.push_back(what); }

  /// Expected arrays and texts nobody handed in become faults.
  void finish();

  std::filesystem::path folder;
  std::string system, stage, label;
  json manifest, params;
  bool degenerate = false;
  std::vector<std::string> faults;

 private:
  template <class T, int Rank>
  static void append(cambium::view<T, Rank> const& v, std::vector<double>& out)
  {
    for (index_t i = 0; i < v.extent[0]; ++i)
      if constexpr (Rank == 1)
        out.push_back(static_cast<double>(v(i)));
      else
        append(v[i], out);
  }
  std::filesystem::path path(std::string const& array) const;
  void compare(std::string const& array, numbers const& got);

  std::map<std::string, json> files_;
  std::set<std::string> seen_;
};

/// What runs the cases of each stage.
using stage_table = std::map<std::string, void (*)(golden_case&)>;
stage_table const& irnet_stages();
stage_table const& irnet_training_stages();
stage_table const& evaluation_stages();
stage_table const& bestie_loss_stages();
stage_table const& bestie_stages();
stage_table const& box_loss_stages();
stage_table const& pixel_adaptive_stages();
stage_table const& proposal_stages();
stage_table const& tree_stages();
stage_table const& attention_stages();
stage_table const& mask_cut_stages();

}  // namespace conformance
