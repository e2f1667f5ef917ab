#include "ops/parity/weights.h"

#include <algorithm>
#include <set>
#include <utility>

#include "learner/base/check.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "ops/json_inner.h"
#include "ops/parity/row_names.h"

namespace millrace {
namespace {

namespace json = boost::json;

constexpr std::string_view kEmbedding = "embedding.";
constexpr std::string_view kKeys = ".keys";
constexpr std::string_view kStandardisation = "standardisation.";

std::vector<std::int64_t> shape_of(const ParameterSlot& slot) {
  if (slot.name.ends_with(".weight")) return {slot.rows, slot.cols};
  return {slot.rows * slot.cols};
}

std::string print_shape(const std::vector<std::int64_t>& shape) {
  return json::serialize(json::array(shape.begin(), shape.end()));
}

// Reads the dense block; an error's message, or empty.
std::string read_dense(const TensorFile& file, const Model<float>& model,
                       std::set<std::string>& known, std::vector<float>& dense) {
  dense.resize(static_cast<std::size_t>(model.parameter_count()));
  for (const ParameterSlot& slot : model.parameters()) {
    const Tensor* tensor = file.find(slot.name);
    const auto shape = shape_of(slot);
    if (tensor == nullptr) return slot.name + " " + print_shape(shape) + " is missing";
    if (tensor->shape != shape) {
      return slot.name + " is " + print_shape(tensor->shape) + "; expected " + print_shape(shape);
    }
    known.insert(slot.name);
    for (int r = 0; r < slot.rows; ++r) {
      std::copy_n(tensor->values.data() + long{r} * slot.cols, slot.cols,
                  dense.data() + slot.offset + r * slot.stride);
    }
  }
  return "";
}

// The texts of a table's rows, or nothing where they are no array of strings.
std::optional<std::vector<std::string>> read_keys(const std::string& text) {
  boost::system::error_code fault;
  const json::value value = json::parse(text, fault);
  if (fault || !value.is_array()) return std::nullopt;
  std::vector<std::string> keys;
  for (const json::value& key : value.get_array()) {
    if (!key.is_string()) return std::nullopt;
    keys.emplace_back(key.get_string());
  }
  return keys;
}

std::string read_table(const TensorFile& file, const Schema& schema, int t,
                       std::set<std::string>& known, TableUpdate& rows,
                       std::map<std::uint64_t, std::string>& texts) {
  const Table& table = schema.tables()[static_cast<std::size_t>(t)];
  const std::string name = std::string(kEmbedding) + table.name;
  const Tensor* tensor = file.find(name);
  if (tensor == nullptr) return "";
  known.insert(name);
  const auto text = file.texts.find(name + std::string(kKeys));
  const auto keys = text == file.texts.end() ? std::nullopt : read_keys(text->second);
  if (!keys) {
    return name + std::string(kKeys) + " in __metadata__ is missing, or no JSON array of strings";
  }
  known.insert(text->first);
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(keys->size()), table.dimension};
  if (tensor->shape != shape) {
    return name + " is " + print_shape(tensor->shape) + "; expected " + print_shape(shape);
  }
  for (const std::string& key : *keys) {
    rows.keys.push_back(key_of_name(schema, t, key));
    if (!texts.emplace(rows.keys.back(), key).second) return name + " has \"" + key + "\" twice";
  }
  rows.rows = tensor->values;
  return "";
}

Tensor table_tensor(const Table& table, const TableUpdate& rows,
                    const std::map<std::uint64_t, std::string>& texts, std::string& keys) {
  std::map<std::string_view, std::size_t> order;
  for (std::size_t i = 0; i < rows.keys.size(); ++i) {
    const auto text = texts.find(rows.keys[i]);
    MILLRACE_CHECK(text != texts.end());
    order.emplace(text->second, i);
  }
  const auto D = static_cast<std::size_t>(table.dimension);
  Tensor tensor{.name = std::string(kEmbedding) + table.name,
                .shape = {static_cast<std::int64_t>(rows.keys.size()), table.dimension},
                .values = {}};
  json::array names;
  for (const auto& [text, i] : order) {
    names.emplace_back(text);
    const auto row = rows.rows.begin() + static_cast<std::ptrdiff_t>(i * D);
    tensor.values.insert(tensor.values.end(), row, row + static_cast<std::ptrdiff_t>(D));
  }
  keys = json::serialize(names);
  return tensor;
}

}  // namespace

Result<GivenWeights> read_weights(const TensorFile& file, const Config& config) {
  const Schema schema = input_schema(config.schema(), config.learner.model);
  const Model<float> model(schema, config.learner.model);
  GivenWeights given;
  std::set<std::string> known;
  if (auto fault = read_dense(file, model, known, given.dense); !fault.empty()) {
    return Error{fault};
  }
  given.tables.resize(schema.tables().size());
  given.texts.resize(schema.tables().size());
  for (std::size_t t = 0; t < given.tables.size(); ++t) {
    auto fault =
        read_table(file, schema, static_cast<int>(t), known, given.tables[t], given.texts[t]);
    if (!fault.empty()) return Error{fault};
  }
  for (const Tensor& tensor : file.tensors) {
    if (tensor.name.starts_with(kStandardisation)) {
      return Error{tensor.name + " cannot be given: statistics start with the batches"};
    }
    if (!known.contains(tensor.name)) {
      return Error{tensor.name + " is no weight of this configuration"};
    }
  }
  return given;
}

TensorFile weights_file(const Publication& publication, const Config& config,
                        const KeyTexts& texts) {
  const Schema schema = input_schema(config.schema(), config.learner.model);
  const Model<float> model(schema, config.learner.model);
  TensorFile file;
  for (const ParameterSlot& slot : model.parameters()) {
    Tensor& tensor = file.tensors.emplace_back(Tensor{slot.name, shape_of(slot), {}});
    for (int r = 0; r < slot.rows; ++r) {
      const float* row = publication.dense->parameters.data() + slot.offset + r * slot.stride;
      tensor.values.insert(tensor.values.end(), row, row + slot.cols);
    }
  }
  for (std::size_t t = 0; t < schema.tables().size(); ++t) {
    const Table& table = schema.tables()[t];
    std::string& keys = file.texts[std::string(kEmbedding) + table.name + std::string(kKeys)];
    file.tensors.push_back(table_tensor(table, publication.tables[t], texts[t], keys));
  }
  for (std::size_t f = 0; f < schema.numeric_features().size(); ++f) {
    const auto feature = static_cast<std::size_t>(schema.numeric_features()[f]);
    if (!schema.features()[feature].standardize) continue;
    const Standardisation& moments = publication.dense->numeric[f];
    file.tensors.push_back({std::string(kStandardisation) + schema.features()[feature].name,
                            {2},
                            {moments.mean, moments.inverse_deviation}});
  }
  return file;
}

}  // namespace millrace
