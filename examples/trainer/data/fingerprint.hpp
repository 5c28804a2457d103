#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <type_traits>

namespace trainer {

/// A number that tells contents apart: 64 bits of FNV-1a.
class fingerprint {
 public:
  fingerprint& add(void const* bytes, std::size_t count)
  {
    auto const* const at = static_cast<unsigned char const*>(bytes);
    for (std::size_t i = 0; i < count; ++i) state_ = (state_ ^ at[i]) * 0x100000001b3u;
    return *this;
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  fingerprint& add(T number)
  {
    return add(&number, sizeof number);
  }
  fingerprint& add(std::string const& word) { return add(word.c_str(), word.size() + 1); }

  [[nodiscard]] std::uint64_t value() const { return state_; }
  /// 16 hexadecimal digits.
  [[nodiscard]] std::string digits() const
  {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(state_));
    return text;
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace trainer
