#!/bin/sh
# step.sh FILE COMMAND…: runs it with its standard output in FILE, `-` for none; if it fails, prints the line that GitHub
# shows as the job's error. Exit codes are those of README.md.
file=$1
shift
if [ "$file" = - ]; then "$@"; else "$@" >"$file"; fi && exit 0
code=$?
case $code in
1) why="a bug in sesacctl: please report the traceback" ;;
2) why="the command line is wrong" ;;
3) why="a setting is missing or wrong" ;;
4) why="a server cannot be reached, or refused" ;;
5) why="a check failed" ;;
6) why="the schema is not at the revision that this sesacctl needs" ;;
*) why="it ended in another way" ;;
esac
echo "::error title=$*::$why (exit code $code)"
exit "$code"
