# A stand-in for Zephyr's CMake package, on the host: of Zephyr's build it does what the application
# and the model's module use, as Zephyr's documentation describes it ("Modules", "extensions.cmake").
# Kconfig values come from prj.conf as they stand; the test checks them against Kconfig itself.
project(Zephyr-Kernel C)
add_library(zephyr_interface INTERFACE)
target_compile_options(zephyr_interface INTERFACE -Os -ffreestanding)
set_property(GLOBAL PROPERTY ZEPHYR_LIBS "")

macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC "")
  target_link_libraries(${name} PUBLIC zephyr_interface)
  set_property(GLOBAL APPEND PROPERTY ZEPHYR_LIBS ${name})
endmacro()

function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()

# Zephyr puts them behind its own, by an interface library that is linked last.
function(zephyr_library_compile_options)
  add_library(options_of_${ZEPHYR_CURRENT_LIBRARY} INTERFACE)
  target_compile_options(options_of_${ZEPHYR_CURRENT_LIBRARY} INTERFACE ${ARGN})
  target_link_libraries(${ZEPHYR_CURRENT_LIBRARY} PRIVATE options_of_${ZEPHYR_CURRENT_LIBRARY})
endfunction()

function(zephyr_include_directories)
  foreach(path ${ARGN})
    get_filename_component(path ${path} ABSOLUTE)
    target_include_directories(zephyr_interface INTERFACE ${path})
  endforeach()
endfunction()

file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/prj.conf lines REGEX "^CONFIG_[A-Z0-9_]+=")
foreach(line ${lines})
  string(REGEX MATCH "^([A-Z0-9_]+)=(.*)$" matched ${line})
  set(${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()

foreach(module ${EXTRA_ZEPHYR_MODULES})
  file(STRINGS ${module}/zephyr/module.yml line REGEX "^  cmake: ")
  string(REPLACE "  cmake: " "" folder "${line}")
  file(STRINGS ${module}/zephyr/module.yml line REGEX "^name: ")
  string(REPLACE "name: " "" name "${line}")
  add_subdirectory(${module}/${folder} ${CMAKE_BINARY_DIR}/modules/${name})
endforeach()

add_library(app STATIC "")
target_link_libraries(app PUBLIC zephyr_interface)
get_property(libraries GLOBAL PROPERTY ZEPHYR_LIBS)
file(WRITE ${CMAKE_BINARY_DIR}/nothing.c "typedef int nothing;\n")
add_executable(zephyr_final ${CMAKE_BINARY_DIR}/nothing.c)
set_target_properties(zephyr_final PROPERTIES OUTPUT_NAME zephyr.elf)
target_link_libraries(zephyr_final PRIVATE
  -Wl,--gc-sections -Wl,--whole-archive app ${libraries} -Wl,--no-whole-archive)
