# How the folders become libraries, and with which flags.

# AVX2 is the floor of a release; wider instructions are chosen at run time where they pay.
set(MILLRACE_FLAGS -march=x86-64-v3 -fno-math-errno)
set(MILLRACE_WARNINGS -Wall -Wextra -Wconversion -Wpedantic -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND MILLRACE_WARNINGS -Wno-restrict)  # false alarms on "text" + std::string, mended in 13
endif()
set(MILLRACE_SANITIZE "" CACHE STRING "Sanitizers for every target, e.g. address,undefined or thread")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
set(CMAKE_CXX_FLAGS_RELEASE "-O3")
add_compile_options(${MILLRACE_FLAGS})
if(MILLRACE_SANITIZE)
  add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all -g1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND MILLRACE_WARNINGS -Wno-maybe-uninitialized)  # false alarms on std::optional
    if(MILLRACE_SANITIZE STREQUAL "thread")
      add_compile_options(-Wno-tsan)  # Boost.Asio's fences, which this sanitizer does not see
    endif()
  endif()
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
endif()

# millrace_library(<folder> DEPENDS … PRIVATE … SKIP <regex> …)
# One library per folder, of all sources below it. Its headers are visible as "<folder>/…" only to
# targets that depend on it, so an include against the design's table does not compile.
function(millrace_library folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS;PRIVATE;SKIP")
  string(REPLACE "/" "_" target ${folder})
  set(view ${CMAKE_BINARY_DIR}/include/${target})
  cmake_path(GET folder PARENT_PATH parent)
  file(MAKE_DIRECTORY ${view}/${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${view}/${folder} SYMBOLIC)

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
       ${CMAKE_SOURCE_DIR}/${folder}/*.cc)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
       ${CMAKE_SOURCE_DIR}/${folder}/*.h)
  foreach(pattern IN LISTS arg_SKIP)
    list(FILTER sources EXCLUDE REGEX ${pattern})
    list(FILTER headers EXCLUDE REGEX ${pattern})
  endforeach()
  # Headers named *_inner.h wrap a third-party library and are not part of the public face.
  list(FILTER headers EXCLUDE REGEX "_inner\\.h$")
  # Each public header compiles by itself. One with a source does where that is compiled, which
  # includes it first (tests/structure/layering_test); the others are compiled to see it.
  set(alone ${headers})
  foreach(source IN LISTS sources)
    string(REGEX REPLACE "\\.cc$" ".h" header ${source})
    list(REMOVE_ITEM alone ${header})
  endforeach()
  list(REMOVE_ITEM headers ${alone})
  list(TRANSFORM headers PREPEND ${view}/)
  list(TRANSFORM alone PREPEND ${view}/)
  list(TRANSFORM sources PREPEND ${CMAKE_SOURCE_DIR}/)

  add_library(${target} STATIC ${sources})
  add_library(millrace::${target} ALIAS ${target})
  target_sources(${target} PUBLIC
    FILE_SET HEADERS BASE_DIRS ${view} FILES ${headers}
    FILE_SET alone TYPE HEADERS BASE_DIRS ${view} FILES ${alone})
  set_target_properties(${target} PROPERTIES INTERFACE_HEADER_SETS_TO_VERIFY alone)
  target_link_libraries(${target} PUBLIC ${arg_DEPENDS} PRIVATE ${arg_PRIVATE})
  target_compile_options(${target} PRIVATE ${MILLRACE_WARNINGS})
endfunction()
