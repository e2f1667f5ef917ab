#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace millrace {

/// The strict grammar of JSON (RFC 8259), byte by byte and without building anything.
///
/// A parser on demand reads only what it is asked for; these two say whether the rest is JSON too.
/// Beyond the grammar they refuse what no JSON text may mean here: bytes that are no UTF-8, an
/// escape of half a surrogate pair, a number with a fraction or exponent beyond the range of a
/// double. An integer of any length is JSON. Depth is not limited. Any thread.

/// Where `text` stops being one JSON value with nothing but white space around it: the byte, from
/// 0; nothing where it is JSON. A byte order mark is no white space.
/// Cost: one pass, about 1 ns a byte.
std::optional<std::size_t> json_fault(std::string_view text);

/// The end of the JSON value that begins at `at` (no white space before it), or null where it is
/// none. Takes UTF-8 and the absence of control characters in strings as checked.
const char* json_value_end(const char* at, const char* end);

/// Whether every \u escape of a surrogate in `text` is half of a pair, in order. For JSON that a
/// parser has accepted otherwise; text without a backslash costs one search for it.
bool surrogates_are_paired(std::string_view text);

}  // namespace millrace
