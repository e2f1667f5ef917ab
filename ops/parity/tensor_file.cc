#include "ops/parity/tensor_file.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "ops/json_inner.h"

namespace millrace {
namespace {

namespace json = boost::json;

constexpr std::string_view kTexts = "__metadata__";

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (!file) return std::nullopt;
  if (file.peek() != std::ifstream::traits_type::eof()) bytes << file.rdbuf();
  if (!file) return std::nullopt;
  return std::move(bytes).str();
}

template <class Value>
std::vector<float> numbers(std::string_view bytes) {
  std::vector<float> values(bytes.size() / sizeof(Value));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Value value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    values[i] = static_cast<float>(value);
  }
  return values;
}

// What the header says of one array; throws what boost::json throws where it is not that.
Tensor read_tensor(std::string_view name, const json::object& entry, std::string_view data) {
  Tensor tensor{.name = std::string(name), .shape = {}, .values = {}};
  std::uint64_t count = 1;
  for (const json::value& size : entry.at("shape").as_array()) {
    tensor.shape.push_back(size.to_number<std::int64_t>());
    const auto length = size.to_number<std::uint64_t>();
    if (length > 0 && count > data.size() / length) throw std::runtime_error("is too large");
    count *= length;
  }
  const json::array& place = entry.at("data_offsets").as_array();
  const auto begin = place.at(0).to_number<std::uint64_t>();
  const auto end = place.at(1).to_number<std::uint64_t>();
  if (begin > end || end > data.size()) throw std::runtime_error("is beyond the end of the file");
  const std::string_view bytes = data.substr(begin, end - begin);
  const json::string& type = entry.at("dtype").as_string();
  const bool single = type == "F32";
  if (!single && type != "F64") {
    throw std::runtime_error("has dtype " + std::string(type) + "; expected F32 or F64");
  }
  if (bytes.size() != count * (single ? 4 : 8)) {
    throw std::runtime_error("has another number of values than its shape");
  }
  tensor.values = single ? numbers<float>(bytes) : numbers<double>(bytes);
  return tensor;
}

}  // namespace

const Tensor* TensorFile::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const Tensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

Result<TensorFile> read_tensor_file(const std::string& path) {
  const auto bytes = read_file(path);
  if (!bytes) return Error{path + ": cannot be read"};
  std::uint64_t length = 0;
  if (bytes->size() >= sizeof length) std::memcpy(&length, bytes->data(), sizeof length);
  if (bytes->size() < sizeof length || length > bytes->size() - sizeof length) {
    return Error{path + ": is no safetensors file: it is too short"};
  }
  const std::string_view whole = *bytes;
  const std::string_view data = whole.substr(sizeof length + length);
  std::string at;
  try {
    const json::value header = json::parse(whole.substr(sizeof length, length));
    TensorFile file;
    for (const auto& [name, entry] : header.as_object()) {
      at = std::string(name) + " ";
      if (name == kTexts) {
        for (const auto& [key, text] : entry.as_object()) file.texts[key] = text.as_string();
      } else {
        file.tensors.push_back(read_tensor(name, entry.as_object(), data));
      }
    }
    return file;
  } catch (const std::exception& fault) {
    return Error{path + ": is no safetensors file: " + at + fault.what()};
  }
}

Result<Ok> write_tensor_file(const std::string& path, const TensorFile& file) {
  json::object header, texts;
  for (const auto& [name, text] : file.texts) texts[name] = text;
  if (!texts.empty()) header[kTexts] = texts;
  std::string data;
  for (const Tensor& tensor : file.tensors) {
    const std::size_t begin = data.size(), count = tensor.values.size() * sizeof(float);
    data.resize(begin + count);
    if (count > 0) std::memcpy(data.data() + begin, tensor.values.data(), count);
    header[tensor.name] =
        json::object{{"dtype", "F32"},
                     {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                     {"data_offsets", json::array{begin, data.size()}}};
  }
  std::string text = json::serialize(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the arrays begin at a multiple of 8
  const std::uint64_t length = text.size();
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out << text << data;
  if (!out.flush()) return Error{path + ": cannot be written"};
  return Ok{};
}

}  // namespace millrace
