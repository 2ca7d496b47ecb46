# Two objects of one program that are compiled for different instruction sets must not define a
# symbol of the CPU backend both: the linker would keep one of them for both units.
#
#   NM        the program
#   PLAIN     object for any CPU of the architecture
#   WIDE      object for its widest vectors
#   PATTERN   matches the names of the backend's symbols, and of no others
cmake_minimum_required(VERSION 3.25)

# Names that other objects see. Undefined ones have no address.
function(symbols_of object out)
  execute_process(COMMAND ${NM} ${object} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9a-f]+ [A-TV-Zuvw] [^\n]+" lines "${text}")
  list(TRANSFORM lines REPLACE "^[0-9a-f]+ . " "")
  list(FILTER lines INCLUDE REGEX "${PATTERN}")
  set(${out} "${lines}" PARENT_SCOPE)
endfunction()

symbols_of(${PLAIN} plain)
symbols_of(${WIDE} wide)
list(LENGTH plain plain_count)
list(LENGTH wide wide_count)
message("${plain_count} symbols of the backend in ${PLAIN}\n${wide_count} in ${WIDE}")
if(plain_count LESS 50 OR wide_count LESS 50)
  message(FATAL_ERROR "too few to prove anything")
endif()

foreach(symbol IN LISTS plain)
  set("plain_${symbol}" TRUE)
endforeach()
set(both)
foreach(symbol IN LISTS wide)
  if(DEFINED "plain_${symbol}")
    list(APPEND both ${symbol})
  endif()
endforeach()
list(LENGTH both count)
if(count)
  list(SUBLIST both 0 20 first)
  list(JOIN first "\n  " first)
  message(FATAL_ERROR "${count} symbols are in both, for instance:\n  ${first}")
endif()
