# find_package(Convoke) defines the targets Convoke::convoke (the shared library) and Convoke::convoke_static.
# Found relative to this file, so an installed tree may be moved as a whole.
get_filename_component(_convoke_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_convoke_includedir "@INCLUDEDIR_FROM_HERE@" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_LIST_DIR}")

if(NOT TARGET Convoke::convoke)
  add_library(Convoke::convoke SHARED IMPORTED)
  set_target_properties(Convoke::convoke PROPERTIES
    IMPORTED_LOCATION "${_convoke_libdir}/@SHARED_LIBRARY@"
    IMPORTED_SONAME "@SONAME@"
    INTERFACE_INCLUDE_DIRECTORIES "${_convoke_includedir}")
endif()

if(NOT TARGET Convoke::convoke_static)
  add_library(Convoke::convoke_static STATIC IMPORTED)
  set_target_properties(Convoke::convoke_static PROPERTIES
    IMPORTED_LOCATION "${_convoke_libdir}/libconvoke.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES "C"
    INTERFACE_INCLUDE_DIRECTORIES "${_convoke_includedir}"
    INTERFACE_LINK_LIBRARIES "@SYSTEM_LIBS_CMAKE@")
endif()

unset(_convoke_libdir)
unset(_convoke_includedir)
