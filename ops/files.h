#pragma once

#include <string>

namespace millrace {

/// Writes a whole file. Throws std::runtime_error where it cannot be written.
void write_file(const std::string& path, const std::string& text);

}  // namespace millrace
