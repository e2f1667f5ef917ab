#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

/// Appends `text` as a JSON string with its quotes. Requires: `text` is UTF-8.
void append_json_string(std::string& out, std::string_view text);

/// Appends the shortest digits that read back to the same value; `null` where it is not finite.
void append_json_number(std::string& out, double value);
void append_json_number(std::string& out, float value);
void append_json_number(std::string& out, std::uint64_t value);

}  // namespace millrace
