# Install rules, and the two ways to find what is installed: CMake and pkg-config.

include(CMakePackageConfigHelpers)

install(TARGETS killable killable_core killable_hook EXPORT killableTargets)
install(TARGETS killable-worker
  RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/killable")
install(DIRECTORY include/killable DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp")

# --- find_package(killable) ----------------------------------------------------------------

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/killable")
install(EXPORT killableTargets NAMESPACE killable:: DESTINATION "${package_dir}")
configure_package_config_file(
  cmake/killableConfig.cmake.in killableConfig.cmake
  INSTALL_DESTINATION "${package_dir}"
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(killableConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/killableConfig.cmake"
  "${PROJECT_BINARY_DIR}/killableConfigVersion.cmake"
  DESTINATION "${package_dir}")

# --- pkg-config killable, killable-core ----------------------------------------------------

# Relative to the .pc file, so that the installed tree may be moved.
set(pc_dir "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig")
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY "${pc_dir}" OUTPUT_VARIABLE pc_prefix)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR
  BASE_DIRECTORY "${pc_dir}" OUTPUT_VARIABLE pc_libdir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR
  BASE_DIRECTORY "${pc_dir}" OUTPUT_VARIABLE pc_includedir)
foreach(module killable killable-core)
  configure_file(cmake/${module}.pc.in ${module}.pc @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${module}.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()

# --- killable-worker finds a shared killable::core -----------------------------------------

file(RELATIVE_PATH worker_to_lib
  "${CMAKE_INSTALL_FULL_LIBEXECDIR}/killable" "${CMAKE_INSTALL_FULL_LIBDIR}")
set_target_properties(killable-worker PROPERTIES INSTALL_RPATH "$ORIGIN/${worker_to_lib}")
