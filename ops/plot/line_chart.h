#pragma once

#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// One line of a chart: points (x, y) with ascending x. A y that is not finite leaves a gap.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
};

/// The charts below one another as one SVG document that a browser shows by itself: axes with round
/// numbers and labels, a legend, lines that are told apart by colour and, beyond seven, by dashes.
std::string svg_document(const std::vector<LineChart>& charts);

}  // namespace millrace
