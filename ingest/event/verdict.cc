#include "ingest/event/verdict.h"

namespace millrace {

std::string shorten(std::string_view text) {
  constexpr std::size_t kMost = 40;
  if (text.size() <= kMost) return std::string(text);
  std::size_t cut = kMost;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return std::string(text.substr(0, cut)) + "…";
}

void Verdict::refuse(Reason reason, std::string message, std::optional<EventTime> time) {
  if (rejection_ && rejection_->reason <= reason) return;
  rejection_ = Rejection{reason, std::move(message), time};
}

void Verdict::missing(std::string_view field) {
  refuse(Reason::kMissingField, "field \"" + std::string(field) + "\" is missing");
}

void Verdict::wrong_type(std::string_view field, std::string_view value,
                         std::string_view expected) {
  refuse(Reason::kWrongType, "field \"" + std::string(field) + "\": " + shorten(value) +
                                 " is not " + std::string(expected));
}

}  // namespace millrace
