# Faults on demand, for tests alone: the sources that hold failpoints are compiled once more with
# them, and a second program, tests/millrace-faults, and the tests under tests/faults/ are made of
# these. The program that users get has none of it. tests/support/faults/README.md has the list.
file(GLOB_RECURSE candidates CONFIGURE_DEPENDS
     ${CMAKE_SOURCE_DIR}/ingest/*.cc ${CMAKE_SOURCE_DIR}/store/*.cc ${CMAKE_SOURCE_DIR}/serve/*.cc
     ${CMAKE_SOURCE_DIR}/ops/*.cc)
set(with_points)
foreach(candidate IN LISTS candidates)
  file(STRINGS ${candidate} points REGEX "MILLRACE_FAILPOINT")
  if(points)
    list(APPEND with_points ${candidate})
  endif()
endforeach()
file(GLOB faults CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/support/faults/*.cc)

add_library(test_faults OBJECT ${with_points} ${faults})
target_compile_definitions(test_faults PUBLIC MILLRACE_FAILPOINTS)
target_compile_options(test_faults PRIVATE ${MILLRACE_WARNINGS})
target_include_directories(test_faults PUBLIC ${CMAKE_BINARY_DIR}/include/tests)
target_link_libraries(test_faults PUBLIC millrace::ops RocksDB::rocksdb-shared)

add_executable(millrace-faults ${CMAKE_SOURCE_DIR}/ops/main.cc)
target_link_libraries(millrace-faults PRIVATE test_faults)

millrace_tests(faults DEPENDS test_faults test_support Boost::json)
if(TARGET faults_test)
  add_dependencies(faults_test millrace-faults)
endif()
