#pragma once

// JSON documents (small ones, and what is written); for sources of ops/ alone.
#include <boost/json.hpp>
