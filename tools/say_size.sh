#!/bin/sh
# say_size.sh FOLDER COMMAND…: runs a command, and says every 10 seconds how large a folder has become: pip says nothing
# while it unpacks.
folder=$1
shift
(
    while sleep 10 >/dev/null 2>&1; do
        echo "  $folder: $(du -sm "$folder" 2>/dev/null | cut -f1) MB"
    done
) &
beat=$!
trap 'kill "$beat" 2>/dev/null' EXIT
"$@"
