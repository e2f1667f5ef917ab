#pragma once

// The one way to simdjson, so that every file sees it with the same switches: its checks of the
// order of calls, which a build without NDEBUG turns on, cost a third of its speed.
#ifndef SIMDJSON_DEVELOPMENT_CHECKS
#define SIMDJSON_DEVELOPMENT_CHECKS 0
#endif
#include <simdjson.h>
