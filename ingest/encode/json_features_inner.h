#pragma once

#include <string_view>

#include "ingest/encode/features.h"
#include "ingest/encode/simdjson_inner.h"

namespace millrace {

/// What came of reading one value of a record or request.
enum class JsonRead {
  kValue,      ///< Read.
  kNull,       ///< null, which counts as absent.
  kWrongType,  ///< JSON, as far as it was read, but not of the type that belongs here.
  kNotJson,    ///< No JSON; the document cannot be read on.
};

/// A number as JSON has it: integers keep all 64 bits.
struct JsonNumber {
  enum class Kind { kInteger, kUnsigned, kFloat } kind = Kind::kInteger;
  std::int64_t integer = 0;
  std::uint64_t unsigned_integer = 0;  ///< 2^63 and above.
  double value = 0;                    ///< Of any kind, rounded to a double.
};

/// The key of a field, without its escapes. Points into the document, or into the parser where the
/// key has escapes. False: it is no JSON.
bool read_key(simdjson::ondemand::field& field, std::string_view& key);

/// Reads a number. kWrongType: an integer beyond 64 bits; kNotJson: no number, or one with a
/// fraction or exponent beyond the range of a double.
/// Requires: the value's type is number.
JsonRead read_number(simdjson::ondemand::value& value, JsonNumber& number);

/// Reads the value of one feature into the builder, by the contract's rules; a null makes it
/// missing. One code for events and for score requests. After kWrongType the feature is missing,
/// and what stands behind the fault in the value was not looked at.
JsonRead read_feature(simdjson::ondemand::value& value, int feature, FeatureBuilder& builder);

}  // namespace millrace
