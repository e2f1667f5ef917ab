#include "learner/evaluate/comparison.h"

#include <algorithm>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

constexpr std::size_t kMostWaiting = 8'192;

// Neighbours become one.
void halve(std::vector<SparseTally>& blocks) {
  std::vector<SparseTally> merged;
  for (std::size_t i = 0; i < blocks.size(); i += 2) {
    merged.push_back(i + 1 < blocks.size() ? SparseTally::merged(blocks[i], blocks[i + 1])
                                           : std::move(blocks[i]));
  }
  blocks = std::move(merged);
}

// Adds the rows of each value of `part` to its tally: `part`(row) is an index into `into`.
template <class Rows, class Part>
void add_by(Rows& rows, const Part& part, Tally& scratch, std::vector<SparseTally>& into) {
  // Stable: sums add up in the order of the rows.
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const auto& a, const auto& b) { return part(a) < part(b); });
  for (auto first = rows.begin(); first != rows.end();) {
    const std::size_t at = part(*first);
    if (at >= into.size()) break;
    scratch.clear();
    auto last = first;
    for (; last != rows.end() && part(*last) == at; ++last) scratch.add(last->row);
    into[at] = SparseTally::merged(into[at], scratch.sparse());
    first = last;
  }
}

}  // namespace

void ComparedOutput::add(const Measurement& row, std::uint64_t user, std::uint64_t position) {
  std::uint64_t block = position / block_rows_;
  if (block >= kMostBlocks) {
    add_up();
    while ((block = position / block_rows_) >= kMostBlocks) {
      halve(blocks_);
      block_rows_ *= 2;
    }
  }
  const std::uint64_t group = user == 0 ? kGroups : mix_bits(user) % kGroups;
  waiting_.push_back({row, block, group});
  if (binary_) scored_.add(row, position);
  ++rows_;
  rows_with_user_ += user == 0 ? 0 : 1;
  if (waiting_.size() >= kMostWaiting) add_up();
}

void ComparedOutput::add_up() {
  if (waiting_.empty()) return;
  // Positions do not descend, so the last row is of the last block.
  if (blocks_.size() <= waiting_.back().block) blocks_.resize(waiting_.back().block + 1);
  add_by(
      waiting_, [](const Waiting& row) { return row.block; }, scratch_, blocks_);
  add_by(
      waiting_, [](const Waiting& row) { return row.group; }, scratch_, groups_);
  waiting_.clear();
}

void ComparedOutput::finish() { add_up(); }

PairedUnits paired_units(const ComparedOutput& a, const ComparedOutput& b) {
  MILLRACE_CHECK(a.binary() == b.binary());
  const auto has_users = [](const ComparedOutput& of) {
    return of.rows_with_user() * 10 >= of.rows() * 9 && of.rows() > 0;
  };
  if (has_users(a) && has_users(b)) return {a.groups(), b.groups(), true};
  return paired_blocks(a, b);
}

PairedUnits paired_blocks(const ComparedOutput& a, const ComparedOutput& b) {
  MILLRACE_CHECK(a.binary() == b.binary());
  PairedUnits units{a.blocks(), b.blocks(), false};
  std::uint64_t rows_a = a.block_rows(), rows_b = b.block_rows();
  for (; rows_a < rows_b; rows_a *= 2) halve(units.a);
  for (; rows_b < rows_a; rows_b *= 2) halve(units.b);
  const std::size_t count = std::max(units.a.size(), units.b.size());
  units.a.resize(count);
  units.b.resize(count);
  return units;
}

}  // namespace millrace
