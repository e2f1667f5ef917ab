#include "ops/files.h"

#include <cstdio>
#include <stdexcept>

namespace millrace {

void write_file(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written =
      file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = file != nullptr && std::fclose(file) == 0;
  if (!written || !closed) throw std::runtime_error(path + ": cannot be written");
}

}  // namespace millrace
