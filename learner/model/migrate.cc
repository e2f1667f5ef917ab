#include "learner/model/migrate.h"

#include <algorithm>
#include <map>
#include <optional>

#include "learner/base/check.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"

namespace millrace {
namespace {

/// "<level><kind>.<member>.layer.<layer>.<weight|bias|temperature>" taken apart. A task's own
/// experts are of a kind of their own, "task_expert.<task>".
struct SlotName {
  std::string level;  ///< "", or "level.1."
  std::string kind;
  int task = -1;  ///< Of a task's own experts.
  int member = 0;
  int layer = 0;
  std::string rest;  ///< ".weight", ".bias" or ".temperature"

  static SlotName parse(const std::string& name) {
    SlotName slot;
    const std::size_t layer = name.find(".layer.");
    MILLRACE_CHECK(layer != std::string::npos);
    std::string left = name.substr(0, layer);
    std::string right = name.substr(layer + 7);
    slot.layer = std::stoi(right);
    slot.rest = right.substr(right.find('.'));
    if (left.starts_with("level.")) {
      const std::size_t end = left.find('.', 6) + 1;
      slot.level = left.substr(0, end);
      left.erase(0, end);
    }
    const std::size_t last = left.rfind('.');
    slot.member = std::stoi(left.substr(last + 1));
    slot.kind = left.substr(0, last);
    if (const std::size_t dot = slot.kind.find('.'); dot != std::string::npos) {
      slot.task = std::stoi(slot.kind.substr(dot + 1));
      slot.kind.resize(dot);
    }
    return slot;
  }
  std::string text() const {
    return level + kind + (task < 0 ? "" : "." + std::to_string(task)) + "." +
           std::to_string(member) + ".layer." + std::to_string(layer) + rest;
  }
  bool is_weight() const { return rest == ".weight"; }
  bool is_temperature() const { return rest == ".temperature"; }
  /// Whether it reads the model's inputs.
  bool is_lowest() const {
    return layer == 0 && is_weight() && (level.empty() || level == "level.0.") && kind != "tower" &&
           kind != "similarity";
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

  /// The name of the old slot that a new one continues; empty: none.
  std::string continued(SlotName slot) const {
    const bool by_task = slot.kind == "tower" || slot.kind == "task_bottom" ||
                         slot.kind == "similarity" ||
                         (slot.kind == "gate" && !new_options_.one_gate);
    for (int* task : {by_task ? &slot.member : nullptr, &slot.task}) {
      if (task == nullptr || *task < 0) continue;
      *task = tasks_[static_cast<std::size_t>(*task)];
      if (*task < 0) return {};
    }
    const bool gate = slot.kind == "gate" || slot.kind == "shared_gate";
    if (gate && (old_options_.backbone != new_options_.backbone ||
                 old_options_.one_gate != new_options_.one_gate ||
                 old_options_.shared_gate != new_options_.shared_gate)) {
      return {};
    }
    if (slot.is_temperature() && old_options_.least_temperature != new_options_.least_temperature) {
      return {};
    }
    return slot.text();
  }

  /// Nothing where the sizes differ for another reason than inputs and experts.
  std::optional<Pairing> rows(const SlotName& slot, int old_rows, int new_rows) const {
    if (slot.is_lowest()) return inputs_;
    return same(old_rows, new_rows);
  }
  std::optional<Pairing> columns(const SlotName& slot, int old_columns, int new_columns) const {
    const bool to_experts = (slot.kind == "gate" || slot.kind == "shared_gate") &&
                            !slot.is_temperature() &&
                            slot.layer == static_cast<int>(new_options_.gate_layers.size()) &&
                            old_options_.gate_layers.size() == new_options_.gate_layers.size();
    if (!to_experts) return same(old_columns, new_columns);
    return experts(slot, old_columns, new_columns);
  }

 private:
  static std::optional<Pairing> same(int old_size, int new_size) {
    if (old_size != new_size) return std::nullopt;
    return first_ones(old_size, new_size);
  }

  /// By column of a gate: own experts first, task by task where it is over all of them.
  Pairing experts(const SlotName& slot, int old_columns, int new_columns) const {
    const BackboneKind kind = new_options_.backbone;
    const bool of_shared = slot.kind == "shared_gate" &&
                           new_options_.shared_gate == SharedGate::kShared &&
                           kind == BackboneKind::kPle;
    if (kind == BackboneKind::kMmoe || of_shared) return first_ones(old_columns, new_columns);
    const int old_own = old_options_.task_experts, new_own = new_options_.task_experts;
    const int old_shared = old_columns - old_options_.shared_experts;
    const int new_shared = new_columns - new_options_.shared_experts;
    const bool over_all = slot.kind == "shared_gate" || kind == BackboneKind::kStem;
    Pairing pairing(static_cast<std::size_t>(new_columns), -1);
    for (int c = 0; c < new_columns; ++c) {
      int& source = pairing[static_cast<std::size_t>(c)];
      if (c >= new_shared) {
        const int expert = c - new_shared;
        if (expert < old_options_.shared_experts) source = old_shared + expert;
        continue;
      }
      const int task = over_all ? tasks_[static_cast<std::size_t>(c / new_own)] : 0;
      if (task >= 0 && c % new_own < old_own) source = task * old_own + c % new_own;
    }
    return pairing;
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
  const Model<float> old_model(input_schema(old_schema, old_options), old_options);
  const Model<float> new_model(input_schema(new_schema, new_options), new_options);
  const Pairer pairer(old_schema, old_options, new_schema, new_options, tasks, features);
  std::map<std::string, const ParameterSlot*> old_slots;
  for (const ParameterSlot& slot : old_model.parameters()) old_slots[slot.name] = &slot;

  ModelMigration migration;
  migration.old_count = old_model.parameter_count();
  migration.new_count = new_model.parameter_count();
  for (const ParameterSlot& to : new_model.parameters()) {
    const SlotName name = SlotName::parse(to.name);
    const auto found = old_slots.find(pairer.continued(name));
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
