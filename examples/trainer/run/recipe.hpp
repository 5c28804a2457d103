#pragma once
// What a training is, in words. Checkpoints and weights keep them: what other words made is not gone on with.

#include "data/augment.hpp"
#include "data/dataset.hpp"
#include "data/fingerprint.hpp"

#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace trainer {

/// Writes all that decides what is learned as "what name value value name value ...".
class recipe {
 public:
  explicit recipe(std::string const& what)
  {
    text_.precision(17);
    text_ << what;
  }

  /// Numbers, enumerations, words, and lists of them.
  template <class... V>
  recipe& add(char const* name, V const&... values)
  {
    text_ << ' ' << name;
    (value(values), ...);
    return *this;
  }
  /// How many images there are, of which names and classes, and what is weakly known of them.
  recipe& add(dataset const& set);
  recipe& add(colour_scale const& colours);
  recipe& add(bestie_augmentation const& samples);
  recipe& add(pam_augmentation const& samples);

  [[nodiscard]] std::string words() const { return text_.str(); }

 private:
  template <class V>
  void value(V const& v)
  {
    if constexpr (std::is_enum_v<V>)
      text_ << ' ' << static_cast<int>(v);
    else
      text_ << ' ' << v;
  }
  template <class V>
  void value(std::vector<V> const& list)
  {
    text_ << ' ' << list.size();
    for (auto const& v : list) value(v);
  }

  std::ostringstream text_;
};

}  // namespace trainer
