# Versions 0.x are compatible within one minor version, later ones within one major version.
set(PACKAGE_VERSION "@VERSION@")
if(NOT PACKAGE_VERSION MATCHES "^([0-9]+)\\.([0-9]+)")
  return()
endif()
set(_convoke_major "${CMAKE_MATCH_1}")
set(_convoke_minor "${CMAKE_MATCH_2}")
if(PACKAGE_FIND_VERSION_MAJOR STREQUAL _convoke_major
   AND NOT PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION
   AND (_convoke_major GREATER 0 OR PACKAGE_FIND_VERSION_MINOR STREQUAL _convoke_minor
        OR PACKAGE_FIND_VERSION_COUNT LESS 2))
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
# The library is machine code for one width of pointers.
if(CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL @POINTER_BYTES@)
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
endif()
unset(_convoke_major)
unset(_convoke_minor)
