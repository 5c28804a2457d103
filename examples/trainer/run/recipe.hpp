#pragma once
// What a training is, in words. Checkpoints and weights keep them: what other words made is not gone on with.

#include "data/augment.hpp"
#include "data/dataset.hpp"

#include <cstdint>
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
  /// How many images there are, of which names and classes.
  recipe& add(dataset const& set);
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

/// A number that tells contents apart: 64 bits of FNV-1a.
class fingerprint {
 public:
  fingerprint& add(void const* bytes, std::size_t count)
  {
    auto const* const at = static_cast<unsigned char const*>(bytes);
    for (std::size_t i = 0; i < count; ++i) state_ = (state_ ^ at[i]) * 0x100000001b3u;
    return *this;
  }
  fingerprint& add(std::string const& word) { return add(word.c_str(), word.size() + 1); }

  [[nodiscard]] std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace trainer
