#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "learner/synthetic/funnel.h"

namespace millrace {

/// Writes a funnel's events to a file, the outcomes of the last impressions included; returns how
/// many lines.
inline std::uint64_t write_funnel(const std::string& path, std::uint64_t impressions,
                                  FunnelOptions options = {}) {
  std::ofstream file(path);
  Funnel funnel(options);
  std::uint64_t lines = 0;
  while (!funnel.finished()) {
    if (funnel.impressions() >= impressions) funnel.stop();
    if (funnel.finished()) break;
    file << funnel.next().json << '\n';
    ++lines;
  }
  return lines;
}

/// A shop over the funnel's events with clicks and conversions; `more` adds sections.
inline std::string funnel_shop(const std::string& store, const std::string& more) {
  return "name: shop\n"
         "events:\n"
         "  impression:\n"
         "  click: {window: 10m}\n"
         "  conversion: {window: 1d}\n"
         "  dwell: {window: 30m}\n"
         "  like: {window: 30m}\n"
         "features:\n"
         "  - {name: user_id, type: categorical, dimension: 8, context: true}\n"
         "  - {name: item_id, type: categorical, dimension: 8}\n"
         "  - {name: price, type: numeric, transform: log1p}\n"
         "tasks:\n"
         "  - {name: ctr, label: click}\n"
         "  - {name: cvr, label: conversion, given: ctr}\n"
         "  - {name: dwell, label: dwell, given: ctr, kind: regression, transform: log1p}\n"
         "store: {path: " +
         store + ", free_space: 0}\n" + more;
}

}  // namespace millrace
