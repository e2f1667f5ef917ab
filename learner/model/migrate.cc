#include "learner/model/migrate.h"

#include <algorithm>
#include <map>
#include <optional>

#include "learner/base/check.h"
#include "learner/model/model.h"

namespace millrace {
namespace {

/// "<kind>.<member>.layer.<layer>.<weight|bias>" taken apart.
struct SlotName {
  std::string kind;
  int member = 0;
  int layer = 0;
  bool bias = false;

  static SlotName parse(const std::string& name) {
    const std::size_t first = name.find('.'), second = name.find('.', first + 1),
                      third = name.find('.', second + 1), fourth = name.find('.', third + 1);
    MILLRACE_CHECK(fourth != std::string::npos);
    return {name.substr(0, first), std::stoi(name.substr(first + 1, second - first - 1)),
            std::stoi(name.substr(third + 1, fourth - third - 1)),
            name.substr(fourth + 1) == "bias"};
  }
  std::string of_member(int other) const {
    return kind + "." + std::to_string(other) + ".layer." + std::to_string(layer) +
           (bias ? ".bias" : ".weight");
  }
};

/// By place on one side of a new matrix: the same place of the old one, or −1.
using Pairing = std::vector<int>;

Pairing first_ones(int old_size, int new_size) {
  Pairing pairing(static_cast<std::size_t>(new_size), -1);
  for (int i = 0; i < std::min(old_size, new_size); ++i) pairing[static_cast<std::size_t>(i)] = i;
  return pairing;
}

class Pairer {
 public:
  Pairer(const Schema& old_schema, const ModelOptions& old_options, const Schema& new_schema,
         const ModelOptions& new_options, const std::vector<int>& tasks,
         const std::vector<int>& features)
      : old_options_(old_options), new_options_(new_options), tasks_(tasks) {
    inputs_.assign(static_cast<std::size_t>(new_schema.inputs()), -1);
    for (std::size_t f = 0; f < features.size(); ++f) {
      const int feature = static_cast<int>(f), source = features[f];
      if (source < 0 || old_schema.input_width(source) != new_schema.input_width(feature)) continue;
      for (int i = 0; i < new_schema.input_width(feature); ++i) {
        inputs_[static_cast<std::size_t>(new_schema.input_offset(feature) + i)] =
            old_schema.input_offset(source) + i;
      }
    }
  }

  /// The old member that a new one continues, or −1.
  int member(const SlotName& slot) const {
    if (slot.kind == "expert") return slot.member < old_options_.experts ? slot.member : -1;
    return tasks_[static_cast<std::size_t>(slot.member)];
  }

  /// Nothing where the sizes differ for another reason than inputs and experts.
  std::optional<Pairing> rows(const SlotName& slot, int old_rows, int new_rows) const {
    if (!slot.bias && slot.layer == 0 && slot.kind != "tower") return inputs_;
    return same(old_rows, new_rows);
  }
  std::optional<Pairing> columns(const SlotName& slot, int old_columns, int new_columns) const {
    const bool to_experts = slot.kind == "gate" &&
                            slot.layer == static_cast<int>(new_options_.gate_layers.size()) &&
                            old_options_.gate_layers.size() == new_options_.gate_layers.size();
    if (to_experts) return first_ones(old_columns, new_columns);
    return same(old_columns, new_columns);
  }

 private:
  static std::optional<Pairing> same(int old_size, int new_size) {
    if (old_size != new_size) return std::nullopt;
    return first_ones(old_size, new_size);
  }

  const ModelOptions& old_options_;
  const ModelOptions& new_options_;
  const std::vector<int>& tasks_;
  Pairing inputs_;
};

/// Appends the stretches of one pair of slots; returns how many weights they hold.
long keep(const ParameterSlot& from, const ParameterSlot& to, const Pairing& rows,
          const Pairing& columns, std::vector<KeptWeights>& kept) {
  long count = 0;
  for (int r = 0; r < to.rows; ++r) {
    const int source = rows[static_cast<std::size_t>(r)];
    if (source < 0) continue;
    for (int c = 0; c < to.cols;) {
      const int first = columns[static_cast<std::size_t>(c)];
      int width = 1;
      while (c + width < to.cols && first >= 0 &&
             columns[static_cast<std::size_t>(c + width)] == first + width) {
        ++width;
      }
      if (first >= 0) {
        kept.push_back(
            {from.offset + source * from.stride + first, to.offset + r * to.stride + c, width});
        count += width;
      }
      c += width;
    }
  }
  return count;
}

}  // namespace

ModelMigration migrate_model(const Schema& old_schema, const ModelOptions& old_options,
                             const Schema& new_schema, const ModelOptions& new_options,
                             const std::vector<int>& tasks, const std::vector<int>& features) {
  const Model<float> old_model(old_schema, old_options), new_model(new_schema, new_options);
  const Pairer pairer(old_schema, old_options, new_schema, new_options, tasks, features);
  std::map<std::string, const ParameterSlot*> old_slots;
  for (const ParameterSlot& slot : old_model.parameters()) old_slots[slot.name] = &slot;

  ModelMigration migration;
  migration.old_count = old_model.parameter_count();
  migration.new_count = new_model.parameter_count();
  for (const ParameterSlot& to : new_model.parameters()) {
    const SlotName name = SlotName::parse(to.name);
    const int member = pairer.member(name);
    const auto found = member < 0 ? old_slots.end() : old_slots.find(name.of_member(member));
    long kept = 0;
    bool whole = false;
    if (found != old_slots.end()) {
      const ParameterSlot& from = *found->second;
      const auto rows = pairer.rows(name, from.rows, to.rows);
      const auto columns = pairer.columns(name, from.cols, to.cols);
      if (rows && columns) kept = keep(from, to, *rows, *columns, migration.kept);
      whole = kept == long{to.rows} * to.cols && kept == long{from.rows} * from.cols;
      old_slots.erase(found);
    }
    (kept == 0 ? migration.made : whole ? migration.whole : migration.partly).push_back(to.name);
  }
  for (const auto& [name, slot] : old_slots) migration.dropped.push_back(name);
  return migration;
}

}  // namespace millrace
